/* test_kernels.c - every row of kernels.def that this processor can run, against its reference.
 *
 * A check is a list of shapes and a function that calls the kernel with buffers from an arena:
 *
 *     in(a, n)  random floats     out(a, n)  compared afterwards     inout(a, n)  both (also: an aliased destination)
 *
 * Every buffer lies between bands of NaN: a read beyond an input shows in the result, a write beyond an output in the band.
 * Each shape runs with the reference and, under 1, 2 and 4 threads, with the row: close to the reference, and the same bits for
 * any number. A new row in kernels.def is tested without a change here; a new kernel needs a check_<name> to compile.
 *
 * Not here: matrix products and dense convolutions (test_gemm.c); extreme values, and whether the references themselves are
 * right (test_kernel_values.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/kern.h"
#include "tests/kernel_arena.h"

/* Vectors are 8 or 16 wide: 1, t-1, t, t+1, 2t of both, a prime, and more than a group of four vectors. */
static const int channels[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 67, 131};
#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- depthwise convolution ---- */

static struct kern_conv conv_of(const struct shape *s)
{
    struct kern_conv g = {.n = s->n, .ih = s->h, .iw = s->w, .ic = s->c, .oc = s->c, .k = s->k, .stride = s->stride};
    g.pad_top = s->pad_top, g.pad_left = s->pad_left;
    g.act = (enum kern_act)s->act;
    g.oh = (s->h - 1) / s->stride + 1, g.ow = (s->w - 1) / s->stride + 1;
    return g;
}
static size_t in_count(const struct kern_conv *g)
{
    return (size_t)g->n * g->ih * g->iw * g->ic;
}
static size_t out_count(const struct kern_conv *g)
{
    return (size_t)g->n * g->oh * g->ow * g->ic;
}

static void call_dwconv_fwd(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    if (s->flag & 1) g.bias = in(a, (size_t)s->c);
    if (s->flag & 2) g.residual = in(a, out_count(&g));
    ((kern_dwconv_fwd_f32 *)fn)(out(a, out_count(&g)), in(a, in_count(&g)), in(a, (size_t)s->k * s->k * s->c), &g);
}
static void call_dwconv_bwd_data(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    ((kern_dwconv_bwd_data_f32 *)fn)(out(a, in_count(&g)), in(a, out_count(&g)), in(a, (size_t)s->k * s->k * s->c), &g);
}
static void call_dwconv_bwd_weight(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    ((kern_dwconv_bwd_weight_f32 *)fn)(out(a, (size_t)s->k * s->k * s->c), in(a, in_count(&g)), in(a, out_count(&g)), &g,
                                       scratch(a, kern_dwconv_scratch(&g)));
}

/* Kernels 1..7, strides 1..3, images smaller than the kernel, of every tile remainder, and both padding rules. */
static void check_dwconv(const struct row *row, invoke *call)
{
    static const int sides[] = {1, 2, 3, 5, 7, 8, 12, 14, 15, 19};
    for (size_t ci = 0; ci < LENGTH(channels); ci++)
        for (int k = 1; k <= 7; k++)
            for (int stride = 1; stride <= 3; stride++) {
                size_t i = (ci + (size_t)k * 3 + (size_t)stride) % 10, j = (ci * 7 + (size_t)k + (size_t)stride * 2) % 10;
                struct shape s = {
                    2, sides[i], sides[j], channels[ci], k, stride, k / 2, k / 2, (int)(ci % KERN_ACTS), (int)(ci % 4), 0};
                compare(row, call, &s);
                /* TensorFlow's SAME: the smaller half first, often 0 above and 1 below at stride 2 */
                int total = ((s.h - 1) / stride) * stride + k - s.h, wide = ((s.w - 1) / stride) * stride + k - s.w;
                s.pad_top = total > 0 ? total / 2 : 0, s.pad_left = wide > 0 ? wide / 2 : 0;
                compare(row, call, &s);
            }
    for (size_t i = 0; i < LENGTH(sides); i++)
        for (int k = 3; k <= 5; k += 2)
            for (int stride = 1; stride <= 2; stride++) {
                struct shape s = {1, 9, sides[i], 35, k, stride, k / 2, k / 2, KERN_ACT_SILU, 3, 0};
                compare(row, call, &s);
            }
    /* large enough to be shared among threads */
    for (int k = 3; k <= 5; k += 2)
        for (int stride = 1; stride <= 2; stride++) {
            struct shape s = {3, 29, 28, 48, k, stride, (k - stride) / 2, (k - stride) / 2, KERN_ACT_SILU, 1, 0};
            compare(row, call, &s);
        }
}
static void check_dwconv_fwd(const struct row *row)
{
    check_dwconv(row, call_dwconv_fwd);
}
static void check_dwconv_bwd_data(const struct row *row)
{
    check_dwconv(row, call_dwconv_bwd_data);
}
static void check_dwconv_bwd_weight(const struct row *row)
{
    check_dwconv(row, call_dwconv_bwd_weight);
}

