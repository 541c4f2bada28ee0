#!/usr/bin/env python3
"""Pixels of rudd against the peers' for WebP, GIF, BMP, TIFF (Pillow, to the last bit), and HEIC
and AVIF (heif-convert, within 2 levels on average).

    tests/parity/peers.sh run tests/parity/parity_formats.py build

The C side is pixels.c, built by `make parity`. All files are made here, the same ones each time:
by Pillow, by heif-enc, and by the small writers below for what Pillow does not write (masks and run
lengths in BMP, tiles and planes in TIFF, frames that are smaller than their picture). A line a
format says how many files were equal. Ends with `N passed, N failed, N skipped`.

Where Pillow reads a file otherwise than rudd on purpose, the file says what is right (`want`):
16-bit grey, white that is 0 in it, BMP of 2 bits or with masks that Pillow does not know.

Needs Pillow and numpy; heif-enc and heif-convert (libheif-examples), or HEIC and AVIF are skipped.
"""
import collections
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
from PIL import Image, ImageOps, features

SIZES = [(1, 1), (7, 5), (17, 33), (64, 48), (129, 97), (300, 200)]
Case = collections.namedtuple("Case", "format name path want")


class Pixels:
    """The C side: one process, one job a line."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, path):
        self.process.stdin.write(f"decode {path}\n".encode())
        self.process.stdin.flush()
        head = self.process.stdout.readline().decode()
        w, h = (int(n) for n in head.split()[:2])
        if w == 0:
            return head[4:].strip()
        return np.frombuffer(self.process.stdout.read(w * h * 3), np.uint8).reshape(h, w, 3)


def scene(rng, w, h, channels):
    """Gradients, an edge and noise; [h, w, channels]."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    out = np.empty((h, w, channels), np.uint8)
    for c in range(channels):
        v = 128 + 90 * np.sin(x / (3 + 5 * c) + c) * np.cos(y / (4 + 3 * c)) + 60 * (x + y > (w + h) / 2) - 30
        out[..., c] = np.clip(v + rng.normal(0, 12, (h, w)), 0, 255)
    return out


def pillow(path, turn=True):
    image = Image.open(path)
    if turn and image.format != "TIFF":  # Pillow turns a TIFF when it loads it
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB"))


class Folder:
    def __init__(self, path):
        self.path, self.cases = path, []

    def add(self, format, name, data=None, image=None, want=None, **options):
        """A file of these bytes, or of this image as Pillow saves it."""
        path = os.path.join(self.path, f"{len(self.cases):04d}_{name}.x")  # the ending says nothing
        if data is None:
            image.save(path, format, **options)
        else:
            with open(path, "wb") as f:
                f.write(data)
        self.cases.append(Case(format, name, path, want))
        return path


def exif(turn):
    block = Image.Exif()
    block[0x0112] = turn
    return block


# ---- WebP and GIF -------------------------------------------------------------------------------

def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def u24(n):
    return struct.pack("<I", n)[:3]


