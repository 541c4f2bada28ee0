/* dwconv_body.h - depthwise convolution over vectors of channels; included by dwconv_avx2.c and dwconv_avx512.c.
 *
 * The forward pass and the gradient of the input are one algorithm, a sliding product along a line of one output row:
 *
 *     out[m] = bias + sum over rows r < line.rows, taps t < K of  in[r][m*S + first + t] * w[r][t]        m < line.count
 *
 *   forward                 out = row p of y,  in = rows of x,  S = stride, K = k
 *   gradient of the input   out = columns par, par+stride, ... of row i of dx (one line per residue), in = rows of dy, S = 1,
 *                           K = the taps t = (par + pad_left) mod stride, + stride, ...; weights run backwards
 *
 * One vector of channels and Q outputs are kept in registers; each input vector is loaded once per row and feeds up to K:
 *
 *     in    x0 x1 x2 x3 x4 x5 x6 x7 x8 x9       Q = 8, K = 3, S = 1: 10 loads, 24 multiply-adds
 *           '--.--'        '--.--'
 *     out     y0 y1 .. y5 .. y7                 a tile over the image's edge skips columns by a bit mask
 *
 * A line's pixels lie the width of a whole map apart, which no processor's own prefetching follows: a line asks for the row that the next one will need
 * (B4 at 380, batch 8: a sixth less time forward and backward).
 *
 * Sums run over r, then t, whatever Q is, so that neighbours agree bit for bit however the line is cut. Work is shared over
 * (image, group of output rows); inside, GROUP vectors of channels at a time, so that the rows of a window stay in the first
 * cache.
 *
 * The gradient of the weight keeps K*K sums in registers along an output row, adds them to its chunk's partial gradient, and
 * the partials in chunk order.
 *
 * Not here: what it means (dwconv_ref.c); dense convolution. */
#include "kernels/vec_act.h"

enum { GROUP = 4 }; /* vectors of channels between two steps to the next row */

/* Steps are in floats and may be negative. */
struct line {
    const float *in, *w, *bias, *residual; /* in: row 0, column 0; w: row 0, tap 0; residual like out */
    float *out;
    ptrdiff_t in_row, in_col, w_row, w_tap, out_col;
    const float *ahead; /* the first row that the next line will need and this one does not; fetched meanwhile */
    int ahead_rows;
    int rows, taps, step, first, width, count; /* step: S; width: input columns */
    enum kern_act act;
};

/* Finishes Q outputs that the sums were stored to. */
INLINE void finish(const struct line *l, int m, ptrdiff_t lanes, int Q)
{
    for (int q = 0; q < Q; q++) {
        ptrdiff_t at = (m + q) * l->out_col;
        vf y = v_act(l->act, v_load(l->out + at, lanes));
        if (l->residual) y = v_add(y, v_load(l->residual + at, lanes));
        v_store(l->out + at, y, lanes);
    }
}

/* A function of its own: inlined into every tile, the activations would be most of this file's code. */
static __attribute__((noinline)) void epilogue(const struct line *l, int m, ptrdiff_t lanes, int Q)
{
    if (l->act == KERN_ACT_NONE && !l->residual) return;
    if (lanes >= VW)
        finish(l, m, VW, Q);
    else
        finish(l, m, lanes, Q);
}

/* Outputs m .. m+Q-1; bit j of `inside` says whether the tile's input column j lies in the image. */
INLINE void tile(const struct line *l, int m, unsigned inside, ptrdiff_t lanes, const int K, const int S, const int Q)
{
    const unsigned all = (1u << ((Q - 1) * S + K)) - 1;
    const ptrdiff_t in_col = l->in_col, w_tap = l->w_tap, in_row = l->in_row, w_row = l->w_row;
    const float *in = l->in, *w = l->w;
    const ptrdiff_t first = (ptrdiff_t)(m * S + l->first) * in_col;

    vf sum[8], tap[5], start = l->bias ? v_load(l->bias, lanes) : v_set(0);
    UNROLL
    for (int q = 0; q < Q; q++) sum[q] = start;

    for (int r = 0; r < l->ahead_rows; r++) UNROLL
    for (int j = 0; j < Q * S; j++) __builtin_prefetch(l->ahead + r * in_row + (m * S + j) * in_col);

    for (int r = l->rows; r > 0; r--, in += in_row, w += w_row) {
        UNROLL
        for (int t = 0; t < K; t++) tap[t] = v_load(w + t * w_tap, lanes);
        ptrdiff_t at = first;
        UNROLL
        for (int j = 0; j < (Q - 1) * S + K; j++, at += in_col) {
            if (inside != all && !(inside >> j & 1)) continue;
            vf x = v_load(in + at, lanes);
            UNROLL
            for (int q = 0; q < Q; q++)
                if (j - q * S >= 0 && j - q * S < K) sum[q] = v_fma(x, tap[j - q * S], sum[q]);
        }
    }
    UNROLL
    for (int q = 0; q < Q; q++) v_store(l->out + (m + q) * l->out_col, sum[q], lanes);
    epilogue(l, m, lanes, Q);
}

