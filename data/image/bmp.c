/* bmp.c - BMP to RGB: what Windows and OS/2 write, and what Pillow reads of it.
 *
 *     "BM" | size u32 | 0 u32 | where the pixels are u32
 *     header: its size u32, which says the kind:
 *             12 OS/2 | 40 Windows | 52, 56, 108, 124 with masks | 64 OS/2 version 2
 *         12:     w u16 | h u16       | 1 u16 | bits u16
 *         others: w i32 | h i32       | 1 u16 | bits u16 | compression u32 | 12 bytes
 *                 | colours u32 | ..
 *     masks [3] u32 at byte 54, of compression 3 and 6
 *     palette [colours] { blue, green, red, and a fourth byte but in the header of 12 }
 *     rows, the lowest first (h < 0: the highest first), each of a multiple of 4 bytes
 *
 * A pixel is 1, 2, 4 or 8 bits (a palette's index), 24 bits, or 16 or 32 bits with a mask a colour.
 * A sample v of a mask with the largest value m becomes v * 255 / m, rounded down: Pillow's rule.
 * Indices beyond the palette's end are greys, as there. Alpha is dropped.
 *
 * Run lengths (compression 1: 8 bits, 2: 4 bits) are pairs of bytes:
 *     n v    n pixels v (of 4 bits: the two halves of v in turn)
 *     0 0    the next row         0 1    the end         0 2 dx dy    a step
 *     0 n    n pixels follow as they are, filled up to an even number of bytes
 * Pixels that are left out have index 0. Pillow refuses a picture whose end comes before its last
 * row, other masks than its own nine, and 2 bits; they are read here.
 * Source: learn.microsoft.com, "Bitmap Storage"; Encyclopedia of Graphics File Formats.
 * Not here: JPEG and PNG in a BMP, Huffman coding, RLE24, colour profiles. */
#include "data/image/codec.h"

#include <string.h>

enum { FILE_HEADER = 14, OS2 = 12, OS2_2 = 64, MASKS_AT = 54, MASKS = 12 };
enum { RAW = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3, ALPHA_BITFIELDS = 6 };

struct bmp {
    uint32_t w, h, bits, compression, masks[3];
    bool down; /* the highest row comes first */
    uint8_t colours[256][3];
    const uint8_t *at, *end; /* pixels */
};

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static enum rudd_status refuse(const char *name, const char *why, struct rudd_error *err)
{
    return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated BMP: %s", name, why);
}

/* The header alone; *count: colours in the palette. */
static enum rudd_status read_header(struct bmp *b, uint32_t *count, const uint8_t *bytes,
                                    size_t length, const char *name, struct rudd_error *err)
{
    static const uint8_t sizes[] = {OS2, 40, 52, 56, OS2_2, 108, 124},
                         depths[] = {1, 2, 4, 8, 16, 24, 32};
    const uint8_t *h = bytes + FILE_HEADER;
    if (length < FILE_HEADER + 4) return refuse(name, "the data ends early", err);
    const uint32_t size = get32(h);
    if (size > 255 || !memchr(sizes, (int)size, sizeof sizes))
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: BMP with a header of %u bytes, of which nothing is known", name,
                         (unsigned)size);
    if (length - FILE_HEADER < size) return refuse(name, "the data ends early", err);
    if (size == OS2) {
        b->w = get16(h + 4);
        b->h = get16(h + 6);
        b->bits = get16(h + 10);
    } else {
        b->w = get32(h + 4);
        b->h = get32(h + 8);
        b->bits = get16(h + 14);
        b->compression = get32(h + 16);
        b->down = b->h >> 31;
        if (b->down) b->h = 0 - b->h;
        *count = get32(h + 32);
    }
    const uint32_t c = b->compression;
    const bool masked = size != OS2_2 && (c == BITFIELDS || c == ALPHA_BITFIELDS) &&
                        (b->bits == 16 || b->bits >= 24);
    if (!masked && c != RAW && !(c == RLE8 && b->bits == 8) && !(c == RLE4 && b->bits == 4))
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: BMP of compression %u with %u bits a pixel, which rudd cannot read",
                         name, (unsigned)c, (unsigned)b->bits);
    if (b->bits > 32 || !memchr(depths, (int)b->bits, sizeof depths))
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: BMP of %u bits a pixel; 1, 2, 4, 8, 16, 24 and 32 are known", name,
                         (unsigned)b->bits);
    if (masked && length < MASKS_AT + MASKS) return refuse(name, "the data ends early", err);
    for (int i = 0; masked && i < 3; i++) b->masks[i] = get32(bytes + MASKS_AT + 4 * i);
    return RUDD_OK;
}