/* ---- max pooling ---- */

/* flag: the border counts as 0, which shows where a whole window lies below it. Every third value is the one before: ties. */
static float *in_ties(struct arena *a, size_t count, const struct shape *s)
{
    float *x = in(a, count);
    for (size_t i = 0; i < count; i++) x[i] = i % 3 == 2 ? x[i - 1] : x[i] - (float)(s->flag & 1) * 0.8f;
    return x;
}
static void call_maxpool_fwd(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    ((kern_maxpool_fwd_f32 *)fn)(out(a, out_count(&g)), in_ties(a, in_count(&g), s), &g, s->flag & 1);
}
static void call_maxpool_bwd(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    float *dy = in(a, out_count(&g));
    ((kern_maxpool_bwd_f32 *)fn)(out(a, in_count(&g)), dy, in_ties(a, in_count(&g), s), &g, s->flag & 1);
}
static void check_maxpool_fwd(const struct row *row)
{
    check_dwconv(row, call_maxpool_fwd);
}
static void check_maxpool_bwd(const struct row *row)
{
    check_dwconv(row, call_maxpool_bwd);
}

/* ---- packed weights ---- */

/* A tier's kernels read what its own pack made. */
static kernel *pack_of(kernel *fn)
{
    int count;
    const struct kern_row *rows = kern_rows(&count), *pack = NULL;
    const char *tier = "ref";
    for (int i = 0; i < count; i++)
        if (rows[i].run == fn) tier = rows[i].tier;
    for (int i = 0; i < count; i++)
        if (!strcmp(rows[i].name, "pack_f32") && (!pack || !strcmp(rows[i].tier, tier))) pack = &rows[i];
    return pack->run; /* OpenBLAS reads the reference's */
}

static float *packed(struct arena *a, kernel *fn, int oc, int ic, int k)
{
    float *w = in(a, (size_t)oc * ic * k * k), *scale = in(a, (size_t)oc), *p = scratch(a, kern_packed_floats(oc, ic, k));
    ((kern_pack_f32 *)pack_of(fn))(p, w, scale, oc, ic, k);
    return p;
}

/* n images of h x w, c channels in; pad_left is the number of channels out (pads are k/2). flag: 1 bias, 2 residual, 4 scale. */
static void call_conv_packed(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    g.oc = s->pad_left, g.pad_left = s->pad_top;
    size_t count = (size_t)g.n * g.oh * g.ow * g.oc;
    float *y = s->alias ? inout(a, count) : out(a, count);
    g.residual = s->alias ? y : s->flag & 2 ? in(a, count) : NULL;
    if (s->flag & 1) g.bias = in(a, (size_t)g.oc);
    if (s->flag & 4) g.scale = in(a, (size_t)g.n * g.ic);
    float *x = in(a, in_count(&g)), *w = packed(a, fn, g.oc, g.ic, g.k);
    ((kern_conv_packed_f32 *)fn)(y, x, w, &g, scratch(a, kern_packed_scratch(&g)));
}

/* Pointwise: rows around the heights of strips (6, 14), channels out around panels (16, 32), channels in beyond one block of k,
 * and weights beyond the second cache. Dense: kernels 1..5, strides 1..3. */
