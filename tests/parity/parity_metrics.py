#!/usr/bin/env python3
"""rudd's judgement against scikit-learn's and SciPy's, on answers of made-up models from useless to perfect.

    tests/parity/peers.sh run tests/parity/parity_metrics.py build

Accuracy, top-k, balanced accuracy, precision, recall, F1 (macro, weighted), cross-entropy, ROC-AUC, the confusion matrix; the temperature
against SciPy's minimiser of scikit-learn's log_loss; the calibration error by its formula in numpy; McNemar's p against SciPy's binomial and
chi-square. Ends with `N passed, N failed`.
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

from checks import BUILD, check, finish, need_peers

need_peers()

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest, chi2
from sklearn import metrics as sk

PROGRAM = os.path.join(BUILD, "tests", "parity", "metrics")


def near(name, found, expected, tolerance=1e-9):
    good = np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    check(name, good, "" if good else f"{found}, expected {expected}")


def rudd(a, b, labels, folder, *keep):
    paths = []
    for name, array in (("a", a.astype("<f4")), ("b", b.astype("<f4")), ("y", labels.astype("<i4"))):
        paths.append(os.path.join(folder, name))
        array.tofile(paths[-1])
    done = subprocess.run([PROGRAM, str(len(labels)), str(a.shape[1]), *paths, *keep], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def calibration_error(p, labels):
    confidence, right = p.max(1), p.argmax(1) == labels
    bins = np.ceil(confidence * 15).astype(int)
    return sum(abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in set(bins)) / len(labels)


def one(name, a, b, labels, folder):
    found = rudd(a, b, labels, folder)
    classes, every = a.shape[1], range(a.shape[1])
    z = a.astype(np.float64)
    ties = len(np.unique(a)) < a.size // 2  # whose order is everyone's own
    p, said = softmax(z, axis=1), a.argmax(1)
    near(f"{name}: top-1", found["top1"], sk.accuracy_score(labels, said))
    for k in (3, 5):
        expected = 1.0 if k >= classes else np.mean([y in np.argsort(-row, kind="stable")[:k] for row, y in zip(a, labels)])
        near(f"{name}: top-{k}", found[f"top{k}"], expected)
        if 2 < classes and k < classes and not ties:
            near(f"{name}: top-{k}, scikit-learn's", found[f"top{k}"], sk.top_k_accuracy_score(labels, p, k=k, labels=every))
    near(f"{name}: balanced accuracy", found["balanced_accuracy"], sk.balanced_accuracy_score(labels, said))
    near(f"{name}: macro F1", found["macro_f1"], sk.f1_score(labels, said, average="macro"))
    near(f"{name}: weighted F1", found["weighted_f1"], sk.f1_score(labels, said, average="weighted"))
    table = sk.precision_recall_fscore_support(labels, said, labels=every, zero_division=0)
    for column, expected in zip(("precision", "recall", "f1", "support"), table):
        near(f"{name}: {column} of each class", [row[column] for row in found["per_class"]], expected)
    near(f"{name}: confusion", found["confusion"], sk.confusion_matrix(labels, said, labels=every))
    loss = -log_softmax(z, axis=1)[np.arange(len(labels)), labels].mean()
    near(f"{name}: loss", found["loss_raw"], loss)
    near(f"{name}: calibration error", found["ece_raw"], calibration_error(p, labels), 1e-7)
    areas = [sk.roc_auc_score(labels == k, log_softmax(z, axis=1)[:, k]) for k in every if 0 < (labels == k).sum() < len(labels)]
    near(f"{name}: ROC-AUC", found["roc_auc"], np.mean(areas))
    if len(set(labels)) == classes > 2 and not ties:
        near(f"{name}: ROC-AUC, scikit-learn's mean", found["roc_auc"], sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"), 1e-6)

    def nll(log_t):
        return -log_softmax(z / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean()

    best = minimize_scalar(nll, bounds=np.log((1 / 20, 20)), method="bounded", options={"xatol": 1e-10})
    t = found["temperature"]
    if np.log(1 / 20) + 1e-3 < best.x < np.log(20) - 1e-3 and (said != labels).any():
        near(f"{name}: temperature", t, np.exp(best.x), 1e-4)
        near(f"{name}: calibrated loss", found["loss"], best.fun, 1e-8)
    else:
        near(f"{name}: no temperature", t, 1)
    near(f"{name}: calibrated error", found["ece"], calibration_error(softmax(z / t, axis=1), labels), 1e-7)
    areas = [sk.roc_auc_score(labels == k, log_softmax(z / t, axis=1)[:, k]) for k in every if 0 < (labels == k).sum() < len(labels)]
    near(f"{name}: ROC-AUC of calibrated answers", found["one_pass"]["roc_auc"], np.mean(areas))
    for key in ("loss", "ece", "loss_raw", "ece_raw", "temperature"):
        near(f"{name}: {key} in one pass", found["one_pass"][key], found[key])

    right = [x.argmax(1) == labels for x in (a, b)]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    c, n = found["compare"], only_a + only_b
    near(f"{name}: disagreements", [c["only_a"], c["only_b"]], [only_a, only_b])
    if n < 25:
        near(f"{name}: McNemar, exact", c["p"], binomtest(only_a, n).pvalue if n else 1)
    else:
        statistic = max(0, abs(only_a - only_b) - 1) ** 2 / n
        near(f"{name}: McNemar, chi-square", [c["statistic"], c["p"]], [statistic, chi2.sf(statistic, 1)])
    d = right[1].astype(float) - right[0]
    half = 1.96 * d.std() / np.sqrt(len(d))
    near(f"{name}: difference and its interval", [c["difference"], c["low"], c["high"]], [d.mean(), d.mean() - half, d.mean() + half])


def without_logits(name, a, labels, folder):
    """Figures of a pass that keeps no more than one picture's logits: the area under the ROC curve is within its own bound."""
    found, p = rudd(a, a, labels, folder, "0"), softmax(a.astype(np.float64), axis=1)
    areas = [sk.roc_auc_score(labels == k, np.log(p[:, k])) for k in range(a.shape[1]) if 0 < (labels == k).sum() < len(labels)]
    bound = found["roc_auc_error"]
    check(f"{name}: ROC-AUC from histograms", abs(found["roc_auc"] - np.mean(areas)) <= bound + 1e-12 and 0 < bound < 0.01,
          f"{found['roc_auc']} +- {bound}, scikit-learn {np.mean(areas)}")
    near(f"{name}: top-1 in one pass", found["top1"], sk.accuracy_score(labels, a.argmax(1)))
    near(f"{name}: F1 in one pass", found["macro_f1"], sk.f1_score(labels, a.argmax(1), average="macro"))
    matrix = sk.confusion_matrix(labels, a.argmax(1), labels=range(a.shape[1]))
    pairs = [[int(i), int(j), int(matrix[i, j])] for i, j in zip(*np.nonzero(matrix))]
    check(f"{name}: pairs of confusions", found.get("confusion_pairs", found.get("confusion")) == (
        pairs if a.shape[1] > 200 else matrix.tolist()), "")


