/* resize_body.h - the two passes of an image resize with 16-bit multiplies, for AVX2 and AVX-512.
 *
 * A weight of 24 bits does not fit a 16-bit multiply, its halves do: vpmaddwd takes two pixels by two half weights and adds the products. The
 * sums of the high and of the low halves are joined at the end; int32 wraps on the way without harm, since the whole sum fits.
 *
 *     rows    bytes    r0 g0 b0 r1 g1 b1 | ...        one 128-bit lane for two pixels: a byte shuffle spreads them to words
 *             words    r0 r1  g0 g1  b0 b1  -  -      times   w0 w1  w0 w1  w0 w1  - -     = sums of r, g, b
 *             Four rows at a time share the weights.
 *     cols    bytes of rows k and k+1, interleaved, are such pairs already.
 *
 * Results equal the reference's to the last bit: integers. */
#include "kernels/kern.h"
#include "kernels/vec.h"

#include <string.h>

/* ---- along rows --------------------------------------------------------------------------------------------------------------- */

/* words_load: GROUP pixels as pairs of words from p, where at least ROOM bytes lie; words_tail: where only `bytes` lie, 1 or more.
 * pairs_load: their half weights. */
#ifdef __AVX512F__

enum { GROUP = 8, ROOM = 28 };
typedef __m512i words;

/* Twice four pixels, each half in both of its lanes. */
INLINE words words_spread(__m512i twice)
{
    const __m512i order = _mm512_broadcast_i64x4(_mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
                                                                  6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    return _mm512_shuffle_epi8(twice, order);
}
INLINE words words_load(const uint8_t *p)
{
    const __m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
    return words_spread(_mm512_mask_broadcast_i32x4(low, 0xff00, _mm_loadu_si128((const __m128i *)(p + 12))));
}
INLINE words words_tail(const uint8_t *p, int bytes)
{
    const __mmask16 low = (__mmask16)(bytes >= 16 ? 0xffff : (1 << bytes) - 1);
    const __mmask16 high = (__mmask16)(bytes >= 28 ? 0xffff : bytes > 12 ? (1 << (bytes - 12)) - 1 : 0);
    const __m512i v = _mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(low, p));
    return words_spread(_mm512_mask_broadcast_i32x4(v, 0xff00, _mm_maskz_loadu_epi8(high, p + 12)));
}
INLINE words pairs_load(const int16_t *w)
{
    const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)w)));
}
#define words_zero() _mm512_setzero_si512()
#define words_madd(sum, v, w) _mm512_add_epi32(sum, _mm512_madd_epi16(v, w))
/* Four rows' r, g, b, - as 16 bytes. */
INLINE __m128i words_pixels(const words hi[4], const words lo[4])
{
    __m512i v[4];
    UNROLL for (int y = 0; y < 4; y++) v[y] = _mm512_add_epi32(_mm512_slli_epi32(hi[y], KERN_TAP_LOW), lo[y]);
    /* Lanes of two rows, added in pairs: 0 0 1 1; then of four: 0 1 2 3. */
    UNROLL for (int y = 0; y < 4; y += 2) v[y] =
        _mm512_add_epi32(_mm512_shuffle_i64x2(v[y], v[y + 1], 0x88), _mm512_shuffle_i64x2(v[y], v[y + 1], 0xdd));
    __m512i sum = _mm512_add_epi32(_mm512_shuffle_i64x2(v[0], v[2], 0x88), _mm512_shuffle_i64x2(v[0], v[2], 0xdd));
    sum = _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(1 << (KERN_TAP_BITS - 1))), KERN_TAP_BITS);
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(sum, _mm512_setzero_si512()));
}

#else

enum { GROUP = 4, ROOM = 16 };
typedef __m256i words;

INLINE words words_spread(__m128i v)
{
    const __m256i order = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* pixels 0, 1 */
                                           6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(v), order);
}
INLINE words words_load(const uint8_t *p)
{
    return words_spread(_mm_loadu_si128((const __m128i *)p));
}
INLINE words words_tail(const uint8_t *p, int bytes)
{
    uint8_t there[16] = {0};
    memcpy(there, p, (size_t)(bytes < 12 ? bytes : 12));
    return words_spread(_mm_loadu_si128((const __m128i *)there));
}
INLINE words pairs_load(const int16_t *w)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, /* weights 0, 1 */
                                           4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadl_epi64((const __m128i *)w)), order);
}
#define words_zero() _mm256_setzero_si256()
#define words_madd(sum, v, w) _mm256_add_epi32(sum, _mm256_madd_epi16(v, w))
/* Four rows' r, g, b, - as 16 bytes. */
INLINE __m128i words_pixels(const words hi[4], const words lo[4])
{
    __m128i sum[4];
    UNROLL for (int y = 0; y < 4; y++)
    {
        const __m256i v = _mm256_add_epi32(_mm256_slli_epi32(hi[y], KERN_TAP_LOW), lo[y]);
        const __m128i both = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        sum[y] = _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (KERN_TAP_BITS - 1))), KERN_TAP_BITS);
    }
    /* int32 -> int16 -> uint8, saturating: the clip */
    return _mm_packus_epi16(_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3]));
}

#endif

