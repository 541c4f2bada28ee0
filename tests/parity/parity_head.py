#!/usr/bin/env python3
"""rudd's L-BFGS classifier against scikit-learn's LogisticRegression, on the activations that rudd itself has cached.

    tests/parity/peers.sh run tests/parity/parity_head.py build

Drawn pictures, a small random network, frozen. The cache file is read here by its description (train/cache.h), pictures meet their records by SHA-256. rudd's
decay d over n rows is scikit-learn's C = 1 / (d n) behind a StandardScaler. rudd stops at a gradient of 1e-4, scikit-learn is told 1e-6: the same objective to 1e-4 of it, and the same probabilities.
Ends with `N passed, N failed`.
"""
import glob
import hashlib
import json
import os
import struct
import sys
import tempfile

from checks import check, finish, need_peers, rudd

need_peers()

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products on a busy machine: threads that spin only hinder each other

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def read_cache(path):
    """{SHA-256 of a picture: float64 activations}"""
    with open(path, "rb") as file:
        data = file.read()
    numbers, width = struct.unpack_from("<QI", data, 40)
    assert data[:8] == b"RUDDACT1" and width == 4
    step = 36 + numbers * width
    return {data[at:at + 32].hex(): np.frombuffer(data, "<f4", numbers, at + 36).astype(np.float64) for at in range(64, len(data), step)}


def classifier(path):
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()

    def tensor(name):
        begin, end = head[name]["data_offsets"]
        return np.frombuffer(data[begin:end], "<f4").reshape(head[name]["shape"]).astype(np.float64)
    return tensor("classifier.weight"), tensor("classifier.bias")


def probabilities(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        rudd("data", "synth", "-o", data, "--per-class", "10", "--size", "48")
        for decay in (0.3, 0.05):
            run = os.path.join(folder, f"run{decay}")
            rudd("train", "--quiet", "--data", data, "--arch", "rudd_nano", "--image-size", "48", "--freeze", "all", "--optimizer", "lbfgs", "--cache",
                 "float32", "--cache-dir", folder, "--label-smoothing", "0", "--weight-decay", str(decay), "--out", run)
            rows = read_cache(glob.glob(os.path.join(folder, "*.cache"))[0])
            names = sorted(os.listdir(os.path.join(data, "train")))
            x, y = [], []
            for label, name in enumerate(names):
                for path in sorted(glob.glob(os.path.join(data, "train", name, "*"))):
                    with open(path, "rb") as file:
                        x.append(rows[hashlib.sha256(file.read()).hexdigest()])
                    y.append(label)
            x, y = np.array(x), np.array(y)
            scaler = StandardScaler().fit(x)
            theirs = LogisticRegression(C=1 / (decay * len(y)), tol=1e-6, max_iter=2000).fit(scaler.transform(x), y)
            weight, bias = classifier(os.path.join(run, "model.safetensors"))

            def objective(p, v):
                return -np.log(p[np.arange(len(y)), y]).mean() + decay / 2 * (v ** 2).sum()
            p, q = probabilities(x @ weight.T + bias), theirs.predict_proba(scaler.transform(x))
            ours, best = objective(p, weight * scaler.scale_), objective(q, theirs.coef_)
            check(f"decay {decay}: the objective", abs(ours - best) <= 1e-4 * best, f"{ours:.7f}, scikit-learn {best:.7f}")
            check(f"decay {decay}: probabilities", np.abs(p - q).max() <= 3e-3, f"largest difference {np.abs(p - q).max():.1e}")
            check(f"decay {decay}: the activations matter", q.max(1).mean() > 2 / len(names), f"mean of the largest {q.max(1).mean():.2f}")
    return finish()


sys.exit(main())
