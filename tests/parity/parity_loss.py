#!/usr/bin/env python3
"""rudd's losses against PyTorch's autograd, its mixing against timm's Mixup.

    tests/parity/peers.sh run tests/parity/parity_loss.py build

Losses: cross-entropy (torch's own, with smoothing), focal loss over mixed targets, distillation by torch's kl_div, in float64; values and
gradients. Mixing: what rudd drew is put into timm's Mixup in batch mode, which must make the same pixels and targets of it.
Ends with `N passed, N failed`. The C side is losses.c, built by `make parity`.
"""
import os
import subprocess
import sys

from checks import BUILD, check, finish, need_peers

need_peers()

import numpy as np
import timm.data.mixup
import torch
import torch.nn.functional as F

PROGRAM = os.path.join(BUILD, "tests", "parity", "losses")


def near(name, found, expected, tolerance):
    error = np.abs(np.asarray(found) - np.asarray(expected)).max() / max(1, np.abs(expected).max())
    check(name, error <= tolerance, f"{error:.1e}")


def rudd(*job, arrays):
    data = b"".join(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays)
    return subprocess.run([PROGRAM, *map(str, job)], input=data, capture_output=True, check=True).stdout


def loss(z, q, teacher, gamma, part, temperature):
    log_p = F.log_softmax(z, 1)
    focal = -(q * (1 - log_p.exp()) ** gamma * log_p).sum()
    divergence = F.kl_div(F.log_softmax(z / temperature, 1), F.log_softmax(teacher / temperature, 1), reduction="none", log_target=True)
    return (1 - part) * focal + part * temperature ** 2 * (q.sum(1) * divergence.sum(1)).sum()


def losses():
    torch.manual_seed(0)
    for n, classes, spread in ((4, 15, 3), (3, 1000, 1), (2, 2, 12)):
        z = (spread * torch.randn(n, classes)).float()
        teacher = (spread * torch.randn(n, classes)).float()
        labels = torch.randint(classes, (n,))
        smooth = F.one_hot(labels, classes) * 0.9 + 0.1 / classes
        mixed = (0.3 * smooth + 0.7 * smooth.flip(0)).float()
        z64 = z.double().requires_grad_()
        expected = F.cross_entropy(z64, labels, label_smoothing=0.1, reduction="sum")
        found = rudd("loss", n, classes, 0, 0, 1, arrays=(z, smooth, teacher))
        near(f"cross-entropy {n}x{classes}", np.frombuffer(found[:8]), expected.item(), 1e-6)
        for gamma in (0, 0.5, 1, 2, 3.5):
            for part, temperature in ((0, 1), (0.5, 3), (0.9, 1), (1, 20)):
                z64 = z.double().requires_grad_()
                expected = loss(z64, mixed.double(), teacher.double(), gamma, part, temperature)
                expected.backward()
                found = rudd("loss", n, classes, gamma, part, temperature, arrays=(z, mixed, teacher))
                name = f"gamma {gamma}, a {part}, T {temperature}, {n}x{classes}"
                near(f"{name}: value", np.frombuffer(found[:8]), expected.item(), 1e-9)
                near(f"{name}: gradient", np.frombuffer(found[8:], "<f4").reshape(n, classes), z64.grad.numpy(), 1e-6)


def mixing():
    classes, size, n = 5, 24, 6
    for batch in range(40):
        mixup, cutmix = ((0.4, 0), (0, 1), (0.4, 1))[batch % 3]
        torch.manual_seed(batch)
        x, labels = torch.randn(n, 3, size, size), torch.randint(classes, (n,))
        q = F.one_hot(labels, classes) * 0.9 + 0.1 / classes
        found = rudd("mix", n, size, classes, mixup, cutmix, batch, arrays=(x.permute(0, 2, 3, 1), q))
        lam, cut, x0, y0, x1, y1 = np.frombuffer(found[:48])
        box = tuple(map(int, (y0, y1, x0, x1)))

        theirs = timm.data.mixup.Mixup(mixup, cutmix, label_smoothing=0.1, num_classes=classes)
        theirs._params_per_batch = lambda: (lam, bool(cut))
        timm.data.mixup.rand_bbox = lambda *_, **__: box  # timm finds lambda again, from the box
        mixed, target = theirs(x.clone(), labels)
        after = np.frombuffer(found[48:], "<f4")
        near(f"mixed pixels, batch {batch}", after[:x.numel()].reshape(n, size, size, 3), mixed.permute(0, 2, 3, 1).numpy(), 1e-6)
        near(f"mixed targets, batch {batch}", after[x.numel():].reshape(n, classes), target.numpy(), 1e-6)


losses()
mixing()
sys.exit(finish())
