/* bn_body.h - batch norm and per-channel work over x [rows,c]; included by bn_avx2.c and bn_avx512.c.
 *
 * Memory limits all of it, so each kernel makes one pass and recomputes rather than stores (xhat and z from x, sigmoid from z).
 * A pass goes in strips of STRIP rows, a vector of channels at a time; a channel's constants are loaded once per strip:
 *
 *              c: VW VW VW
 *     STRIP rows [ 1| 2| 3| .. ]     sums are float within a strip, double across strips,
 *     STRIP rows [ k|  |  | .. ]     in part[chunk][sum][channel]; chunks are added in order
 *
 * Not here: what it means (bn_ref.c); SiLU (vec_exp.h). */
#include <math.h>
#include <stdbool.h>

#include "kernels/vec_act.h"

enum {
    STRIP = 8,       /* rows; 16 cost twice the time at c = 1152, where they fall on the same cache sets */
    CHUNK_LEAST = 64 /* rows below which one more chunk costs more to add up than it gains */
};

/* ---- sums over rows ---- */

/* What a pass may read and write; unused fields are NULL. */
struct pass {
    const float *x, *dy;
    float *dz;
    const struct kern_bn *bn;
    int c, padded; /* padded: c rounded up to a vector, the distance from one sum to the next */
};
typedef void add_rows(double *part, const struct pass *p, int row, int rows);

static double *aligned(float *scratch)
{
    return (double *)(((uintptr_t)scratch + sizeof(double) - 1) / sizeof(double) * sizeof(double));
}

struct summing {
    const struct pass *p;
    add_rows *add;
    double *part;
    int size, rows, chunks; /* size: doubles of a chunk */
};

static void sum_chunks(const void *work, int first, int end, int place)
{
    const struct summing *s = work;
    const int strips = (s->rows + STRIP - 1) / STRIP;
    (void)place;
    for (int chunk = first; chunk < end; chunk++) {
        double *mine = s->part + (size_t)chunk * s->size;
        for (int i = 0; i < s->size; i++) mine[i] = 0;
        int row = (int)((int64_t)strips * chunk / s->chunks) * STRIP;
        const int last = least(s->rows, (int)((int64_t)strips * (chunk + 1) / s->chunks) * STRIP);
        for (; row < last; row += STRIP) s->add(mine, s->p, row, least(STRIP, last - row));
    }
}

/* Adds `sums` sums per channel over all rows; returns them as [sums][padded] in scratch. */
static const double *sum_rows(struct pass *p, add_rows *add, int sums, int rows, float *scratch)
{
    p->padded = (p->c + VW - 1) / VW * VW;
    struct summing s = {.p = p, .add = add, .part = aligned(scratch), .size = sums * p->padded, .rows = rows};
    s.chunks = least(KERN_CHUNKS, (rows + CHUNK_LEAST - 1) / CHUNK_LEAST);
    kern_share(sum_chunks, &s, s.chunks, 1, (size_t)rows * p->c > ALONE);
    for (int chunk = 1; chunk < s.chunks; chunk++)
        for (int i = 0; i < s.size; i++) s.part[i] += s.part[(size_t)chunk * s.size + i];
    return s.part;
}

INLINE void add_strip(double *part, const struct pass *p, const float *x, const float *around, int rows, int lanes)
{
    vf shift = v_load(around, lanes), sum = v_set(0), square = v_set(0);
    for (int i = 0; i < rows; i++, x += p->c) {
        vf d = v_sub(v_load(x, lanes), shift);
        sum = v_add(sum, d);
        square = v_fma(d, d, square);
    }
    v_add_to_double(part, sum);
    v_add_to_double(part + p->padded, square);
}
static void add_moments(double *part, const struct pass *p, int row, int rows)
{
    const float *x = p->x + (size_t)row * p->c;
    EACH_VECTOR(0, p->c, add_strip(part + j, p, x + j, p->x + j, rows, lanes));
}

