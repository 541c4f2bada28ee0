/* resize_ref.c - the two passes of an image resize, in plain C. */
#include "kernels/kern.h"

static int32_t weight_of(const struct kern_taps *t, int i, int k)
{
    const size_t at = (size_t)i * t->stride + k;
    return t->hi[at] * (1 << KERN_TAP_LOW) + t->lo[at];
}

static uint8_t clip(int32_t v)
{
    v >>= KERN_TAP_BITS; /* arithmetic: floor */
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void kern_resize_rows_u8_ref(uint8_t *restrict out, const uint8_t *restrict in, int rows, size_t in_stride,
                             const struct kern_taps *t)
{
    for (int y = 0; y < rows; y++, in += in_stride)
        for (int i = 0; i < t->n; i++, out += 3) {
            const uint8_t *px = in + 3 * (size_t)t->start[i];
            int32_t sum[3];
            for (int c = 0; c < 3; c++) sum[c] = 1 << (KERN_TAP_BITS - 1);
            for (int k = 0; k < t->count[i]; k++, px += 3)
                for (int c = 0; c < 3; c++) sum[c] += px[c] * weight_of(t, i, k);
            for (int c = 0; c < 3; c++) out[c] = clip(sum[c]);
        }
}

void kern_resize_cols_u8_ref(uint8_t *restrict out, const uint8_t *restrict in, size_t bytes, const struct kern_taps *t, int i)
{
    enum { BLOCK = 64 }; /* sums that stay in registers or the first cache */
    for (size_t x = 0; x < bytes; x += BLOCK) {
        const size_t n = bytes - x < BLOCK ? bytes - x : BLOCK;
        int32_t sum[BLOCK];
        for (size_t j = 0; j < n; j++) sum[j] = 1 << (KERN_TAP_BITS - 1);
        for (int k = 0; k < t->count[i]; k++) {
            const uint8_t *row = in + (size_t)k * bytes + x;
            const int32_t w = weight_of(t, i, k);
            for (size_t j = 0; j < n; j++) sum[j] += row[j] * w;
        }
        for (size_t j = 0; j < n; j++) out[x + j] = clip(sum[j]);
    }
}
