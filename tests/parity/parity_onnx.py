#!/usr/bin/env python3
"""rudd's ONNX files: valid by onnx.checker, and the same logits in ONNX Runtime as in rudd.

    tests/parity/peers.sh run tests/parity/parity_onnx.py build

Networks with squeeze-excite and symmetric padding, with fused blocks and SAME padding, and rudd's own small one, with a hidden layer in the classifier too; two sizes, one of them
odd; batches of 1 and 3 through one file; batch norms folded and kept; probabilities. Weights and statistics are random.
Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import json
import os
import sys
import tempfile

from checks import check, difference, finish, need_peers, rudd

need_peers()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

CLASSES = 21
TOLERANCE = 1e-4  # of the largest logit


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def random_model(arch, size, folder, rng):
    """A model file of that architecture whose every tensor matters. Each batch norm in turn gets random weights and about the
    statistics of its own input (asked from ONNX Runtime through the file with batch norms kept), so that activations keep their size."""
    first, path, kept = (os.path.join(folder, arch + end) for end in (".first.safetensors", ".safetensors", ".kept.onnx"))
    save_file({"conv_stem.weight": 0.3 * rng.standard_normal((32, 3, 3, 3), dtype=np.float32)}, first)  # the rest is drawn by rudd
    rudd("import", first, "-o", path, "--arch", arch, "--allow-missing", "--classes", os.path.join(folder, "classes.txt"))
    rudd("export", "--model", path, "--format", "onnx", "--keep-batchnorm", "--image-size", str(size), "-o", kept)
    model, x = onnx.load(kept), rng.standard_normal((4, 3, size, size), dtype=np.float32)
    values = {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    tensors = {t.name: t for t in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "BatchNormalization"]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
        seen = session(model.SerializeToString()).run([node.input[0]], {"input": x})[0]
        model.graph.output.pop()
        mean, var = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
        var = np.maximum(var, var.mean() / 4)  # a channel that hardly varies in these pictures would be amplified, and its rounding too
        drawn = rng.uniform(0.7, 1.3, var.shape), rng.uniform(-0.1, 0.1, var.shape), mean, var * rng.uniform(0.9, 1.1, var.shape)
        for name, value in zip(node.input[1:5], drawn):
            values[name] = value.astype(np.float32)
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(values[name], name))
    save_file(values, first)
    rudd("import", first, "-o", path, "--arch", arch, "--classes", os.path.join(folder, "classes.txt"))
    return path


def logits_of_rudd(model, x, folder):
    np.save(os.path.join(folder, "x.npy"), x)
    lines = rudd("predict", "--model", model, "--json", "--logits", "--image-size", str(x.shape[2]),
                 os.path.join(folder, "x.npy")).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float32)


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
        x = rng.standard_normal((3, 3, size, size), dtype=np.float32)
        expected = logits_of_rudd(path, x, folder)
        check(f"{arch}: the input matters at {size}", difference(expected[:1], expected[1:2]) > 0.05)
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
    rudd("export", "--model", path, "--format", "onnx", "--image-size", str(size), "--softmax", "-o", file)
    onnx.checker.check_model(file, full_check=True)
    error = float(np.abs(session(file).run(["probabilities"], {"input": x})[0] - softmax(expected)).max())
    check(f"{arch}: probabilities", error <= TOLERANCE, f"{error:.1e}")
    labels = json.loads({p.key: p.value for p in onnx.load(file).metadata_props}["rudd.classes"])
    check(f"{arch}: class names come along", [c["name"] for c in labels] == [f"fish {i}" for i in range(CLASSES)], str(labels[:2]))


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
    return finish()


sys.exit(main())