static void check_conv_packed(const struct row *row)
{
    static const int pixels[] = {1, 5, 6, 7, 13, 14, 15, 28, 29, 131}, outs[] = {1, 8, 15, 16, 17, 31, 32, 33, 64, 71};
    static const int ins[] = {1, 3, 8, 17, 67, 512, 513, 801};
    for (size_t i = 0; i < LENGTH(pixels); i++)
        for (size_t j = 0; j < LENGTH(outs); j++) {
            int variant = (int)(i * 3 + j * 5), act = variant % KERN_ACTS;
            struct shape s = {
                .n = 1 + variant % 3, .h = 1, .w = pixels[i], .c = ins[(i + j) % LENGTH(ins)], .k = 1, .stride = 1};
            s.pad_left = outs[j], s.act = act, s.flag = variant % 8;
            compare(row, call_conv_packed, &s);
            s.act = KERN_ACT_NONE, s.flag = 5, s.alias = 1;
            compare(row, call_conv_packed, &s);
        }
    for (int flag = 0; flag < 8; flag++) {
        struct shape large = {2, 3, 5, 700, 1, 1, 0, 260, flag % 2, flag, 0};
        compare(row, call_conv_packed, &large);
    }
    for (int k = 1; k <= 5; k++)
        for (int stride = 1; stride <= 3; stride++)
            for (size_t j = 0; j < LENGTH(outs); j += 2) {
                struct shape s = {2, 7 + k, 17 + (int)j, 3 + (int)j, k, stride, k / 2, outs[j], (int)j % KERN_ACTS, k % 4, 0};
                if (k > 1 || stride > 1) compare(row, call_conv_packed, &s);
            }
    struct shape wide = {1, 70, 70, 5, 3, 2, 0, 40, KERN_ACT_SILU, 1, 0};
    compare(row, call_conv_packed, &wide);
}

/* What pack writes is its own affair; that the kernels understand it is tested with them. Here: nothing outside, zeros for what is
 * beyond the channels, so that the sum over everything is that of the scaled weights. */
static void call_pack(kernel *fn, struct arena *a, const struct shape *s)
{
    float *total = out(a, 1), *w = in(a, (size_t)s->n * s->c * s->k * s->k), *scale = s->flag ? in(a, (size_t)s->n) : NULL;
    size_t count = kern_packed_floats(s->n, s->c, s->k);
    float *p = scratch(a, count);
    double sum = 0;
    ((kern_pack_f32 *)fn)(p, w, scale, s->n, s->c, s->k);
    for (size_t i = 0; i < count; i++) sum += isnan(p[i]) ? 0 : p[i]; /* a layout may need less room than it is given */
    *total = (float)sum;
}
static void check_pack(const struct row *row)
{
    for (size_t i = 0; i < LENGTH(channels); i++)
        for (int k = 1; k <= 3; k++) {
            struct shape s = {.n = channels[i], .c = channels[LENGTH(channels) - 1 - i] + 120, .k = k, .flag = k & 1};
            compare(row, call_pack, &s);
        }
}

/* pad_left is the number of channels before the expansion, 0: none. flag: 1 its bias, 2 the other bias. */
static void call_expand_dw(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_conv g = conv_of(s);
    g.pad_left = s->alias ? s->pad_top : ((g.ow - 1) * s->stride + s->k - s->w) / 2;
    if (g.pad_left < 0) g.pad_left = 0;
    struct kern_expand e = {.dw = g, .ic = s->pad_left, .act = (enum kern_act)((s->act + 1) % KERN_ACTS)};
    if (s->pad_left) e.weight = packed(a, fn, g.ic, s->pad_left, 1);
    float *y = out(a, out_count(&g)), *sums = out(a, (size_t)g.n * kern_expand_strips(&e) * g.ic);
    if (s->pad_left && s->flag & 1) e.bias = in(a, (size_t)g.ic);
    if (s->flag & 2) e.dw.bias = in(a, (size_t)g.ic);
    float *x = in(a, (size_t)g.n * g.ih * g.iw * (e.weight ? e.ic : g.ic)), *w = packed(a, fn, g.ic, 1, g.k);
    ((kern_expand_dw_f32 *)fn)(y, sums, x, w, &e, scratch(a, kern_expand_scratch(&e)));
}