/* The tile at m: without a test per column where all of them are in the image. */
INLINE void place(const struct line *l, int m, ptrdiff_t lanes, const int K, const int S, const int Q)
{
    const int span = (Q - 1) * S + K, first = m * S + l->first;
    const unsigned all = (1u << span) - 1;
    if (first >= 0 && first + span <= l->width) {
        tile(l, m, all, lanes, K, S, Q);
    } else {
        unsigned inside = 0;
        for (int j = 0; j < span; j++) inside |= (unsigned)(first + j >= 0 && first + j < l->width) << j;
        tile(l, m, inside, lanes, K, S, Q);
    }
}

/* Multiples of 7 are common widths (224 = 32 * 7) and go in sevens, all others in eights; few channels share one small tile. */
INLINE void walk(const struct line *l, ptrdiff_t lanes, const int K, const int S)
{
    int m = 0;
    if (lanes < VW) {
        for (; m + 4 <= l->count; m += 4) place(l, m, lanes, K, S, 4);
    } else {
        if (l->count % 7 == 0)
            for (; m < l->count; m += 7) place(l, m, VW, K, S, 7);
        for (; m + 8 <= l->count; m += 8) place(l, m, VW, K, S, 8);
        if (m + 4 <= l->count) place(l, m, VW, K, S, 4), m += 4;
        if (m + 2 <= l->count) place(l, m, VW, K, S, 2), m += 2;
    }
    for (; m < l->count; m++) place(l, m, lanes, K, S, 1);
}

typedef void walker(const struct line *l, ptrdiff_t lanes);

/* A walker per (taps, step), so that both are constants to the compiler: once for whole vectors, once for the last channels. */
#define WALKER(K, S)                                                                                                           \
    static void walk_##K##_##S(const struct line *l, ptrdiff_t lanes)                                                          \
    {                                                                                                                          \
        if (lanes >= VW)                                                                                                       \
            walk(l, VW, K, S);                                                                                                 \
        else                                                                                                                   \
            walk(l, lanes, K, S);                                                                                              \
    }
WALKER(1, 1)
WALKER(2, 1)
WALKER(3, 1)
WALKER(5, 1)
WALKER(3, 2)
WALKER(5, 2)

/* Any number of taps and any step, an output at a time: the same sums, slower. */
static void walk_any(const struct line *l, ptrdiff_t lanes)
{
    for (int m = 0; m < l->count; m++) {
        vf sum = l->bias ? v_load(l->bias, lanes) : v_set(0);
        for (int r = 0; r < l->rows; r++)
            for (int t = 0, j = m * l->step + l->first; t < l->taps; t++, j++)
                if (j >= 0 && j < l->width)
                    sum = v_fma(v_load(l->in + r * l->in_row + j * l->in_col, lanes),
                                v_load(l->w + r * l->w_row + t * l->w_tap, lanes), sum);
        v_store(l->out + m * l->out_col, sum, lanes);
        epilogue(l, m, lanes, 1);
    }
}

static walker *choose_walker(int taps, int step)
{
    if (step == 1) switch (taps) {
        case 1: return walk_1_1;
        case 2: return walk_2_1;
        case 3: return walk_3_1;
        case 5: return walk_5_1;
        }
    if (step == 2 && taps == 3) return walk_3_2;
    if (step == 2 && taps == 5) return walk_5_2;
    return walk_any;
}

/* Walks a line for channels [c, end), a vector at a time. */
static void walk_channels(struct line l, int c, int end)
{
    walker *walk_line = choose_walker(l.taps, l.step);
    l.in += c, l.w += c, l.out += c, l.ahead += c;
    if (l.bias) l.bias += c;
    if (l.residual) l.residual += c;
    for (; c < end; c += VW) {
        walk_line(&l, end - c);
        l.in += VW, l.w += VW, l.out += VW, l.ahead += VW;
        if (l.bias) l.bias += VW;
        if (l.residual) l.residual += VW;
    }
}

