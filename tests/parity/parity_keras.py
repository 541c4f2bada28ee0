#!/usr/bin/env python3
"""rudd against Keras: the same weights and inputs give the same logits, in both directions, in every form that Keras writes.

    tests/parity/peers.sh run tests/parity/parity_keras.py build [NAME...]

Values:  the network of that name in PyTorch (timm's, for ResNet50V2 our own) with random weights and with batch-norm statistics as after training,
         through `rudd import`.
Back:    `rudd export --format keras` is loaded by the network of keras.applications, which takes nothing else, and gives PyTorch's logits.
Forth:   Keras saves that network: `rudd import` of its .weights.h5, `rudd predict --logits` over .npy inputs, in each family at an even and an odd
         size: the same logits. Of one network in each family every other form makes the same model file, to the byte: layers by number alone (as
         before Keras 3.6), .keras, whole .h5, the .h5 of Keras 2, and as part of a user's network with a classifier of its own.
Round:   in, out, through Keras and in again: the same values; in, out, in: the same bytes.
Users:   networks with their own preprocessing before or instead of Keras', in float16 and bfloat16, without a classifier, with a classifier that rudd has
         not, and fine-tuned by rudd.

Logits may differ by 1e-4 of the largest.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import hashlib
import json
import os
import shutil
import sys
import tempfile

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
from networks import CLASSES, TOLERANCE, KerasResNet50V2, logits_of_rudd, randomise, save

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
HALF = ("MobileNetV2", "ResNet50V2")  # these take pictures of -1..1; the others do that themselves


def applied(name, size, **options):
    """keras.applications' network; "MobileNetV2 0.35" is that of another width."""
    name, *width = name.split()
    return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **({"alpha": float(width[0])} if width else {}), **options)


def network(name, size, classes=CLASSES, **options):
    return applied(name, size, classes=classes, classifier_activation=None, **options)


def normalization(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]


def random_values(arch, path):
    """PyTorch's network with random weights as after training, and a model file of it with Keras' conventions."""
    torch.manual_seed(0)
    mobile = arch.startswith("mobilenetv2")
    if arch == "resnet50v2":
        model = KerasResNet50V2()
    elif mobile:  # timm has them with PyTorch's conventions, and not each of Keras' widths
        model = timm.models.efficientnet._gen_mobilenet_v2("mobilenetv2_100", int(arch[-3:]) / 100, num_classes=CLASSES, pad_type="same", bn_eps=1e-3)
    else:
        model = timm.create_model(arch, num_classes=CLASSES)
    randomise(model, 96)
    save(model, path + ".timm")
    rudd("import", path + ".timm", "-o", path, "--arch", arch, *(["--pad", "same", "--bn-eps", "0.001"] if mobile else []))
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


def twin(base, model):
    """Gives a network without a classifier the values of one with it."""
    for own in base.layers:
        if own.weights:
            whole = model.get_layer(own.name) if not isinstance(own, keras.layers.Normalization) else normalization(model)[0]
            own.set_weights(whole.get_weights())
            if isinstance(own, keras.layers.Normalization):
                own.finalize_state()
    return base


def as_part(name, model, size, *before):
    """The same values in a network that a user built around it, with layers before it and a classifier of the user's own."""
    base = twin(applied(name, size, include_top=False), model)
    whole = keras.Sequential([keras.layers.Input((size, size, 3)), *before, base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.3),
                              keras.layers.Dense(CLASSES, name="fish")])
    whole.get_layer("fish").set_weights(model.get_layer("predictions").get_weights())
    return whole


def forms(name, model, size, at):
    """Every other file that holds the model, by what it is called in the verdicts; of a large one without those that add no more than a prefix."""
    large = model.count_params() > 2e7
    without_names(at(".weights.h5"), at(".numbered.weights.h5"))
    yield ".weights.h5 without names", at(".numbered.weights.h5")
    model.save(at(".keras"))
    yield ".keras", at(".keras")
    model.save(at(".whole.h5"))
    yield "whole .h5", at(".whole.h5")
    keras_2(model, at(".2.h5"))
    yield "Keras 2's .h5", at(".2.h5")
    part = as_part(name, model, size, keras.layers.RandomFlip())
    part.save_weights(at(".part.weights.h5"))
    yield "a part's .weights.h5", at(".part.weights.h5")
    if large:
        return
    keras_2(model, at(".2whole.h5"), "model_weights")
    yield "Keras 2's whole .h5", at(".2whole.h5")
    without_names(at(".part.weights.h5"), at(".part.numbered.weights.h5"))
    yield "a part's .weights.h5 without names", at(".part.numbered.weights.h5")
    part.compile(optimizer="adam", loss="mse", metrics=["accuracy"])
    part.save(at(".part.keras"))
    yield "a part's .keras", at(".part.keras")
    part.save(at(".part.h5"))
    yield "a part's whole .h5", at(".part.h5")
    base, flat = part.layers[-4], part.layers[-1]
    y = keras.layers.Dense(CLASSES, name="fish")(keras.layers.GlobalAveragePooling2D()(base.output))
    flattened = keras.Model(base.input, y)
    flattened.get_layer("fish").set_weights(flat.get_weights())
    flattened.save_weights(at(".flat.weights.h5"))
    yield "a functional network's .weights.h5", at(".flat.weights.h5")


