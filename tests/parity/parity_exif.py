#!/usr/bin/env python3
"""Which way up, when and where: what rudd reads of EXIF beside Pillow's getexif.

    tests/parity/peers.sh run tests/parity/parity_exif.py build

Seeded facts, in both byte orders, some of them left out, are written by Pillow into JPEG, PNG (eXIf, and ImageMagick's raw
profile, plain and packed), WebP and TIFF files. Ends with `N passed, N failed`."""
import os
import random
import sys
import tempfile

from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from parity_pillow import Pixels


def random_exif(i):
    exif = Image.Exif()
    exif.endian = "<>"[i % 2]
    if i % 5:
        exif[0x0112] = random.randint(1, 8)
    if i % 3:
        exif[0x0132] = f"2021:{random.randint(1, 12):02}:{random.randint(1, 28):02} 01:02:03"
    if i % 7:
        exif[0x8769] = {0x9003: f"2020:{random.randint(1, 12):02}:{random.randint(1, 28):02} 11:12:13"}
    if i % 4:
        exif[0x8825] = {
            1: random.choice("NS"),
            2: (IFDRational(random.randint(0, 89)), IFDRational(random.randint(0, 59)), IFDRational(random.randint(0, 5999), 100)),
            3: random.choice("EW"),
            4: (IFDRational(random.randint(0, 179)), IFDRational(random.randint(0, 59999), 1000), IFDRational(0)),
        }
    return exif


def files(image, exif, folder):
    """Writes the facts in every way; yields the paths."""
    block = exif.tobytes()
    hexadecimal = "\n".join(block.hex()[i:i + 72] for i in range(0, 2 * len(block), 72))
    for ending in ("jpg", "png", "webp", "tif", "raw.png", "packed.png"):
        path = os.path.join(folder, "x." + ending)
        if ending == "tif":
            read = Image.Exif()
            read.load(block)
            image.save(path, exif=read)
        elif ending.count("."):
            text = PngImagePlugin.PngInfo()
            text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{hexadecimal}\n", zip=ending.startswith("packed"))
            image.save(path, pnginfo=text)
        else:
            image.save(path, exif=block)
        yield path


def facts(path):
    """Pillow's: orientation, time, position."""
    exif = Image.open(path).getexif()
    gps = exif.get_ifd(0x8825)
    time = exif.get_ifd(0x8769).get(0x9003) or exif.get(0x0132) or ""
    where = None
    if gps:
        where = [sum(float(v) / 60 ** i for i, v in enumerate(gps[tag])) * (-1 if gps[tag - 1] in "SW" else 1) for tag in (2, 4)]
    return exif.get(0x0112, 1), time.replace(":", "-", 2), where


def main():
    random.seed(3)
    pixels, passed, failed = Pixels(os.path.join(sys.argv[1], "tests/parity/pixels")), 0, 0
    image = Image.new("RGB", (9, 5), (9, 40, 90))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(100):
            for path in files(image, random_exif(i), folder):
                turn, time, *where = pixels("exif", path).split("|")
                got = int(turn), time, [float(v) for v in where] if where[0] else None
                want = facts(path)
                same = got[:2] == want[:2] and (got[2] is None) == (want[2] is None)
                if same and got[2] and all(abs(a - b) < 1e-8 for a, b in zip(got[2], want[2])) or same and not got[2]:
                    passed += 1
                else:
                    failed += 1
                    print(f"{os.path.basename(path)} {i}: rudd {got}, Pillow {want}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