void TIER(kern_bn_stats_f32)(float *restrict mean, float *restrict var, const float *restrict x, int rows, int c,
                             float *restrict scratch)
{
    struct pass p = {.x = x, .c = c};
    const double *sum = sum_rows(&p, add_moments, 2, rows, scratch);
    for (int j = 0; j < c; j++) {
        double d = sum[j] / rows, v = sum[p.padded + j] / rows - d * d; /* d: how far row 0 is from the mean */
        mean[j] = (float)(x[j] + d);
        var[j] = v > 0 ? (float)v : v == v ? 0 : NAN; /* rounding may take a constant channel below 0; NaN stays */
    }
}

INLINE void sum_strip(double *part, const float *x, int rows, int c, int lanes)
{
    vf sum = v_set(0);
    for (int i = 0; i < rows; i++, x += c) sum = v_add(sum, v_load(x, lanes));
    v_add_to_double(part, sum);
}
static void add_plain(double *part, const struct pass *p, int row, int rows)
{
    const float *x = p->x + (size_t)row * p->c;
    EACH_VECTOR(0, p->c, sum_strip(part + j, x + j, rows, p->c, lanes));
}

void TIER(kern_colsum_f32)(float *restrict out, const float *restrict x, int rows, int c, float *restrict scratch)
{
    struct pass p = {.x = x, .c = c};
    const double *sum = sum_rows(&p, add_plain, 1, rows, scratch);
    for (int j = 0; j < c; j++) out[j] = (float)sum[j];
}

INLINE void slope_strip(double *part, const struct pass *p, size_t at, int rows, ptrdiff_t j, int lanes, size_t image,
                        const enum kern_act act, const bool gated)
{
    const struct kern_bn *s = p->bn;
    vf mean = v_load(s->mean + j, lanes), rstd = v_load(s->rstd + j, lanes), gamma = v_load(s->gamma + j, lanes),
       beta = v_load(s->beta + j, lanes), dbeta = v_set(0), dgamma = v_set(0);
    vf gate = v_set(1), pooled = v_set(0);
    if (gated) {
        gate = v_load(s->gate + image + j, lanes);
        pooled = v_mul(v_load(s->pooled + image + j, lanes), v_set(1 / (float)s->pixels));
    }
    const bool store = gated || act != KERN_ACT_NONE || p->dz != p->dy; /* without an activation dz is dy */
    for (int i = 0; i < rows; i++, at += p->c) {
        vf xhat = v_mul(v_sub(v_load(p->x + at, lanes), mean), rstd);
        vf dy = v_load(p->dy + at, lanes);
        vf d = v_times_slope(act, gated ? v_fma(dy, gate, pooled) : dy, v_fma(gamma, xhat, beta));
        dbeta = v_add(dbeta, d);
        dgamma = v_fma(d, xhat, dgamma);
        if (store) v_store(p->dz + at, d, lanes);
    }
    v_add_to_double(part + j, dbeta);
    v_add_to_double(part + p->padded + j, dgamma);
}
static void add_slopes(double *part, const struct pass *p, int row, int rows)
{
    const struct kern_bn *s = p->bn;
    if (!s->gate) {
        const size_t at = (size_t)row * p->c;
        WITH_ACT(s->act, EACH_VECTOR(0, p->c, slope_strip(part, p, at + j, rows, j, lanes, 0, act, false)));
        return;
    }
    /* A strip may end in another image than it begins in. */
    for (int n; rows > 0; row += n, rows -= n) {
        const int left = s->pixels - row % s->pixels;
        const size_t at = (size_t)row * p->c, image = (size_t)(row / s->pixels) * p->c;
        n = least(rows, left);
        WITH_ACT(s->act, EACH_VECTOR(0, p->c, slope_strip(part, p, at + j, n, j, lanes, image, act, true)));
    }
}

void TIER(kern_bn_bwd_reduce_f32)(float *dz, float *restrict dgamma, float *restrict dbeta, const float *dy,
                                  const float *restrict x, const struct kern_bn *s, float *restrict scratch)
{
    struct pass p = {.x = x, .dy = dy, .dz = dz, .bn = s, .c = s->c};
    const double *sum = sum_rows(&p, add_slopes, 2, s->rows, scratch);
    for (int j = 0; j < s->c; j++) {
        dbeta[j] = (float)sum[j];
        dgamma[j] = (float)sum[p.padded + j];
    }
}

/* ---- maps ---- */

