#!/usr/bin/env python3
"""The families beside EfficientNet V1, against their owners: EfficientNetV2-S, MobileNetV2, ResNet-50 V2.

    tests/parity/peers.sh run tests/parity/parity_families.py build

Each peer, with random weights and random batch-norm statistics, is saved by PyTorch as safetensors, and then:

    logits      rudd import, rudd predict --logits over three .npy inputs, at an even and an odd size: within 1e-4 of the largest (or, where a
                net amplifies rounding, four times what PyTorch's own float32 is off its float64)
    back        rudd export, loaded by the peer strictly, gives the peer's own logits
    ONNX        rudd export --format onnx is valid and gives rudd's logits in ONNX Runtime

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
import onnx
import onnxruntime
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

CLASSES = 21
TOLERANCE = 1e-4


def randomise(model, sizes):
    """As networks.py: every tensor matters and activations keep their size."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.uniform_(-0.1, 0.1)
        norm.reset_running_stats()
        norm.momentum = None  # the mean over the batches below
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            module.bias.data.uniform_(-0.1, 0.1)
    with torch.no_grad():
        for size in sizes:
            model.train()(torch.randn(8, 3, size, size))
    for norm in norms:
        norm.running_var.clamp_(min=norm.running_var.mean() / 4)  # a channel that hardly varies here would be amplified, and its rounding too
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.9, 1.1)
    return model.eval()


def logits_of_rudd(model_file, x, folder):
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    lines = rudd("predict", "--model", model_file, "--json", "--logits", "--image-size", str(x.shape[2]),
                 os.path.join(folder, "x.npy")).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float64)


def onnx_logits(model_file, x, folder, *options):
    path = os.path.join(folder, "out.onnx")
    rudd("export", "--model", model_file, "--format", "onnx", "--image-size", str(x.shape[2]), "-o", path, *options)
    onnx.checker.check_model(path, full_check=True)
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, threads, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": x.numpy()})[0].astype(np.float64)


def compare(name, fresh, arch, names, sizes, folder, import_options=()):
    torch.manual_seed(0)
    model = randomise(fresh(), sizes)
    theirs, ours, back = (os.path.join(folder, name + end) for end in (".theirs.safetensors", ".rudd.safetensors", ".back.safetensors"))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, theirs)
    said = rudd("import", theirs, "-o", ours, *import_options)
    check(f"{name}: recognised", f" {arch}, {CLASSES} classes, {names} names" in said, said.strip())
    with torch.inference_mode():
        for size in sizes:
            x = torch.randn(3, 3, size, size)
            expected = model(x).numpy()
            truth = model.double()(x.double()).numpy()
            model.float()
            allowed = max(TOLERANCE, 4 * difference(expected, truth))
            check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 0.05)
            error = difference(logits_of_rudd(ours, x, folder), truth)
            check(f"{name}: rudd's logits at {size}", error <= allowed, f"{error:.1e} (PyTorch {difference(expected, truth):.1e})")
            for options in ((), ("--keep-batchnorm",)):
                error = difference(onnx_logits(ours, x, folder, *options), truth)
                check(f"{name}: ONNX Runtime's logits at {size} {' '.join(options)}", error <= allowed, f"{error:.1e}")
        rudd("export", "--model", ours, "--names", names, "-o", back)
        second = fresh()
        second.load_state_dict(load_file(back), strict=True)
        error = difference(second.eval()(x).numpy(), expected)
        check(f"{name}: loads rudd's export strictly", error <= 1e-6, f"{error:.1e}")


class KerasBlock(torch.nn.Module):
    def __init__(self, inputs, width, stride, first):
        super().__init__()
        bn = lambda channels: torch.nn.BatchNorm2d(channels, eps=1.001e-5)
        self.norm1, self.norm2, self.norm3 = bn(inputs), bn(width), bn(width)
        if first:
            self.downsample = torch.nn.Module()
            self.downsample.conv = torch.nn.Conv2d(inputs, 4 * width, 1)
        self.conv1 = torch.nn.Conv2d(inputs, width, 1, bias=False)
        self.conv2 = torch.nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.conv3 = torch.nn.Conv2d(width, 4 * width, 1)
        self.stride, self.first = stride, first

    def forward(self, x):
        p = self.norm1(x).relu()
        skip = self.downsample.conv(p) if self.first else x[:, :, ::self.stride, ::self.stride]
        return self.conv3(self.norm3(self.conv2(self.norm2(self.conv1(p)).relu())).relu()) + skip


class KerasResNet50V2(torch.nn.Module):
    """keras.applications.ResNet50V2 in PyTorch, for its arithmetic; against Keras itself: parity_keras.py."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Module()
        self.stem.conv = torch.nn.Conv2d(3, 64, 7, 2, 3)
        self.stages, inputs = torch.nn.ModuleList(), 64
        for s, repeats in enumerate((3, 4, 6, 3)):
            stage = torch.nn.Module()
            width = 64 << s
            stage.blocks = torch.nn.ModuleList(
                KerasBlock(4 * width if r else inputs, width, 2 if r == repeats - 1 and s < 3 else 1, r == 0) for r in range(repeats))
            self.stages.append(stage)
            inputs = 4 * width
        self.norm = torch.nn.BatchNorm2d(inputs, eps=1.001e-5)
        self.head = torch.nn.Module()
        self.head.fc = torch.nn.Linear(inputs, CLASSES)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.nn.functional.pad(self.stem.conv(x), (1, 1, 1, 1)), 3, 2)
        for stage in self.stages:
            for block in stage.blocks:
                x = block(x)
        return self.head.fc(self.norm(x).relu().mean((2, 3)))


def main():
    torch.set_num_threads(1)
    jobs = [("timm tf_efficientnetv2_s", lambda: timm.create_model("tf_efficientnetv2_s", num_classes=CLASSES), "tf_efficientnetv2_s", "timm", (128, 75)),
            ("torchvision efficientnet_v2_s", lambda: torchvision.models.efficientnet_v2_s(num_classes=CLASSES), "efficientnetv2_s", "torchvision",
             (96, 75)),
            ("timm mobilenetv2_100", lambda: timm.create_model("mobilenetv2_100", num_classes=CLASSES), "mobilenetv2_100", "timm", (128, 75)),
            ("timm mobilenetv2_050", lambda: timm.create_model("mobilenetv2_050", num_classes=CLASSES), "mobilenetv2_050", "timm", (64, 97)),
            ("timm mobilenetv2_140", lambda: timm.create_model("mobilenetv2_140", num_classes=CLASSES), "mobilenetv2_140", "timm", (64, 97)),
            ("torchvision mobilenet_v2", lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES), "mobilenetv2_100", "torchvision", (128, 75)),
            ("timm resnetv2_50", lambda: timm.create_model("resnetv2_50", num_classes=CLASSES), "resnetv2_50", "timm", (96, 75)),
            ("resnet50v2 as Keras has it", KerasResNet50V2, "resnet50v2", "timm", (96, 75))]
    with tempfile.TemporaryDirectory() as folder:
        for name, *job in jobs:
            if any(word in name for word in sys.argv[2:]) or not sys.argv[2:]:
                try:
                    compare(name, *job, folder)
                except Exception as error:  # one broken family must not hide the others
                    check(name, False, f"{type(error).__name__}: {error}")
    return finish()


sys.exit(main())
