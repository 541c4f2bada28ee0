#!/usr/bin/env python3
"""The families beside EfficientNet V1, against their owners: EfficientNetV2-S, -B1 and -B2, MobileNetV2, ResNet-50 V2.

    tests/parity/peers.sh run tests/parity/parity_families.py build

Each peer, with random weights and random batch-norm statistics, is saved by PyTorch as safetensors, and then:

    logits      rudd import, rudd predict --logits over three .npy inputs, at an even and an odd size: within 1e-4 of the largest
    back        rudd export, loaded by the peer strictly, gives the peer's own logits; it holds the peer's bits, and imported again makes the same file
    folder      timm.create_model takes rudd export --format timm by its name: conventions and preprocessing are the model's
    ONNX        rudd export --format onnx is valid and gives rudd's logits in ONNX Runtime, with batch norms folded and kept, from pixels, in narrow storage
    step        one training step: logits, loss, gradients and running statistics are PyTorch's

Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import json
import os
import sys
import tempfile


from checks import check, difference, finish, need_peers, rudd

need_peers()

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import torchvision
from safetensors.torch import load_file

from networks import CLASSES, TOLERANCE, KerasResNet50V2, compare_step, logits_of_rudd, pictures, randomise, same_bits, save


def onnx_answer(model_file, x, folder, *options):
    path = os.path.join(folder, "out.onnx")
    rudd("export", "--model", model_file, "--format", "onnx", "--image-size", str(x.shape[2]), "-o", path, *options)
    onnx.checker.check_model(path, full_check=True)
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, threads, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x.numpy()})[0].astype(np.float64)


def onnx_of_pixels(name, model, model_file, size, folder):
    """Pixels of 0..255 go in, probabilities come out; numbers may be stored in half the room."""
    pre = json.loads(rudd("inspect", model_file, "--json"))["preprocess"]
    pixels = (pictures(3, size) * 50 + 128).clamp(0, 255).round()
    x = (pixels / 255 - torch.tensor(pre["mean"]).view(3, 1, 1)) / torch.tensor(pre["std"]).view(3, 1, 1)
    expected = torch.softmax(model(x), 1).numpy()
    for options, tolerance in (([], TOLERANCE), (["--dtype", "float16"], 0.01), (["--dtype", "bfloat16", "--keep-batchnorm"], 0.1)):
        error = difference(onnx_answer(model_file, pixels, folder, "--preprocess", "--softmax", *options), expected)
        check(f"{name}: ONNX Runtime's probabilities of pixels {' '.join(options)}", error <= tolerance, f"{error:.1e}")


def timm_folder(name, model_file, x, expected, folder):
    back = os.path.join(folder, name + ".timm")
    rudd("export", "--model", model_file, "--format", "timm", "-o", back)
    other = timm.create_model(f"local-dir:{back}", pretrained=True).eval()
    error = difference(other(x).numpy(), expected)
    check(f"{name}: timm.create_model takes rudd's folder by its name", error <= 1e-6, f"{error:.1e}")
    pre, data = json.loads(rudd("inspect", model_file, "--json"))["preprocess"], timm.data.resolve_data_config(model=other)
    check(f"{name}: and its preprocessing", all(np.allclose(data[k], pre[k], atol=1e-6) for k in ("mean", "std")) and
          data["input_size"] == (3, pre["image_size"], pre["image_size"]), str(data))


def compare(name, fresh, arch, names, sizes, folder, import_options=()):
    torch.manual_seed(0)
    model = randomise(fresh(), sizes[0])
    theirs, ours, back = (os.path.join(folder, name + end) for end in (".theirs.safetensors", ".rudd.safetensors", ".back.safetensors"))
    save(model, theirs)
    said = rudd("import", theirs, "-o", ours, *import_options)
    check(f"{name}: recognised", f" {arch}, {CLASSES} classes, {names} names" in said, said.strip())
    with torch.inference_mode():
        for size in sizes:
            x = pictures(3, size)
            expected = model(x).numpy()
            check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 10 * TOLERANCE)
            error = difference(logits_of_rudd(ours, x, folder), expected)
            check(f"{name}: rudd's logits at {size}", error <= TOLERANCE, f"{error:.1e}")
            for options in ((), ("--keep-batchnorm",)):
                error = difference(onnx_answer(ours, x, folder, *options), expected)
                check(f"{name}: ONNX Runtime's logits at {size} {' '.join(options)}", error <= TOLERANCE, f"{error:.1e}")
        rudd("export", "--model", ours, "--names", names, "-o", back)
        second = fresh()
        second.load_state_dict(load_file(back), strict=True)
        error = difference(second.eval()(x).numpy(), expected)
        check(f"{name}: loads rudd's export strictly", error <= 1e-6, f"{error:.1e}")
        same_bits(name, back, theirs, folder)
        onnx_of_pixels(name, model, ours, sizes[0], folder)
        if name.startswith("timm "):
            timm_folder(name, ours, x, expected, folder)
    compare_step(name, model, ours, names, folder)


def main():
    torch.set_num_threads(1)
    jobs = [("timm tf_efficientnetv2_s", lambda: timm.create_model("tf_efficientnetv2_s", num_classes=CLASSES), "tf_efficientnetv2_s", "timm", (128, 75)),
            ("torchvision efficientnet_v2_s", lambda: torchvision.models.efficientnet_v2_s(num_classes=CLASSES), "efficientnetv2_s", "torchvision",
             (96, 75)),
            ("timm efficientnetv2_s", lambda: timm.create_model("efficientnetv2_s", num_classes=CLASSES), "efficientnetv2_s", "timm", (96, 75),
             ("--arch", "efficientnetv2_s", "--bn-eps", "1e-5")),
            ("timm tf_efficientnetv2_b1", lambda: timm.create_model("tf_efficientnetv2_b1", num_classes=CLASSES), "tf_efficientnetv2_b1", "timm", (64, 75)),
            ("timm tf_efficientnetv2_b2", lambda: timm.create_model("tf_efficientnetv2_b2", num_classes=CLASSES), "tf_efficientnetv2_b2", "timm", (64, 75)),
            ("timm mobilenetv2_035", lambda: timm.create_model("mobilenetv2_035", num_classes=CLASSES), "mobilenetv2_035", "timm", (64, 97)),
            ("timm mobilenetv2_075", lambda: timm.create_model("mobilenetv2_075", num_classes=CLASSES), "mobilenetv2_075", "timm", (64, 97)),
            ("timm mobilenetv2_100", lambda: timm.create_model("mobilenetv2_100", num_classes=CLASSES), "mobilenetv2_100", "timm", (128, 75)),
            ("timm mobilenetv2_050", lambda: timm.create_model("mobilenetv2_050", num_classes=CLASSES), "mobilenetv2_050", "timm", (64, 97)),
            ("timm mobilenetv2_140", lambda: timm.create_model("mobilenetv2_140", num_classes=CLASSES), "mobilenetv2_140", "timm", (64, 97)),
            ("torchvision mobilenet_v2", lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES), "mobilenetv2_100", "torchvision", (128, 75)),
            ("timm resnetv2_50", lambda: timm.create_model("resnetv2_50", num_classes=CLASSES), "resnetv2_50", "timm", (96, 75)),
            ("resnet50v2 as Keras has it", KerasResNet50V2, "resnet50v2", "timm", (96, 75))]
    for name, *job in jobs:
        if any(word in name for word in sys.argv[2:]) or not sys.argv[2:]:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    compare(name, *job[:4], folder, *job[4:])
                except Exception as error:  # one broken family must not hide the others
                    check(name, False, f"{type(error).__name__}: {error}")
    return finish()


sys.exit(main())