def main():
    random = np.random.default_rng(0)
    warnings.simplefilter("ignore")  # scikit-learn's, about classes that a set lacks
    with tempfile.TemporaryDirectory() as folder:
        for name, n, classes, skill, scale in (
            ("useless", 200, 5, 0, 1), ("good", 400, 15, 3, 1), ("too sure", 300, 15, 3, 4), ("too shy", 300, 8, 3, 0.2),
            ("two classes", 100, 2, 1, 1), ("perfect", 60, 4, 50, 1), ("few", 12, 4, 1, 1), ("many", 1000, 100, 4, 1.5),
        ):
            labels = random.integers(0, classes, n)
            truth = np.eye(classes)[labels]
            a, b = (((random.normal(size=(n, classes)) + s * truth) * scale).astype(np.float32) for s in (skill, skill + 0.4))
            if name == "few":
                a, b = np.round(a), np.round(b)  # ties, and classes that never occur
            one(name, a, b, labels, folder)
        for classes, n in ((20, 500), (300, 2000), (1000, 3000)):
            labels = random.integers(0, classes, n)
            a = (random.normal(size=(n, classes)) + 2 * np.eye(classes)[labels]).astype(np.float32)
            without_logits(f"{classes} classes", a, labels, folder)
    return finish()


sys.exit(main())
