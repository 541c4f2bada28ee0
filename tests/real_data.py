#!/usr/bin/env python3
"""What must hold on real photographs and real weights, through the programs that users run.

    tests/parity/peers.sh run tests/real_data.py [--full] SHARED [BUILD [CHECK...]]    checks: photos no_head frozen full b4; default all

SHARED holds photos/ weights/ fish15/ (not part of this repository). Bounds are those of the main-job issue; figures are printed either
way. `full` fine-tunes for two epochs, whose lower bounds stand below what two seeds reach (top-1 0.876 and 0.831, macro-F1 0.854 and
0.800) by the noise of 249 pictures; with --full for the eight epochs of the default recipe, some ten minutes, with the issue's bounds.
Only `b4` needs a peer: PyTorch, timed in turns with rudd so that both see the same machine.
Ends with `N passed, N failed`.
"""
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

WHOLE = "--full" in sys.argv
ARGS = [arg for arg in sys.argv[1:] if arg != "--full"]
SHARED = os.path.abspath(ARGS[0])
BUILD = ARGS[1] if len(ARGS) > 1 else "build"
V2B0 = os.path.join(SHARED, "weights/tf_efficientnetv2_b0.imagenet.safetensors")
NO_HEAD = os.path.join(SHARED, "weights/efficientnet_b0.imagenet.no_head.safetensors")
FISH15 = os.path.join(SHARED, "fish15")

passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("ok    " if good else "FAILED", name, detail, flush=True)


