#!/usr/bin/env python3
"""bindings/python/rudd.py: the answers of `rudd predict`, whatever form a picture has, with numpy and without.

    tests/parity/peers.sh run tests/parity/parity_python.py build

Paths, bytes, Pillow's images (turned as the camera says), numpy's arrays in every order and with gaps between rows; tensors and
features against numpy's own products; threads, cancelling, closing, refusals. Needs Pillow and numpy from Debian. Ends with
`N passed, N failed`.
"""
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

from checks import BUILD, check, finish, need_peers, rudd

need_peers()

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

os.environ["RUDD_LIBRARY"] = os.path.abspath(os.path.join(BUILD, "librudd.so"))
sys.path.insert(0, os.path.join("bindings", "python"))
import rudd as binding

CLASSES = ["pike", "perch", "roach", "zander", "bream"]
LABELS = "pike\tEsox lucius\tnorthern pike\tщука\n" + "\n".join(CLASSES[1:]) + "\n"

# Runs where numpy cannot be imported: a path, bytes and a bytearray as an array.
WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import rudd
model = rudd.Model(sys.argv[1])
w, h = int(sys.argv[3]), int(sys.argv[4])
pixels = memoryview(bytearray(sys.stdin.buffer.read())).cast("B", (h, w, 3))
for found in model.predict(sys.argv[2]), model.predict(open(sys.argv[2], "rb").read()), model.predict(pixels):
    print(found.best.name, repr(found.best.probability))
