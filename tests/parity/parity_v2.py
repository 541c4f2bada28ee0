#!/usr/bin/env python3
"""rudd-serve's /v2 as Triton's own Python client reads it (tritonclient.http), and as the protocol's text says.

    tests/parity/peers.sh run tests/parity/parity_v2.py build

Health, metadata, pictures and tensors in both encodings, several in one request, classification, asynchronous requests, refusals. The answers are
those of /predict for the same files and of `rudd predict` for the same tensors. Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zlib

from checks import BUILD, check, finish, need_peers, rudd

need_peers()


import numpy as np
import tritonclient.http as triton
from safetensors.numpy import save_file
from tritonclient.utils import InferenceServerException

LEFT_OVER = b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["QUJD"]}]}'
CLASSES = ["pike", "perch", "roach", "zander", "bream"]


def png(rgb):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w, _ = rgb.shape
    rows = b"".join(b"\0" + rgb[y].tobytes() for y in range(h))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def make_model(folder, rng):
    first, path = os.path.join(folder, "first.safetensors"), os.path.join(folder, "fish.safetensors")
    with open(os.path.join(folder, "classes.txt"), "w") as f:
        f.write("\n".join(CLASSES) + "\n")
    # A steep classifier, so that answers differ between pictures.
    save_file({"conv_stem.weight": 0.3 * rng.standard_normal((32, 3, 3, 3), dtype=np.float32),
               "classifier.weight": 300 * rng.standard_normal((len(CLASSES), 1280), dtype=np.float32)}, first)
    rudd("import", first, "-o", path, "--arch", "efficientnet_b0", "--allow-missing", "--classes", f.name)
    return path


def ask(url, body=None, headers=None):
    """Status, headers and JSON or bytes, refusals included."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as r:
            return r.status, r.headers, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def predicted(base, picture):
    answer = json.loads(ask(base + "/predict", picture, {"Content-Type": "image/png"})[2])
    return np.array([answer["all_predictions"][c] for c in CLASSES], np.float32)


def image(pictures, binary):
    i = triton.InferInput("image", [len(pictures)], "BYTES")
    i.set_data_from_numpy(np.array(pictures if binary else [base64.b64encode(p) for p in pictures], dtype=object), binary_data=binary)
    return [i]


def wrong(client, name, want, *args, **more):
    try:
        client.infer(*args, **more)
        check(name, False, "it was answered")
    except InferenceServerException as e:
        check(name, want in str(e), str(e)[:160])