def compare(name, arch, sizes, folder):
    def at(end):
        return os.path.join(folder, name.replace(" ", "-") + end)

    torch_model = random_values(arch, at(".safetensors"))
    half = name.startswith(HALF)
    mean, std = (np.float32(128 / 255),) * 2 if name == "EfficientNetV2S" else (np.float32(0.5),) * 2 if half else (MEAN, STD)
    rudd("export", "--model", at(".safetensors"), "--format", "keras", "-o", at(".first.weights.h5"))
    ours = at(".ours.safetensors")
    for size in sizes:
        model = network(name, size)
        model.load_weights(at(".first.weights.h5"))
        x = pictures(size, size)
        with torch.inference_mode():
            expected = torch_model(planes(x, mean, std)).numpy()
        check(f"{name}: the input matters at {size}", difference(expected[0], expected[1]) > 10 * TOLERANCE)
        error = difference(predict(model, x / 127.5 - 1 if half else x), expected)
        check(f"{name}: Keras loads rudd's export strictly, PyTorch's logits at {size}", error <= TOLERANCE, f"{error:.1e}")
        if size == sizes[0]:
            model.save_weights(at(".weights.h5"))
            said = rudd("import", at(".weights.h5"), "-o", ours)
            check(f"{name}: recognised", f" {arch}, {CLASSES} classes, Keras names" in said, said.strip())
        error = difference(logits_of_rudd(ours, planes(x, mean, std), folder), expected)
        check(f"{name}: rudd's logits from Keras' .weights.h5 at {size}", error <= TOLERANCE, f"{error:.1e}")
    rudd("diff", at(".safetensors"), ours, "--no-metadata")
    check(f"{name}: in, out, through Keras and in again: the same values", True)
    if len(sizes) == 1:
        return
    again = at(".again.safetensors")
    for form, path in forms(name, model, size, at):
        rudd("import", path, "-o", again)
        same(f"{name}: {form}: the same model", ours, again)
    rudd("export", "--model", ours, "--format", "keras", "-o", at(".out.weights.h5"))
    rudd("import", at(".out.weights.h5"), "-o", again)
    same(f"{name}: in, out, in: the same bytes", ours, again)


def unknown_size(folder):
    """A network that was made without a size pads as for even sides, whatever the picture's are."""
    first, path, ours = (os.path.join(folder, end) for end in ("u.safetensors", "u.weights.h5", "u.ours.safetensors"))
    random_values("tf_efficientnet_b0", first)
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


def refused(name, says, *command):
    try:
        check(name, False, rudd(*command))
    except RuntimeError as error:
        check(name, says in str(error), str(error))


