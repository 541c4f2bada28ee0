/* packed_plan.h - how the kernels over packed weights (packed_body.h, expand_body.h) cut their work, and the scratch that takes.
 *
 * Packed weights of a convolution [oc,k,k,ic] are panels of `panel` output channels, the last one cut to whole vectors:
 *
 *     panel 0                 panel 1                    K = k*k*ic rows, in the order (r,t,i)
 *     [K][panel]              [K][panel]  ...            floats: K * (oc rounded up to a vector)
 *
 * All bounds follow from shapes and the tier's tile, never from the number of threads. */
#ifndef KERN_PACKED_PLAN_H
#define KERN_PACKED_PLAN_H

#include "kernels/gemm_plan.h"

/* Items of work below which a kernel cuts finer: enough to keep 8 threads level. */
enum { PACKED_ITEMS = 16 };

/* Pointwise: many rows over few weights go strip by strip, all panels each, and the strip of A is copied and scaled. Where the
 * weights would not stay in the second cache (640 KiB), panel by panel, and the panel is copied and scaled. */
static inline bool kern_packed_by_panel(int n, int k)
{
    return (size_t)n * k > 160 * 1024;
}

/* Dense, k > 1: output rows of an item, which copies the input rows it reads. */
static inline int kern_packed_rows(const struct kern_conv *s)
{
    return s->oh >= 64 ? 4 : s->oh >= 16 ? 2 : 1;
}

/* Columns of the copied input rows: what the output columns read, the zeros of the border included. */
static inline int kern_padded_width(const struct kern_conv *s)
{
    return (s->ow - 1) * s->stride + s->k;
}

/* Columns of a ring row: the image, and the zeros that the border reads. */
static inline int kern_expand_columns(const struct kern_conv *d)
{
    int padded = kern_padded_width(d), image = d->pad_left + d->iw;
    return padded > image ? padded : image;
}

/* Rows of a ring: as many as fit with 32 channels into 24 KiB, so that small images are expanded many rows at a time; where those
 * are less than k, into 96 KiB of the second cache. */
static inline int kern_expand_slots(const struct kern_conv *d)
{
    const int row = kern_expand_columns(d) * GEMM_NR_MAX;
    const int fit = (row * d->k <= 6144 ? 6144 : 24576) / row;
    return fit < d->k ? d->k : fit > d->ih + d->k ? d->ih + d->k : fit;
}

/* Floats of one thread's scratch. */
size_t kern_packed_own(const struct kern_conv *s);
size_t kern_expand_own(const struct kern_expand *s);

#endif