/* Kernels up to KERN_EXPAND_K_MAX, strides 1..3, images smaller than the kernel and of several strips, both padding rules. */
static void check_expand_dw(const struct row *row)
{
    static const int sides[] = {1, 2, 3, 5, 7, 8, 12, 14, 15, 19};
    for (size_t ci = 0; ci < LENGTH(channels); ci++)
        for (int k = 1; k <= KERN_EXPAND_K_MAX; k++)
            for (int stride = 1; stride <= 3; stride++) {
                size_t i = (ci + (size_t)k * 3 + (size_t)stride) % 10, j = (ci * 7 + (size_t)k + (size_t)stride * 2) % 10;
                struct shape s = {
                    2, sides[i], sides[j], channels[ci], k, stride, k / 2, 0, (int)(ci % KERN_ACTS), (int)(ci % 4), 0};
                if (ci % 3) s.pad_left = 1 + (int)(ci * 11 + (size_t)k) % 40;
                s.alias = (int)(i + j) % 2;
                compare(row, call_expand_dw, &s);
            }
    for (int k = 3; k <= 5; k += 2)
        for (int stride = 1; stride <= 2; stride++) {
            struct shape tall = {1, 95, 23, 24, k, stride, (k - stride) / 2, 12, KERN_ACT_SILU, 3, 0};
            compare(row, call_expand_dw, &tall);
            tall.pad_left = 0;
            compare(row, call_expand_dw, &tall);
        }
}

/* Values beyond ReLU6's upper corner, where that is what is tested. */
static float *stretched(float *x, size_t count, const struct shape *s)
{
    for (size_t i = 0; i < count && s->act == KERN_ACT_RELU6; i++) x[i] *= 8;
    return x;
}

/* ---- batch norm and per-channel work ---- */

/* Below, at and above a strip and a chunk; the last with enough elements to be shared among threads. */
static const int row_counts[] = {1, 2, 15, 16, 17, 65, 331, 2111};

/* x far from 0: what shifted sums are for. flag: how far. */
static float *in_far(struct arena *a, size_t count, float far)
{
    float *x = in(a, count);
    for (size_t i = 0; i < count; i++) x[i] += far;
    return x;
}
static void call_bn_stats(kernel *fn, struct arena *a, const struct shape *s)
{
    float *x = in_far(a, (size_t)s->n * s->c, (float)s->flag), *sums = scratch(a, kern_rows_scratch(s->c));
    float *mean = out(a, (size_t)s->c), *var = out(a, (size_t)s->c);
    ((kern_bn_stats_f32 *)fn)(mean, var, x, s->n, s->c, sums);
}
static void call_colsum(kernel *fn, struct arena *a, const struct shape *s)
{
    ((kern_colsum_f32 *)fn)(out(a, (size_t)s->c), in(a, (size_t)s->n * s->c), s->n, s->c, scratch(a, kern_rows_scratch(s->c)));
}
static void call_affine_act(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->c;
    float *x = stretched(s->alias ? inout(a, count) : in(a, count), count, s), *y = s->alias ? x : out(a, count);
    float *scale = s->flag & 1 ? in(a, (size_t)s->c) : NULL, *shift = s->flag & 2 ? in(a, (size_t)s->c) : NULL;
    ((kern_affine_act_f32 *)fn)(y, x, scale, shift, (enum kern_act)s->act, s->n, s->c);
}
static struct kern_bn bn_of(struct arena *a, const struct shape *s)
{
    struct kern_bn bn = {.rows = s->n, .c = s->c, .act = (enum kern_act)s->act, .frozen = s->flag & 1};
    size_t c = (size_t)s->c;
    bn.mean = in(a, c), bn.rstd = in_far(a, c, 2), bn.gamma = in(a, c), bn.beta = in(a, c);
    return bn;
}
static void call_bn_bwd_reduce(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->c;
    struct kern_bn bn = bn_of(a, s);
    if (s->flag & 2) {
        bn.pixels = s->n % 3 ? 5 : 49;
        const size_t images = ((size_t)s->n + (size_t)bn.pixels - 1) / (size_t)bn.pixels * (size_t)s->c;
        bn.gate = in(a, images), bn.pooled = in(a, images);
    }
    float *dy = s->alias ? inout(a, count) : in(a, count), *dz = s->alias ? dy : out(a, count),
          *x = stretched(in(a, count), count, s);
    float *dgamma = out(a, (size_t)s->c), *dbeta = out(a, (size_t)s->c);
    ((kern_bn_bwd_reduce_f32 *)fn)(dz, dgamma, dbeta, dy, x, &bn, scratch(a, kern_rows_scratch(s->c)));
}
static void call_bn_bwd_apply(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->c;
    struct kern_bn bn = bn_of(a, s);
    float *dz = s->alias ? inout(a, count) : in(a, count), *dx = s->alias ? dz : out(a, count);
    /* frozen: the header says unused */
    float *x = bn.frozen ? NULL : in(a, count), *dgamma = bn.frozen ? NULL : in(a, (size_t)s->c),
          *dbeta = bn.frozen ? NULL : in(a, (size_t)s->c);
    ((kern_bn_bwd_apply_f32 *)fn)(dx, dz, x, dgamma, dbeta, &bn);
}

