#!/usr/bin/python3
"""near.py - how well `rudd data check` finds pictures of one photograph, and how its time grows.

    bench/near.py RUDD planted DIR [SEED ...]   copies DIR (class folders, maybe in splits), plants 40
                                                pairs in it and counts which are found, and what else
    bench/near.py RUDD many [COUNT]             draws COUNT pictures of 64 x 48 (100,000), half of them
                                                frames of one fixed camera, and measures the check

A planted picture is a crop of up to 10 % at each side, a mirror image, another size, another
quality of JPEG, or all of these. Needs Pillow and numpy. Prints a table."""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

KINDS = ("crop", "mirror", "resave", "resize", "all")


def alter(image, kind, rng):
    w, h = image.size
    if kind in ("crop", "all"):
        left, top, right, bottom = (rng.random() * 0.1 for _ in range(4))
        image = image.crop((int(left * w), int(top * h), w - int(right * w), h - int(bottom * h)))
    if kind in ("mirror", "all"):
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if kind in ("resize", "all"):
        scale = rng.uniform(0.4, 1.5)
        size = tuple(max(16, int(side * scale)) for side in image.size)
        image = image.resize(size, rng.choice((Image.BILINEAR, Image.BICUBIC)))
    return image


def check(rudd, folder, *options):
    """The report, seconds, peak memory in MB, bytes of text."""
    start = time.time()
    done = subprocess.run(["/usr/bin/time", "-f", "%M", rudd, "data", "check", folder, *options],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seconds = time.time() - start
    memory = int(done.stderr.split()[-1]) / 1024
    return done.stdout, seconds, memory


def planted(rudd, source, seeds):
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(source)
                   for name in names if name.endswith(".jpg"))
    print(f"{'seed':>5} {'found of 40':>12} {'missed':>20} {'other pairs':>12} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(source, f"{scratch}/plain")
        before = json.loads(check(rudd, f"{scratch}/plain", "--json")[0])
        known = {frozenset(os.path.basename(p) for p in group["paths"]) for group in before["near"]}
        for seed in seeds:
            rng = random.Random(seed)
            copy = f"{scratch}/{seed}"
            shutil.copytree(source, copy)
            pairs = {}
            for number, path in enumerate(rng.sample(files, 40)):
                kind = KINDS[number % len(KINDS)]
                made = os.path.join(copy, os.path.relpath(os.path.dirname(path), source), f"planted_{number}.jpg")
                with Image.open(path) as image:
                    alter(image.convert("RGB"), kind, rng).save(made, quality=rng.randint(30, 95))
                pairs[frozenset((os.path.basename(path), os.path.basename(made)))] = kind
            text, seconds, _ = check(rudd, copy, "--json")
            groups = [set(os.path.basename(p) for p in group["paths"]) for group in json.loads(text)["near"]]
            missed = [kind for pair, kind in pairs.items() if not any(pair <= group for group in groups)]
            other = 0
            for group in groups:
                real = {name for pair in pairs for name in pair if pair <= group}
                rest = group - {name for name in real if name.startswith("planted_")}
                other += len(rest) > 1 and not any(rest <= k for k in known)
            print(f"{seed:>5} {40 - len(missed):>12} {','.join(missed) or '-':>20} {other:>12} {seconds:>8.2f}")
        print(f"without planting: {len(known)} groups")
        for group in before["near"]:
            print(f"    {group['pictures']} pictures, {group['splits']} splits:",
                  " ".join(os.path.relpath(p, f"{scratch}/plain") for p in group["paths"]))


def many(rudd, count):
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("camera", "others"):
            os.makedirs(f"{folder}/{name}")
        scene = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((64, 48), Image.BICUBIC)
        scene = np.asarray(scene, dtype=np.int16)
        for i in range(count // 2):
            frame = np.clip(scene + rng.integers(-6, 7, scene.shape), 0, 255).astype(np.uint8)
            Image.fromarray(frame).save(f"{folder}/camera/{i:06}.jpg", quality=80)
        for i in range(count - count // 2):
            rows, columns = rng.integers(3, 9, 2)
            small = rng.integers(0, 255, (rows, columns, 3), dtype=np.uint8)
            Image.fromarray(small).resize((64, 48), Image.BICUBIC).save(f"{folder}/others/{i:06}.jpg", quality=80)
        for options in ((), ("--json",), ("--no-near",)):
            text, seconds, memory = check(rudd, folder, *options)
            print(f"{count} pictures {' '.join(options) or 'as text':>9}: {seconds:.1f} s, {memory:.0f} MB,"
                  f" {len(text) / 1e6:.3f} MB of text")
            if options == ("--json",):
                report = json.loads(text)
                largest = max(report["near"], key=lambda group: group["pictures"], default={"pictures": 0})
                print(f"    {report['counts']['near']} groups, the largest of {largest['pictures']} pictures;"
                      f" {report['near_plain']} plain, {report['near_cut']} cut")


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[2] == "planted":
        planted(sys.argv[1], sys.argv[3], [int(seed) for seed in sys.argv[4:]] or [1, 2, 3])
    elif len(sys.argv) > 2 and sys.argv[2] == "many":
        many(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 100000)
    else:
        sys.exit(__doc__)
