#!/usr/bin/env python3
"""rudd against PyTorch: EfficientNet B0..B7 and V2 in everybody's dialect give the same logits, in both directions.

    tests/parity/peers.sh run tests/parity/parity_dialects.py build [WORD...]      WORDs choose networks by name: b4, timm, hf ...

Forth:   timm's (plain and tf_), torchvision's and lukemelas' networks with random weights, saved by PyTorch as safetensors, are read by `rudd import`
         and run by `rudd predict --logits` over three .npy inputs at an even and an odd size.
Back:    `rudd export` of each holds the owner's very bits, is loaded by its owner, strictly, and gives PyTorch's logits; imported again it is the same
         model file bit for bit.
Step:    one training step of B0, both paddings, and V2-B0: logits, loss, gradients and running statistics are PyTorch's.
Padding: lukemelas' package computes it once for a declared size: its own default, another one, and the picture's.
Folders: a Hugging Face folder saved by timm is read with classes, conventions and preprocessing; one written by rudd is loaded by
         timm.create_model("local-dir:...").
Price:   import of B4 takes at most a second and 1.5 times the file in memory.

Batch-norm statistics are random too, so that a wrong epsilon or a forgotten tensor shows. A logit may differ from PyTorch's by 1e-4 of the largest. Large
variants see small pictures, to save time.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import json
import os
import sys
import tempfile


from checks import check, difference, finish, need_peers, rudd, spend

need_peers()

import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from safetensors.torch import load_file
from timm.models import save_for_hf

from networks import CLASSES, TOLERANCE, compare_step, logits_of_rudd, pictures, randomise, same_bits, save

INPUTS = 3
STEPS = "timm_efficientnet_b0", "timm_tf_efficientnet_b0", "timm_tf_efficientnetv2_b0"


def same_logits(name, model, ours, size, folder):
    """Of three inputs; returns them and PyTorch's answer."""
    x = pictures(INPUTS, size)
    with torch.inference_mode():
        expected = model(x).numpy()
    error = difference(logits_of_rudd(ours, x, folder), expected)
    check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 10 * TOLERANCE)
    check(f"{name}: rudd's logits at {size}", error <= TOLERANCE, f"{error:.1e}")
    return x, expected


def compare(name, fresh, sizes, import_options, names, folder):
    """Model made by fresh() -> rudd -> logits; rudd's export -> a second fresh() -> logits."""
    torch.manual_seed(0)
    model = randomise(fresh(), sizes[0])
    theirs, ours, back = (os.path.join(folder, name + end) for end in (".theirs.safetensors", ".rudd.safetensors", ".back.safetensors"))
    save(model, theirs)
    rudd("import", theirs, "-o", ours, *import_options)
    for size in sizes:
        x, expected = same_logits(name, model, ours, size, folder)
    rudd("export", "--model", ours, "--names", names, "-o", back)
    second = fresh()
    second.load_state_dict(load_file(back), strict=True)
    with torch.inference_mode():
        error = difference(second.eval()(x).numpy(), expected)
    check(f"{name}: loads rudd's export strictly", error <= 1e-6, f"{error:.1e}")
    same_bits(name, back, theirs, folder)
    if name in STEPS:
        compare_step(name, model, ours, names, folder)


def torchvision_to_timm(folder):
    """One model, two owners: torchvision's weights, through rudd, in timm."""
    torch.manual_seed(1)
    model = randomise(torchvision.models.efficientnet_b0(num_classes=CLASSES), 96)
    theirs, ours = os.path.join(folder, "tv.safetensors"), os.path.join(folder, "tv.rudd.safetensors")
    save(model, theirs)
    rudd("import", theirs, "-o", ours)
    other = timm.create_model("efficientnet_b0", num_classes=CLASSES, checkpoint_path=ours).eval()
    x = pictures(2, 96)
    with torch.inference_mode():
        error = difference(other(x).numpy(), model(x).numpy())
    check("torchvision's b0, through rudd, in timm", error <= TOLERANCE, f"{error:.1e}")


def lukemelas(variant, **options):
    return EfficientNet.from_name(f"efficientnet-b{variant}", num_classes=CLASSES, **options)


