#!/usr/bin/env python3
"""rudd's ONNX files: valid by onnx.checker, and the same logits in ONNX Runtime as in rudd.

    tests/parity/peers.sh run tests/parity/parity_onnx.py build

Networks with squeeze-excite and symmetric padding, with fused blocks and SAME padding, and rudd's own small one, with a hidden layer in the classifier too; two sizes, one of them
odd; batches of 1 and 3 through one file; batch norms folded and kept; probabilities; pixels normalised inside; narrow storage; padding frozen for another size. A
network fine-tuned on real photographs, where ../shared has them, answers the same on every test picture. Weights and statistics are random.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import json
import os
import subprocess
import sys
import tempfile

from checks import BUILD, check, difference, finish, need_peers, rudd, skip

need_peers()


import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

import networks
from networks import BRANCH, CLASSES, TOLERANCE


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def random_model(arch, size, folder, rng):
    """A model file of that architecture whose every tensor matters, as networks.randomise makes them: each batch norm in turn divides by what it meets
    (asked from ONNX Runtime through the file with batch norms kept)."""
    first, path, kept = (os.path.join(folder, arch + end) for end in (".first.safetensors", ".safetensors", ".kept.onnx"))
    save_file({"conv_stem.weight": 0.3 * rng.standard_normal((32, 3, 3, 3), dtype=np.float32)}, first)  # the rest is drawn by rudd
    rudd("import", first, "-o", path, "--arch", arch, "--allow-missing", "--classes", os.path.join(folder, "classes.txt"))
    rudd("export", "--model", path, "--format", "onnx", "--keep-batchnorm", "--image-size", str(size), "-o", kept)
    model, x = onnx.load(kept), pictures(16, size)
    values = {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    tensors = {t.name: t for t in model.graph.initializer}
    behind = {name: node.op_type for node in model.graph.node for name in node.input}
    for name in values:
        if ".se." in name and name.endswith("weight"):
            values[name] *= 0.25
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(values[name], name))
    for node in [n for n in model.graph.node if n.op_type == "BatchNormalization"]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
        seen = session(model.SerializeToString()).run([node.input[0]], {"input": x})[0]
        model.graph.output.pop()
        power, branch = (seen ** 2).mean(), 1 if behind[node.output[0]] in ("Sigmoid", "Mul") else BRANCH
        count = seen.shape[1]
        drawn = (branch * rng.uniform(0.7, 1.3, count), rng.uniform(-0.1, 0.1, count), rng.uniform(-0.1, 0.1, count) * np.sqrt(power),
                 power * rng.uniform(0.8, 1.25, count))
        for name, value in zip(node.input[1:5], drawn):
            values[name] = value.astype(np.float32)
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(values[name], name))
    save_file(values, first)
    rudd("import", first, "-o", path, "--arch", arch, "--classes", os.path.join(folder, "classes.txt"))
    return path


def pictures(count, size):
    return networks.pictures(count, size).numpy()


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def names_are_timms(name, proto, path, kept):
    """Initialisers: the model file's names; folding leaves no batch norm's and gives every convolution a bias."""
    ours, theirs = set(load_file(path)), {t.name for t in proto.graph.initializer}
    if kept:
        check(f"{name}: all names are the model file's", ours == theirs, str(ours ^ theirs)[:200])
        return
    convs = {n for n in ours if n.endswith(".weight") and load_shape(path, n) > 1}
    expected = convs | {n[:-len("weight")] + "bias" for n in convs}
    check(f"{name}: names are those of convolutions", theirs == expected, str(expected ^ theirs)[:200])


def load_shape(path, name, cache={}):
    if path not in cache:
        cache[path] = {k: v.ndim for k, v in load_file(path).items()}
    return cache[path][name]


def compare(arch, sizes, folder, rng):
    path, file = random_model(arch, sizes[0], folder, rng), os.path.join(folder, "out.onnx")
    for size in sizes:
        x = pictures(3, size)
        expected = networks.logits_of_rudd(path, x, folder)
        check(f"{arch}: the input matters at {size}", difference(expected[:1], expected[1:2]) > 10 * TOLERANCE)
        for kept in (False, True):
            name = f"{arch} at {size}{', batch norms kept' if kept else ''}"
            rudd("export", "--model", path, "--format", "onnx", "--image-size", str(size), "-o", file,
                 *(["--keep-batchnorm"] if kept else []))
            onnx.checker.check_model(file, full_check=True)
            proto = onnx.load(file)
            check(f"{name}: opset 17, valid", proto.opset_import[0].version == 17)
            names_are_timms(name, proto, path, kept)
            runtime = session(file)
            for batch in (1, 3):
                error = difference(runtime.run(["logits"], {"input": x[:batch]})[0], expected[:batch])
                check(f"{name}, batch {batch}: ONNX Runtime's logits", error <= TOLERANCE, f"{error:.1e}")
    pixels = np.clip(x * 50 + 128, 0, 255).round()
    mean, std = (np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    of_pixels = networks.logits_of_rudd(path, (pixels / 255 - mean) / std, folder)
    for options, tolerance in (([], TOLERANCE), (["--dtype", "float16"], 0.01), (["--dtype", "bfloat16", "--keep-batchnorm"], 0.08)):
        rudd("export", "--model", path, "--format", "onnx", "--image-size", str(size), "--preprocess", *options, "-o", file)
        onnx.checker.check_model(file, full_check=True)
        error = difference(session(file).run(["logits"], {"input": pixels})[0], of_pixels)
        check(f"{arch} at {size}: pixels of 0..255 {' '.join(options)}", error <= tolerance, f"{error:.1e}")
    rudd("export", "--model", path, "--format", "onnx", "--image-size", str(size), "--softmax", "-o", file)
    onnx.checker.check_model(file, full_check=True)
    error = float(np.abs(session(file).run(["probabilities"], {"input": x})[0] - softmax(expected)).max())
    check(f"{arch}: probabilities", error <= TOLERANCE, f"{error:.1e}")
    labels = json.loads({p.key: p.value for p in onnx.load(file).metadata_props}["rudd.classes"])
    check(f"{arch}: class names come along", [c["name"] for c in labels] == [f"fish {i}" for i in range(CLASSES)], str(labels[:2]))


def frozen_padding(folder, rng):
    """Padding declared for even sides, run at odd ones."""
    arch, file, frozen = "tf_efficientnet_b0", os.path.join(folder, "out.onnx"), os.path.join(folder, "frozen.safetensors")
    rudd("import", random_model(arch, 75, folder, rng), "-o", frozen, "--pad-size", "224")
    x = pictures(3, 75)
    expected = networks.logits_of_rudd(frozen, x, folder)
    fitting = networks.logits_of_rudd(os.path.join(folder, arch + ".safetensors"), x, folder)
    check("frozen padding matters at another parity", difference(expected, fitting) > 0.01)
    rudd("export", "--model", frozen, "--format", "onnx", "--image-size", "75", "-o", file)
    onnx.checker.check_model(file, full_check=True)
    error = difference(session(file).run(["logits"], {"input": x})[0], expected)
    check("frozen padding: ONNX Runtime's logits", error <= TOLERANCE, f"{error:.1e}")


def fish15(folder):
    """A fine-tuned network: the same answers on every test picture of the real data set, where it lies beside the repository."""
    shared = os.path.join("..", "shared")
    data, weights = os.path.join(shared, "fish15"), os.path.join(shared, "weights", "tf_efficientnetv2_b0.imagenet.safetensors")
    if not os.path.isdir(data):
        skip("fish15:", "no ../shared here")
        return
    run, file = os.path.join(folder, "run"), os.path.join(folder, "fish.onnx")
    rudd("train", "--data", data, "--weights", weights, "--freeze", "all", "--seed", "0", "--out", run)
    model = os.path.join(run, "model.safetensors")
    rudd("export", "--model", model, "--format", "onnx", "--softmax", "--preprocess", "-o", file)
    facts = json.loads(rudd("inspect", model, "--json"))
    size, pre, classes, network = facts["image_size"], facts["preprocess"], facts["classes"], session(file)
    answers = [json.loads(line) for line in rudd("predict", "--model", model, "--json", "--top", "100", os.path.join(data, "test")).splitlines()]
    jobs = "".join(f"{pre['mode']} {pre['filter']} {size} {pre['crop_fraction']} {answer['file']}\n" for answer in answers)
    stream = subprocess.run([os.path.join(BUILD, "tests", "parity", "pixels")], input=jobs.encode(), capture_output=True, check=True).stdout
    off, same = 0.0, 0
    for answer in answers:
        _, _, stream = stream.partition(b"\n")
        pixels, stream = np.frombuffer(stream[:size * size * 3], np.uint8), stream[size * size * 3:]
        x = np.ascontiguousarray(pixels.reshape(size, size, 3).transpose(2, 0, 1)[None], np.float32)
        found = network.run(["probabilities"], {"input": x})[0][0]
        expected = {one["class"]: one["probability"] for one in answer["top"]}
        same += classes[int(found.argmax())] == answer["top"][0]["class"]
        off = max(off, max(abs(float(p) - expected[name]) for name, p in zip(classes, found)))
    check("fish15: the same first answer on every test picture", same == len(answers) > 200, f"{same} of {len(answers)}")
    check("fish15: the same probabilities", off <= 1e-4, f"{off:.1e}")


def main():
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "classes.txt"), "w") as f:
            f.writelines(f"fish {i}\n" for i in range(CLASSES))
        for arch, sizes in (("efficientnet_b0", (96, 75)), ("tf_efficientnetv2_b0", (96, 127)), ("rudd_nano", (80, 61)),
                            ("rudd_nano+mlp24", (80, 61))):
            try:
                compare(arch, sizes, folder, rng)
            except Exception as error:  # one broken network must not hide the others
                check(arch, False, f"{type(error).__name__}: {error}")
        for job in (lambda: frozen_padding(folder, rng), lambda: fish15(folder)):
            try:
                job()
            except Exception as error:
                check("frozen padding and fish15", False, f"{type(error).__name__}: {error}")
    return finish()


sys.exit(main())
