#!/usr/bin/env python3
"""rudd against PyTorch: the same weights and inputs give the same logits, in both directions, under everyone's names.

    tests/parity/peers.sh run tests/parity/parity_torch.py build

Forth:  torchvision's and timm's EfficientNets and lukemelas' efficientnet_pytorch with random weights, saved by PyTorch as safetensors,
        are read by `rudd import` and run by `rudd predict --logits` over .npy inputs at even and odd sizes.
Back:   `rudd export` of each is loaded by its owner, strictly (timm also by its own checkpoint loader), and gives PyTorch's logits.

Batch-norm statistics are random too, so that a wrong epsilon or a forgotten tensor shows. A logit may differ from PyTorch's in float64 by 1e-4 of the largest or, where a
net amplifies rounding, by four times what PyTorch's own float32 does.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import json
import os
import sys
import tempfile

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # small nets on a busy machine: spinning threads only hinder each other

from checks import check, difference, finish, need_peers, rudd

need_peers()

import numpy as np
import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from safetensors.torch import load_file, save_file

CLASSES = 21
TOLERANCE = 1e-4


def randomise(model, sizes):
    """Random weights as after training: every tensor matters, batch norms have seen data, so that activations keep their size. (A net
    that amplifies shows float32's noise, one that damps forgets its input.)"""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.uniform_(-0.1, 0.1)
        norm.reset_running_stats()
        norm.momentum = None  # the mean over the batches below
    with torch.no_grad():
        for size in sizes:
            model.train()(torch.randn(4, 3, size, size))
    for norm in norms:
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.9, 1.1)
    return model.eval()


def save(model, path):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def logits_of_rudd(model_file, x, folder):
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    lines = rudd("predict", "--model", model_file, "--json", "--logits", "--image-size", str(x.shape[2]),
                 os.path.join(folder, "x.npy")).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float64)


def compare(name, fresh, sizes, import_options, names, folder):
    """Model made by fresh() -> rudd -> logits; rudd's export -> a second fresh() -> logits."""
    torch.manual_seed(0)
    model = randomise(fresh(), sizes)
    theirs, ours, back = (os.path.join(folder, name + end) for end in (".theirs.safetensors", ".rudd.safetensors", ".back.safetensors"))
    save(model, theirs)
    rudd("import", theirs, "-o", ours, *import_options)
    with torch.inference_mode():
        for size in sizes:
            x = torch.randn(2, 3, size, size)
            expected = model(x).numpy()
            truth = model.double()(x.double()).numpy()
            model.float()
            found = logits_of_rudd(ours, x, folder)
            check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 0.05)
            theirs_off = difference(expected, truth)
            error = difference(found, truth) if found.shape == truth.shape else float("inf")
            check(f"{name}: rudd's logits at {size}", error <= max(TOLERANCE, 4 * theirs_off), f"{error:.1e} (PyTorch {theirs_off:.1e})")
        rudd("export", "--model", ours, "--names", names, "-o", back)
        second = fresh()
        second.load_state_dict(load_file(back), strict=True)
        error = difference(second.eval()(x).numpy(), expected)
        check(f"{name}: loads rudd's export strictly", error <= 1e-6, f"{error:.1e}")
    return back, x, expected


def compare_timm(name, sizes, folder):
    back, x, expected = compare(name, lambda: timm.create_model(name, num_classes=CLASSES), sizes, ["--arch", name], "timm", folder)
    model = timm.create_model(name, num_classes=CLASSES, checkpoint_path=back).eval()
    with torch.inference_mode():
        error = difference(model(x).numpy(), expected)
    check(f"{name}: timm's checkpoint loader takes rudd's file", error <= 1e-6, f"{error:.1e}")


def torchvision_to_timm(folder):
    """One model, two owners: torchvision's weights, through rudd, in timm."""
    torch.manual_seed(1)
    model = randomise(torchvision.models.efficientnet_b0(num_classes=CLASSES), (96,))
    theirs, ours = os.path.join(folder, "tv.safetensors"), os.path.join(folder, "tv.rudd.safetensors")
    save(model, theirs)
    rudd("import", theirs, "-o", ours)
    other = timm.create_model("efficientnet_b0", num_classes=CLASSES, checkpoint_path=ours).eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        error = difference(other(x).numpy(), model(x).numpy())
    check("torchvision's b0, through rudd, in timm", error <= TOLERANCE, f"{error:.1e}")


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(f"torchvision_b{v}", lambda v=v, s=s: compare(
                    f"torchvision_b{v}", lambda: getattr(torchvision.models, f"efficientnet_b{v}")(num_classes=CLASSES), s, [],
                    "torchvision", folder)) for v, s in ((0, (64, 97)), (4, (96, 131)))]
        jobs += [(name, lambda name=name, s=s: compare_timm(name, s, folder)) for name, s in
                 (("efficientnet_b1", (64, 75)), ("tf_efficientnet_b0", (64, 75)), ("tf_efficientnetv2_b0", (96, 127)),
                  ("tf_efficientnetv2_b3", (96, 127)))]
        jobs.append(("lukemelas_b0", lambda: compare(
            "lukemelas_b0", lambda: EfficientNet.from_name("efficientnet-b0", num_classes=CLASSES, image_size=None), (64, 75), [],
            "lukemelas", folder)))
        jobs.append(("torchvision to timm", lambda: torchvision_to_timm(folder)))
        for name, job in jobs:
            try:
                job()
            except Exception as error:  # one broken pair must not hide the others
                check(name, False, f"{type(error).__name__}: {error}")
    return finish()


sys.exit(main())
