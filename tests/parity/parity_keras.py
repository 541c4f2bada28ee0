#!/usr/bin/env python3
"""rudd against Keras: the same weights and inputs give the same logits, in both directions, in every form that Keras writes.

    tests/parity/peers.sh run tests/parity/parity_keras.py build [NAME...]

Values:  timm's network of that name with random weights and with batch-norm statistics as after training, through `rudd import`.
Back:    `rudd export --format keras` is loaded by the network of keras.applications, which takes nothing else, and gives timm's logits.
Forth:   Keras saves that network: .weights.h5 (its layers by name, and by number alone as before Keras 3.6), .keras, whole .h5, the .h5 of Keras 2, and
         as part of a user's network with a classifier of its own. `rudd import` of each, `rudd predict --logits` over .npy inputs at an even and
         an odd size: the same logits. Preprocessing within the network, in both meanings of its variance, becomes the model file's.
Round:   in, out, in: the same bytes.

Logits may differ by 1e-4 of the largest.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import hashlib
import json
import os
import shutil
import sys
import tempfile

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # small nets on a busy machine: spinning threads only hinder each other
os.environ["KERAS_BACKEND"] = "openvino"

from checks import check, difference, finish, need_peers, rudd

need_peers()

import openvino

compile_model = openvino.compile_model
openvino.compile_model = lambda model, device="CPU", config=None: compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

import h5py
import keras
import numpy as np
import timm
import torch

import networks
from networks import CLASSES, TOLERANCE, logits_of_rudd, randomise, save

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def network(name, size, classes=CLASSES, **options):
    return getattr(keras.applications, name)(weights=None, classes=classes, classifier_activation=None, input_shape=(size, size, 3), **options)


def normalization(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]


def random_values(timm_name, path, **options):
    """timm's network with random weights as after training, and a file of it."""
    torch.manual_seed(0)
    model = randomise(timm.create_model(timm_name, num_classes=CLASSES, **options), 96)
    save(model, path)
    return model


def pictures(size, seed):
    """Three pictures of pixels 0..255, [3,size,size,3]."""
    torch.manual_seed(seed)
    return np.ascontiguousarray((networks.pictures(3, size) * 50 + 128).clamp(0, 255).numpy().transpose(0, 2, 3, 1))


def predict(model, x):
    return np.asarray(model.predict(x, verbose=0, batch_size=len(x)), np.float64)


def planes(x, mean, std):
    """Pictures as networks without preprocessing take them."""
    return torch.from_numpy(np.ascontiguousarray(((x / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32))


def same(name, a, b):
    digests = [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in (a, b)]
    check(name, digests[0] == digests[1])


def keras_2(model, path, prefix=""):
    """As TensorFlow's Keras 2 wrote it: names with ":0", lists of them as attributes, depthwise kernels called so."""
    with h5py.File(path, "w") as f:
        root = f.create_group(prefix) if prefix else f
        root.attrs["layer_names"] = np.array([layer.name.encode() for layer in model.layers])
        root.attrs["keras_version"] = b"2.4.0"
        for layer in model.layers:
            g, names = root.create_group(layer.name), []
            for w in layer.weights:
                leaf = "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) and w.name == "kernel" else w.name
                names.append(f"{layer.name}/{leaf}:0")
                g[names[-1]] = np.asarray(w.numpy())
            g.attrs["weight_names"] = np.array([n.encode() for n in names], dtype="S")


def without_names(path, out):
    """Layers by number alone."""
    shutil.copy(path, out)
    with h5py.File(out, "a") as f:
        f.visititems(lambda _, o: o.attrs.pop("name", None) and None)


def as_part(name, model, size):
    """The same values in a network that a user built around it, with a classifier of the user's own."""
    base = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(size, size, 3))
    whole = keras.Sequential([keras.layers.Input((size, size, 3)), base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.3),
                              keras.layers.Dense(CLASSES, name="fish")])
    for own in base.layers:
        if own.weights:
            twin = model.get_layer(own.name) if not isinstance(own, keras.layers.Normalization) else normalization(model)[0]
            own.set_weights(twin.get_weights())
            if isinstance(own, keras.layers.Normalization):
                own.finalize_state()
    whole.get_layer("fish").set_weights(model.get_layer("predictions").get_weights())
    return whole