def use_the_client(client, base, model, folder, rng):
    check("live, ready, model ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready(model))
    facts, meta = client.get_server_metadata(), client.get_model_metadata(model)
    check("server metadata", facts["name"] == "rudd-serve" and {"classification", "binary_tensor_data"} <= set(facts["extensions"]))
    check("model metadata", meta["name"] == model and [i["datatype"] for i in meta["inputs"]] == ["BYTES", "FP32"]
          and meta["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, len(CLASSES)]}], meta)
    version, size = meta["versions"][0], meta["inputs"][1]["shape"][2]
    check("the version it names is ready, another is not", client.is_model_ready(model, version) and not client.is_model_ready(model, "none"))

    pictures = [png(rng.integers(0, 255, (40 + 10 * i, 50, 3), dtype=np.uint8) // (1 + i)) for i in range(5)]
    want = np.stack([predicted(base, p) for p in pictures])
    check("the pictures differ", len({w.tobytes() for w in want}) == len(pictures))
    for binary in (True, False):
        for asked in (True, False):
            out = [triton.InferRequestedOutput("probabilities", binary_data=asked)]
            result = client.infer(model, image(pictures, binary), outputs=out, request_id="seven", model_version=version)
            got = result.as_numpy("probabilities")
            check(f"pictures {'as bytes' if binary else 'in JSON'}, answer {'as bytes' if asked else 'in JSON'}: those of /predict, in their order",
                  got.shape == want.shape and np.array_equal(got, want) and result.get_response()["id"] == "seven", np.abs(got - want).max())
    check("no outputs named: all", np.array_equal(client.infer(model, image(pictures[:1], True)).as_numpy("probabilities"), want[:1]))

    many = [client.async_infer(model, image(pictures, True)) for _ in range(8)]
    check("several at a time", all(np.array_equal(m.get_result().as_numpy("probabilities"), want) for m in many))

    out = [triton.InferRequestedOutput("probabilities", class_count=3, binary_data=True)]
    top = client.infer(model, image(pictures[:2], True), outputs=out).as_numpy("probabilities")
    words = [t.decode().split(":") for t in top[0]]
    check("classification: probability:index:label, largest first", top.shape == (2, 3) and int(words[0][1]) == want[0].argmax()
          and all(CLASSES[int(i)] == label for _, i, label in words) and float(words[0][0]) >= float(words[1][0]), words)

    x = rng.standard_normal((6, 3, size, size), dtype=np.float32)
    np.save(os.path.join(folder, "x.npy"), x)
    lines = [json.loads(line) for line in rudd("predict", "--model", os.path.join(folder, "fish.safetensors"), "--json", "--top", "5", os.path.join(folder, "x.npy")).splitlines()]
    right = np.array([[next(t["probability"] for t in line["top"] if t["class"] == c) for c in CLASSES] for line in lines], np.float32)
    for binary in (True, False):
        i = triton.InferInput("input", list(x.shape), "FP32")
        i.set_data_from_numpy(x if binary else x[:1], binary_data=binary) if binary else None
        if not binary:
            i = triton.InferInput("input", [1, 3, size, size], "FP32")
            i.set_data_from_numpy(x[:1], binary_data=False)
        got = client.infer(model, [i]).as_numpy("probabilities")
        check(f"tensors {'as bytes' if binary else 'in JSON'}: those of rudd predict", np.abs(got - right[:len(got)]).max() < 1e-6, np.abs(got - right[:len(got)]).max())

    wrong(client, "an unknown model", "no /v2/models/dog", "dog", image(pictures[:1], True))
    wrong(client, "an unknown version", "version", model, image(pictures[:1], True), model_version="99")
    wrong(client, "a broken picture among good ones is named", "(picture 1)", model, image([pictures[0], pictures[1][:60]], True))
    wrong(client, "no picture at all", "picture 0", model, image([b"nothing"], True))
    wrong(client, "an unknown output", "probabilities", model, image(pictures[:1], True), outputs=[triton.InferRequestedOutput("logits")])
    i = triton.InferInput("input", [1, 3, size, size - 1], "FP32")
    i.set_data_from_numpy(np.zeros((1, 3, size, size - 1), np.float32))
    wrong(client, "a tensor of another size", "shape", model, [i])
    i = triton.InferInput("input", [1, 3, size, size], "FP32")
    i.set_data_from_numpy(np.full((1, 3, size, size), np.nan, np.float32))
    wrong(client, "not a number", "finite", model, [i])
    wrong(client, "too many pictures", "more than", model, image([pictures[0]] * 65, True))


def read_the_text(base, model, picture):
    """What the protocol's text asks for and the client above does not show."""
    word = base64.b64encode(picture).decode()
    for name, data in (("flat", [word]), ("nested", [[word]]), ("a data URL", ["data:image/png;base64," + word])):
        body = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}).encode()
        status, headers, text = ask(f"{base}/v2/models/{model}/infer", body, {"Content-Type": "application/json"})
        answer = json.loads(text)
        check("plain JSON, " + name, status == 200 and answer["model_name"] == model and answer["outputs"][0]["shape"] == [1, len(CLASSES)]
              and abs(sum(answer["outputs"][0]["data"]) - 1) < 1e-5 and "id" not in answer)
    for name, want, body, headers in (
            ("no JSON", 400, b"{", {}), ("an array", 400, b"[]", {}), ("no inputs", 400, b"{}", {}), ("nothing", 400, b"", {}),
            ("a header length beyond the body", 400, b"{}", {"Inference-Header-Content-Length": "3"}),
            ("a header length that is none", 400, b"{}", {"Inference-Header-Content-Length": "-1"}),
            ("a compressed body", 415, b"{}", {"Content-Encoding": "gzip"}),
            ("bytes behind the JSON that no input takes", 400, LEFT_OVER + b"xx", {"Inference-Header-Content-Length": str(len(LEFT_OVER))})):
        status, _, text = ask(f"{base}/v2/models/{model}/infer", body, {"Content-Type": "application/json", **headers})
        answer = json.loads(text)
        check(f"{name}: {want} and an error in the protocol's form", status == want and answer["error"] == answer["detail"], (status, text[:150]))
    status, headers, _ = ask(f"{base}/v2/models/{model}/infer")
    check("infer takes no GET", status == 405, status)
    check("/ping answers", ask(base + "/ping")[0] == 200)


def main():
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        path = make_model(folder, rng)
        server = subprocess.Popen([os.path.join(BUILD, "rudd-serve"), "--model", path, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        try:
            base = server.stdout.readline().split()[-1]
            client = triton.InferenceServerClient(base.split("//")[1], concurrency=4)
            use_the_client(client, base, "fish", folder, rng)
            read_the_text(base, "fish", png(np.zeros((30, 30, 3), np.uint8)))
            client.close()
        finally:
            server.terminate()
            check("the server ends well", server.wait() == 0)
    return finish()


sys.exit(main())
