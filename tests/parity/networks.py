"""Networks of PyTorch's for parity scripts: with weights that matter, saved, and asked the same as rudd. After checks.need_peers()."""
import copy
import json
import os
import subprocess

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from checks import BUILD, check, difference, rudd

CLASSES = 21
TOLERANCE = 1e-4
BRANCH = 0.5  # what a block adds, beside what it is added to


def linear_norms(model):
    """The batch norms that no activation follows: they end the branches that blocks add to what came in."""
    for name, module in model.named_modules():
        if isinstance(getattr(module, "act", None), torch.nn.Identity) and isinstance(module, torch.nn.BatchNorm2d):  # timm
            yield module
        elif name.endswith("._bn2"):  # lukemelas
            yield module
        elif isinstance(module, torch.nn.Sequential) and len(module) > 1 and isinstance(module[-1], torch.nn.BatchNorm2d):  # torchvision
            yield module[-1]


def randomise(model, size):
    """Random weights under which every tensor matters and activations keep their size through any depth, at any resolution: each batch norm divides by
    what it meets on the average, blocks add little to their input. (A net that amplifies shows float32's noise and nothing else: so a norm here
    neither takes off the mean of a channel nor magnifies one that hardly varies, as after training on a few pictures it would.)"""
    def normalise(norm, inputs):
        power = inputs[0].square().mean()
        norm.running_mean.uniform_(-0.1, 0.1).mul_(power.sqrt())
        norm.running_var.uniform_(0.8, 1.25).mul_(power)

    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.uniform_(-0.1, 0.1)
            module.register_forward_pre_hook(normalise)
        elif isinstance(module, torch.nn.Conv2d) and module.bias is not None:  # squeeze-excite: gates that are neither shut nor open
            module.weight.data *= 0.25
            module.bias.data.uniform_(-0.1, 0.1)
    for norm in linear_norms(model):
        norm.weight.data *= BRANCH
    with torch.no_grad():  # each norm meets what those before it make with their new figures
        model(pictures(16, size))
    for module in model.modules():
        module._forward_pre_hooks.clear()
    return model


def pictures(count, size):
    """Colours that differ from picture to picture, shades and noise on them; of unit power, as standardised photographs."""
    shades = torch.nn.functional.interpolate(torch.randn(count, 3, 4, 4), size=(size, size), mode="bilinear", align_corners=False)
    x = torch.randn(count, 3, 1, 1) + shades + 0.5 * torch.randn(count, 3, size, size)
    return x / x.square().mean((1, 2, 3), keepdim=True).sqrt()


def save(model, path):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def logits_of_rudd(model_file, x, folder):
    np.save(os.path.join(folder, "x.npy"), np.asarray(x, np.float32))
    lines = rudd("predict", "--model", model_file, "--json", "--logits", "--image-size", str(x.shape[2]),
                 os.path.join(folder, "x.npy")).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float64)


def same_bits(name, back, theirs, folder):
    """The export, back, of what folder holds as NAME.rudd.safetensors."""
    expected = {k: v for k, v in load_file(theirs).items() if not k.endswith("num_batches_tracked")}
    found = load_file(back)
    check(f"{name}: the export holds the owner's bits", found.keys() == expected.keys() and
          all(torch.equal(found[k].view(torch.int32), v.view(torch.int32)) for k, v in expected.items()))
    ours, again = os.path.join(folder, name + ".rudd.safetensors"), os.path.join(folder, name + ".again.safetensors")
    rudd("import", back, "-o", again)
    check(f"{name}: in, out and in again is the same file", open(ours, "rb").read() == open(again, "rb").read())


def rudds_step(model_file, dialect, momentum, x, folder):
    out, (batch, _, size, _) = os.path.join(folder, "step.safetensors"), x.shape
    subprocess.run([os.path.join(BUILD, "tests/parity/gradients"), model_file, dialect, str(batch), str(size), str(momentum), out],
                   input=x.permute(0, 2, 3, 1).contiguous().numpy().tobytes(), check=True)
    return {k: v.double() for k, v in load_file(out).items()}


def worst_of(found, expected, floor):
    """The largest error of a tensor as a share of its length, which counts as at least floor; and whose it is."""
    errors = {k: float((found[k] - v).norm() / max(v.norm(), floor)) for k, v in expected.items()}
    name = max(errors, key=errors.get)
    return errors[name], name


def compare_step(name, fresh, model_file, dialect, folder, size=33, batch=3, draws=16):
    """A training step on batch statistics, of rudd (gradients.c) and of PyTorch in double: logits, loss, every parameter's gradient, the running statistics
    after it. Small gradients, as those of biases that a batch norm takes off again, count as 1e-3 of all. Where activations have a kink
    (ReLU, maximum), one value in a million falls to its other side by rounding, and a gradient is off by 1e-2, PyTorch's own in float32 as well: then other
    pictures are tried, with which none does."""
    for module in fresh.modules():
        if "Dropout" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.p = 0.0
    momentum, = {module.momentum for module in fresh.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    for draw in range(draws):
        model, x = copy.deepcopy(fresh).double().train(), pictures(batch, size)
        logits = model(x.double())
        loss = torch.nn.functional.cross_entropy(logits, (7 * torch.arange(batch) + 3) % CLASSES)
        loss.backward()
        found = rudds_step(model_file, dialect, momentum, x, folder)
        gradients = {k: p.grad for k, p in model.named_parameters()}
        statistics = {k: b for k, b in model.named_buffers() if b.is_floating_point()}
        whole = torch.stack([g.norm() for g in gradients.values()]).norm()
        error, worst = worst_of(found, gradients, 1e-3 * whole)
        if error <= 1e-3:
            break
    check(f"{name}: gradients of a step", error <= 1e-3, f"{error:.1e}, {worst}, pictures {draw + 1}")
    error, worst = worst_of(found, statistics, 0)
    check(f"{name}: statistics after a step", error <= TOLERANCE, f"{error:.1e}, {worst}")
    errors = difference(found.pop("logits"), logits.detach()), abs(float(found.pop("loss")) / float(loss) - 1)
    check(f"{name}: logits and loss of a step", max(errors) <= TOLERANCE, "{:.1e}, {:.1e}".format(*errors))
    expected = gradients.keys() | statistics.keys()
    check(f"{name}: a step has every gradient and statistic", found.keys() == expected, str(found.keys() ^ expected)[:200])


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
    """keras.applications.ResNet50V2 in PyTorch, under timm's sort of names: for its arithmetic (parity_families.py), and beside Keras itself (parity_keras.py)."""

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