def forms(name, model, size, folder):
    """Every file that holds the model, by what it is called in the verdicts."""
    def at(end):
        return os.path.join(folder, name + end)

    model.save_weights(at(".weights.h5"))
    yield ".weights.h5", at(".weights.h5")
    if name != "EfficientNetB0":
        return
    without_names(at(".weights.h5"), at(".numbered.weights.h5"))
    yield ".weights.h5 without names", at(".numbered.weights.h5")
    model.save(at(".keras"))
    yield ".keras", at(".keras")
    model.save(at(".whole.h5"))
    yield "whole .h5", at(".whole.h5")
    keras_2(model, at(".2.h5"))
    yield "Keras 2's .h5", at(".2.h5")
    keras_2(model, at(".2whole.h5"), "model_weights")
    yield "Keras 2's whole .h5", at(".2whole.h5")
    part = as_part(name, model, size)
    part.save_weights(at(".part.weights.h5"))
    yield "a part's .weights.h5", at(".part.weights.h5")
    part.compile(optimizer="adam", loss="mse", metrics=["accuracy"])
    part.save(at(".part.keras"))
    yield "a part's .keras", at(".part.keras")
    part.save(at(".part.h5"))
    yield "a part's whole .h5", at(".part.h5")


def compare(name, timm_name, sizes, folder):
    def at(end):
        return os.path.join(folder, name + end)

    # timm has MobileNetV2 with PyTorch's conventions, and Keras' networks for Keras' own weights take pictures as they are but for this one.
    mobile = name == "MobileNetV2"
    torch_model = random_values(timm_name, at(".timm.safetensors"), **({"pad_type": "same", "bn_eps": 1e-3} if mobile else {}))
    rudd("import", at(".timm.safetensors"), "-o", at(".safetensors"), "--arch", timm_name, *(["--pad", "same", "--bn-eps", "0.001"] if mobile else []))
    mean, std = {"EfficientNetV2S": (np.float32(128 / 255),) * 2, "MobileNetV2": (np.float32(0.5),) * 2}.get(name, (MEAN, STD))
    rudd("export", "--model", at(".safetensors"), "--format", "keras", "-o", at(".first.weights.h5"))
    first = True
    for size in sizes:
        model = network(name, size)
        model.load_weights(at(".first.weights.h5"))
        x = pictures(size, size)
        with torch.inference_mode():
            expected = torch_model(planes(x, mean, std)).numpy()
        check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 10 * TOLERANCE)
        error = difference(predict(model, x / 127.5 - 1 if mobile else x), expected)
        check(f"{name}: Keras loads rudd's export strictly, timm's logits at {size}", error <= TOLERANCE, f"{error:.1e}")
        for form, path in forms(name, model, size, folder) if first else [(".weights.h5", at(".weights.h5"))]:
            if not first:
                model.save_weights(path)
            ours, again = at(".ours.safetensors"), at(".again.safetensors")
            rudd("import", path, "-o", ours)
            error = difference(logits_of_rudd(ours, planes(x, mean, std), folder), expected)
            check(f"{name}: rudd's logits from {form} at {size}", error <= TOLERANCE, f"{error:.1e}")
            rudd("export", "--model", ours, "--format", "keras", "-o", at(".out.weights.h5"))
            rudd("import", at(".out.weights.h5"), "-o", again)
            same(f"{name}: {form}: in, out, in: the same bytes", ours, again)
        first = False