def hugging_face(arch, sizes, folder, safe, **arguments):
    """timm's folder -> rudd -> logits, and what config.json says; rudd's folder -> timm, by name alone."""
    name = f"hf {arch}{'' if safe else ' .bin'}{' ' + json.dumps(arguments) if arguments else ''}"
    torch.manual_seed(2)
    model = randomise(timm.create_model(arch, num_classes=CLASSES, **arguments), sizes[0])
    labels, (theirs, ours, back) = [f"fish {i}" for i in range(CLASSES)], (os.path.join(folder, end) for end in ("hf", "hf.rudd", "hf.back"))
    own = {"input_size": [3, 160, 160], "crop_pct": 0.8, "interpolation": "bilinear", "mean": [0.5, 0.25, 0.125]}
    save_for_hf(model, theirs, safe_serialization=safe, model_config={"label_names": labels, "pretrained_cfg": own, "model_args": arguments})
    rudd("import", theirs, "-o", ours)
    facts = json.loads(rudd("inspect", ours, "--json"))
    said, pre = facts["conventions"], facts["preprocess"]
    check(f"{name}: classes and preprocessing are config.json's", facts["classes"] == labels and facts["arch"] == arch and
          [3, pre["image_size"], pre["image_size"]] == own["input_size"] and pre["crop_fraction"] == 0.8 and pre["filter"] == "bilinear" and
          pre["mean"] == own["mean"], json.dumps(pre))
    for size in sizes:
        x, expected = same_logits(name, model, ours, size, folder)
    rudd("export", "--model", ours, "--format", "timm", "-o", back)
    other = timm.create_model(f"local-dir:{back}", pretrained=True).eval()
    with torch.inference_mode():
        error = difference(other(x).numpy(), expected)
    check(f"{name}: timm.create_model takes rudd's folder by its name", error <= 1e-6, f"{error:.1e}, {said}")
    data = timm.data.resolve_data_config(model=other)
    check(f"{name}: and its preprocessing", all(list(data[k]) == v if isinstance(v, list) else data[k] == v for k, v in own.items()), str(data))
    check(f"{name}: and its classes", other.pretrained_cfg["label_names"] == labels)
    for path in (theirs, back):
        for file in os.listdir(path):
            os.unlink(os.path.join(path, file))
        os.rmdir(path)


def price(folder):
    theirs, ours = os.path.join(folder, "b4.safetensors"), os.path.join(folder, "b4.rudd.safetensors")
    save(torchvision.models.efficientnet_b4(), theirs)
    runs = []
    for _ in range(5):
        runs.append(spend("import", theirs, "-o", ours))
    status, seconds, processor, peak = zip(*runs)
    check("import of B4 succeeds", not any(status))
    check("import of B4 takes at most a second of processor time", min(processor) <= 1,
          f"{min(processor):.2f} s, {min(seconds):.2f} s by the clock, the best of five")
    ratio = max(peak) / os.path.getsize(theirs)
    check("import of B4 takes at most 1.5 times the file in memory", ratio <= 1.5, f"{ratio:.2f} times")


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        jobs = []

        def network(name, fresh, sizes, names, *options):
            jobs.append((name, lambda: compare(name, fresh, sizes, options, names, folder)))

        for v in range(8):
            sizes = (96, 131) if v == 4 else (64, 75)
            network(f"torchvision_b{v}", lambda v=v: getattr(torchvision.models, f"efficientnet_b{v}")(num_classes=CLASSES), sizes, "torchvision")
            for arch in (f"efficientnet_b{v}", f"tf_efficientnet_b{v}"):
                network(f"timm_{arch}", lambda arch=arch: timm.create_model(arch, num_classes=CLASSES), sizes, "timm", "--arch", arch)
            network(f"lukemelas_b{v}", lambda v=v: lukemelas(v, image_size=None), sizes, "lukemelas", "--pad", "same")
        for v in (0, 1, 4):
            network(f"lukemelas_b{v}_default_size", lambda v=v: lukemelas(v), (64, 75), "lukemelas")
        network("lukemelas_b0_declared_97", lambda: lukemelas(0, image_size=97), (64, 75), "lukemelas", "--pad-size", "97")
        for v, sizes in ((0, (96, 127)), (3, (96, 127))):
            network(f"timm_tf_efficientnetv2_b{v}", lambda v=v: timm.create_model(f"tf_efficientnetv2_b{v}", num_classes=CLASSES), sizes, "timm")
        jobs.append(("torchvision to timm", lambda: torchvision_to_timm(folder)))
        jobs.append(("hf", lambda: hugging_face("tf_efficientnetv2_b0", (96, 127), folder, True)))
        jobs.append(("hf conventions", lambda: hugging_face("efficientnet_b0", (64, 75), folder, True, pad_type="same", bn_eps=0.01)))
        jobs.append(("hf bin", lambda: hugging_face("efficientnet_b1", (64, 75), folder, False)))
        jobs.append(("price b4", lambda: price(folder)))
        wanted = sys.argv[2:]
        for name, job in jobs:
            if wanted and not any(word in name for word in wanted):
                continue
            try:
                job()
            except Exception as error:  # one broken pair must not hide the others
                check(name, False, f"{type(error).__name__}: {error}")
            for file in os.listdir(folder):
                path = os.path.join(folder, file)
                if os.path.isfile(path):
                    os.unlink(path)
    return finish()


sys.exit(main())
