#!/usr/bin/env python3
"""Pixels of rudd against Pillow's, to the last bit: decoding, resizing and the three ways to a square;
and the operations of RandAugment, as timm calls Pillow's.

    tests/parity/peers.sh run tests/parity/parity_pillow.py build [FOLDER ...]

The C side is pixels.c, built by `make parity`. Pictures are generated here: every JPEG subsampling, progressive, grey, CMYK, EXIF turned; every
PNG colour type. Pictures in the FOLDERs (any depth) are compared too. Ends with `N passed, N failed`.

Needs Pillow and numpy. 16-bit grey PNG is compared with its high byte, not with Pillow's convert("RGB"), which clips it to white.
"""
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageEnhance, ImageFile, ImageOps, features

ImageFile.MAXBLOCK = 1 << 22  # the encoder of progressive files wants room for all of it

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
MEAN = tuple(round(255 * m) for m in (0.485, 0.456, 0.406))


class Pixels:
    """The C side: one process, one job a line."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, *job):
        self.process.stdin.write((" ".join(map(str, job)) + "\n").encode())
        self.process.stdin.flush()
        head = self.process.stdout.readline().decode()
        w, h = (int(n) for n in head.split()[:2])
        if w == 0:
            return head[4:].strip()
        data = self.process.stdout.read(w * h * 3)
        return np.frombuffer(data, np.uint8).reshape(h, w, 3)


def upright(path):
    """What rudd promises: convert("RGB") turned upright by EXIF."""
    image = Image.open(path)
    if image.mode == "I":  # 16-bit grey: the high byte
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return Image.fromarray(grey, "L").convert("RGB")
    return ImageOps.exif_transpose(image).convert("RGB")


def crop(image, size, fraction, method):
    """Short side to round(size / fraction), long side to the nearest, the middle of it."""
    side, short = round(size / fraction), min(image.size)
    w, h = (round(side * n / short) for n in image.size)
    left, top = (w - size) // 2, (h - size) // 2
    return image.resize((w, h), method).crop((left, top, left + size, top + size))


def pad(image, size, method):
    if image.size[0] == image.size[1]:  # ImageOps.pad would skip the resize's rounding here: nothing to round
        return image.resize((size, size), method)
    return ImageOps.pad(image, (size, size), method, color=MEAN)


def randaugment(image, name, argument, method):
    """One operation as in timm's auto_augment.py."""
    def affine(*matrix):
        return image.transform(image.size, Image.AFFINE, matrix, resample=method, fillcolor=MEAN)

    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return getattr(ImageEnhance, name)(image).enhance(argument)
    if name == "SolarizeAdd":
        return image.point([min(255, v + int(argument)) if v < 128 else v for v in range(256)] * 3)
    if name == "Posterize":
        return image if argument >= 8 else ImageOps.posterize(image, int(argument))
    return {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        "Solarize": lambda: ImageOps.solarize(image, int(argument)),
        "Rotate": lambda: image.rotate(argument, resample=method, fillcolor=MEAN),
        "ShearX": lambda: affine(1, argument, 0, 0, 1, 0),
        "ShearY": lambda: affine(1, 0, 0, argument, 1, 0),
        "TranslateX": lambda: affine(1, 0, argument * image.size[0], 0, 1, 0),
        "TranslateY": lambda: affine(1, 0, 0, 0, 1, argument * image.size[1]),
    }[name]()


# Arguments over the range that RandAugment draws from, both ends among them.
OPERATIONS = {
    "AutoContrast": [0], "Equalize": [0], "Invert": [0], "Rotate": [-30, -7.25, 0, 0.3, 13, 30], "Posterize": range(0, 9),
    "Solarize": [0, 1, 77, 128, 230, 256], "SolarizeAdd": [0, 31, 99, 110], "Color": [0.1, 0.73, 1, 1.9],
    "Contrast": [0.1, 0.73, 1, 1.9], "Brightness": [0.1, 0.73, 1, 1.9], "Sharpness": [0.1, 0.73, 1, 1.33, 1.9],
    "ShearX": [-0.3, -0.11, 0, 0.27], "ShearY": [-0.3, -0.11, 0, 0.27], "TranslateX": [-0.45, -0.123, 0, 0.3],
    "TranslateY": [-0.45, -0.123, 0, 0.3],
}


