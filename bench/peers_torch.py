#!/usr/bin/python3
"""rudd-bench and PyTorch eager side by side: the same network, size, batch and threads, in turns, so that both see the same machine.

    /usr/bin/python3 bench/peers_torch.py [--bench build/rudd-bench] [--rounds 3] [--repeat 5] [--threads N] [--only infer|train]

PyTorch's side is train_torch_fish15.py --steps (torchvision's networks, random weights). Each round gives a median; the table
shows the median of the rounds in milliseconds, and PyTorch's time divided by rudd's: above 1, rudd is faster.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

# command, rudd's architecture, torchvision's, size, batch
WORK = [("infer", "efficientnet_b4", "torchvision_b4", 380, 1),
        ("infer", "efficientnet_b4", "torchvision_b4", 380, 8),
        ("infer", "efficientnet_b4", "torchvision_b4", 224, 1),
        ("infer", "efficientnet_b4", "torchvision_b4", 224, 8),
        ("train", "efficientnet_b0", "torchvision_b0", 224, 16)]


def median_ms(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["median_ms"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bench", default="build/rudd-bench")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--only", choices=["infer", "train"])
    args = p.parse_args()
    torch = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_torch_fish15.py")]
    print(f"{'work':<32}{'threads':>8}{'rudd ms':>12}{'PyTorch ms':>12}{'ratio':>8}")
    for command, ours, theirs, size, batch in WORK:
        if args.only and args.only != command:
            continue
        same = ["--size", str(size), "--batch", str(batch), "--threads", str(args.threads), "--classes", "1000"]
        turns = ([args.bench, command, "--arch", ours, "--repeat", str(args.repeat), "--json"] + same,
                 torch + ["--arch", theirs, "--steps", str(args.repeat)] + same + (["--infer"] if command == "infer" else []))
        rounds = [[median_ms(turn) for turn in turns] for _ in range(args.rounds)]
        rudd, peer = (statistics.median(times) for times in zip(*rounds))
        print(f"{command + ' ' + ours:<24}{size:>4} x{batch:<2}{args.threads:>8}{rudd:>12.1f}{peer:>12.1f}{peer / rudd:>8.2f}", flush=True)


main()
