/* conv_patch.h - a dense convolution seen as a matrix product: the rows of the implicit matrix of patches.
 *
 * Row (n,p,q) of the matrix is the kh x kw window that output pixel (n,p,q) reads, taps outside the image as 0:
 *
 *     patch(n,p,q)[(r,t,i)] = x[n, p*stride + r - pad_top, q*stride + t - pad_left, i]          [oh*ow*n, kh*kw*ic]
 *
 * so that    y  = patches(x) . w^T        dw = dy^T . patches(x)        dx = patches(dy) . flipped w   (stride 1)
 *
 * For a fixed tap row r the window's kw*ic floats are contiguous in x: a row is kh copies. The matrix never exists as a whole;
 * products gather the rows they are about to read.
 *
 * The gradient of the input at stride s falls apart into s*s phases, i mod s = a and j mod s = b: in each, only the taps of
 * matching parity reach the pixel, and they form a small stride-1 convolution of dy (Dumoulin & Visin, arXiv:1603.07285,
 * section 4).
 *
 * Not here: dilation, groups. */
#ifndef KERN_CONV_PATCH_H
#define KERN_CONV_PATCH_H

#include "kernels/kern.h"

#include <string.h>

struct patches {
    int ih, iw, ic, oh, ow, kh, kw, stride, pad_top, pad_left;
};

static inline struct patches patches_of_input(const struct kern_conv *s)
{
    return (struct patches){s->ih, s->iw, s->ic, s->oh, s->ow, s->k, s->k, s->stride, s->pad_top, s->pad_left};
}

/* Gradient of the input, one axis and phase: pixels first, first + stride, ... (count of them) receive taps tap0, tap0 +
 * stride, ... (taps of them). Pixel first + e*stride reads dy at e + u - pad through tap tap0 + stride*(taps-1-u). */
struct phase {
    int first, count, tap0, taps, pad;
};

static inline struct phase conv_phase(int first, int size, int k, int stride, int pad)
{
    struct phase f = {.first = first, .count = (size - first + stride - 1) / stride, .tap0 = (first + pad) % stride};
    if (f.count < 0) f.count = 0;
    f.taps = f.tap0 < k ? (k - f.tap0 + stride - 1) / stride : 0;
    f.pad = f.taps - 1 - (first + pad - f.tap0) / stride;
    return f;
}

/* Copies of a few to a few hundred floats: whole vectors and one masked where the including file has them. */
static inline void copy_floats(float *restrict dst, const float *restrict src, int n)
{
#ifdef VW
    for (; n >= VW; n -= VW, dst += VW, src += VW) v_store(dst, v_load(src));
    if (n) v_storem(dst, v_loadm(src, v_mask(n)), v_mask(n));
#else
    memcpy(dst, src, (size_t)n * sizeof *dst);
#endif
}

static inline void zero_floats(float *dst, int n)
{
    for (int i = 0; i < n; i++) dst[i] = 0;
}

static inline int clamp_int(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* dst[0..count) = elements from..from+count of the patch of output pixel (p,q); image: x of its n. */
static inline void patch_row(float *restrict dst, const float *restrict image, const struct patches *g, int p, int q, int from,
                             int count)
{
    const int width = g->kw * g->ic; /* floats of one tap row */
    const int i0 = p * g->stride - g->pad_top, j0 = q * g->stride - g->pad_left;
    const bool inside = j0 >= 0 && j0 + g->kw <= g->iw;
    const int inside_from = inside ? 0 : clamp_int(-j0, 0, g->kw) * g->ic;
    const int inside_to = inside ? width : clamp_int(g->iw - j0, 0, g->kw) * g->ic;
    int r = from ? from / width : 0, lo = from - r * width;

    for (; count > 0; r++, lo = 0) {
        int hi = lo + count < width ? lo + count : width;
        int left = lo, right = lo; /* [lo,left) zero, [left,right) image, [right,hi) zero */
        if (i0 + r >= 0 && i0 + r < g->ih) {
            left = clamp_int(inside_from, lo, hi);
            right = clamp_int(inside_to, left, hi);
        }
        if (left > lo) zero_floats(dst, left - lo);
        if (right > left)
            copy_floats(dst + (left - lo), image + (((ptrdiff_t)(i0 + r) * g->iw + j0) * g->ic + left), right - left);
        if (hi > right) zero_floats(dst + (right - lo), hi - right);
        dst += hi - lo;
        count -= hi - lo;
    }
}

#endif