/* Rows x channels under every flag below `flags`, every activation below `acts`, and both aliasings if allowed. */
static void check_rows(const struct row *row, invoke *call, int flags, int acts, int aliases)
{
    for (size_t i = 0; i < LENGTH(row_counts); i++)
        for (size_t ci = 0; ci < LENGTH(channels); ci++)
            for (int variant = 0; variant < flags * acts * aliases; variant++) {
                struct shape s = {.n = row_counts[i], .c = channels[ci]};
                s.flag = variant % flags, s.act = variant / flags % acts, s.alias = variant / flags / acts;
                if (s.n > 500 && s.c != 67 && s.c != 131) continue;
                compare(row, call, &s);
            }
}
static void check_bn_stats(const struct row *row)
{
    check_rows(row, call_bn_stats, 2, 1, 1);
    /* A mean a thousand times the spread: naive sums of squares would lose every digit of the variance. */
    struct shape far = {.n = 331, .c = 35, .flag = 1000};
    compare(row, call_bn_stats, &far);
}
static void check_colsum(const struct row *row)
{
    check_rows(row, call_colsum, 1, 1, 1);
}
static void check_affine_act(const struct row *row)
{
    check_rows(row, call_affine_act, 4, KERN_ACTS, 2);
}
static void check_bn_bwd_reduce(const struct row *row)
{
    check_rows(row, call_bn_bwd_reduce, 4, KERN_ACTS, 2);
}
static void check_bn_bwd_apply(const struct row *row)
{
    check_rows(row, call_bn_bwd_apply, 2, 1, 2);
}

/* ---- per-image maps ---- */

static void call_pool_fwd(kernel *fn, struct arena *a, const struct shape *s)
{
    ((kern_pool_fwd_f32 *)fn)(out(a, (size_t)s->n * s->c), in(a, (size_t)s->n * s->h * s->c), s->n, s->h, s->c,
                              s->flag ? 7 : s->h);
}
static void call_pool_bwd(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->h * s->c;
    ((kern_pool_bwd_f32 *)fn)(s->flag ? inout(a, count) : out(a, count), in(a, (size_t)s->n * s->c), s->n, s->h, s->c, s->flag);
}
static void call_scale(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->h * s->c;
    float *x = s->alias ? inout(a, count) : in(a, count), *y = s->alias ? x : out(a, count);
    ((kern_scale_f32 *)fn)(y, x, in(a, (size_t)s->n * s->c), s->n, s->h, s->c);
}
static void call_scale_bwd_s(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->h * s->c;
    ((kern_scale_bwd_s_f32 *)fn)(out(a, (size_t)s->n * s->c), in(a, count), in(a, count), s->n, s->h, s->c);
}
static void call_residual(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t each = (size_t)s->h * s->c, count = (size_t)s->n * each;
    float *x = s->alias == 1 ? inout(a, count) : in(a, count), *r = s->alias == 2 ? inout(a, count)
                                                                    : s->flag & 1 ? in(a, count)
                                                                                  : NULL;
    float *y = s->alias == 1 ? x : s->alias == 2 ? r : out(a, count), *scale = s->flag & 2 ? in(a, (size_t)s->n) : NULL;
    ((kern_residual_f32 *)fn)(y, x, r, scale, s->n, (int)each);
}

/* Images x pixels x channels: few and many images, pixels below and above a strip and several chunks. */
static void check_images(const struct row *row, invoke *call, int flags, int aliases)
{
    static const int pixels[] = {1, 15, 17, 49, 257, 900};
    for (size_t i = 0; i < LENGTH(pixels); i++)
        for (size_t ci = 0; ci < LENGTH(channels); ci++)
            for (int variant = 0; variant < flags * aliases; variant++) {
                struct shape s = {.n = (ci + i) % 2 ? 3 : 1, .h = pixels[i], .c = channels[ci]};
                s.flag = variant % flags, s.alias = variant / flags;
                compare(row, call, &s);
            }
    for (int n = 1; n <= 9; n += 8) {
        struct shape shared = {.n = n, .h = 1283, .c = 37};
        compare(row, call, &shared);
    }
}
static void check_pool_fwd(const struct row *row)
{
    check_images(row, call_pool_fwd, 2, 1);
}
static void check_pool_bwd(const struct row *row)
{
    check_images(row, call_pool_bwd, 2, 1);
}
static void check_scale(const struct row *row)
{
    check_images(row, call_scale, 1, 2);
}
static void check_scale_bwd_s(const struct row *row)
{
    check_images(row, call_scale_bwd_s, 1, 1);
}
static void check_residual(const struct row *row)
{
    check_images(row, call_residual, 4, 3);
}

