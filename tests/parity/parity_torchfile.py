#!/usr/bin/env python3
"""rudd against torch.save and numpy.savez: whatever form the same weights come in, the same model file comes out, byte for byte.

    tests/parity/peers.sh run tests/parity/parity_torchfile.py build

In:     state dicts in both forms of torch.save and all its protocols, wrapped as training scripts wrap them, from DataParallel and averages,
        in half precision, strided, of one storage; numpy.savez and savez_compressed. The yardstick is `rudd import` of the same as safetensors.
Out:    `rudd export --format npz` is read by numpy, has the state dict's numbers and loads strictly.
Never:  whole modules, TorchScript and pickles that call something are refused by the name of what they ask for, leave no file and call nothing.
Limits: import of a B4 takes at most 1.5 times its file in memory; of a compressed one, 1.5 times what it unpacks to.

Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import argparse
import collections
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile


from checks import BUILD, check, finish, need_peers, rudd, spend

need_peers()

import numpy as np
import timm
import torch
from safetensors.torch import save_file

ARCH = "efficientnet_b0"


def fresh(seed, arch=ARCH):
    torch.manual_seed(seed)
    model = timm.create_model(arch, num_classes=5)
    for tensor in model.state_dict().values():
        if tensor.dtype == torch.float32:
            tensor.uniform_(0.5, 1.5)
    return model.eval()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def imported(path):
    """The model file's bytes that rudd makes of it."""
    out = path + ".rudd.safetensors"
    rudd("import", path, "-o", out, "--arch", ARCH)
    contents = read(out)
    os.remove(out)
    return contents