def command(*args):
    return subprocess.run([os.path.join(BUILD, args[0]), *args[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def output(*args):
    done = command(*args)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def tensors_of(path):
    """{name: float32 numbers or bytes} of a small safetensors file."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        head = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in head.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = data[begin:end]
            tensors[name] = struct.unpack(f"<{len(values) // 4}f", values) if entry["dtype"] == "F32" else values
    return tensors


def photos(folder):
    """Pixels equal to the reference, each logit within 2e-3, top-1 as expected, by command line and by server."""
    model = os.path.join(folder, "v2b0.safetensors")
    output("rudd", "import", V2B0, "-o", model, "--classes", os.path.join(SHARED, "weights/imagenet_classes.txt"))
    with open(os.path.join(SHARED, "photos/expected.tsv")) as file:
        expected = {row[0]: (int(row[1]), float(row[3])) for row in (line.split("\t") for line in file.read().splitlines()[1:])}
    paths = [os.path.join(SHARED, "photos", name) for name in expected]
    reference = tensors_of(os.path.join(SHARED, "photos/reference.safetensors"))
    lines = output("rudd", "predict", "--model", model, "--json", "--logits", "--top", "3", *paths).splitlines()
    check("photos: one answer each", len(lines) == len(expected))
    for line in lines:
        answer = json.loads(line)
        name = os.path.basename(answer["file"])
        worst = max(abs(a - b) for a, b in zip(answer["logits"], reference[name.rsplit(".", 1)[0] + ".logits"]))
        check(f"photos: {name} by command line", worst <= 2e-3 and answer["top"][0]["index"] == expected[name][0],
              f"{answer['top'][0]['class']}, largest logit error {worst:.1e}")
    jobs = "".join(f"crop bicubic 224 0.875 {path}\n" for path in paths)
    stream = subprocess.run([os.path.join(BUILD, "tests/parity/pixels")], input=jobs.encode(), capture_output=True, check=True).stdout
    for name in expected:
        head, _, stream = stream.partition(b"\n")
        pixels, stream = stream[:224 * 224 * 3], stream[224 * 224 * 3:]
        check(f"photos: {name} gives the reference's pixels", pixels == reference[name.rsplit(".", 1)[0] + ".pixels"], head.decode())
    served_photos(model, expected)


def served_photos(model, expected):
    address = f"127.0.0.1:{20000 + os.getpid() % 20000}"
    server = subprocess.Popen([os.path.join(BUILD, "rudd-serve"), "--model", model, "--listen", address], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for attempt in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/ready", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        for name, (index, probability) in expected.items():
            with open(os.path.join(SHARED, "photos", name), "rb") as file:
                request = urllib.request.Request(f"http://{address}/predict?top_k=3", file.read(), {"Content-Type": "image/jpeg"})
            answer = json.load(urllib.request.urlopen(request, timeout=30))
            check(f"photos: {name} by server", answer["predicted_class"] == index and abs(answer["confidence"] - probability) < 1e-3,
                  f"{answer['predicted_label']} {answer['confidence']:.4f}")
    finally:
        server.send_signal(signal.SIGTERM)
        check("photos: the server ends cleanly at SIGTERM", server.wait(30) == 0)


def no_head(folder):
    """A file without its head is refused with the three tensors named, and accepted when told to."""
    out = os.path.join(folder, "b0.safetensors")
    refused = command("rudd", "import", NO_HEAD, "-o", out)
    names = (("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"), ("_conv_head.weight", "conv_head.weight"),
             ("_fc.weight", "classifier.weight"))
    check("no_head: refused, the three missing tensors named", refused.returncode == 1 and not os.path.exists(out) and
          all(any(name in refused.stderr for name in pair) for pair in names), refused.stderr.strip()[:300])
    accepted = command("rudd", "import", NO_HEAD, "-o", out, "--allow-missing")
    check("no_head: accepted with --allow-missing", accepted.returncode == 0 and os.path.exists(out), accepted.stderr.strip()[:300])


def fine_tune(name, folder, options, bounds):
    run = os.path.join(folder, name)
    start = time.time()
    output("rudd", "train", "--data", FISH15, "--weights", V2B0, "--image-size", "224", "--seed", "0", "--out", run, *options)
    seconds = time.time() - start
    scores = json.loads(output("rudd", "eval", "--model", os.path.join(run, "model.safetensors"), "--data",
                               os.path.join(FISH15, "test"), "--json"))
    figures = ", ".join(f"{key} {scores[key]:.4f}" for key in ("top1", "top3", "macro_f1", "loss"))
    check(f"fish15, {name}: {figures}, {seconds:.0f} s", all(scores[key] >= bound for key, bound in bounds.items()), f"bounds {bounds}")


def frozen(folder):
    fine_tune("frozen", folder, ["--freeze", "all"], {"top1": 0.81})


def full(folder):
    if WHOLE:
        fine_tune("full", folder, ["--epochs", "8"], {"top1": 0.88, "macro_f1": 0.86})
    else:
        fine_tune("full, 2 epochs", folder, ["--epochs", "2"], {"top1": 0.81, "macro_f1": 0.77})


def b4(_):
    """B4 at 380, one image, two threads: no slower than PyTorch eager, under 300 MB. The best of three turns each, since the machine is
    shared."""
    here = os.path.dirname(os.path.abspath(__file__))
    ours, theirs, peak = [], [], 0
    for _ in range(3):
        answer = json.loads(output("rudd-bench", "infer", "--arch", "efficientnet_b4", "--size", "380", "--batch", "1", "--threads", "2",
                                   "--json"))
        ours.append(answer["min_ms"])
        peak = max(peak, answer["peak_rss_mb"])
        torch = subprocess.run([sys.executable, os.path.join(here, "../bench/train_torch_fish15.py"), "--infer", "--arch", "torchvision_b4",
                                "--classes", "1000", "--size", "380", "--batch", "1", "--threads", "2", "--steps", "15"],
                               capture_output=True, text=True, check=True)
        theirs.append(json.loads(torch.stdout)["min_ms"])
    check("B4 at 380: no slower than PyTorch eager", min(ours) <= min(theirs), f"{min(ours):.0f} ms, PyTorch {min(theirs):.0f} ms")
    check("B4 at 380: under 300 MB", peak < 300, f"{peak:.0f} MB")


def main():
    checks = {f.__name__: f for f in (photos, no_head, frozen, full, b4)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ARGS[2:] or checks:
            try:
                checks[name](folder)
            except Exception as error:  # the next check must still run
                check(name, False, f"{type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
