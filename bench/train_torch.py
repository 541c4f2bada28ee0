#!/usr/bin/env python3
"""One training step (forward, backward, AdamW over every parameter) in rudd and in PyTorch, in turns, each in a process of its own.

    pip install torch==2.13.0 timm                     or Debian's python3-torch and timm from pip
    python3 bench/train_torch.py [--rounds 5] [--rows b4:224:16 v2b0:224:16 ...]

A round is some steps of each; the table has the medians of the rounds, their ratio, and the peaks of resident memory. PyTorch runs as its users
run it on a processor: eager, contiguous and channels-last, whichever is faster. Both train with dropout 0.2, stochastic depth 0.2, label smoothing
0.1, 15 classes, on random pixels.

--old PROGRAM: another build of rudd-bench takes part in every round, before this one or after it in
turn; below the row stands this build / old, the median of the rounds' ratios and its 95 % interval.
--beside N: each row is measured a second time, beside N busy loops; they run for everybody alike.
--without-torch: rudd and the old build alone.
"""
import contextlib
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

NAMES = {"b0": "efficientnet_b0", "b4": "efficientnet_b4", "v2b0": "tf_efficientnetv2_b0"}
ROWS = ["b4:224:16", "b4:380:8", "b4:224:1", "b4:224:32", "v2b0:224:16"]


def worker(arch, size, batch, threads, channels_last):
    """A step for each line on standard input; answers with milliseconds and the peak in MB."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get between
    import resource
    import time
    import timm
    import torch
    torch.set_num_threads(threads)
    model = timm.create_model(arch, num_classes=15, drop_rate=0.2, drop_path_rate=0.2).train()
    x = torch.randn(batch, 3, size, size)
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 15
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def step():
        optimiser.zero_grad()
        loss_of(model(x), labels).backward()
        optimiser.step()
    step()
    print("ready", torch.__version__, file=answers)
    for _ in sys.stdin:
        step()
        start = time.perf_counter()
        step()
        ms = (time.perf_counter() - start) * 1e3
        print(ms, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=answers)


def start(arch, size, batch, threads, channels_last):
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), "--worker", arch, str(size), str(batch), str(threads), str(int(channels_last))],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ask(process):
    process.stdin.write("step\n")
    process.stdin.flush()
    ms, peak = map(float, process.stdout.readline().split())
    return ms, peak


def rudd(program, arch, size, batch, threads, limit):
    command = [program, "train", "--arch", arch, "--size", str(size), "--batch", str(batch), "--threads", str(threads), "--repeat", "2", "--warmup", "1", "--json"]
    answer = json.loads(subprocess.run(command + (["--memory-limit", limit] if limit else []), check=True, capture_output=True, text=True).stdout.splitlines()[0])
    return answer["min_ms"], answer["peak_rss_mb"]


# A busy loop: another process that dies with this one (prctl's PR_SET_PDEATHSIG, SIGKILL).
LOOP = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): sys.exit()
print("runs", flush=True)
n = 0
while True: n = n + 1 & 0xffff
"""


@contextlib.contextmanager
def busy(count):
    loops = []
    try:
        for _ in range(count):
            command = [sys.executable, "-c", LOOP, str(os.getpid())]
            loops.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for loop in loops:
            loop.stdout.readline()
        yield
        early = sum(loop.poll() is not None for loop in loops)
        if early:
            sys.exit(f"{early} of {count} busy loops ended early; measure again")
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def interval(values):
    """The 95 % interval of the median by order statistics; None: fewer than six."""
    n, k, below = len(values), 0, 1
    while below / 2 ** n <= 0.025:
        k += 1
        below += math.comb(n, k)
    return (sorted(values)[k - 1], sorted(values)[n - k]) if k else None


def rudd_round(args, number, *work):
    """Both builds, who begins changes with the round: milliseconds and peak of each."""
    programs = [args.rudd] + ([args.old] if args.old else [])
    order = -1 if number % 2 else 1
    answers = [rudd(program, *work, args.threads, args.memory_limit) for program in programs[::order]]
    return answers[::order]


def measure(arch, size, batch, args):
    """Rounds of rudd's builds, and PyTorch's times and peaks by memory format."""
    rounds, theirs, peaks, version = [], {}, {}, None
    for channels_last in [None] if args.without_torch else [False, True]:
        if channels_last is not None:
            process = start(arch, size, batch, args.threads, channels_last)
            version = process.stdout.readline().split()[1]
        for _ in range(args.rounds):
            if channels_last is not None:
                ms, peaks[channels_last] = ask(process)
                theirs.setdefault(channels_last, []).append(ms)
            rounds.append(rudd_round(args, len(rounds), arch, size, batch))
        if channels_last is not None:
            process.stdin.close()
            process.wait()
    return rounds, theirs, peaks, version


def print_old(rounds, batch):
    old_ms = statistics.median(old[0] for _, old in rounds)
    old_peak = max(old[1] for _, old in rounds)
    ratios = [now[0] / old[0] for now, old in rounds]
    ends = interval(ratios)
    text = f"{ends[0]:.3f}..{ends[1]:.3f}" if ends else "six rounds at least"
    print(f"{'  old':38} {old_ms / batch:9.1f} {old_peak:8.0f}   this build / old"
          f" {statistics.median(ratios):.3f}, 95 % interval {text}", flush=True)


def row(text, args, beside):
    name, size, batch = text.split(":")
    arch, size, batch = NAMES.get(name, name), int(size), int(batch)
    with busy(beside):
        rounds, theirs, peaks, version = measure(arch, size, batch, args)
    ms, peak = statistics.median(r[0][0] for r in rounds), max(r[0][1] for r in rounds)
    work = f"  the same, beside {beside} busy loops" if beside else f"{arch}, {size}, batch {batch}"
    line = f"{work:38} {ms / batch:9.1f} {peak:8.0f}"
    if theirs:
        best = min(theirs, key=lambda kind: statistics.median(theirs[kind]))
        peer_ms, peer_peak = statistics.median(theirs[best]), peaks[best]
        line += f"   {peer_ms / batch:9.1f} {peer_peak:8.0f}   {ms / peer_ms:6.2f} {peak / peer_peak:7.2f}"
        line += f"   {version}{' channels last' if best else ''}"
    print(line, flush=True)
    if args.old:
        print_old(rounds, batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory-limit", help="rudd's, such as 500M")
    parser.add_argument("--rudd", default="build/rudd-bench")
    parser.add_argument("--old", metavar="PROGRAM", help="another build of rudd-bench")
    parser.add_argument("--beside", type=int, default=0, metavar="N",
                        help="each row also beside N busy loops, at most 256")
    parser.add_argument("--without-torch", action="store_true")
    args = parser.parse_args()
    if not 0 <= args.beside <= 256:
        parser.error(f"--beside: found {args.beside}, expected a whole number from 0 to 256")
    print(f"{args.threads} threads; milliseconds an image and peak MB; a ratio below 1: rudd is faster, smaller\n")
    print(f"{'work':38} {'rudd ms':>9} {'MB':>8}   {'torch ms':>9} {'MB':>8}   {'time':>6} {'memory':>7}   torch")
    for text in args.rows:
        row(text, args, 0)
        if args.beside:
            row(text, args, args.beside)


if sys.argv[1:2] == ["--worker"]:
    worker(sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6] == "1")
else:
    main()
