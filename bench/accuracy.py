#!/usr/bin/env python3
"""The same fine-tuning in rudd and in PyTorch, over seeds: accuracies, their means and spreads.

    pip install torch==2.13.0 torchvision timm safetensors          or Debian's python3-torch python3-torchvision and timm from pip
    python3 bench/accuracy.py --data DIR --weights FILE [--seeds 0 1 2] [--epochs 8]

DIR holds train/ val/ test/ with a folder per class, FILE timm's pretrained weights. The recipe, which is the default of `rudd train`, is spelled in
train_torch_fish15.py; both choose the epoch by the validation pictures and then see the test pictures once. Seeds draw different numbers in the two, so
single runs do not pair; means over seeds compare, within their spread.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def torch_run(args, seed):
    out = subprocess.run([sys.executable, os.path.join(HERE, "train_torch_fish15.py"), "--data", args.data, "--weights", args.weights, "--seed", str(seed),
                          "--epochs", str(args.epochs), "--workers", str(args.workers)], check=True, stdout=subprocess.PIPE, text=True).stdout
    epochs = [json.loads(line) for line in out.splitlines() if line.startswith("{")]  # libraries print, too
    return max(e["val_top1"] for e in epochs[:-1]), epochs[-1]["test"], epochs[-1]["seconds"]


def rudd_run(args, seed):
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        subprocess.run([args.rudd, "train", "--data", args.data, "--weights", args.weights, "--seed", str(seed), "--epochs", str(args.epochs), "--out", run,
                        "--quiet"], check=True)
        with open(os.path.join(run, "run.json")) as f:
            record = json.load(f)
        with open(os.path.join(run, "metrics.jsonl")) as f:
            epochs = [json.loads(line) for line in f]
        return max(e["val_accuracy"] for e in epochs), record["final"]["test"], sum(e["seconds"] for e in epochs)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--weights", required=True)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--workers", type=int, default=1, help="PyTorch's loader processes")
    p.add_argument("--rudd", default=os.path.join(HERE, "..", "build", "rudd"))
    args = p.parse_args()
    rows = {"rudd": [], "torch": []}
    print(f"{'':8}{'seed':>6}{'val top-1':>11}{'test top-1':>12}{'top-3':>8}{'macro F1':>10}{'loss':>8}{'seconds':>9}", flush=True)
    for seed in args.seeds:
        for name, run in (("rudd", rudd_run), ("torch", torch_run)):
            val, test, seconds = run(args, seed)
            rows[name].append(test["top1"])
            print(f"{name:8}{seed:6}{val:11.4f}{test['top1']:12.4f}{test['top3']:8.4f}{test['macro_f1']:10.4f}{test['loss']:8.4f}{seconds:9.0f}", flush=True)
    for name, top1 in rows.items():
        spread = statistics.stdev(top1) if len(top1) > 1 else 0
        print(f"{name:8}{'mean':>6}{'':11}{statistics.mean(top1):12.4f}  +- {spread:.4f} between seeds")


main()
