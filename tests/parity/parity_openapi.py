#!/usr/bin/env python3
"""rudd-serve keeps to its own description: schemathesis draws requests from /openapi.json, right ones and wrong ones, and compares each answer's
status, type, headers and JSON with what is described there.

    tests/parity/peers.sh run tests/parity/parity_openapi.py build

Left out is one of its checks, positive_data_acceptance: no schema can say which bytes are a JPEG file, so pictures drawn from one are refused,
and rightly. Two runs, without keys and with one. Bounded by time. Needs the peers of peers.sh. Ends with `N passed, N failed`.
"""
import hashlib
import os
import subprocess
import sys
import tempfile

from checks import BUILD, check, finish, need_peers

need_peers()


import numpy as np
from safetensors.numpy import save_file

KEY = "a-key-of-visible-characters-123456"
EXAMPLES, SECONDS = "8", 25


def make_model(folder):
    first, path = os.path.join(folder, "first.safetensors"), os.path.join(folder, "fish.safetensors")
    with open(os.path.join(folder, "classes.txt"), "w") as f:
        f.write("pike\nperch\nroach\n")
    save_file({"conv_stem.weight": 0.3 * np.random.default_rng(1).standard_normal((32, 3, 3, 3), dtype=np.float32)}, first)
    subprocess.run([os.path.join(BUILD, "rudd"), "import", first, "-o", path, "--arch", "efficientnet_b0", "--allow-missing", "--classes", f.name],
                   check=True, capture_output=True)
    return path


def conforms(name, folder, model, phases, more, header):
    server = subprocess.Popen([os.path.join(BUILD, "rudd-serve"), "--model", model, "--listen", "127.0.0.1:0", "--store", os.path.join(folder, name + ".sqlite"),
                               "--max-body", "262144", *more], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[-1]
        done = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", url + "/openapi.json", "--url", url, "--checks", "all", "--exclude-checks",
                               "positive_data_acceptance,ignored_auth", "--phases", phases, "--max-examples", EXAMPLES,
                               "--generation-deterministic", "--continue-on-failure", "--warnings", "off",
                               "--suppress-health-check", "all", *header],
                              cwd=folder, capture_output=True, text=True, timeout=10 * SECONDS)
        print(done.stdout[-9000:] if done.returncode else done.stdout[-700:], done.stderr[-2000:])
        check(f"{name}: every answer is as described", done.returncode == 0)
    finally:
        server.terminate()
        check(f"{name}: the server ends well", server.wait() == 0)


def main():
    with tempfile.TemporaryDirectory() as folder:
        model, keys = make_model(folder), os.path.join(folder, "keys")
        with open(keys, "w") as f:
            f.write(f"tester predict,observe,admin sha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
        os.chmod(keys, 0o600)
        conforms("open", folder, model, "coverage,fuzzing", [], [])
        conforms("with a key", folder, model, "fuzzing", ["--keys", keys], ["--header", f"Authorization: Bearer {KEY}"])
    return finish()


sys.exit(main())