static void set_default_masks(struct bmp *b)
{
    if (b->masks[0] | b->masks[1] | b->masks[2]) return;
    const uint32_t masks[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    memcpy(b->masks, masks[b->bits > 16], sizeof b->masks);
}

/* The palette, and where the pixels are: behind it, unless the header says otherwise. */
static enum rudd_status read_colours(struct bmp *b, uint32_t count, const uint8_t *bytes,
                                     size_t length, const char *name, struct rudd_error *err)
{
    const uint32_t size = get32(bytes + FILE_HEADER);
    const bool inserted =
        size == 40 && (b->compression == BITFIELDS || b->compression == ALPHA_BITFIELDS);
    const size_t first = FILE_HEADER + size + (inserted ? MASKS : 0), entry = size == OS2 ? 3 : 4;
    size_t offset = get32(bytes + 10);
    for (int i = 0; i < 256; i++) memset(b->colours[i], i, 3);
    if (b->bits <= 8) {
        if (!count) count = 1u << b->bits;
        for (size_t i = 0, at = first; i < count && i < 256 && at + entry <= length;
             i++, at += entry)
            memcpy(b->colours[i], (uint8_t[3]){bytes[at + 2], bytes[at + 1], bytes[at]}, 3);
        if (offset == first) offset = 0; /* some writers forget the palette */
    } else {
        count = 0;
    }
    if (!offset) offset = first + entry * (size_t)count;
    if (offset > length) return refuse(name, "the data ends early", err);
    b->at = bytes + offset;
    b->end = bytes + length;
    return RUDD_OK;
}

/* Where row y, counted as stored, lies in the picture. */
static uint8_t *row_at(uint8_t *rgb, const struct bmp *b, uint32_t y)
{
    return rgb + (size_t)(b->down ? y : b->h - 1 - y) * b->w * 3;
}

/* ---- one row after the other ----------------------------------------------------------------- */

static void read_indices(uint8_t *to, const struct bmp *b, const uint8_t *from)
{
    const uint32_t mask = (1u << b->bits) - 1;
    for (uint32_t x = 0; x < b->w; x++) {
        const uint32_t bit = x * b->bits,
                       index = (uint32_t)from[bit / 8] >> (8 - b->bits - bit % 8) & mask;
        memcpy(to + 3 * (size_t)x, b->colours[index], 3);
    }
}

static void read_masked(uint8_t *to, const struct bmp *b, const uint8_t *from)
{
    uint32_t shift[3], most[3];
    const uint32_t bytes = b->bits / 8;
    for (int c = 0; c < 3; c++) {
        shift[c] = b->masks[c] ? (uint32_t)__builtin_ctz(b->masks[c]) : 0;
        most[c] = b->masks[c] ? b->masks[c] >> shift[c] : 1;
    }
    for (uint32_t x = 0; x < b->w; x++, from += bytes, to += 3) {
        const uint32_t v = bytes == 2 ? get16(from)
                                      : get16(from) | (uint32_t)from[2] << 16 |
                                            (bytes == 4 ? (uint32_t)from[3] << 24 : 0);
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)((uint64_t)((v & b->masks[c]) >> shift[c]) * 255 / most[c]);
    }
}

/* ---- run lengths ----------------------------------------------------------------------------- */

struct pen {
    uint32_t x, y;
};

