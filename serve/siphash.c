/* siphash.c - SipHash-2-4 with 128 bits out: four words of state, two rounds for each eight bytes, four rounds at the end of each half.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012, section 2; the 128-bit form is that of the authors'
 * reference code (v1 ^= 0xee at first, 0xee and 0xdd at the end). Bytes are little-endian words on every machine.
 *
 * Not here: input in pieces. */
#include "serve/siphash.h"
#include <string.h>

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], int count)
{
    while (count--) {
        v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
        v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
    }
}

static uint64_t word(const uint8_t *p, size_t n)
{
    uint64_t w = 0;
    for (size_t i = 0; i < n; i++) w |= (uint64_t)p[i] << (8 * i);
    return w;
}

void serve_siphash(uint64_t hash[2], const void *bytes, size_t n, const uint64_t key[2])
{
    const uint8_t *p = bytes;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    size_t left = n;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t w = word(p, 8);
        v[3] ^= w;
        rounds(v, 2);
        v[0] ^= w;
    }
    uint64_t last = (uint64_t)n << 56 | word(p, left);
    v[3] ^= last;
    rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xee;
    rounds(v, 4);
    hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    rounds(v, 4);
    hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}
