#!/usr/bin/env python3
"""Weights by name, against huggingface_hub itself: both ask the same small hub.

    tests/parity/peers.sh run tests/parity/parity_hub.py build

The hub is a server of this script, in the form of huggingface.co: `resolve` addresses, X-Repo-Commit,
and for large files a 302 to a content network.

    cache     the one that rudd makes and the one that Python makes are equal: names, links, contents, refs
    offline   what one has downloaded the other takes without a network
    parts     a part that one leaves the other goes on from
    token     it goes to the hub, and not to the content network

Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import hashlib
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time

from checks import BUILD, check, finish, need_peers

need_peers()

import huggingface_hub
import safetensors.torch
import timm
import torch
from huggingface_hub import hf_hub_download

RUDD = os.path.abspath(os.path.join(BUILD, "rudd"))
REPO = "timm/test.in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = b'{"architecture": "mobilenetv2_035", "num_classes": 3, "pretrained_cfg": {"crop_pct": 0.9}}'
BLOBS = os.path.join("hub", "models--timm--test.in1k", "blobs")


def git_name(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """Both servers: the port says which."""

    protocol_version = "HTTP/1.1"
    files, tokens, ranges, cut = {}, {"hub": 0, "network": 0}, [], 0
    endpoint, network = None, None

    def log_message(self, *_):
        pass

    def reply(self, status, headers, body=b"", announced=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        at_network = self.server.server_port == Hub.network
        if self.headers.get("Authorization"):
            Hub.tokens["network" if at_network else "hub"] += 1
        if at_network:
            data = next(d for d in Hub.files.values() if hashlib.sha256(d).hexdigest() == self.path[1:])
            wanted = self.headers.get("Range")
            Hub.ranges.append(wanted)
            start = int(wanted[6:].rstrip("-")) if wanted else 0
            headers = {"ETag": '"network"'}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            body = data[start:]
            if Hub.cut:
                self.reply(206 if start else 200, headers, body[: Hub.cut], len(body))
                self.close_connection = True
                return
            self.reply(206 if start else 200, headers, body)
            return
        name = self.path.split("/")[-1]
        if not self.path.startswith(f"/{REPO}/resolve/") or name not in Hub.files:
            self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        data = Hub.files[name]
        if name.endswith(".json"):
            body = b"" if self.command == "HEAD" else data
            self.reply(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{git_name(data)}"'}, body, len(data))
            return
        digest = hashlib.sha256(data).hexdigest()
        self.reply(302, {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)),
                         "Location": f"http://localhost:{Hub.network}/{digest}"})


def start():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def rudd(home, *words, **environment):
    env = dict(os.environ, HF_ENDPOINT=Hub.endpoint, HF_HOME=home, **environment)
    done = subprocess.run([RUDD, *words], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def python(home, name, **options):
    return hf_hub_download(REPO, name, endpoint=Hub.endpoint, cache_dir=os.path.join(home, "hub"), **options)


def tree(home):
    """Every file below the repository's folder: links by their target, files by their contents."""
    top, found = os.path.join(home, "hub", "models--timm--test.in1k"), {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            where = os.path.relpath(path, top)
            if os.path.islink(path):
                found[where] = "-> " + os.readlink(path)
            else:
                with open(path, "rb") as f:
                    found[where] = hashlib.sha256(f.read()).hexdigest()
    return found


def make_weights(folder):
    """A small network's file with random numbers, as timm stores it."""
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv2_035", num_classes=3)
    path = os.path.join(folder, "made.safetensors")
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, {"format": "pt"})
    with open(path, "rb") as f:
        return f.read()


def compare_caches(ours, theirs):
    path = rudd(ours, "fetch", REPO, HF_TOKEN="hf_secret")
    files = [python(theirs, name, token="hf_secret") for name in Hub.files]
    check("paths are the same", {os.path.relpath(os.path.dirname(f), theirs) for f in files} == {os.path.relpath(path, ours)})
    check("caches are the same", tree(ours) == tree(theirs) and len(tree(ours)) == 5, f"{len(tree(ours))} entries")
    check("the token stays with the hub", Hub.tokens["hub"] > 0 and Hub.tokens["network"] == 0, Hub.tokens)


def take_what_is_there(ours, theirs):
    count = len(Hub.ranges)
    check("rudd takes Python's, offline", rudd(theirs, "fetch", REPO, HF_HUB_OFFLINE="1").startswith(theirs))
    check("Python takes rudd's, offline", all(python(ours, f, local_files_only=True).startswith(ours) for f in Hub.files))
    rudd(theirs, "fetch", REPO)
    python(ours, "model.safetensors")
    check("with a network, nothing comes twice", len(Hub.ranges) == count)


def go_on(top, theirs):
    data = Hub.files["model.safetensors"]
    part = os.path.join(BLOBS, hashlib.sha256(data).hexdigest() + ".incomplete")
    half, other = os.path.join(top, "half"), os.path.join(top, "other")
    os.makedirs(os.path.join(half, BLOBS))
    with open(os.path.join(half, part), "wb") as f:  # as a Python that was killed leaves it
        f.write(data[:500000])
    rudd(half, "fetch", REPO)
    check("rudd goes on from Python's part", Hub.ranges[-1] == "bytes=500000-", Hub.ranges[-1])
    check("and the cache is the same", tree(half) == tree(theirs))

    Hub.cut = 400000
    process = subprocess.Popen([RUDD, "fetch", REPO], stderr=subprocess.DEVNULL,
                               env=dict(os.environ, HF_ENDPOINT=Hub.endpoint, HF_HOME=other))
    path = os.path.join(other, part)
    while process.poll() is None and not (os.path.exists(path) and os.path.getsize(path) >= 400000):
        time.sleep(0.01)
    process.kill()
    process.wait()
    Hub.cut, there = 0, os.path.getsize(path)
    for name in Hub.files:
        python(other, name)
    check("Python goes on from rudd's part", Hub.ranges[-1] == f"bytes={there}-", Hub.ranges[-1])
    check("rudd takes what came of it", rudd(other, "fetch", REPO, HF_HUB_OFFLINE="1").startswith(other))


def main():
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    Hub.network = start()
    Hub.endpoint = f"http://127.0.0.1:{start()}"
    print(f"huggingface_hub {huggingface_hub.__version__}")
    with tempfile.TemporaryDirectory() as top:
        Hub.files = {"config.json": CONFIG, "model.safetensors": make_weights(top)}
        ours, theirs = os.path.join(top, "ours"), os.path.join(top, "theirs")
        compare_caches(ours, theirs)
        take_what_is_there(ours, theirs)
        go_on(top, theirs)
        check("the folder is a model", "architecture   mobilenetv2_035" in rudd(ours, "inspect", REPO))
    return finish()


sys.exit(main())
