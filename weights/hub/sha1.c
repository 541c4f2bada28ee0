/* sha1.c - SHA-1 in plain C: see sha1.h. Padding as in nn/sha256.c. Source: FIPS 180-4, sections
 * 4.1.1 (functions), 4.2.1 (constants), 5.1.1 (padding), 6.1.2 (rounds). */
#include "weights/hub/sha1.h"

#include <string.h>

static uint32_t rotate_left(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void mix_block(uint32_t h[5], const uint8_t *p)
{
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
               (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
    for (int t = 16; t < 80; t++)
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 80; t++) {
        const uint32_t f = t < 20   ? (b & c) ^ (~b & d)
                           : t < 40 ? b ^ c ^ d
                           : t < 60 ? (b & c) ^ (b & d) ^ (c & d)
                                    : b ^ c ^ d;
        const uint32_t next = rotate_left(a, 5) + f + e + constants[t / 20] + w[t];
        e = d, d = c, c = rotate_left(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void hub_sha1_init(struct hub_sha1 *s)
{
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(s->h, start, sizeof start);
    s->length = 0;
}

void hub_sha1_update(struct hub_sha1 *s, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    const size_t held = s->length % 64;
    s->length += length;
    if (held) {
        const size_t take = length < 64 - held ? length : 64 - held;
        memcpy(s->block + held, p, take);
        p += take, length -= take;
        if (held + take < 64) return;
        mix_block(s->h, s->block);
    }
    for (; length >= 64; p += 64, length -= 64) mix_block(s->h, p);
    if (length) memcpy(s->block, p, length);
}

void hub_sha1_hex(char hex[HUB_SHA1_HEX], struct hub_sha1 *s)
{
    const uint64_t bits = s->length * 8;
    uint8_t tail[72] = {0x80};
    const size_t zeros_end = 64 - (s->length + 8) % 64; /* so that the length ends a block */
    for (int i = 0; i < 8; i++) tail[zeros_end + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    hub_sha1_update(s, tail, zeros_end + 8);
    for (int i = 0; i < 40; i++)
        hex[i] = "0123456789abcdef"[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[40] = 0;
}
