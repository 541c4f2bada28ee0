#!/usr/bin/env python3
"""rudd's optimisers, parameter groups and schedules against PyTorch's and timm's: the same gradients make the same weights.

    tests/parity/peers.sh run tests/parity/parity_recipes.py build

Optimisers step over all parameters of EfficientNet-B0 with gradients drawn by a formula that both sides have: decay for weights alone,
rates by stage as timm's param groups (coarse group_matcher), the classifier at its own, clipping by global norm, constant rates and
OneCycleLR with its momentum. Sums of squares differ in their order, hence the tolerance of 2e-6 beside rates up to 0.1; Lion takes the sign of
a sum, which may cancel to one rounding error or another, so that a few elements in millions may go the other way.
Schedules are compared step by step. Ends with `N passed, N failed`.
"""
import os
import subprocess
import sys
import warnings

from checks import BUILD, check, finish, need_peers

need_peers()

import numpy as np
import timm
import torch
from timm.models import group_parameters
from timm.optim import RMSpropTF
from timm.optim.lion import Lion
from torch.optim import lr_scheduler

warnings.filterwarnings("ignore")  # schedulers stepped without a backward pass
RECIPES = os.path.join(BUILD, "tests/parity/recipes")
ARCH, CLASSES, STEPS = "efficientnet_b0", 3, 6
LR, HEAD_LR, DECAY, MOMENTUM = 0.01, 0.1, 0.05, 0.9


def rudd(job):
    return subprocess.run([RECIPES], input=job.encode() + b"\n", capture_output=True, check=True).stdout


def drawn(count, param, t):
    """recipes.c's."""
    x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761)
    x += np.uint32(param * 40503 + t * 2246822519 & 0xFFFFFFFF)
    x ^= x >> np.uint32(15)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    return (x >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


TABLE = [(name, int(count)) for name, count in (line.split() for line in rudd(f"params {ARCH} {CLASSES}").decode().splitlines()[1:])]
OPTIMISERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True),
    "rmsprop": lambda groups: RMSpropTF(groups, alpha=0.9, eps=1e-3, momentum=MOMENTUM),
    "lion": lambda groups: Lion(groups),
}


def groups_of(model, layer_decay):
    """One group a parameter, rates as timm's param_groups_layer_decay over stages."""
    layer = group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    top = max(layer.values())
    for name, p in model.named_parameters():
        head = name.startswith("classifier")
        yield {"params": [p], "lr": HEAD_LR if head else LR * layer_decay ** (top - layer[name]) if layer_decay < 1 else LR,
               "weight_decay": DECAY if p.ndim > 1 else 0.0}


def steps_of_torch(kind, layer_decay, clip, schedule):
    model = timm.create_model(ARCH, num_classes=CLASSES)
    parameters = dict(model.named_parameters())
    places = {name: i for i, (name, _) in enumerate(TABLE)}
    for name, p in parameters.items():
        p.data = torch.from_numpy(drawn(p.numel(), places[name], 0)).reshape(p.shape)
    groups = list(groups_of(model, layer_decay))
    optimiser = OPTIMISERS[kind](groups)
    rate = lr_scheduler.OneCycleLR(optimiser, [g["lr"] for g in groups], total_steps=STEPS) if schedule == "one-cycle" else None
    for t in range(STEPS):
        for name, p in parameters.items():
            p.grad = torch.from_numpy(drawn(p.numel(), places[name], t + 1)).reshape(p.shape)
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        optimiser.step()
        if rate and t < STEPS - 1:
            rate.step()
    return {name: p.detach().numpy().ravel() for name, p in parameters.items()}


def compare_steps(kind, layer_decay, clip, schedule):
    block = np.frombuffer(rudd(f"train {ARCH} {CLASSES} {STEPS} {kind} {LR} {HEAD_LR} {layer_decay} {DECAY} {MOMENTUM} {clip} {schedule}"), np.float32)
    expected, at, worst, astray, moved, total = steps_of_torch(kind, layer_decay, clip, schedule), 0, 0.0, 0, False, 0
    for j, (name, count) in enumerate(TABLE):
        if name in expected:
            off = np.abs(block[at:at + count] - expected[name])
            astray += int((off > 2e-6).sum())
            worst, total = max(worst, float(off.max())), total + count
            moved |= bool(np.abs(expected[name] - drawn(count, j, 0)).max() > 1e-3)
        at += count
    allowed = total // 1_000_000 if kind == "lion" else 0
    check(f"{kind}, layer decay {layer_decay}, clip {clip}, {schedule}", at == block.size and moved and astray <= allowed,
          f"worst {worst:.1e}; {astray} of {total} astray")


def compare_schedule(name, job, expected, tolerance=1e-12):
    found = np.array([line.split() for line in rudd("schedule " + job).decode().splitlines()], np.float64)
    expected = np.array(expected, np.float64).reshape(len(expected), -1)
    good = found.shape[0] == expected.shape[0]
    error = float(np.abs(found[:, :expected.shape[1]] - expected).max()) if good else float("inf")
    check(name, error <= tolerance, f"{error:.1e}")


def follow(make, steps, after=lambda scheduler, i: scheduler.step(), **options):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=MOMENTUM)
    scheduler, seen = make(optimiser, **options), []
    for i in range(steps):
        group = optimiser.param_groups[0]
        seen.append((group["lr"], group["momentum"]))
        optimiser.step()
        if i < steps - 1:
            after(scheduler, i)
    return seen


for kind in OPTIMISERS:
    for layer_decay, clip, schedule in ((1, 0, "constant"), (0.7, 500.0, "constant"), (0.7, 0, "one-cycle")):
        compare_steps(kind, layer_decay, clip, schedule)

for epochs, steps in ((5, 1), (10, 1), (4, 9), (100, 3)):
    compare_schedule(f"one-cycle over {epochs}x{steps}", f"one-cycle {epochs} {steps} 1 1 0.1",
                     follow(lr_scheduler.OneCycleLR, epochs * steps, max_lr=1.0, total_steps=epochs * steps))
for every, rate in ((3, 0.1), (1, 0.97)):
    compare_schedule(f"step: {rate} every {every} epochs", f"step 10 7 0 {every} {rate}",
                     [(x[0],) for x in follow(lr_scheduler.StepLR, 10, step_size=every, gamma=rate) for _ in range(7)])
compare_schedule("cosine", "cosine 6 5 0 1 0.1", [(x[0],) for x in follow(lr_scheduler.CosineAnnealingLR, 30, T_max=30)])
compare_schedule("plateau", "plateau 23 1 0 1 0.1",
                 [(x[0],) for x in follow(lr_scheduler.ReduceLROnPlateau, 23, lambda s, i: s.step(1 / (1 + i % 5)), factor=0.5, patience=1)])
sys.exit(finish())