static void put(uint8_t *rgb, const struct bmp *b, struct pen *pen, unsigned index)
{
    if (pen->x >= b->w || pen->y >= b->h) return; /* too much for this row */
    memcpy(row_at(rgb, b, pen->y) + 3 * (size_t)pen->x++, b->colours[index], 3);
}

/* n pixels: two of them in each byte from *at (4 bits) or one; step: bytes from one to the next. */
static void put_all(uint8_t *rgb, const struct bmp *b, struct pen *pen, const uint8_t *at,
                    uint32_t n, uint32_t step)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t v = at[(b->bits == 4 ? i / 2 : i) * step];
        put(rgb, b, pen, b->bits == 8 ? v : i % 2 ? v & 15u : (unsigned)v >> 4);
    }
}

/* Whether the runs end as they should. Rows that they leave out keep what is there. */
static bool read_runs(uint8_t *rgb, const struct bmp *b)
{
    const uint8_t *at = b->at;
    struct pen pen = {0, 0};
    while (b->end - at >= 2 && pen.y < b->h) {
        const uint32_t n = at[0], v = at[1];
        at += 2;
        const size_t left = (size_t)(b->end - at), packed = b->bits == 4 ? (v + 1) / 2 : v,
                     padded = packed + (packed & 1);
        if (n) {
            put_all(rgb, b, &pen, at - 1, n, 0);
        } else if (v == 0) {
            pen = (struct pen){0, pen.y + 1};
        } else if (v == 1) {
            return true;
        } else if (v == 2) {
            if (left < 2) return false;
            pen = (struct pen){pen.x + at[0], pen.y + at[1]};
            at += 2;
        } else {
            if (left < packed) return false;
            put_all(rgb, b, &pen, at, v, 1);
            at += left < padded ? left : padded;
        }
    }
    return pen.y >= b->h || (pen.y == b->h - 1 && pen.x >= b->w);
}

/* ---------------------------------------------------------------------------------------------- */

static enum rudd_status read_pixels(uint8_t *rgb, const struct bmp *b, const char *name,
                                    struct rudd_error *err)
{
    if (b->compression == RLE8 || b->compression == RLE4) {
        for (size_t i = 0; i < (size_t)b->w * b->h; i++) memcpy(rgb + 3 * i, b->colours[0], 3);
        return read_runs(rgb, b) ? RUDD_OK : refuse(name, "the data ends early", err);
    }
    const size_t stride = ((size_t)b->w * b->bits + 31) / 32 * 4;
    for (uint32_t y = 0; y < b->h; y++) {
        const uint8_t *from = b->at + y * stride;
        if (b->bits <= 8)
            read_indices(row_at(rgb, b, y), b, from);
        else
            read_masked(row_at(rgb, b, y), b, from);
    }
    return RUDD_OK;
}

enum rudd_status data_bmp_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                 size_t length, const char *name, const struct data_limits *limits,
                                 struct rudd_error *err)
{
    struct bmp b = {0};
    uint32_t count = 0;
    enum rudd_status status = read_header(&b, &count, bytes, length, name, err);
    if (!status) status = data_check_size(b.w, b.h, name, limits, err);
    if (!status) status = read_colours(&b, count, bytes, length, name, err);
    if (status) return status;
    set_default_masks(&b);

    const size_t row = ((size_t)b.w * b.bits + 7) / 8, stride = (row + 3) / 4 * 4;
    const bool runs = b.compression == RLE8 || b.compression == RLE4;
    if (!runs && (size_t)(b.end - b.at) < stride * (b.h - 1) + row)
        return refuse(name, "the data ends early", err);
    uint8_t *rgb = rudd_alloc((size_t)b.w * b.h * 3);
    if (!rgb)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %u x %u pixels", name,
                         (unsigned)b.w, (unsigned)b.h);
    status = read_pixels(rgb, &b, name, err);
    if (status) {
        rudd_free(rgb);
        return status;
    }
    *image = (struct data_image){(int)b.w, (int)b.h, rgb};
    *orientation = 1;
    return RUDD_OK;
}
