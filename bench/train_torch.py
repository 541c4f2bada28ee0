#!/usr/bin/env python3
"""One training step (forward, backward, AdamW over every parameter) in rudd and in PyTorch, in turns, each in a process of its own.

    pip install torch==2.13.0 timm                     or Debian's python3-torch and timm from pip
    python3 bench/train_torch.py [--rounds 5] [--rows b4:224:16 v2b0:224:16 ...]

A round is some steps of each, then a pause; the table has the medians of the rounds, their ratio, and the peaks of resident memory. PyTorch runs as its users
run it on a processor: eager, contiguous and channels-last, whichever is faster. Both train with dropout 0.2, stochastic depth 0.2, label smoothing
0.1, 15 classes, on random pixels.
"""
import argparse
import json
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


def row(text, args):
    name, size, batch = text.split(":")
    arch, size, batch = NAMES.get(name, name), int(size), int(batch)
    ours, theirs, peaks = [], {False: [], True: []}, {}
    version = None
    for channels_last in (False, True):
        process = start(arch, size, batch, args.threads, channels_last)
        version = process.stdout.readline().split()[1]
        for _ in range(args.rounds):
            ms, peaks[channels_last] = ask(process)
            theirs[channels_last].append(ms)
            ours.append(rudd(args.rudd, arch, size, batch, args.threads, args.memory_limit))
        process.stdin.close()
        process.wait()
    best = min(theirs, key=lambda kind: statistics.median(theirs[kind]))
    ms, peer_ms = statistics.median(m for m, _ in ours), statistics.median(theirs[best])
    peak = max(p for _, p in ours)
    print(f"{arch + ', ' + str(size) + ', batch ' + str(batch):38} {ms / batch:9.1f} {peak:8.0f}   {peer_ms / batch:9.1f} {peaks[best]:8.0f}"
          f"   {ms / peer_ms:6.2f} {peak / peaks[best]:7.2f}   {version}{' channels last' if best else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory-limit", help="rudd's, such as 500M")
    parser.add_argument("--rudd", default="build/rudd-bench")
    args = parser.parse_args()
    print(f"{args.threads} threads; milliseconds an image and peak MB; a ratio below 1: rudd is faster, smaller\n")
    print(f"{'work':38} {'rudd ms':>9} {'MB':>8}   {'torch ms':>9} {'MB':>8}   {'time':>6} {'memory':>7}   torch")
    for text in args.rows:
        row(text, args)


if sys.argv[1:2] == ["--worker"]:
    worker(sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6] == "1")
else:
    main()