/* ---- elementwise and optimisers ---- */

/* Around a vector, a block of work (16384) and the size from which work is shared (32768). */
static const int counts[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 997, 16383, 16385, 40009};

static void call_act_fwd(kernel *fn, struct arena *a, const struct shape *s)
{
    float *x = stretched(s->alias ? inout(a, (size_t)s->n) : in(a, (size_t)s->n), (size_t)s->n, s);
    float *y = s->alias ? x : out(a, (size_t)s->n);
    ((kern_act_fwd_f32 *)fn)(y, x, (enum kern_act)s->act, (size_t)s->n);
}
static void call_act_bwd(kernel *fn, struct arena *a, const struct shape *s)
{
    float *dy = s->alias ? inout(a, (size_t)s->n) : in(a, (size_t)s->n), *dx = s->alias ? dy : out(a, (size_t)s->n);
    ((kern_act_bwd_f32 *)fn)(dx, dy, stretched(in(a, (size_t)s->n), (size_t)s->n, s), (enum kern_act)s->act, (size_t)s->n);
}
static void call_binary(kernel *fn, struct arena *a, const struct shape *s)
{
    float *one = s->alias == 1 ? inout(a, (size_t)s->n) : in(a, (size_t)s->n);
    float *two = s->alias == 2 ? inout(a, (size_t)s->n) : in(a, (size_t)s->n);
    float *y = s->alias == 1 ? one : s->alias == 2 ? two : out(a, (size_t)s->n);
    ((kern_mul_f32 *)fn)(y, one, two, (size_t)s->n); /* kern_add_f32 is the same type */
}
static void call_adamw(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t n = (size_t)s->n;
    /* flag: the first step, when v is still 0 and the corrections are largest */
    struct kern_adamw step = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.02f, .g_scale = 0.5f};
    step.bias1 = s->flag ? 0.1f : 0.9f, step.bias2 = s->flag ? 0.001f : 0.5f;
    float *w = inout(a, n), *m = inout(a, n), *v = inout(a, n), *g = in(a, n);
    for (size_t i = 0; i < n; i++) v[i] = s->flag ? 0 : fabsf(v[i]);
    ((kern_adamw_f32 *)fn)(w, m, v, g, n, &step);
}
static void call_sgd(kernel *fn, struct arena *a, const struct shape *s)
{
    struct kern_sgd step = {.lr = 0.1f, .momentum = 0.9f, .decay = 0.05f, .g_scale = 0.5f, .nesterov = s->flag};
    float *w = inout(a, (size_t)s->n), *m = inout(a, (size_t)s->n);
    ((kern_sgd_f32 *)fn)(w, m, in(a, (size_t)s->n), (size_t)s->n, &step);
}
static void call_rmsprop(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t n = (size_t)s->n;
    struct kern_rmsprop step = {.lr = 0.01f, .alpha = 0.9f, .momentum = 0.9f, .eps = 1e-3f, .decay = 0.02f, .g_scale = 0.5f};
    float *w = inout(a, n), *m = inout(a, n), *v = inout(a, n);
    for (size_t i = 0; i < n; i++) v[i] = s->flag ? 1 : fabsf(v[i]); /* flag: the first step */
    ((kern_rmsprop_f32 *)fn)(w, m, v, in(a, n), n, &step);
}
static void call_lion(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t n = (size_t)s->n;
    struct kern_lion step = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.2f, .g_scale = 0.5f};
    float *w = inout(a, n), *m = inout(a, n), *g = in(a, n);
    for (size_t i = 0; i < n && s->flag; i += 3) g[i] = m[i] = 0; /* which has no sign */
    ((kern_lion_f32 *)fn)(w, m, g, n, &step);
}
static void call_lerp(kernel *fn, struct arena *a, const struct shape *s)
{
    float *y = inout(a, (size_t)s->n);
    ((kern_lerp_f32 *)fn)(y, in(a, (size_t)s->n), s->flag ? 0.9999f : 0, (size_t)s->n);
}
static void call_sumsq(kernel *fn, struct arena *a, const struct shape *s)
{
    double sum = NAN;
    float *x = in(a, (size_t)s->n), *result = out(a, 1);
    ((kern_sumsq_f32 *)fn)(&sum, x, (size_t)s->n);
    *result = (float)sum;
}