def deflate(path):
    """The archive with each entry compressed, as a zip program makes it."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)
    return path


def torch_files(folder):
    """Each of torch.save's forms, and of people's: all hold the weights of fresh(0)."""
    model, other = fresh(0), fresh(1)
    weights, others = model.state_dict(), other.state_dict()
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()  # so that it has a state; it changes the weights, which are loaded anew
    model.load_state_dict(fresh(0).state_dict())

    def case(name, thing, **options):
        path = os.path.join(folder, "case.pth")
        torch.save(thing, path, **options)
        check(f"torch.save: {name}", imported(path) == yardstick)

    plain, zipped = os.path.join(folder, "plain.safetensors"), os.path.join(folder, "zipped.pth")
    save_file({k: v.contiguous() for k, v in weights.items()}, plain)
    yardstick = imported(plain)
    for protocol in (2, 3, 4):
        case(f"zip, protocol {protocol}", weights, pickle_protocol=protocol)
        case(f"stream, protocol {protocol}", weights, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    case("a plain dict", dict(weights))
    case("state_dict, optimizer and the rest", {"epoch": 3, "arch": ARCH, "state_dict": weights, "optimizer": optimizer.state_dict(),
                                                "args": argparse.Namespace(lr=0.1, data="x"), "best": None, "metric": np.float64(0.5),
                                                "history": [1.5, {"a": (1, True)}], "rng": torch.get_rng_state(), "big": 1 << 70,
                                                "device": torch.device("cpu"), "size": torch.Size([1, 2]), "tags": {"a", "b"}})
    case("model", {"model": weights, "epoch": 3}, _use_new_zipfile_serialization=False)
    case("an average before the weights", {"state_dict": others, "state_dict_ema": weights, "model": others})
    case("torchvision's average", {"model": others, "model_ema": torch.optim.swa_utils.AveragedModel(model).state_dict()})
    case("DataParallel", torch.nn.DataParallel(model).state_dict())
    case("torch.compile in DataParallel", {f"module._orig_mod.{k}": v for k, v in weights.items()})
    case("parameters", collections.OrderedDict(list(model.named_parameters()) + list(model.named_buffers())))
    case("Lightning", {"state_dict": {f"model.{k}": v for k, v in weights.items()}, "pytorch-lightning_version": "2.0.0", "loops": {}})
    case("under a name of somebody's own", {"net": weights, "acc": 0.5, "epoch": 3})
    case("channels last", {k: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in weights.items()})
    flat = torch.cat([v.float().flatten() for v in weights.values()])
    parts = flat.split([v.numel() for v in weights.values()])
    shared = {k: part.view(v.shape) for (k, v), part in zip(weights.items(), parts) if v.is_floating_point()}
    case("views of one storage", shared)
    case("views of one storage, stream", shared, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": shared, "flat": flat}, zipped)
    check("views of one storage, deflated by a zip program", imported(deflate(zipped)) == yardstick)
    torch.save(weights, zipped)
    check("torch.save, deflated by a zip program", imported(deflate(zipped)) == yardstick)
    case("in double", {k: v.double() if v.is_floating_point() else v for k, v in weights.items()})
    for dtype in (torch.float16, torch.bfloat16):
        narrow = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
        save_file({k: v.contiguous() for k, v in narrow.items()}, plain)
        yardstick = imported(plain)
        case(f"{dtype}", narrow)
        case(f"{dtype}, stream", narrow, _use_new_zipfile_serialization=False)


def numpy_files(folder):
    weights = {k: v.numpy() for k, v in fresh(0).state_dict().items()}
    plain, path = os.path.join(folder, "plain.safetensors"), os.path.join(folder, "case.npz")
    save_file({k: torch.from_numpy(v).contiguous() for k, v in weights.items()}, plain)
    yardstick = imported(plain)
    for save in (np.savez, np.savez_compressed):
        save(path, **weights)
        check(f"numpy.{save.__name__}", imported(path) == yardstick)
        save(path, **{k: np.asfortranarray(v) for k, v in weights.items()})
        check(f"numpy.{save.__name__}: Fortran order", imported(path) == yardstick)
    np.savez(path, **{k: v.astype("float64") for k, v in weights.items()})
    check("numpy.savez: float64", imported(path) == yardstick)

    ours, out = os.path.join(folder, "ours.safetensors"), os.path.join(folder, "out.npz")
    rudd("import", plain, "-o", ours, "--arch", ARCH)
    rudd("export", "--model", ours, "--format", "npz", "-o", out)
    arrays = {k: v for k, v in np.load(out).items() if v.dtype.kind == "f"}
    tracked = {k for k in weights if k.endswith("num_batches_tracked")}
    check("numpy reads rudd's arrays", arrays.keys() == weights.keys() - tracked
          and all(v.dtype == np.float32 and v.tobytes() == weights[k].tobytes() and v.shape == weights[k].shape for k, v in arrays.items()))
    fresh(1).load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, strict=True)
    check("timm loads them strictly", True)
    check("from npz back: the same model file", imported(out) == read(ours))
    rudd("export", "--model", ours, "--format", "npz", "--dtype", "float16", "--names", "torchvision", "-o", out)
    halves = [v for v in np.load(out).values() if v.dtype.kind == "f"]
    check("halves under torchvision's names", len(halves) == len(arrays) and all(v.dtype == np.float16 for v in halves))


class Evil:
    """Calls what it is told when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def refusals(folder):
    canary, path, out = (os.path.join(folder, name) for name in ("canary", "case.pth", "refused.safetensors"))

    def refused(name, expected):
        done = subprocess.run([os.path.join(BUILD, "rudd"), "import", path, "-o", out], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        good = done.returncode == 1 and expected in done.stderr and done.stderr.count("\n") == 1
        check(f"refused: {name}", good and not os.path.exists(out) and not os.path.exists(canary), "" if good else done.stderr.strip())
        check(f"refused: {name}: nothing temporary stays", not [n for n in os.listdir(folder) if n.endswith(".tmp")])

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    for new in (True, False):
        torch.save(model, path, _use_new_zipfile_serialization=new)
        refused(f"a whole module (zip {new})", "torch.nn.modules.container.Sequential")
        torch.save({"state_dict": model.state_dict(), "x": Evil(os.system, f"touch {canary}")}, path, _use_new_zipfile_serialization=new)
        refused(f"os.system (zip {new})", "posix.system")
    torch.save({"x": Evil(eval, "1")}, path)
    refused("eval", "builtins.eval")
    torch.jit.save(torch.jit.script(model), path)
    refused("TorchScript", "TorchScript, a program with its weights")
    torch.save({"epoch": 3}, path)
    refused("a checkpoint without weights", "holds a dict: epoch")
    with open(path, "wb") as file:
        pickle.dump({"a": 1}, file)
    refused("somebody else's pickle", "case.pth")
    torch.save(model.state_dict(), path)
    whole = read(path)
    for cut in (1, 5, 100, len(whole) // 2):
        with open(path, "wb") as file:
            file.write(whole[:-cut])
        refused(f"{cut} bytes short", "case.pth")


def limits(folder):
    weights = {k: v for k, v in fresh(0, "efficientnet_b4").state_dict().items()}
    arrays = {k: v.numpy() for k, v in weights.items()}
    last = {k: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in weights.items()}
    files = {"zip.pth": lambda p: torch.save(weights, p),
             "stream.pth": lambda p: torch.save(weights, p, _use_new_zipfile_serialization=False),
             "channels_last.pth": lambda p: torch.save(last, p),
             "deflated.pth": lambda p: (torch.save(weights, p), deflate(p)),
             "safetensors": lambda p: save_file(weights, p),
             "npz": lambda p: np.savez(p, **arrays),
             "compressed.npz": lambda p: np.savez_compressed(p, **arrays),
             "fortran.npz": lambda p: np.savez_compressed(p, **{k: np.asfortranarray(v) for k, v in arrays.items()})}
    out, unpacked = os.path.join(folder, "out.safetensors"), sum(v.nbytes for v in arrays.values())
    for name, write in files.items():
        path = os.path.join(folder, "b4." + name)
        write(path)
        status, seconds, processor, peak = spend("import", path, "-o", out)
        size = os.path.getsize(path)
        check(f"memory of importing B4, {name}", not status and peak <= 1.5 * max(size, unpacked),
              f"{peak / size:.2f} times the file, {peak / unpacked:.2f} times its numbers; {seconds:.2f} s, {processor:.2f} s of a processor")
        os.remove(path)


def main():
    torch.set_num_threads(1)
    for job in (torch_files, numpy_files, refusals, limits):
        with tempfile.TemporaryDirectory() as folder:
            try:
                job(folder)
            except Exception as error:  # one broken form must not hide the others
                check(job.__name__, False, f"{type(error).__name__}: {error}")
    return finish()


sys.exit(main())