def users(folder):
    """What users make of these networks."""
    def at(name):
        return os.path.join(folder, name)

    first, path, ours = at("u.weights.h5"), at("w.weights.h5"), at("ours.safetensors")
    x = pictures(64, 3)

    def agrees(name, model, mean, std, *options):
        model.save_weights(path)
        rudd("import", path, "-o", ours, *options)
        found = json.loads(rudd("inspect", ours, "--json"))["preprocess"]
        check(f"{name}: the preprocessing", difference(np.float32([found["mean"], found["std"]]), np.float32([mean, std])) < 1e-6, str(found))
        error = difference(logits_of_rudd(ours, planes(x, np.float32(found["mean"]), np.float32(found["std"])), folder), predict(model, x))
        check(f"{name}: rudd's logits are Keras'", error <= TOLERANCE, f"{error:.1e}")

    random_values("mobilenetv2_035", at("m.safetensors"))
    rudd("export", "--model", at("m.safetensors"), "--format", "keras", "-o", first)
    name = "MobileNetV2 0.35"
    mobile = network(name, 64)
    mobile.load_weights(first)
    scaled, plain = keras.layers.Rescaling(1 / 127.5, offset=-1), [0.5, 0.5, 0.5]
    agrees("Rescaling before", as_part(name, mobile, 64, scaled), plain, plain)
    mean, variance = np.float32([101, 112, 123]), np.float32([3000, 4000, 5000])

    def own(scale):
        layer = keras.layers.Normalization()
        layer.build((None, 64, 64, 3))
        layer.set_weights([mean / scale, variance / scale ** 2, np.int32(0)])
        layer.finalize_state()
        return layer

    agrees("Normalization of pixels", as_part(name, mobile, 64, own(1)), mean / 255, np.sqrt(variance) / 255)
    agrees("Normalization of shares", as_part(name, mobile, 64, keras.layers.Rescaling(1 / 255), own(255)), mean / 255, np.sqrt(variance) / 255)
    as_part(name, mobile, 64, own(1), own(1)).save_weights(path)
    refused("two Normalization layers are refused", "two Normalization layers", "import", path, "-o", ours)

    headless = twin(applied(name, 64, include_top=False), mobile)
    headless.save_weights(path)
    refused("without a classifier: refused", "--allow-missing", "import", path, "-o", ours)
    rudd("import", path, "-o", ours, "--allow-missing")
    refused("without a classifier: all else is there", "differ in 2 tensors", "diff", ours, at("m.safetensors"), "--no-metadata")
    tail = keras.Sequential([keras.layers.Input((64, 64, 3)), headless, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(8, activation="relu"),
                             keras.layers.Dense(CLASSES)])
    tail.save_weights(at("tail.weights.h5"))
    refused("two dense layers: refused", "one dense layer", "import", at("tail.weights.h5"), "-o", ours, "--allow-missing")

    for dtype in ("float16", "bfloat16"):
        keras.config.set_dtype_policy(dtype)
        try:
            narrow = network(name, 64)
        finally:
            keras.config.set_dtype_policy("float32")
        narrow.load_weights(first)
        mobile.set_weights([np.asarray(values, np.float32) for values in narrow.get_weights()])
        mobile.save_weights(path)
        rudd("import", path, "-o", ours)
        for end, write in ((".weights.h5", narrow.save_weights), (".h5", narrow.save)):
            write(at(dtype + end))
            rudd("import", at(dtype + end), "-o", at("narrow.safetensors"))
            same(f"{dtype} {end}: the same values", ours, at("narrow.safetensors"))

    rudd("data", "synth", "-o", at("fish"), "--per-class", "4", "--size", "64")
    rudd("train", "--data", at("fish"), "--weights", first, "--out", at("run"), "--image-size", "64", "--epochs", "1", "--max-steps", "2", "--quiet")
    tuned = at("run/model.safetensors")
    refused("a name that Keras takes for its older form is refused", ".weights.h5", "export", "--model", tuned, "--format", "keras", "-o", at("w.h5"))
    rudd("export", "--model", tuned, "--format", "keras", "-o", path)
    model = network(name, 64, 15)
    model.load_weights(path)
    error = difference(logits_of_rudd(tuned, planes(x, np.float32(0.5), np.float32(0.5)), folder), predict(model, x / 127.5 - 1))
    check("fine-tuned for fifteen classes: rudd's logits in Keras", error <= TOLERANCE, f"{error:.1e}")

    words = {"mean": plain, "std": plain}
    random_values("tf_efficientnetv2_b0", at("v.safetensors"))
    rudd("export", "--model", at("v.safetensors"), "--format", "keras", "-o", first)
    bare = network("EfficientNetV2B0", 64, include_preprocessing=False)
    bare.load_weights(first)
    bare.save_weights(path)
    rudd("import", path, "-o", ours, "--preprocess", json.dumps(words))
    error = difference(logits_of_rudd(ours, planes(x, np.float32(0.5), np.float32(0.5)), folder), predict(bare, x / 127.5 - 1))
    found = json.loads(rudd("inspect", ours, "--json"))["preprocess"]
    check("include_preprocessing=False: --preprocess is taken", all(found[key] == words[key] for key in words), str(found))
    check("include_preprocessing=False: rudd's logits are Keras'", error <= TOLERANCE, f"{error:.1e}")


# One network of each family at two sizes and in every form.
NETWORKS = [("EfficientNetB0", "tf_efficientnet_b0", (64, 97))] + [(f"EfficientNetB{b}", f"tf_efficientnet_b{b}", (97,)) for b in range(1, 8)] + [
    ("EfficientNetV2B0", "tf_efficientnetv2_b0", (64, 97))] + [(f"EfficientNetV2B{b}", f"tf_efficientnetv2_b{b}", (97,)) for b in range(1, 4)] + [
    ("EfficientNetV2S", "tf_efficientnetv2_s", (97,)), ("MobileNetV2 0.35", "mobilenetv2_035", (64, 97)), ("MobileNetV2", "mobilenetv2_100", (97,))] + [
    (f"MobileNetV2 {width}", f"mobilenetv2_{round(100 * width):03}", (97,)) for width in (0.5, 0.75, 1.3, 1.4)] + [
    ("ResNet50V2", "resnet50v2", (64, 97))]


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(name, lambda job=(name, *rest): compare(*job, folder)) for name, *rest in NETWORKS]
        jobs.append(("unknown_size", lambda: unknown_size(folder)))
        jobs.append(("preprocessing", lambda: preprocessing(folder)))
        jobs.append(("users", lambda: users(folder)))
        for name, job in jobs:
            if wanted and name not in wanted:
                continue
            try:
                job()
            except Exception as error:  # one broken network must not hide the others
                check(name, False, f"{type(error).__name__}: {error}")
            for path in os.listdir(folder):
                path = os.path.join(folder, path)
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    return finish()


sys.exit(main())