/* Rows of one task: enough that the k-1 rows at its edges, which two tasks read and nothing fetched ahead, matter little, few enough to share
 * out one image, or SHARES tasks in all of a batch. */
static int rows_per_task(int rows, int n)
{
    enum { SHARES = 16 };
    int parts = (SHARES + n - 1) / n, few = rows >= 56 ? 7 : rows >= 14 ? 4 : 2, many = (rows + parts - 1) / parts;
    return few > many ? few : many;
}

/* Small work is not worth waking a team for (about 5 us). Multiply-adds. */
static bool worth_sharing(const struct kern_conv *s)
{
    return (double)s->n * s->oh * s->ow * s->ic * s->k * s->k > 400e3;
}

/* Row p of image n of the output. */
static void fwd_row(float *y, const float *x, const float *w, const struct kern_conv *s, int n, int p, bool more, int c,
                    int end)
{
    ptrdiff_t out = ((ptrdiff_t)n * s->oh + p) * s->ow * s->ic;
    int i = p * s->stride - s->pad_top; /* input row of tap 0 */
    int top = i < 0 ? -i : 0, bottom = least(s->k, s->ih - i);
    struct line l = {
        .bias = s->bias,
        .residual = s->residual ? s->residual + out : NULL,
        .out = y + out,
        .in_row = (ptrdiff_t)s->iw * s->ic,
        .in_col = s->ic,
        .w_row = (ptrdiff_t)s->k * s->ic,
        .w_tap = s->ic,
        .out_col = s->ic,
        .rows = bottom > top ? bottom - top : 0,
        .taps = s->k,
        .step = s->stride,
        .first = -s->pad_left,
        .width = s->iw,
        .count = s->ow,
        .act = s->act,
    };
    l.ahead = x + ((ptrdiff_t)n * s->ih + i + s->k) * l.in_row;
    l.ahead_rows = more ? least(s->stride, s->ih - i - s->k) : 0;
    l.in = l.rows ? x + ((ptrdiff_t)n * s->ih + i + top) * l.in_row : x;
    l.w = l.rows ? w + top * l.w_row : w;
    walk_channels(l, c, end);
}

/* What the passes over rows work on: y of x, or dx of dy. A task is `step` rows of an image. */
struct rows {
    float *out;
    const float *in, *w;
    const struct kern_conv *s;
    int step, groups; /* groups: tasks of an image */
};

static struct rows rows_of(float *out, const float *in, const float *w, const struct kern_conv *s, int height)
{
    const int step = rows_per_task(height, s->n);
    return (struct rows){out, in, w, s, step, (height + step - 1) / step};
}

static void fwd_tasks(const void *work, int first, int end, int place)
{
    const struct rows *r = work;
    const struct kern_conv *s = r->s;
    (void)place;
    for (int task = first; task < end; task++) {
        int n = task / r->groups, p = task % r->groups * r->step, last = least(p + r->step, s->oh);
        for (int c = 0; c < s->ic; c += GROUP * VW)
            for (int row = p; row < last; row++)
                fwd_row(r->out, r->in, r->w, s, n, row, row + 1 < last, c, least(c + GROUP * VW, s->ic));
    }
}

void TIER(kern_dwconv_fwd_f32)(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s)
{
    const struct rows r = rows_of(y, x, w, s, s->oh);
    kern_share(fwd_tasks, &r, s->n * r.groups, 1, worth_sharing(s));
}

