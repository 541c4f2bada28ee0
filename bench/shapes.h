/* shapes.h - the layers that matter, once each: EfficientNet-B4 at 380 for one image, EfficientNetV2-B0 at 224 for a training batch of 16.
 *
 * A layer is a convolution; what else runs on it (products of its pointwise form, batch norm and activation of its output) is derived.
 * Stage by stage: arXiv:1905.11946, table 1 scaled by 1.4 and 1.8; arXiv:2104.00298, table 4 (B0 by Keras' scaling). SAME padding. */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include "kernels/kern.h"

enum bench_kind { BENCH_DENSE, BENCH_DEPTHWISE, BENCH_POINTWISE };

struct bench_layer {
    const char *net;
    enum bench_kind kind;
    int n, in, ic, oc, k, stride; /* square images */
};

#define B4(kind, in, ic, oc, k, stride)                                                                                        \
    {                                                                                                                          \
        "b4", kind, 1, in, ic, oc, k, stride                                                                                   \
    }
#define V2(kind, in, ic, oc, k, stride)                                                                                        \
    {                                                                                                                          \
        "v2b0", kind, 16, in, ic, oc, k, stride                                                                                \
    }
static const struct bench_layer bench_layers[] = {
    B4(BENCH_DENSE, 380, 3, 48, 3, 2),         B4(BENCH_DEPTHWISE, 190, 48, 48, 3, 1),
    B4(BENCH_POINTWISE, 190, 48, 24, 1, 1),    B4(BENCH_DEPTHWISE, 190, 24, 24, 3, 1),
    B4(BENCH_POINTWISE, 190, 24, 144, 1, 1),   B4(BENCH_DEPTHWISE, 190, 144, 144, 3, 2),
    B4(BENCH_POINTWISE, 95, 144, 32, 1, 1),    B4(BENCH_POINTWISE, 95, 32, 192, 1, 1),
    B4(BENCH_DEPTHWISE, 95, 192, 192, 3, 1),   B4(BENCH_POINTWISE, 95, 192, 32, 1, 1),
    B4(BENCH_DEPTHWISE, 95, 192, 192, 5, 2),   B4(BENCH_POINTWISE, 48, 192, 56, 1, 1),
    B4(BENCH_POINTWISE, 48, 56, 336, 1, 1),    B4(BENCH_DEPTHWISE, 48, 336, 336, 5, 1),
    B4(BENCH_POINTWISE, 48, 336, 56, 1, 1),    B4(BENCH_DEPTHWISE, 48, 336, 336, 3, 2),
    B4(BENCH_POINTWISE, 24, 336, 112, 1, 1),   B4(BENCH_POINTWISE, 24, 112, 672, 1, 1),
    B4(BENCH_DEPTHWISE, 24, 672, 672, 3, 1),   B4(BENCH_DEPTHWISE, 24, 672, 672, 5, 1),
    B4(BENCH_POINTWISE, 24, 672, 112, 1, 1),   B4(BENCH_POINTWISE, 24, 672, 160, 1, 1),
    B4(BENCH_POINTWISE, 24, 160, 960, 1, 1),   B4(BENCH_DEPTHWISE, 24, 960, 960, 5, 1),
    B4(BENCH_POINTWISE, 24, 960, 160, 1, 1),   B4(BENCH_DEPTHWISE, 24, 960, 960, 5, 2),
    B4(BENCH_POINTWISE, 12, 960, 272, 1, 1),   B4(BENCH_POINTWISE, 12, 272, 1632, 1, 1),
    B4(BENCH_DEPTHWISE, 12, 1632, 1632, 5, 1), B4(BENCH_POINTWISE, 12, 1632, 272, 1, 1),
    B4(BENCH_DEPTHWISE, 12, 1632, 1632, 3, 1), B4(BENCH_POINTWISE, 12, 1632, 448, 1, 1),
    B4(BENCH_POINTWISE, 12, 448, 2688, 1, 1),  B4(BENCH_DEPTHWISE, 12, 2688, 2688, 3, 1),
    B4(BENCH_POINTWISE, 12, 2688, 448, 1, 1),  B4(BENCH_POINTWISE, 12, 448, 1792, 1, 1),
    B4(BENCH_POINTWISE, 1, 1792, 1000, 1, 1),  V2(BENCH_DENSE, 224, 3, 32, 3, 2),
    V2(BENCH_DENSE, 112, 32, 16, 3, 1),        V2(BENCH_DENSE, 112, 16, 64, 3, 2),
    V2(BENCH_POINTWISE, 56, 64, 32, 1, 1),     V2(BENCH_DENSE, 56, 32, 128, 3, 1),
    V2(BENCH_POINTWISE, 56, 128, 32, 1, 1),    V2(BENCH_DENSE, 56, 32, 128, 3, 2),
    V2(BENCH_POINTWISE, 28, 128, 48, 1, 1),    V2(BENCH_DENSE, 28, 48, 192, 3, 1),
    V2(BENCH_POINTWISE, 28, 192, 48, 1, 1),    V2(BENCH_POINTWISE, 28, 48, 192, 1, 1),
    V2(BENCH_DEPTHWISE, 28, 192, 192, 3, 2),   V2(BENCH_POINTWISE, 14, 192, 96, 1, 1),
    V2(BENCH_POINTWISE, 14, 96, 384, 1, 1),    V2(BENCH_DEPTHWISE, 14, 384, 384, 3, 1),
    V2(BENCH_POINTWISE, 14, 384, 96, 1, 1),    V2(BENCH_POINTWISE, 14, 96, 576, 1, 1),
    V2(BENCH_DEPTHWISE, 14, 576, 576, 3, 1),   V2(BENCH_POINTWISE, 14, 576, 112, 1, 1),
    V2(BENCH_POINTWISE, 14, 112, 672, 1, 1),   V2(BENCH_DEPTHWISE, 14, 672, 672, 3, 1),
    V2(BENCH_POINTWISE, 14, 672, 112, 1, 1),   V2(BENCH_DEPTHWISE, 14, 672, 672, 3, 2),
    V2(BENCH_POINTWISE, 7, 672, 192, 1, 1),    V2(BENCH_POINTWISE, 7, 192, 1152, 1, 1),
    V2(BENCH_DEPTHWISE, 7, 1152, 1152, 3, 1),  V2(BENCH_POINTWISE, 7, 1152, 192, 1, 1),
    V2(BENCH_POINTWISE, 7, 192, 1280, 1, 1),   V2(BENCH_POINTWISE, 1, 1280, 1000, 1, 1),
};
#undef B4
#undef V2
enum { BENCH_LAYERS = sizeof bench_layers / sizeof bench_layers[0] };

/* The layer's geometry with TF SAME padding: total = max((ceil(in/stride) - 1)*stride + k - in, 0), the smaller half first. */
static inline struct kern_conv bench_conv(const struct bench_layer *l)
{
    int out = (l->in + l->stride - 1) / l->stride, total = (out - 1) * l->stride + l->k - l->in,
        pad = total > 0 ? total / 2 : 0;
    return (struct kern_conv){.n = l->n,
                              .ih = l->in,
                              .iw = l->in,
                              .ic = l->ic,
                              .oh = out,
                              .ow = out,
                              .oc = l->oc,
                              .k = l->k,
                              .stride = l->stride,
                              .pad_top = pad,
                              .pad_left = pad};
}

#endif