def unknown_size(folder):
    """A network that was made without a size pads as for even sides, whatever the picture's are."""
    random_values("tf_efficientnet_b0", os.path.join(folder, "u.timm.safetensors"))
    first, path, ours = (os.path.join(folder, end) for end in ("u.safetensors", "u.weights.h5", "u.ours.safetensors"))
    rudd("import", os.path.join(folder, "u.timm.safetensors"), "-o", first, "--arch", "tf_efficientnet_b0")
    rudd("export", "--model", first, "--format", "keras", "-o", path)
    known = network("EfficientNetB0", 64)
    known.load_weights(path)
    part = as_part("EfficientNetB0", known, None)
    part.save_weights(path)
    rudd("import", path, "-o", ours, "--pad-size", "224")
    for size in (64, 97):
        x = pictures(size, size)
        error = difference(logits_of_rudd(ours, planes(x, MEAN, STD), folder), predict(part, x))
        check(f"made without a size, --pad-size 224: rudd's logits at {size}", error <= TOLERANCE, f"{error:.1e}")


def preprocessing(folder):
    """A Normalization layer that was adapted to other pictures; and ImageNet's file, where the variance is the deviation."""
    mean, variance = np.float32([0.31, 0.42, 0.53]), np.float32([0.04, 0.05, 0.09])
    model = network("EfficientNetB0", 64)
    path, ours = os.path.join(folder, "n.weights.h5"), os.path.join(folder, "n.safetensors")

    def imported(values, *options):
        normalization(model)[0].set_weights([mean, np.float32(values), np.int32(0)])
        normalization(model)[0].finalize_state()
        model.save_weights(path)
        rudd("import", path, "-o", ours, *options)
        found = json.loads(rudd("inspect", ours, "--json"))["preprocess"]
        check("preprocessing: the mean is the layer's", difference(np.float32(found["mean"]), mean) < 1e-6)
        return np.float32(found["std"])

    std = imported(variance)
    check("preprocessing: the deviation is the root of a variance", difference(std, np.sqrt(variance)) < 1e-6, str(std))
    x = pictures(64, 1)
    error = difference(logits_of_rudd(ours, planes(x, mean, std), folder), predict(model, x))
    check("preprocessing: rudd's logits are Keras'", error <= TOLERANCE, f"{error:.1e}")
    check("preprocessing: ImageNet's deviation is one", difference(imported(STD), STD) < 1e-6)
    check("preprocessing: unless --keras-norm says otherwise", difference(imported(STD, "--keras-norm", "variance"), np.sqrt(STD)) < 1e-6)
    check("preprocessing: ImageNet's variance is one", difference(imported(STD * STD), STD) < 1e-6)
    check("preprocessing: unless --keras-norm says otherwise", difference(imported(variance, "--keras-norm", "std"), variance) < 1e-6)


NETWORKS = [("EfficientNetB0", "tf_efficientnet_b0", (64, 97))] + [
    (f"EfficientNetB{b}", f"tf_efficientnet_b{b}", (97,)) for b in range(1, 8)] + [
    (f"EfficientNetV2B{b}", f"tf_efficientnetv2_b{b}", (64, 97) if b == 0 else (97,)) for b in range(4)] + [
    ("EfficientNetV2S", "tf_efficientnetv2_s", (97,)), ("MobileNetV2", "mobilenetv2_100", (96, 97))]


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(name, lambda n=name, t=timm_name, s=sizes: compare(n, t, s, folder)) for name, timm_name, sizes in NETWORKS]
        jobs.append(("unknown_size", lambda: unknown_size(folder)))
        jobs.append(("preprocessing", lambda: preprocessing(folder)))
        for name, job in jobs:
            if wanted and name not in wanted:
                continue
            try:
                job()
            except Exception as error:  # one broken network must not hide the others
                check(name, False, f"{type(error).__name__}: {error}")
            for path in os.listdir(folder):
                os.remove(os.path.join(folder, path))
    return finish()


sys.exit(main())