/* Row i of image n of dx: one line per residue of the column modulo the stride. */
static void bwd_row(float *dx, const float *dy, const float *w, const struct kern_conv *s, int n, int i, bool more, int c,
                    int end)
{
    /* Output rows p whose tap r = i + pad_top - p*stride is one of 0..k-1. */
    int high = i + s->pad_top, low = high - (s->k - 1);
    int p = low <= 0 ? 0 : (low + s->stride - 1) / s->stride, last = least(high / s->stride, s->oh - 1);
    int rows = last >= p ? last - p + 1 : 0;

    for (int par = 0; par < least(s->stride, s->iw); par++) {
        int t = (par + s->pad_left) % s->stride; /* least tap that reaches these columns; then every stride-th */
        int taps = t < s->k ? (s->k - 1 - t) / s->stride + 1 : 0;
        struct line l = {
            .in = dy,
            .w = w,
            .out = dx + (((ptrdiff_t)n * s->ih + i) * s->iw + par) * s->ic,
            .in_row = (ptrdiff_t)s->ow * s->ic,
            .in_col = s->ic,
            .w_row = -(ptrdiff_t)s->stride * s->k * s->ic,
            .w_tap = -(ptrdiff_t)s->stride * s->ic,
            .out_col = (ptrdiff_t)s->stride * s->ic,
            .rows = taps ? rows : 0,
            .taps = taps,
            .step = 1,
            .first = (par + s->pad_left - t) / s->stride - (taps - 1),
            .width = s->ow,
            .count = (s->iw - par - 1) / s->stride + 1,
        };
        l.ahead = dy + ((ptrdiff_t)n * s->oh + last + 1) * l.in_row;
        l.ahead_rows = more && last + 1 < s->oh && !par && (high + 1) / s->stride > last ? 1 : 0;
        if (l.rows) {
            l.in += ((ptrdiff_t)n * s->oh + p) * l.in_row;
            l.w += ((ptrdiff_t)(high - p * s->stride) * s->k + t + (taps - 1) * s->stride) * s->ic;
        }
        walk_channels(l, c, end);
    }
}

static void bwd_tasks(const void *work, int first, int end, int place)
{
    const struct rows *r = work;
    const struct kern_conv *s = r->s;
    (void)place;
    for (int task = first; task < end; task++) {
        int n = task / r->groups, i = task % r->groups * r->step, last = least(i + r->step, s->ih);
        for (int c = 0; c < s->ic; c += GROUP * VW)
            for (int row = i; row < last; row++)
                bwd_row(r->out, r->in, r->w, s, n, row, row + 1 < last, c, least(c + GROUP * VW, s->ic));
    }
}

void TIER(kern_dwconv_bwd_data_f32)(float *restrict dx, const float *restrict dy, const float *restrict w,
                                    const struct kern_conv *s)
{
    const struct rows r = rows_of(dx, dy, w, s, s->ih);
    kern_share(bwd_tasks, &r, s->n * r.groups, 1, worth_sharing(s));
}

/* dw[r][t] += sum_q dy[q] * x[r][q*stride + t - pad_left] for R rows of taps; x is the row of the first, column 0. */
INLINE void weight_row(float *dw, const float *x, const float *dy, const struct kern_conv *s, ptrdiff_t lanes, const int R,
                       const int K)
{
    const ptrdiff_t c = s->ic, row = (ptrdiff_t)s->iw * c;
    vf sum[25];
    UNROLL
    for (int i = 0; i < R * K; i++) sum[i] = v_set(0);

    int q = 0, j = -s->pad_left;
    for (; q < s->ow && j < 0; q++, j += s->stride) UNROLL
    for (int t = 0; t < K; t++)
        if ((unsigned)(j + t) < (unsigned)s->iw) UNROLL
    for (int r = 0; r < R; r++)
        sum[r * K + t] = v_fma(v_load(dy + q * c, lanes), v_load(x + r * row + (j + t) * c, lanes), sum[r * K + t]);
    for (; q < s->ow && j + K <= s->iw; q++, j += s->stride) {
        vf d = v_load(dy + q * c, lanes);
        if (R == K) { /* what the next row will need and this one does not */
            __builtin_prefetch(dy + (q + s->ow) * c);
            __builtin_prefetch(x + R * row + j * c);
            if (s->stride == 2) {
                __builtin_prefetch(x + R * row + (j + 1) * c);
                __builtin_prefetch(x + (R + 1) * row + j * c);
                __builtin_prefetch(x + (R + 1) * row + (j + 1) * c);
            }
        }
        UNROLL
        for (int r = 0; r < R; r++) UNROLL
        for (int t = 0; t < K; t++) sum[r * K + t] = v_fma(d, v_load(x + r * row + (j + t) * c, lanes), sum[r * K + t]);
    }
    for (; q < s->ow; q++, j += s->stride) UNROLL
    for (int t = 0; t < K; t++)
        if (j + t < s->iw) UNROLL
    for (int r = 0; r < R; r++)
        sum[r * K + t] = v_fma(v_load(dy + q * c, lanes), v_load(x + r * row + (j + t) * c, lanes), sum[r * K + t]);

    UNROLL
    for (int i = 0; i < R * K; i++) v_store(dw + i * c, v_add(v_load(dw + i * c, lanes), sum[i]), lanes);
}