/* Output pixel i of `rows` <= 4 rows. */
INLINE void resize_pixel(uint8_t *restrict out, size_t out_stride, const uint8_t *restrict in, size_t in_stride,
                         const struct kern_taps *t, int i, const int rows)
{
    const uint8_t *px = in + 3 * (size_t)t->start[i];
    const int16_t *wh = t->hi + (size_t)i * t->stride, *wl = t->lo + (size_t)i * t->stride;
    const int count = t->count[i],
              left = t->in - t->start[i]; /* beyond the taps weights are 0: what lies there is read as long as it may be */
    words hi[4], lo[4];
    int k = 0;
    UNROLL for (int y = 0; y < 4; y++) hi[y] = lo[y] = words_zero();
    for (; k < count && 3 * (left - k) >= ROOM; k += GROUP) {
        const words h = pairs_load(wh + k), l = pairs_load(wl + k);
        UNROLL for (int y = 0; y < rows; y++)
        {
            const words v = words_load(px + (size_t)y * in_stride + 3 * k);
            hi[y] = words_madd(hi[y], v, h);
            lo[y] = words_madd(lo[y], v, l);
        }
    }
    for (; k < count; k += GROUP) {
        const words h = pairs_load(wh + k), l = pairs_load(wl + k);
        UNROLL for (int y = 0; y < rows; y++)
        {
            const words v = words_tail(px + (size_t)y * in_stride + 3 * k, 3 * (left - k));
            hi[y] = words_madd(hi[y], v, h);
            lo[y] = words_madd(lo[y], v, l);
        }
    }
    uint8_t rgbx[16];
    _mm_storeu_si128((__m128i *)rgbx, words_pixels(hi, lo));
    /* A fourth byte is overwritten by the next pixel; the last of a row has none. */
    const size_t width = i + 1 < t->n ? 4 : 3;
    UNROLL for (int y = 0; y < rows; y++)
    {
        if (width == 4)
            memcpy(out + (size_t)y * out_stride + 3 * (size_t)i, rgbx + 4 * y, 4);
        else
            memcpy(out + (size_t)y * out_stride + 3 * (size_t)i, rgbx + 4 * y, 3);
    }
}

void TIER(kern_resize_rows_u8)(uint8_t *restrict out, const uint8_t *restrict in, int rows, size_t in_stride,
                               const struct kern_taps *t)
{
    const size_t out_stride = 3 * (size_t)t->n;
    int y = 0;
    for (; y + 4 <= rows; y += 4, out += 4 * out_stride, in += 4 * in_stride)
        for (int i = 0; i < t->n; i++) resize_pixel(out, out_stride, in, in_stride, t, i, 4);
    for (; y < rows; y++, out += out_stride, in += in_stride)
        for (int i = 0; i < t->n; i++) resize_pixel(out, out_stride, in, in_stride, t, i, 1);
}

/* ---- along columns ------------------------------------------------------------------------------------------------------------ */

INLINE __m128i bytes_load(const uint8_t *p, size_t n)
{
    if (n >= 16) return _mm_loadu_si128((const __m128i *)p);
    uint8_t tail[16] = {0};
    memcpy(tail, p, n);
    return _mm_loadu_si128((const __m128i *)tail);
}

INLINE __m256i total(__m256i hi, __m256i lo)
{
    const __m256i half = _mm256_set1_epi32(1 << (KERN_TAP_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(hi, KERN_TAP_LOW), lo), half), KERN_TAP_BITS);
}

INLINE __m256i pair_of(const int16_t *w)
{
    int32_t both;
    memcpy(&both, w, sizeof both);
    return _mm256_set1_epi32(both);
}

/* Sixteen columns, of which n are there. */
INLINE __m128i resize_columns(const uint8_t *in, size_t bytes, size_t n, const struct kern_taps *t, int i)
{
    const int16_t *wh = t->hi + (size_t)i * t->stride, *wl = t->lo + (size_t)i * t->stride;
    __m256i hi[2], lo[2];
    for (int j = 0; j < 2; j++) hi[j] = lo[j] = _mm256_setzero_si256();
    for (int k = 0; k < t->count[i]; k += 2) {
        const __m256i h = pair_of(wh + k), l = pair_of(wl + k);
        const __m128i a = bytes_load(in + (size_t)k * bytes, n);
        const __m128i b = k + 1 < t->count[i] ? bytes_load(in + (size_t)(k + 1) * bytes, n) : a; /* its weight is 0 */
        const __m256i v[2] = {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b))};
        UNROLL for (int j = 0; j < 2; j++)
        {
            hi[j] = _mm256_add_epi32(hi[j], _mm256_madd_epi16(v[j], h));
            lo[j] = _mm256_add_epi32(lo[j], _mm256_madd_epi16(v[j], l));
        }
    }
    /* Packing works within 128-bit lanes: 0-3 8-11 | 4-7 12-15, then in order. */
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(total(hi[0], lo[0]), total(hi[1], lo[1])), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}

void TIER(kern_resize_cols_u8)(uint8_t *restrict out, const uint8_t *restrict in, size_t bytes, const struct kern_taps *t,
                               int i)
{
    size_t x = 0;
    for (; x + 16 <= bytes; x += 16) _mm_storeu_si128((__m128i *)(out + x), resize_columns(in + x, bytes, 16, t, i));
    if (x < bytes) {
        uint8_t tail[16];
        _mm_storeu_si128((__m128i *)tail, resize_columns(in + x, bytes, bytes - x, t, i));
        memcpy(out + x, tail, bytes - x);
    }
}