def scene(rng, w, h, channels):
    """Smooth shapes with noise and hard edges: no block of a JPEG is trivial."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    planes = []
    for c in range(channels):
        a, b = rng.uniform(0.01, 0.3, 2)
        planes.append(127 + 90 * np.sin(a * x + c) * np.cos(b * y) + rng.normal(0, 20, (h, w)) + 60 * ((x + y * c) % 37 > 20))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def generated(folder):
    """Yields the paths of pictures of every kind that rudd says it reads."""
    rng = np.random.default_rng(1)

    def save(image, name, **options):
        path = os.path.join(folder, name)
        image.save(path, **options)
        return path

    for w, h in [(1, 1), (7, 5), (8, 8), (17, 33), (64, 48), (129, 97), (480, 320)]:
        rgb = Image.fromarray(scene(rng, w, h, 3), "RGB")
        grey = Image.fromarray(scene(rng, w, h, 1)[..., 0], "L")
        cmyk = Image.fromarray(scene(rng, w, h, 4), "CMYK")
        tag = f"{w}x{h}"
        for sub in (0, 1, 2):
            for progressive in (False, True):
                for quality in (30, 90, 100):
                    yield save(rgb, f"{tag}_s{sub}_p{progressive}_q{quality}.jpg", subsampling=sub, progressive=progressive,
                               quality=quality)
        yield save(grey, f"{tag}_grey.jpg", quality=85)
        yield save(cmyk, f"{tag}_cmyk.jpg", quality=85)
        for turn in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = turn
            yield save(rgb, f"{tag}_turn{turn}.jpg", exif=exif, quality=85)
            yield save(rgb, f"{tag}_turn{turn}.png", exif=exif)
        yield save(rgb, f"{tag}_rgb.png")
        yield save(Image.fromarray(scene(rng, w, h, 4), "RGBA"), f"{tag}_rgba.png")
        yield save(Image.fromarray(scene(rng, w, h, 2), "LA"), f"{tag}_la.png")
        yield save(grey, f"{tag}_grey.png")
        yield save(grey.convert("1"), f"{tag}_1.png")
        yield save(rgb, f"{tag}_transparent.png", transparency=(1, 2, 3))
        yield save(Image.fromarray(scene(rng, w, h, 1)[..., 0].astype(np.uint16) * 257 + 11, "I;16"), f"{tag}_16.png")
        for colours in (2, 4, 16, 256):
            palette = rgb.quantize(colours)
            yield save(palette, f"{tag}_p{colours}.png")
            yield save(palette, f"{tag}_p{colours}_t.png", transparency=0)


def main():
    pixels, compared, wrong = Pixels(os.path.join(sys.argv[1], "tests/parity/pixels")), 0, []

    def check(what, want, *job):
        nonlocal compared
        got = pixels(*job)
        compared += 1
        if isinstance(got, str) or got.shape != np.asarray(want).shape or (got != np.asarray(want)).any():
            detail = got if isinstance(got, str) else f"{got.shape} against {np.asarray(want).shape}"
            if not isinstance(got, str) and got.shape == np.asarray(want).shape:
                gap = np.abs(got.astype(int) - np.asarray(want))
                detail = f"{(gap > 0).sum()} bytes differ, by up to {gap.max()}"
            wrong.append(f"{what}: {detail}")

    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        for path in generated(folder):
            check(f"decode {os.path.basename(path)}", upright(path), "decode", path)

        sizes = [1, 2, 3, 7, 8, 13, 32, 64, 100, 224, 256, 331]
        for source in ("7x5_rgb.png", "64x48_rgb.png", "129x97_rgb.png", "480x320_rgb.png", "1x1_rgb.png"):
            path = os.path.join(folder, source)
            image = Image.open(path)
            for name, method in FILTERS.items():
                for w in sizes:
                    for h in random.sample(sizes, 6):
                        check(f"resize {source} {name} {w}x{h}", image.resize((w, h), method),
                              "resize", name, w, h, 0, 0, 0, 0, path)
                for _ in range(40):
                    left, right = sorted(random.uniform(0, image.width) for _ in range(2))
                    top, bottom = sorted(random.uniform(0, image.height) for _ in range(2))
                    if random.random() < 0.5:
                        left, top, right, bottom = int(left), int(top), int(right) + 1, int(bottom) + 1
                    if right - left < 0.01 or bottom - top < 0.01:
                        continue
                    w, h = random.choice(sizes), random.choice(sizes)
                    box = [float(np.float32(v)) for v in (left, top, right, bottom)]
                    check(f"resize {source} {name} {w}x{h} box {box}", image.resize((w, h), method, box=box),
                          "resize", name, w, h, *(f"{v:.9g}" for v in box), path)

        flat = os.path.join(folder, "flat.png")  # one value a channel: nothing to stretch or to equalize
        Image.new("RGB", (20, 20), (7, 130, 255)).save(flat)
        for path in (os.path.join(folder, "129x97_rgb.png"), os.path.join(folder, "480x320_s2_pFalse_q90.jpg"), flat):
            for size in (1, 2, 3, 16, 97, 224):
                for filter_name, method in FILTERS.items():
                    square = Image.open(path).resize((size, size), method)
                    for name, arguments in OPERATIONS.items():
                        for argument in arguments:
                            check(f"{name} {argument} {os.path.basename(path)} {filter_name} {size}",
                                  randaugment(square, name, argument, method), "op", name, argument, filter_name, size, path)

        files = [os.path.join(folder, f"{s}_s2_pFalse_q90.jpg") for s in ("7x5", "17x33", "64x48", "129x97", "480x320")]
        for root in sys.argv[2:]:
            for at, _, names in sorted(os.walk(root)):
                files += [os.path.join(at, n) for n in sorted(names) if n.lower().endswith((".jpg", ".jpeg", ".png"))]
        for path in files:
            image = upright(path)
            check(f"decode {path}", image, "decode", path)
            for name, method in FILTERS.items():
                size, fraction = random.choice([(224, 0.875), (240, 0.882), (96, 0.875), (380, 0.922), (33, 1.0)])
                check(f"crop {path} {name} {size}", crop(image, size, fraction, method), "crop", name, size, fraction, path)
                check(f"squash {path} {name} {size}", image.resize((size, size), method), "squash", name, size, 1, path)
                check(f"pad {path} {name} {size}", pad(image, size, method), "pad", name, size, 1, path)

    for line in wrong[:40]:
        print(line)
    print(f"pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}: "
          f"{compared - len(wrong)} of {compared} comparisons equal to the last bit")
    print(f"{compared - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