def webp_frame_inside(still, w, h, x, y, fw, fh):
    """An animation of one frame, fw x fh at (x, y) of w x h, from the file of a still picture."""
    inner, at = b"", 12
    while at < len(still):
        name, size = still[at:at + 4], struct.unpack_from("<I", still, at + 4)[0]
        if name in (b"VP8 ", b"VP8L", b"ALPH"):
            inner += chunk(name, still[at + 8:at + 8 + size])
        at += 8 + size + (size & 1)
    frame = u24(x // 2) + u24(y // 2) + u24(fw - 1) + u24(fh - 1) + u24(100) + b"\0" + inner
    body = (b"WEBP" + chunk(b"VP8X", b"\x12\0\0\0" + u24(w - 1) + u24(h - 1)) + chunk(b"ANIM", b"\xff" * 4 + b"\0\0") +
            chunk(b"ANMF", frame) * 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def make_webp(folder, rng):
    for w, h in SIZES:
        rgb, rgba = (Image.fromarray(scene(rng, w, h, n), mode) for n, mode in ((3, "RGB"), (4, "RGBA")))
        tag = f"{w}x{h}"
        for quality in (10, 80, 100):
            folder.add("WEBP", f"{tag}_q{quality}", image=rgb, quality=quality)
            folder.add("WEBP", f"{tag}_alpha_q{quality}", image=rgba, quality=quality)
        folder.add("WEBP", f"{tag}_lossless", image=rgb, lossless=True)
        folder.add("WEBP", f"{tag}_alpha_lossless", image=rgba, lossless=True, exact=True)
        other = Image.fromarray(scene(rng, w, h, 4), "RGBA")
        for lossless in (False, True):
            path = folder.add("WEBP", f"{tag}_animated_{lossless}", image=rgba, save_all=True, append_images=[other],
                              lossless=lossless)
            still = os.path.join(folder.path, "still.webp")
            rgba.save(still, "WEBP", lossless=lossless)
            with open(still, "rb") as f:
                data = webp_frame_inside(f.read(), w + 9, h + 7, 4, 2, w, h)
            folder.add("WEBP", f"{tag}_inside_{lossless}", data=data)
    for turn in range(1, 9):
        folder.add("WEBP", f"turn{turn}", image=rgb, exif=exif(turn))


def gif_bytes(palette, w, h, screen, at, transparent=None, local=False, interlaced=False, index=None):
    """A GIF of one frame whose LZW never grows: a clear code comes before each table would."""
    bits = max(2, (len(palette) - 1).bit_length())
    entries = b"".join(bytes(c) for c in palette)
    table = (len(palette) - 1).bit_length() - 1
    rows = range(h)
    if interlaced:
        rows = [y for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for y in range(first, h, step)]
    codes, clear = [], 1 << bits
    for i, v in enumerate(int(v) for y in rows for v in index[y]):
        if i % ((1 << bits) - 2) == 0:
            codes.append(clear)
        codes.append(v)
    codes.append(clear + 1)
    stream, hold, held = bytearray(), 0, 0
    for code in codes:
        hold |= code << held
        held += bits + 1
        while held >= 8:
            stream.append(hold & 255)
            hold, held = hold >> 8, held - 8
    stream.append(hold & 255)
    blocks = b"".join(bytes([len(stream[i:i + 255])]) + bytes(stream[i:i + 255]) for i in range(0, len(stream), 255))
    screen_flags = 0 if local else 0x80 | table
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, screen_flags, 0, 0) + (b"" if local else entries)
    if transparent is not None:
        out += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    out += b"," + struct.pack("<HHHHB", *at, w, h, (0x80 | table if local else 0) | (0x40 if interlaced else 0))
    return out + (entries if local else b"") + bytes([bits]) + blocks + b"\0;"


def make_gif(folder, rng):
    for w, h in SIZES:
        rgb = Image.fromarray(scene(rng, w, h, 3), "RGB")
        tag = f"{w}x{h}"
        for colours in (2, 3, 16, 200, 256):
            image = rgb.quantize(colours)
            folder.add("GIF", f"{tag}_{colours}", image=image, interlace=colours % 2)
            folder.add("GIF", f"{tag}_{colours}_transparent", image=image, transparency=1)
        folder.add("GIF", f"{tag}_grey", image=rgb.convert("L"))
        folder.add("GIF", f"{tag}_bits", image=rgb.convert("1"))
        folder.add("GIF", f"{tag}_animated", image=rgb.quantize(32), save_all=True,
                   append_images=[rgb.rotate(180).quantize(64)], duration=50)
        palette = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(8)]
        index = rng.integers(0, 8, (h, w))
        for local in (False, True):
            for transparent in (None, 5):
                folder.add("GIF", f"{tag}_inside_{local}_{transparent}",
                           data=gif_bytes(palette, w, h, (w + 5, h + 3), (2, 1), transparent, local, True, index))
        folder.add("GIF", f"{tag}_beyond", data=gif_bytes(palette, w, h, (max(1, w - 1), h), (3, 2), index=index))


# ---- BMP ----------------------------------------------------------------------------------------