/* Any k, a tap at a time: the same sums, slower. */
static void weight_tap(float *dw, const float *x, const float *dy, const struct kern_conv *s, ptrdiff_t lanes, int t)
{
    vf sum = v_set(0);
    for (int q = 0, j = t - s->pad_left; q < s->ow; q++, j += s->stride)
        if (j >= 0 && j < s->iw)
            sum = v_fma(v_load(dy + (ptrdiff_t)q * s->ic, lanes), v_load(x + (ptrdiff_t)j * s->ic, lanes), sum);
    v_store(dw, v_add(v_load(dw, lanes), sum), lanes);
}

/* Adds output row p of image n to the gradient of one vector of channels, which begin at dw, x and dy. */
INLINE void weight_vector(float *dw, const float *x, const float *dy, const struct kern_conv *s, int n, int p, ptrdiff_t lanes)
{
    const ptrdiff_t c = s->ic, row = (ptrdiff_t)s->iw * c, w_row = s->k * c;
    int i = p * s->stride - s->pad_top, r = i < 0 ? -i : 0, bottom = least(s->k, s->ih - i);
    dy += ((ptrdiff_t)n * s->oh + p) * s->ow * c;
    x += (ptrdiff_t)n * s->ih * row;
    if (s->k == 3 && bottom - r == 3) {
        weight_row(dw, x + i * row, dy, s, lanes, 3, 3);
        return;
    }
#ifdef __AVX512F__ /* 25 sums need 32 registers */
    if (s->k == 5 && bottom - r == 5) {
        weight_row(dw, x + i * row, dy, s, lanes, 5, 5);
        return;
    }
#endif
    for (; r < bottom; r++) switch (s->k) {
        case 3: weight_row(dw + r * w_row, x + (i + r) * row, dy, s, lanes, 1, 3); break;
        case 5: weight_row(dw + r * w_row, x + (i + r) * row, dy, s, lanes, 1, 5); break;
        default:
            for (int t = 0; t < s->k; t++) weight_tap(dw + r * w_row + t * c, x + (i + r) * row, dy, s, lanes, t);
        }
}

/* A task is a group of channels and a chunk of output rows; the fewer the channels, the more chunks. */
enum { WIDE = 64 };
struct weighing {
    float *part; /* [chunks][k,k,ic] */
    const float *x, *dy;
    const struct kern_conv *s;
    int groups, chunks;
};

static void weight_tasks(const void *work, int first, int end, int place)
{
    const struct weighing *w = work;
    const struct kern_conv *s = w->s;
    const int rows = s->n * s->oh;
    (void)place;
    for (int task = first; task < end; task++) {
        int chunk = task / w->groups, c0 = task % w->groups * WIDE, c_end = least(c0 + WIDE, s->ic);
        int row = (int)((int64_t)rows * chunk / w->chunks), last = (int)((int64_t)rows * (chunk + 1) / w->chunks);
        float *part = w->part + (size_t)chunk * s->k * s->k * s->ic;
        for (int i = 0; i < s->k * s->k; i++)
            for (int c = c0; c < c_end; c++) part[(size_t)i * s->ic + c] = 0;
        for (; row < last; row++)
            for (int c = c0; c < c_end; c += VW) {
                if (c_end - c >= VW)
                    weight_vector(part + c, w->x + c, w->dy + c, s, row / s->oh, row % s->oh, VW);
                else
                    weight_vector(part + c, w->x + c, w->dy + c, s, row / s->oh, row % s->oh, c_end - c);
            }
    }
}

void TIER(kern_dwconv_bwd_weight_f32)(float *restrict dw, const float *restrict x, const float *restrict dy,
                                      const struct kern_conv *s, float *restrict scratch)
{
    struct weighing w = {.part = scratch, .x = x, .dy = dy, .s = s, .groups = (s->ic + WIDE - 1) / WIDE};
    w.chunks = least(s->n * s->oh, (KERN_CHUNKS + w.groups - 1) / w.groups);
    kern_share(weight_tasks, &w, w.groups * w.chunks, 1, worth_sharing(s));
    const size_t size = (size_t)s->k * s->k * s->ic;
    for (size_t i = 0; i < size; i++) {
        double sum = 0;
        for (int chunk = 0; chunk < w.chunks; chunk++) sum += scratch[chunk * size + i];
        dw[i] = (float)sum;
    }
}
