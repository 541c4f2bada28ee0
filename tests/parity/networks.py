"""Networks of PyTorch's for parity scripts: with weights that matter, saved, and asked the same as rudd. After checks.need_peers()."""
import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

from checks import rudd

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
