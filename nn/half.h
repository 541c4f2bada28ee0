/* half.h - IEEE 754 binary16 numbers to and from float32.
 *
 *     1 sign | 5 exponent | 10 mantissa        largest 65504, smallest normal 2^-14, smallest 2^-24 */
#ifndef NN_HALF_H
#define NN_HALF_H

#include <stdint.h>
#include <string.h>

/* Exact. */
static inline float nn_f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023, bits;
    if (exponent == 31)
        bits = sign | 0x7f800000 | mantissa << 13; /* infinities and NaNs with their payload */
    else if (exponent)
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    else { /* zero and subnormals: mantissa * 2^-24, which float32 holds exactly */
        float f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, 4);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* To the nearest, halves to even; beyond the largest: the largest (not infinity, which would spoil every sum); NaN stays one. */
static inline uint16_t nn_f16_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;
    if (bits >= 0x477ff000) return sign | 0x7bff; /* from 65520 on */
    if (bits < 0x38800000) {                      /* below 2^-14: subnormal; adding 0.5 rounds to multiples of 2^-24 */
        float f;
        memcpy(&f, &bits, 4);
        f += 0.5f;
        memcpy(&bits, &f, 4);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

#endif