"""


def make_model(folder, rng):
    first, path = os.path.join(folder, "first.safetensors"), os.path.join(folder, "fish.safetensors")
    with open(os.path.join(folder, "classes.txt"), "w") as f:
        f.write(LABELS)
    # A steep classifier, so that answers differ between pictures.
    save_file({"conv_stem.weight": 0.3 * rng.standard_normal((32, 3, 3, 3), dtype=np.float32),
               "classifier.weight": 300 * rng.standard_normal((len(CLASSES), 1280), dtype=np.float32)}, first)
    rudd("import", first, "-o", path, "--arch", "efficientnet_b0", "--allow-missing", "--classes", f.name)
    return path


def refused(function, *arguments, **options):
    """Status and message of what must be refused."""
    try:
        function(*arguments, **options)
    except binding.Error as e:
        return e.status, str(e)
    return "answered", ""


def same(found, expected):
    return list(found.probabilities) == list(expected.probabilities) and list(found.logits) == list(expected.logits)


def try_forms(model, path, pixels):
    """One picture in every form gives one answer, bit for bit."""
    expected = model.predict(path)
    h, w, _ = pixels.shape
    wide = np.zeros((h, w + 7, 3), np.uint8)
    wide[:, :w] = pixels
    rgba = np.dstack([pixels, np.full((h, w), 9, np.uint8)])
    gray = np.ascontiguousarray(pixels[..., 1])
    forms = {
        "a path object": (os.fsencode(path).decode(), None),
        "the bytes of the file": (open(path, "rb").read(), None),
        "a bytearray": (bytearray(open(path, "rb").read()), None),
        "a Pillow image": (Image.open(path), None),
        "an array": (pixels, None),
        "an array, blue first": (np.ascontiguousarray(pixels[..., ::-1]), "bgr"),
        "a view, blue first": (pixels[..., ::-1], "bgr"),
        "an array with alpha": (rgba, None),
        "an array with alpha, blue first": (np.ascontiguousarray(rgba[..., [2, 1, 0, 3]]), "bgra"),
        "rows with gaps": (wide[:, :w], None),
        "rows bottom up": (np.ascontiguousarray(pixels[::-1])[::-1], None),
        "columns of a transposed array": (np.ascontiguousarray(pixels.transpose(1, 0, 2)).transpose(1, 0, 2), None),
        "an array that may not be written": (np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape), None),
    }
    for name, (picture, order) in forms.items():
        check(f"one answer of {name}", same(model.predict(picture, order), expected))
    check("grey counts three times", same(model.predict(gray), model.predict(np.dstack([gray] * 3))))
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(turned, "PNG", exif=exif)
    check("a Pillow image is turned as its file is", same(model.predict(Image.open(turned)), model.predict(turned.getvalue())))
    check("turning matters", not same(model.predict(turned.getvalue()), expected))
    answer = subprocess.run([sys.executable, "-c", WITHOUT_NUMPY, os.environ["MODEL"], path, str(w), str(h)], input=pixels.tobytes(),
                            capture_output=True, env=dict(os.environ, PYTHONPATH=os.path.join("bindings", "python")))
    lines = answer.stdout.decode().split("\n")
    check("the same without numpy", lines == 3 * [f"{expected.best.name} {expected.best.probability!r}"] + [""], answer.stderr.decode()[-200:])


def try_numbers(model, path, weights):
    """Tensors, features, views and calibration."""
    rng = np.random.default_rng(5)
    side = model.image_size
    x = rng.standard_normal((3, 3, side, side), dtype=np.float32)
    session = model.session(max_batch=3)
    found = session.predict_tensor(x)
    check("a prediction for each image", len(found) == 3)
    ones = [session.predict_tensor(x[i:i + 1])[0] for i in range(3)]
    off = max(np.abs(np.array(a.logits) - np.array(b.logits)).max() for a, b in zip(found, ones))
    check("together as alone", off < 1e-4, f"{off:.1e}")
    flipped = session.predict_tensor(x[:, :, ::-1])
    check("a view is taken as it looks", same(flipped[1], session.predict_tensor(np.ascontiguousarray(x[:, :, ::-1]))[1]))
    w, b = weights["classifier.weight"], weights["classifier.bias"]
    off = max(np.abs(np.array(f.features) @ w.T.astype(np.float64) + b - np.array(f.logits)).max() / np.abs(f.logits).max() for f in found)
    check("logits are the classifier's product with the features", off < 1e-5, f"{off:.1e}")
    check("as many features as it says", model.feature_count == w.shape[1] == len(found[0].features))
    e = np.exp(np.array(found[0].logits, np.float64) - np.max(found[0].logits))
    check("probabilities are softmax", np.abs(e / e.sum() - found[0].probabilities).max() < 1e-6)
    top = found[0].top(2)
    check("the first answers are the largest", [a.probability for a in top] == sorted(found[0].probabilities)[::-1][:2])
    check("an answer's name is its class", all(model.classes[a.index] == a.name for a in top))
    views = model.session(views=2).predict(path)
    check("two views differ from one, and have no features", views.features is None and not same(views, model.predict(path)))
    for threads in 1, 2:
        check(f"the same with {threads} threads", same(model.session(threads=threads).predict(path), model.predict(path)))


def try_threads(model, path):
    expected, wrong = model.predict(path), []

    def ask(session):
        for _ in range(5):
            if not same(session.predict(path), expected):
                wrong.append(1)

    shared = model.session()
    threads = [threading.Thread(target=ask, args=(s,)) for s in [model.session(), model.session(), shared, shared]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("four threads, three sessions: one answer", not wrong)
    shared.cancel()
    check("cancelled", refused(shared.predict, path)[0] == "cancelled")
    check("and serves again", same(shared.predict(path), expected))
    # Others run while a network computes: a thread that counts gets on.
    count, stop = [0], threading.Event()

    def tick():
        while not stop.wait(0.0005):
            count[0] += 1

    large = model.session(max_batch=32)
    x = np.zeros((32, 3, model.image_size, model.image_size), np.float32)
    thread = threading.Thread(target=tick)
    thread.start()
    before = count[0]
    large.predict_tensor(x)
    during = count[0] - before
    stop.set()
    thread.join()
    check("Python goes on while it computes", during >= 3, f"{during} turns")
    # Closing waits for an answer that is being made.
    other, answers = binding.Model(os.environ["MODEL"]), []
    large = other.session(max_batch=32)
    running = threading.Thread(target=lambda: answers.extend(large.predict_tensor(x)))
    running.start()
    time.sleep(0.02)
    other.close()
    running.join()
    check("a model closes when its sessions have answered", len(answers) == 32)
    check("a closed model says so", "closed" in refused(other.predict, path)[1])


def try_refusals(model, path, folder):
    missing = os.path.join(folder, "nowhere.jpg")
    status, message = refused(model.predict, missing)
    check("a missing picture is named", status == "io" and missing in message, message)
    check("a missing model is named", refused(binding.Model, missing)[0] == "io")
    check("bytes that are no model", refused(binding.Model, b"\xff\xd8 no model")[0] == "format")
    check("bytes that are no picture", refused(model.predict, b"no picture")[0] == "format")
    for name, picture, order in (("a number", 3, None), ("None", None, None), ("floats", np.zeros((9, 9, 3), np.float32), None),
                                 ("two channels", np.zeros((9, 9, 2), np.uint8), None), ("one dimension", np.zeros(9, np.uint8), None),
                                 ("an unknown order", np.zeros((9, 9, 3), np.uint8), "hsv"),
                                 ("an order of other channels", np.zeros((9, 9, 3), np.uint8), "rgba"),
                                 ("no pixels", np.zeros((0, 9, 3), np.uint8), None)):
        status, message = refused(model.predict, picture, order)
        check(f"{name} refused in words", status == "argument" and len(message) > 20, message)
    check("a tensor of another size", refused(model.session().predict_tensor, np.zeros((1, 3, 8, 8), np.float32))[0] == "argument")
    check("too many images", refused(model.session().predict_tensor, np.zeros((2, 3, model.image_size, model.image_size), np.float32))[0] == "argument")
    check("eleven views", refused(model.session, views=11)[0] == "argument")
    check("too little memory", refused(model.session, memory_limit=1000)[0] == "limit")


def main():
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(3)
        os.environ["MODEL"] = file = make_model(folder, rng)
        pixels = np.asarray(Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8)).resize((300, 200)))
        path = os.path.join(folder, "photo.png")
        Image.fromarray(pixels).save(path)
        model = binding.Model(file)
        check("version", binding.version() == rudd("--version").split()[1])
        check("names", model.classes == tuple(CLASSES) and model.arch == "efficientnet_b0")
        check("other names", (model.latin[0], model.english[0], model.russian[0], model.latin[1]) == ("Esox lucius", "northern pike", "щука", None))
        check("no temperature", model.temperature is None)
        answer = json.loads(rudd("predict", "--model", file, "--json", "--top", "5", path))
        found = model.predict(path).top(5)
        off = max(abs(a["probability"] - b.probability) for a, b in zip(answer["top"], found))
        check("the answers of rudd predict", [a["class"] for a in answer["top"]] == [b.name for b in found] and off < 1e-6, f"{off:.1e}")
        check("the same of a model in memory", same(binding.Model(open(file, "rb").read()).predict(path), model.predict(path)))
        try_forms(model, path, pixels)
        try_numbers(model, path, load_file(file))
        try_threads(model, path)
        try_refusals(model, path, folder)
        kept = model.session()
        model.close()
        check("a session of a closed model says so", "closed" in refused(kept.predict, path)[1])
        kept.close()
        model.close()


main()
sys.exit(finish())