static void check_counts(const struct row *row, invoke *call, int flags, int acts, int aliases)
{
    for (size_t i = 0; i < LENGTH(counts); i++)
        for (int variant = 0; variant < flags * acts * aliases; variant++) {
            struct shape s = {.n = counts[i]};
            s.flag = variant % flags, s.act = variant / flags % acts, s.alias = variant / flags / acts;
            compare(row, call, &s);
        }
}
#define CHECK_COUNTS(name, call, flags, acts, aliases)                                                                         \
    static void check_##name(const struct row *row)                                                                            \
    {                                                                                                                          \
        check_counts(row, call, flags, acts, aliases);                                                                         \
    }
CHECK_COUNTS(act_fwd, call_act_fwd, 1, KERN_ACTS, 2)
CHECK_COUNTS(act_bwd, call_act_bwd, 1, KERN_ACTS, 2)
CHECK_COUNTS(mul, call_binary, 1, 1, 3)
CHECK_COUNTS(add, call_binary, 1, 1, 3)
CHECK_COUNTS(adamw, call_adamw, 2, 1, 1)
CHECK_COUNTS(sgd, call_sgd, 2, 1, 1)
CHECK_COUNTS(rmsprop, call_rmsprop, 2, 1, 1)
CHECK_COUNTS(lion, call_lion, 2, 1, 1)
CHECK_COUNTS(lerp, call_lerp, 2, 1, 1)
CHECK_COUNTS(sumsq, call_sumsq, 1, 1, 1)

/* ---- loss ---- */

static void call_softmax(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->c;
    float *l = s->alias ? inout(a, count) : in(a, count), *p = s->alias ? l : out(a, count);
    for (size_t i = 0; i < count; i++) l[i] *= s->flag ? 1000 : 5; /* large: an exponential without the maximum overflows */
    ((kern_softmax_f32 *)fn)(p, l, s->n, s->c);
}
static void call_xent(kernel *fn, struct arena *a, const struct shape *s)
{
    size_t count = (size_t)s->n * s->c;
    float *l = s->alias ? inout(a, count) : in(a, count), *d = s->alias ? l : s->flag ? NULL : out(a, count);
    float *q = in(a, count), *result = out(a, 1);
    double loss = NAN;
    for (size_t i = 0; i < count; i++) q[i] = fabsf(q[i]);
    ((kern_xent_f32 *)fn)(&loss, d, l, q, 1.0 / s->n, s->n, s->c);
    *result = (float)loss;
}
static void check_classes(const struct row *row, invoke *call)
{
    for (size_t ci = 0; ci < LENGTH(channels); ci++)
        for (int variant = 0; variant < 4; variant++) {
            struct shape s = {.n = 5, .c = channels[ci], .flag = variant % 2, .alias = variant / 2};
            compare(row, call, &s);
        }
}
static void check_softmax(const struct row *row)
{
    check_classes(row, call_softmax);
}
static void check_xent(const struct row *row)
{
    check_classes(row, call_xent);
}

/* ---- rows ---- */

/* Tested in test_gemm.c. */
#define check_gemm NULL
#define check_conv_fwd NULL
#define check_conv_bwd_data NULL
#define check_conv_bwd_weight NULL
/* Tested in test_kernels_u8.c. */
#define check_resize_rows NULL
#define check_resize_cols NULL

static const struct row rows[] = {
#define KERNEL(name, type, tier, cpu)                                                                                          \
    {#name, #tier, cpu, (kernel *)kern_##name##_##type##_##tier, (kernel *)kern_##name##_##type##_ref, check_##name},
#include "kernels/kernels.def"
#undef KERNEL
};

/* Every row that this processor can run agrees with its reference. */
static void rows_agree(void **state)
{
    (void)state;
    unsigned have = kern_features();
    for (size_t i = 0; i < LENGTH(rows); i++)
        if (rows[i].check && rows[i].fn != rows[i].ref && (have & rows[i].needs) == rows[i].needs) rows[i].check(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
