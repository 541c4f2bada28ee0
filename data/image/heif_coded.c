/* heif_coded.c - how large the picture in a piece of HEVC or AV1 is: see heif_check.h.
 *
 *     HEVC   { length u32 | unit }..      unit: 0 | type u6 | layer u6 | ..; type 33 says the size
 *     AV1    OBU..                        OBU:  0 | type u4 | extended | sized | 0 | length? | ..;
 *                                         type 1 says the size
 *
 * Both have to be read bit by bit up to the size, past fields of which nothing is used here. Only
 * the base layer of HEVC is looked at, as libde265 does.
 * Source: ITU-T H.265, 7.3.1 to 7.3.3; AV1 Bitstream, 5.3 to 5.5. */
#include "data/image/heif_check.h"

#include <string.h>

struct bits {
    const uint8_t *at;
    size_t left; /* bits */
    unsigned skip;
    bool over; /* more were asked for than there are */
};

static struct bits bits_of(const uint8_t *bytes, size_t length)
{
    return (struct bits){.at = bytes, .left = length * 8};
}

/* The next n bits, at most 32. */
static uint32_t get(struct bits *b, unsigned n)
{
    uint32_t v = 0;
    b->over |= n > b->left;
    if (b->over) return 0;
    for (b->left -= n; n > 0; n--) {
        v = v << 1 | (*b->at >> (7 - b->skip) & 1u);
        b->skip = (b->skip + 1) % 8;
        b->at += b->skip == 0;
    }
    return v;
}

static void pass(struct bits *b, unsigned n)
{
    for (; n > 32; n -= 32) get(b, 32);
    get(b, n);
}

/* A number of unknown length: as many zeros as it has bits behind its first. */
static uint64_t get_long(struct bits *b)
{
    unsigned zeros = 0;
    while (!get(b, 1)) {
        if (b->over || ++zeros > 32) {
            b->over = true;
            return 0;
        }
    }
    return (((uint64_t)1 << zeros) | (zeros ? get(b, zeros) : 0)) - 1;
}

static void enlarge(struct data_coded_size *size, uint64_t w, uint64_t h)
{
    if (w > size->w) size->w = w;
    if (h > size->h) size->h = h;
}

/* ---- HEVC ------------------------------------------------------------------------------------ */

enum { FIRST_PARAMETERS = 32, SEQUENCE = 33, PROFILE = 88, LEVEL = 8 };

/* Up to where the size stands, without the 3 of each 0 0 3. */
static size_t unescape(uint8_t *out, size_t room, const uint8_t *in, size_t length)
{
    size_t n = 0, zeros = 0;
    for (size_t i = 0; i < length && n < room; i++) {
        if (zeros >= 2 && in[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = in[i] ? 0 : zeros + 1;
        out[n++] = in[i];
    }
    return n;
}

bool data_hevc_unit_size(struct data_coded_size *size, const uint8_t *unit, size_t length)
{
    uint8_t plain[256];
    if (length < 2 || (unit[0] >> 1 & 63) != SEQUENCE || unit[0] & 1 || unit[1] >> 3) return true;
    struct bits b = bits_of(plain, unescape(plain, sizeof plain, unit + 2, length - 2));
    pass(&b, 4);
    const unsigned layers = get(&b, 3);
    pass(&b, 1 + PROFILE + LEVEL);
    unsigned skipped = 0;
    for (unsigned i = 0; i < layers; i++) {
        skipped += get(&b, 1) * PROFILE;
        skipped += get(&b, 1) * LEVEL;
    }
    if (layers) pass(&b, 2 * (8 - layers));
    pass(&b, skipped);
    get_long(&b);
    if (get_long(&b) == 3) pass(&b, 1); /* 4:4:4 may be three pictures */
    const uint64_t w = get_long(&b), h = get_long(&b);
    enlarge(size, w, h);
    return !b.over;
}

bool data_hevc_size(struct data_coded_size *size, const uint8_t *units, size_t length)
{
    int pictures = 0;
    while (length > 0) {
        if (length < 4) return false;
        const size_t n =
            (size_t)units[0] << 24 | (size_t)units[1] << 16 | (size_t)units[2] << 8 | units[3];
        if (n > length - 4) return false;
        const uint8_t *unit = units + 4;
        /* A slice's first bit says that a picture begins. */
        if (n > 2 && (unit[0] >> 1 & 63) < FIRST_PARAMETERS) pictures += unit[2] >> 7;
        if (pictures > 1 || !data_hevc_unit_size(size, unit, n)) return false;
        units += 4 + n;
        length -= 4 + n;
    }
    return true;
}

/* ---- AV1 ------------------------------------------------------------------------------------- */

/* Times and levels, for each of up to 32 ways to decode. */
static void pass_operating_points(struct bits *b)
{
    unsigned delay = 0; /* bits of two numbers that each way may have */
    if (get(b, 1)) {    /* how long a picture is shown */
        pass(b, 64);
        if (get(b, 1)) get_long(b);
        if (get(b, 1)) {
            delay = get(b, 5) + 1;
            pass(b, 32 + 5 + 5);
        }
    }
    const unsigned shown = get(b, 1), last = get(b, 5);
    for (unsigned i = 0; i <= last; i++) {
        pass(b, 12);
        if (get(b, 5) > 7) pass(b, 1);
        if (delay && get(b, 1)) pass(b, 2 * delay + 1);
        if (shown && get(b, 1)) pass(b, 4);
    }
}

static bool sequence_size(struct data_coded_size *size, const uint8_t *bytes, size_t length)
{
    struct bits b = bits_of(bytes, length);
    pass(&b, 4);
    if (get(&b, 1)) /* a still picture's short form */
        pass(&b, 5);
    else
        pass_operating_points(&b);
    const unsigned w_bits = get(&b, 4) + 1, h_bits = get(&b, 4) + 1;
    const uint64_t w = (uint64_t)get(&b, w_bits) + 1, h = (uint64_t)get(&b, h_bits) + 1;
    if (!b.over) enlarge(size, w, h);
    return !b.over;
}

bool data_av1_size(struct data_coded_size *size, const uint8_t *obus, size_t length)
{
    /* A progressive picture has a few frames. */
    enum { SEQUENCE_HEADER = 1, FRAME_HEADER = 3, FRAME = 6, MOST_FRAMES = 8 };
    int frames = 0;
    while (length > 0) {
        const unsigned head = obus[0], type = head >> 3 & 15;
        size_t at = head & 4 ? 2 : 1, n = 0;
        if (at > length) return false;
        for (unsigned shift = 0; head & 2; shift += 7) {
            if (at >= length || shift > 28) return false;
            const uint8_t byte = obus[at++];
            n |= (size_t)(byte & 127) << shift;
            if (!(byte & 128)) break;
        }
        if (!(head & 2)) n = length - at;
        if (n > length - at) return false;
        frames += type == FRAME_HEADER || type == FRAME;
        if (frames > MOST_FRAMES || (type == SEQUENCE_HEADER && !sequence_size(size, obus + at, n)))
            return false;
        obus += at + n;
        length -= at + n;
    }
    return true;
}