/* Rows of a unit of work: whole strips of about BLOCK floats. */
static int block_rows(int c)
{
    int strips = BLOCK / STRIP / c;
    return (strips < 1 ? 1 : strips) * STRIP;
}

static int blocks_of(int rows, int c)
{
    return (rows + block_rows(c) - 1) / block_rows(c);
}

INLINE void affine_strip(float *y, const float *x, const float *a, const float *b, int rows, int c, ptrdiff_t j, int lanes,
                         const enum kern_act act)
{
    vf scale = a ? v_load(a + j, lanes) : v_set(1), shift = b ? v_load(b + j, lanes) : v_set(0);
    for (int i = 0; i < rows; i++, x += c, y += c) v_store(y + j, v_act(act, v_fma(v_load(x + j, lanes), scale, shift)), lanes);
}

struct affine {
    float *y;
    const float *x, *a, *b;
    enum kern_act act;
    int rows, c;
};

static void affine_blocks(const void *work, int first, int end, int place)
{
    const struct affine w = *(const struct affine *)work;
    const int block = block_rows(w.c);
    (void)place;
    for (int row = first * block; row < least(w.rows, end * block); row += STRIP) {
        const size_t at = (size_t)row * w.c;
        const int strip = least(STRIP, w.rows - row);
        WITH_ACT(w.act, EACH_VECTOR(0, w.c, affine_strip(w.y + at, w.x + at, w.a, w.b, strip, w.c, j, lanes, act)));
    }
}

void TIER(kern_affine_act_f32)(float *y, const float *x, const float *a, const float *b, enum kern_act act, int rows, int c)
{
    const struct affine w = {y, x, a, b, act, rows, c};
    kern_share(affine_blocks, &w, blocks_of(rows, c), 1, (size_t)rows * c > ALONE);
}

/* dx = k*dz - k*dbeta/rows - (x - mean) * k*rstd*dgamma/rows, k = gamma*rstd. */
INLINE void apply_strip(float *dx, const float *dz, const float *x, const float *dgamma, const float *dbeta,
                        const struct kern_bn *s, int rows, ptrdiff_t j, int lanes)
{
    vf rstd = v_load(s->rstd + j, lanes), k = v_mul(v_load(s->gamma + j, lanes), rstd);
    if (s->frozen) {
        for (int i = 0; i < rows; i++, dx += s->c, dz += s->c) v_store(dx + j, v_mul(k, v_load(dz + j, lanes)), lanes);
        return;
    }
    vf mean = v_load(s->mean + j, lanes), share = v_div(k, v_set(-(float)s->rows));
    vf constant = v_mul(share, v_load(dbeta + j, lanes)), slope = v_mul(share, v_mul(rstd, v_load(dgamma + j, lanes)));
    for (int i = 0; i < rows; i++, dx += s->c, dz += s->c, x += s->c)
        v_store(dx + j, v_fma(v_sub(v_load(x + j, lanes), mean), slope, v_fma(k, v_load(dz + j, lanes), constant)), lanes);
}

struct applying {
    float *dx;
    const float *dz, *x, *dgamma, *dbeta;
    const struct kern_bn *s;
};

static void apply_blocks(const void *work, int first, int end, int place)
{
    const struct applying w = *(const struct applying *)work;
    const struct kern_bn s = *w.s;
    const int block = block_rows(s.c);
    (void)place;
    for (int row = first * block; row < least(s.rows, end * block); row += STRIP) {
        const size_t at = (size_t)row * s.c;
        const float *in = s.frozen ? NULL : w.x + at;
        EACH_VECTOR(0, s.c, apply_strip(w.dx + at, w.dz + at, in, w.dgamma, w.dbeta, &s, least(STRIP, s.rows - row), j, lanes));
    }
}

void TIER(kern_bn_bwd_apply_f32)(float *dx, const float *dz, const float *restrict x, const float *restrict dgamma,
                                 const float *restrict dbeta, const struct kern_bn *s)
{
    const struct applying w = {dx, dz, x, dgamma, dbeta, s};
    kern_share(apply_blocks, &w, blocks_of(s->rows, s->c), 1, (size_t)s->rows * s->c > ALONE);
}