def bmp_bytes(w, h, bits, rows, header=40, compression=0, palette=(), masks=(), down=False, colours=0):
    """rows: bytes of each row, the highest first; or, with run lengths, all bytes."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, w, -h if down else h, 1, bits, compression, 0, 2835, 2835, colours, 0)
        info += b"".join(struct.pack("<I", m) for m in masks)
        info = info.ljust(header, b"\0")
    for colour in palette:
        info += bytes(colour[::-1]) + (b"" if header == 12 else b"\0")
    if compression in (1, 2):
        data = rows
    else:
        rows = [r + b"\0" * (-len(r) % 4) for r in rows]
        data = b"".join(rows if down else rows[::-1])
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(data), 0, 0, 14 + len(info)) + info + data


def packed(row, bits):
    out = bytearray((len(row) * bits + 7) // 8)
    for i, v in enumerate(row):
        out[i * bits // 8] |= int(v) << (8 - bits - i * bits % 8)
    return bytes(out)


def run_lengths(index, bits):
    """Runs where pixels repeat, and pieces as they are (of even lengths: Pillow drops the last of an odd one)."""
    out = bytearray()
    for row in index[::-1]:
        x, w = 0, len(row)
        while x < w:
            n = 1
            while x + n < w and n < 255 and row[x + n] == row[x]:
                n += 1
            literal = min(8, w - x) // 2 * 2
            if n == 1 and literal >= 4:
                piece = packed(row[x:x + literal], bits)
                out += bytes([0, literal]) + piece + b"\0" * (len(piece) & 1)
                n = literal
            else:
                v = int(row[x])
                out += bytes([n, v if bits == 8 else v << 4 | v])
            x += n
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def masked(rgb, masks, size):
    """Rows of pixels of `size` bytes, and what each becomes."""
    value, want = np.zeros(rgb.shape[:2], np.uint64), np.empty_like(rgb)
    for c, mask in enumerate(masks):
        shift = (mask & -mask).bit_length() - 1
        most = mask >> shift
        v = rgb[..., c].astype(np.uint64) * most // 255
        value |= v << np.uint64(shift)
        want[..., c] = v * 255 // most
    return [b"".join(int(v).to_bytes(size, "little") for v in row) for row in value], want


def make_bmp(folder, rng):
    for w, h in SIZES:
        pixels = scene(rng, w, h, 3)
        rgb = Image.fromarray(pixels, "RGB")
        tag = f"{w}x{h}"
        for mode in ("1", "L", "P", "RGB", "RGBA"):
            folder.add("BMP", f"{tag}_{mode}", image=rgb.convert(mode))
        for bits in (1, 4, 8, 2):
            palette = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(1 << bits)]
            index = rng.integers(0, 1 << bits, (h, w)) if w < 60 else scene(rng, w, h, 1)[..., 0] >> (8 - bits)
            rows, want = [packed(r, bits) for r in index], np.asarray(palette, np.uint8)[index] if bits == 2 else None
            for header in (12, 40, 64, 108, 124):
                folder.add("BMP", f"{tag}_{bits}_header{header}", data=bmp_bytes(w, h, bits, rows, header, palette=palette),
                           want=want)
            folder.add("BMP", f"{tag}_{bits}_down", data=bmp_bytes(w, h, bits, rows, palette=palette, down=True), want=want)
            if bits > 2:
                short = palette[:3]
                folder.add("BMP", f"{tag}_{bits}_short", data=bmp_bytes(w, h, bits, rows, palette=short, colours=3))
                index = np.repeat(index[:, ::2], 2, 1)[:, :w] // 3
                folder.add("BMP", f"{tag}_rle{bits}", data=bmp_bytes(w, h, bits, run_lengths(index, bits), palette=palette,
                                                                     compression=1 if bits == 8 else 2))
        rows, want = masked(pixels, (0x7c00, 0x3e0, 0x1f), 2)
        folder.add("BMP", f"{tag}_16", data=bmp_bytes(w, h, 16, rows))
        for size, masks, known in ((2, (0xf800, 0x7e0, 0x1f), True), (4, (0xff0000, 0xff00, 0xff), True),
                                   (4, (0xff000000, 0xff0000, 0xff00), True), (2, (0xf00, 0xf0, 0xf), False),
                                   (4, (0x3ff00000, 0xffc00, 0x3ff), False), (4, (0xff, 0xff00, 0xff0000), False)):
            rows, want = masked(pixels, masks, size)
            for header, extra in ((40, masks), (108, masks + (0,))):
                data = bmp_bytes(w, h, 8 * size, rows, header, 3, masks=())
                if header == 40:  # the masks follow a header of 40, and stand in a longer one, at the same place
                    data = data[:10] + struct.pack("<I", 66) + data[14:54] + struct.pack("<III", *masks) + data[54:]
                else:
                    data = data[:54] + struct.pack("<IIII", *extra) + data[70:]
                folder.add("BMP", f"{tag}_masks{size}_{masks[0]:x}_{header}", data=data, want=None if known else want)


# ---- TIFF ---------------------------------------------------------------------------------------

def tiff_bytes(samples, photometric, bits=8, order="<", big=False, tile=None, rows=None, planar=False, deflate=False,
               extra=(), palette=None, turn=None):
    """samples [h, w, n], of bits; tiles of (w, h), or strips of some rows."""
    h, w, n = samples.shape
    dtype = np.dtype("u1" if bits == 8 else order + "u2")
    bands = [samples[..., i:i + 1] for i in range(n)] if planar else [samples]
    if tile:
        pieces = []
        for band in bands:
            full = np.zeros((-(-h // tile[1]) * tile[1], -(-w // tile[0]) * tile[0], band.shape[2]), samples.dtype)
            full[:h, :w] = band
            pieces += [full[y:y + tile[1], x:x + tile[0]] for y in range(0, h, tile[1]) for x in range(0, w, tile[0])]
    else:
        rows = rows or h
        pieces = [band[y:y + rows] for band in bands for y in range(0, h, rows)]
    pieces = [p.astype(dtype).tobytes() for p in pieces]
    if deflate:
        pieces = [zlib.compress(p) for p in pieces]
    head, at, offsets, body = (16 if big else 8), (16 if big else 8), [], b""
    for p in pieces:
        offsets.append(at + len(body))
        body += p + b"\0" * (len(p) & 1)
    tags = {256: (4, [w]), 257: (4, [h]), 258: (3, [bits] * n), 259: (3, [8 if deflate else 1]), 262: (3, [photometric]),
            277: (3, [n]), 284: (3, [2 if planar else 1])}
    if tile:
        tags.update({322: (4, [tile[0]]), 323: (4, [tile[1]]), 324: (4, offsets), 325: (4, [len(p) for p in pieces])})
    else:
        tags.update({273: (4, offsets), 278: (4, [rows]), 279: (4, [len(p) for p in pieces])})
    if extra:
        tags[338] = (3, list(extra))
    if palette is not None:
        tags[320] = (3, [int(v) for v in palette.T.reshape(-1)])
    if turn:
        tags[274] = (3, [turn])
    word, count = ("Q", "Q") if big else ("I", "H")
    room, entry = (8, 20) if big else (4, 12)
    directory_at = head + len(body)
    values_at = directory_at + struct.calcsize(order + count) + entry * len(tags) + room
    directory, values = struct.pack(order + count, len(tags)), b""
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        directory += struct.pack(order + "HH" + word, tag, kind, len(numbers))
        if len(data) > room:
            directory += struct.pack(order + word, values_at + len(values))
            values += data
        else:
            directory += data.ljust(room, b"\0")
    directory += struct.pack(order + word, 0)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHHQ", 43, 8, 0, directory_at) if big else struct.pack(order + "HI", 42, directory_at)
    return mark + start + body + directory + values


def make_tiff(folder, rng):
    packings = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]
    for w, h in SIZES:
        grey, rgb, rgba, cmyk = (scene(rng, w, h, n) for n in (1, 3, 4, 4))
        deep = rgba.astype(np.uint16) * 257 + rng.integers(-90, 90, rgba.shape).astype(np.int16).clip(0)
        deep = np.clip(deep, 0, 65535).astype(np.uint16)
        tag = f"{w}x{h}"
        image = Image.fromarray(rgb, "RGB")
        for packing in packings:
            for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
                folder.add("TIFF", f"{tag}_{mode}_{packing}", image=image.convert(mode), compression=packing)
        folder.add("TIFF", f"{tag}_LA", image=image.convert("LA"), compression="tiff_lzw")
        folder.add("TIFF", f"{tag}_16_grey", image=Image.fromarray(deep[..., 0]), compression="tiff_lzw",
                   want=np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2))
        for packing in ("group3", "group4"):
            folder.add("TIFF", f"{tag}_{packing}", image=image.convert("1"), compression=packing)
        for mode in ("L", "RGB", "CMYK"):
            folder.add("TIFF", f"{tag}_jpeg_{mode}", image=image.convert(mode), compression="jpeg", quality=85)
        folder.add("TIFF", f"{tag}_ycbcr", image=image.convert("YCbCr"), compression="jpeg", quality=85)
        folder.add("TIFF", f"{tag}_pages", image=image, save_all=True, append_images=[image.rotate(90)])
        for order in "<>":
            for big in (False, True):
                for planar in (False, True):
                    options = {"order": order, "big": big, "planar": planar}
                    name = f"{tag}_{'II' if order == '<' else 'MM'}_{big}_{planar}"
                    folder.add("TIFF", f"{name}_tiles", want=rgb,
                               data=tiff_bytes(rgb, 2, tile=(32, 16), deflate=True, **options))
                    folder.add("TIFF", f"{name}_strips", data=tiff_bytes(rgb, 2, rows=5, deflate=big, **options), want=rgb)
                    folder.add("TIFF", f"{name}_16", data=tiff_bytes(deep[..., :3], 2, 16, deflate=True, rows=7, **options),
                               want=(deep[..., :3] >> 8).astype(np.uint8))
            folder.add("TIFF", f"{tag}_{order}_cmyk_tiles", data=tiff_bytes(cmyk, 5, order=order, tile=(16, 32), deflate=True))
            folder.add("TIFF", f"{tag}_{order}_cmyk_planes",
                       data=tiff_bytes(cmyk, 5, order=order, planar=True, deflate=True),
                       want=np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")))
        for extra in (0, 1, 2):
            folder.add("TIFF", f"{tag}_extra{extra}", data=tiff_bytes(rgba, 2, deflate=True, extra=(extra,)))
        folder.add("TIFF", f"{tag}_white0", data=tiff_bytes(grey, 0, deflate=True))
        folder.add("TIFF", f"{tag}_white0_16", data=tiff_bytes(deep[..., :1], 0, 16, deflate=True),
                   want=np.repeat(255 - (deep[..., :1] >> 8).astype(np.uint8), 3, 2))
        palette = rng.integers(0, 65536, (256, 3))
        folder.add("TIFF", f"{tag}_palette", data=tiff_bytes(grey, 3, deflate=True, palette=palette))
    for turn in range(1, 9):
        folder.add("TIFF", f"turn{turn}", data=tiff_bytes(rgb, 2, deflate=True, turn=turn))


# ---- HEIC and AVIF ------------------------------------------------------------------------------

def png16(pixels):
    """A PNG of [h, w, 3] 16-bit samples, which Pillow cannot write."""
    h, w, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def part(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)) +
            part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


def turned(data, name, value):
    """heif-enc's file with one property more of its picture: irot (quarter turns) or imir (an axis)."""
    data = bytearray(data)

    def number(at, size):
        return int.from_bytes(data[at:at + size], "big")

    def add(at, size, more):
        data[at:at + size] = (number(at, size) + more).to_bytes(size, "big")
    meta, iprp, ipco, ipma, iloc = (data.index(n) for n in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc"))
    primary, at, index = number(data.index(b"pitm") + 8, 2), ipco + 4, 1
    while at < ipco - 4 + number(ipco - 4, 4):
        index, at = index + 1, at + number(at, 4)
    entry = ipma + 12
    while number(entry, 2) != primary:
        entry += 3 + data[entry + 2]
    method = 2 if data[iloc + 4] else 0  # of version 0 all data lies in the file
    for place in range(iloc + 12, iloc + 12 + (18 + method) * number(iloc + 10, 2), 18 + method):
        if number(place + 2, method) == 0:  # in the file: 10 bytes further on
            add(place + 4 + method, 4, 10)
    for box, more in ((meta, 10), (iprp, 10), (ipco, 9), (ipma, 1)):
        add(box - 4, 4, more)
    add(entry + 2, 1, 1)
    last = entry + 2 + data[entry + 2]  # behind what the item has
    data[last:last] = bytes([0x80 | index])
    data[at:at] = struct.pack(">I", 9) + name + bytes([value])
    return bytes(data)


def make_heif(folder, rng, format):
    """heif-enc's files, and heif-convert's idea of them as PNG."""
    work = os.path.join(folder.path, format)
    os.mkdir(work)
    target, seen, source = (os.path.join(work, n) for n in ("made.heif", "seen.png", "source.png"))
    made = 0

    def run(*command):
        return subprocess.run(command, capture_output=True).returncode == 0

    def add(name, data):
        with open(target, "wb") as f:
            f.write(data)
        if os.path.exists(seen):
            os.remove(seen)
        if run("heif-convert", target, seen):
            folder.add(format, name, data=data, want=pillow(seen))
            return 1
        return 0

    def encoded(*options):
        if not run("heif-enc", *(["-A"] if format == "AVIF" else []), *options, "-o", target, source):
            return None
        with open(target, "rb") as f:
            return f.read()

    for w, h in [(16, 16), (17, 33), (64, 48), (130, 98), (300, 200)]:
        for channels, mode in ((3, "RGB"), (4, "RGBA"), (1, "L")):
            pixels = scene(rng, w, h, channels)
            Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode).save(source)
            for options in (["-q", "30"], ["-q", "90"], ["-L"], ["-q", "60", "-p", "chroma=444"]):
                data = encoded(*options)
                made += add(f"{w}x{h}_{mode}_{'_'.join(options)}", data) if data else 0
        Image.fromarray(scene(rng, w, h, 3), "RGB").save(source)
        data = encoded("-q", "80")
        for name, value in ((b"irot", 1), (b"irot", 2), (b"irot", 3), (b"imir", 0), (b"imir", 1)):
            made += add(f"{w}x{h}_{name.decode()}{value}", turned(data, name, value)) if data else 0
        with open(source, "wb") as f:
            f.write(png16(scene(rng, w, h, 3).astype(np.uint16) * 257))
        for bits in ("10", "12"):  # where the encoder has them
            data = encoded("-q", "80", "-b", bits)
            made += add(f"{w}x{h}_{bits}bits", data) if data else 0
    return made


