#!/usr/bin/env python3
"""Damaged JPEG and PNG files: what Pillow reads, rudd reads to the same pixels; what Pillow refuses, rudd refuses by a sentence.

    tests/parity/peers.sh run tests/parity/parity_damaged.py build [SEEDS]

Files of every kind are generated (parity_pillow.py) and damaged at seeded places: a flipped bit, another byte, bytes left
out or put in, a cut, a wrong checksum, a missing end. Each is read twice, as it is and as truncated
(ImageFile.LOAD_TRUNCATED_IMAGES, --truncated). Differences that are meant are counted:

  checked    Pillow refuses a PNG for what says nothing of pixels (a comment's checksum, the chunks behind them)
  blank      truncated: Pillow reads nothing and gives a picture of one colour; rudd refuses, or gives what libjpeg does
  last row   truncated: of a PNG that breaks off in the middle one row more or less is whole

Ends with `N passed, N failed`. Needs Pillow and numpy."""
import collections
import io
import os
import random
import struct
import sys
import tempfile
import warnings
import zlib

import numpy as np
from PIL import Image, ImageFile, ImageOps, features

from parity_pillow import Pixels, scene

Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")


def originals():
    """Yields (name, bytes)."""
    rng = np.random.default_rng(5)
    w, h = 97, 75
    rgb = Image.fromarray(scene(rng, w, h, 3), "RGB")
    grey = Image.fromarray(scene(rng, w, h, 1)[..., 0], "L")

    def save(image, form, **options):
        out = io.BytesIO()
        image.save(out, form, **options)
        return out.getvalue()

    for sub in (0, 1, 2):
        yield f"jpeg s{sub}", save(rgb, "JPEG", subsampling=sub, quality=85)
        yield f"jpeg progressive s{sub}", save(rgb, "JPEG", subsampling=sub, quality=85, progressive=True)
    yield "jpeg grey", save(grey, "JPEG", quality=85)
    yield "jpeg cmyk", save(Image.fromarray(scene(rng, w, h, 4), "CMYK"), "JPEG", quality=85)
    yield "png rgb", save(rgb, "PNG")
    yield "png rgba", save(Image.fromarray(scene(rng, w, h, 4), "RGBA"), "PNG")
    yield "png grey", save(grey, "PNG")
    yield "png 1", save(grey.convert("1"), "PNG")
    for colours in (4, 200):
        yield f"png palette {colours}", save(rgb.quantize(colours), "PNG", dpi=(72, 72))


def chunks(png):
    """Yields (offset, name, length) of the chunks of a sound PNG."""
    at = 8
    while at < len(png):
        length = struct.unpack(">I", png[at:at + 4])[0]
        yield at, png[at + 4:at + 8], length
        at += 12 + length


def adler(png):
    """The same pixels with a wrong sum at the end of the packed data, the chunk's own sum made right."""
    at, _, length = next(c for c in reversed(list(chunks(png))) if c[1] == b"IDAT")
    body = bytearray(png[at + 4:at + 8 + length])
    body[-1] ^= 1
    return png[:at + 4] + bytes(body) + struct.pack(">I", zlib.crc32(body)) + png[at + 12 + length:]


def damaged(name, data, seeds):
    """Yields (kind, bytes)."""
    if name.startswith("png"):
        for at, chunk, length in chunks(data):
            crc = at + 8 + length
            yield f"CRC of {chunk.decode()}", data[:crc] + bytes([data[crc] ^ 0x55]) + data[crc + 1:]
        yield "no IEND", data[:-12]
        yield "half an IEND", data[:-5]
        yield "wrong Adler", adler(data)
    else:
        yield "no EOI", data[:-2]
        yield "zeros behind", data[:-2] + bytes(1000) + data[-2:]
        yield "no EOI, zeros behind", data[:-2] + bytes(2000)
    rng = random.Random(name)
    for _ in range(seeds):
        at = rng.randrange(8, len(data))
        yield "flip", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
        at = rng.randrange(len(data) * 3 // 5, len(data))
        yield "flip late", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
        at = rng.randrange(20, len(data))
        yield "byte", data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
        at, n = rng.randrange(20, len(data)), rng.randrange(1, 40)
        yield "left out", data[:at] + data[at + n:]
        at, n = rng.randrange(20, len(data)), rng.randrange(1, 40)
        yield "put in", data[:at] + rng.randbytes(n) + data[at:]
        yield "cut", data[:rng.randrange(2, len(data))]


def read(data, truncated):
    """Pillow's pixels, or its words."""
    ImageFile.LOAD_TRUNCATED_IMAGES = truncated
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if image.mode == "I":
            return np.asarray(Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8), "L").convert("RGB"))
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # it raises what it likes
        return f"{type(error).__name__}: {error}"
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def main():
    pixels = Pixels(os.path.join(sys.argv[1], "tests/parity/pixels"))
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    counts, wrong, examples = collections.Counter(), [], {}
    keep = os.environ.get("KEEP")  # a folder for what differs
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x")
        for name, data in originals():
            for number, (kind, bad) in enumerate(damaged(name, data, seeds)):
                with open(path, "wb") as f:
                    f.write(bad)
                for verb in ("decode", "truncated"):
                    want, got = read(bad, verb == "truncated"), pixels(verb, path)
                    form = name.split()[0]
                    if isinstance(want, str) and isinstance(got, str):
                        what = "both refuse"
                    elif isinstance(want, str):
                        what = "checked" if form == "png" else "rudd reads more"
                    elif verb == "truncated" and (want == want[0, 0]).all() and not np.array_equal(want, got):
                        what = "blank"
                    elif isinstance(got, str):
                        what = "rudd reads less"
                    elif np.array_equal(want, got):
                        what = "equal"
                    elif verb == "truncated" and form == "png" and (want != got).any((1, 2)).sum() == 1:
                        what = "last row"
                    else:
                        what = "other pixels"
                    counts[form, verb, what] += 1
                    if what in ("rudd reads more", "rudd reads less", "other pixels"):
                        wrong.append(what)
                    if what not in ("equal", "both refuse"):
                        examples.setdefault((form, verb, what), []).append(
                            f"{name}, {kind}: Pillow {want if isinstance(want, str) else 'reads'}; rudd "
                            f"{got if isinstance(got, str) else 'reads'}")
                        if keep:
                            with open(os.path.join(keep, f"{name}-{kind}-{number}-{verb}-{what}".replace(" ", "_")), "wb") as f:
                                f.write(bad)
    for key in sorted(counts):
        print(*key, counts[key], sep="\t")
    for key, lines in sorted(examples.items()):
        print(*key)
        for line in lines[:int(os.environ.get("SHOW", 3))]:
            print("   ", line)
    print(f"pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, zlib {features.version('zlib')}")
    print(f"{sum(counts.values()) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
