"""Networks of PyTorch's for parity scripts: with weights that matter, saved, and asked the same as rudd. After checks.need_peers()."""
import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

from checks import rudd

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
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            module.bias.data.uniform_(-0.1, 0.1)
    with torch.no_grad():
        for size in sizes:
            model.train()(torch.randn(4, 3, size, size))
    for norm in norms:
        norm.running_var.clamp_(min=norm.running_var.mean() / 4)  # a channel that hardly varies here would be amplified, and its rounding too
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.9, 1.1)
    return model.eval()


def save(model, path):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def logits_of_rudd(model_file, x, folder):
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    lines = rudd("predict", "--model", model_file, "--json", "--logits", "--image-size", str(x.shape[2]),
                 os.path.join(folder, "x.npy")).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float64)