def main():
    pixels, failed, skipped = Pixels(os.path.join(sys.argv[1], "tests/parity/pixels")), [], 0
    counts, equal, gaps = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(path)
        for number, make in enumerate((make_webp, make_gif, make_bmp, make_tiff)):
            make(folder, np.random.default_rng(number))
        for number, format in enumerate(("HEIC", "AVIF")):
            if not (shutil.which("heif-enc") and shutil.which("heif-convert")):
                print(f"{format}: skipped, heif-enc and heif-convert (libheif-examples) are missing")
                skipped += 1
            elif not make_heif(folder, np.random.default_rng(9 + number), format):
                print(f"{format}: skipped, heif-enc has no encoder for it")
                skipped += 1
        for case in folder.cases:
            want, got = pillow(case.path) if case.want is None else case.want, pixels(case.path)
            counts[case.format] += 1
            if isinstance(got, str) or got.shape != want.shape:
                failed.append(f"{case.format} {case.name}: {got if isinstance(got, str) else (got.shape, want.shape)}")
                continue
            gap = np.abs(got.astype(int) - want)
            equal[case.format] += not gap.any()
            gaps[case.format].append(gap.mean())
            if gap.mean() > (2 if case.format in ("HEIC", "AVIF") else 0):
                failed.append(f"{case.format} {case.name}: {(gap > 0).sum()} of {gap.size} bytes differ, by up to {gap.max()}")
    for line in failed[:60]:
        print(line)
    for format, count in counts.items():
        print(f"{format}: {equal[format]} of {count} files equal to the last bit, mean difference at most "
              f"{max(gaps[format], default=0):.3f}")
    print(f"pillow {Image.__version__}, libwebp {features.version('webp')}, libtiff {features.version('libtiff')}")
    print(f"{sum(counts.values()) - len(failed)} passed, {len(failed)} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
