/* gemm_body.h - packed matrix product and implicit-product dense convolution, written once and compiled per tier.
 *
 * The including file (gemm_avx2.c, gemm_avx512.c) gives the vector and the tile: VF, VM, VW, v_* operations, MR rows x 2
 * vectors. C is made tile by tile, each tile held in registers while k runs; vectors lie along n, so rows of A are broadcast:
 *
 *               NR = 2*VW
 *             +-----------+
 *          kc |  panel    |  B packed [kc][NR] (or read in place when too few strips would pay for packing)
 *        kc   +-----------+
 *      +----+ +-----------+
 *   MR |  A | | registers |  acc[i][v] += a[i][p] * panel[p][v]
 *      +----+ +-----------+
 *
 * A is not packed as a rule: a strip is read through two strides (i, p), which suits both a and its transpose, and stays in L1
 * while the panels of B pass by. A convolution differs only in that its strip of A (or its block of B, in the gradient of the
 * weight) is gathered from the image: conv_patch.h.
 *
 * Order of summation: per block of k (gemm_plan.h) one chain of fused multiply-adds from 0 in rising k, then added to what C
 * held. It depends on the shape only; strips, panels and threads do not show in the bits.
 *
 * Goto & van de Geijn, Anatomy of High-Performance Matrix Multiplication (2008); BLIS (Van Zee & van de Geijn, 2015).
 * Not here: the choice of block sizes (gemm_plan.c), the vector operations (the tier's file). */
#include "kernels/conv_patch.h"
#include "kernels/gemm_plan.h"
#include "kernels/vec_exp.h"

#include <omp.h>

#define NR (2 * VW)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

_Static_assert(MR <= GEMM_MR_MAX && NR <= GEMM_NR_MAX && MR <= VW,
               "gemm_plan.h sizes scratch for these; a mask covers a column of A");

/* Below this many flops a team costs more than it saves. */
enum { SERIAL_FLOPS = 1 << 19 };

/* Rows of A up to which a transposed B is not packed: dot products read it in place. */
enum { DOT_M = 16 };

/* One factor. Element (row, col): p[row*rs + col*cs]; or, with patch, column col of the patch of output pixel `row` of image p;
 * or, with flip, the weights of one phase of the gradient of the input: row (u,v,o), col i -> w[o, tap(u), tap(v), i]. */
struct factor {
    const float *p;
    ptrdiff_t rs, cs;
    const struct patches *patch;
    const struct flip {
        struct phase v, h; /* down and across */
        int ic, oc, k, stride;
    } * flip;
};

/* Where row i of C lies: c + i*ld, or, with grid, at the pixels of one phase of an image [n,ih,iw,ld]. */
struct target {
    float *c;
    ptrdiff_t ld;
    const struct grid {
        struct phase v, h;
        int ih, iw, stride;
    } * grid;
};

struct product {
    int m, n, k;
    struct factor a, b;
    struct target out;
    const float *before, *bias, *after; /* C = act(before + A B + bias) + after; before and after lie like C */
    enum kern_act act;
    struct kern_gemm_plan plan;
    float *scratch;
};

INLINE ptrdiff_t target_row(const struct target *t, int i)
{
    if (!t->grid) return i * t->ld;
    const struct grid *g = t->grid;
    int q = i % g->h.count, p = i / g->h.count % g->v.count, n = i / g->h.count / g->v.count;
    return (((ptrdiff_t)n * g->ih + g->v.first + p * g->stride) * g->iw + g->h.first + q * g->stride) * t->ld;
}

/* ---- one tile -------------------------------------------------------------------------------------------------------------
 */

/* c[mr, nv vectors] = before + a b + bias; the last vector is cut by mask. before lies like c; before and bias may be NULL. */
INLINE void tile(const int mr, const int nv, int kc, const float *a, ptrdiff_t rs, ptrdiff_t cs, const float *b, ptrdiff_t bs,
                 float *c, ptrdiff_t ld, const float *before, const float *bias, VM mask)
{
    VF acc[MR][2];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_zero();

    /* Rows in threes from a few bases, so that one index register serves rs and 2*rs. */
    const float *base[(MR + 2) / 3];
    UNROLL for (int i = 0; i < (mr + 2) / 3; i++) base[i] = a + 3 * i * rs;
    for (int p = 0; p < kc; p++) {
        VF bv[2];
        UNROLL for (int v = 0; v < nv; v++) bv[v] = v_load(b + v * VW);
        UNROLL for (int i = 0; i < mr; i++)
        {
            VF av = v_set1(base[i / 3][i % 3 * rs]);
            UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_fma(av, bv[v], acc[i][v]);
        }
        UNROLL for (int i = 0; i < (mr + 2) / 3; i++) base[i] += cs;
        b += bs;
    }

    UNROLL for (int v = 0; v < nv; v++)
    {
        const bool last = v == nv - 1;
        VF add = !bias ? v_zero() : last ? v_loadm(bias + v * VW, mask) : v_load(bias + v * VW);
        UNROLL for (int i = 0; i < mr; i++)
        {
            VF z = acc[i][v];
            if (before) z = v_add(z, last ? v_loadm(before + i * ld + v * VW, mask) : v_load(before + i * ld + v * VW));
            z = v_add(z, add);
            if (last)
                v_storem(c + i * ld + v * VW, z, mask);
            else
                v_store(c + i * ld + v * VW, z);
        }
    }
}

typedef void tile_fn(int kc, const float *a, ptrdiff_t rs, ptrdiff_t cs, const float *b, ptrdiff_t bs, float *c, ptrdiff_t ld,
                     const float *before, const float *bias, VM mask);

/* One function per height and width; a strip of A with rs == 1 (transposed A) and one with cs == 1 are worth code of their own.
 */
#define TILE_FORM(mr, nv, form, RS, CS)                                                                                        \
    static void tile_##mr##_##nv##_##form(int kc, const float *a, ptrdiff_t rs, ptrdiff_t cs, const float *b, ptrdiff_t bs,    \
                                          float *c, ptrdiff_t ld, const float *before, const float *bias, VM mask)             \
    {                                                                                                                          \
        (void)rs, (void)cs;                                                                                                    \
        tile(mr, nv, kc, a, RS, CS, b, bs, c, ld, before, bias, mask);                                                         \
    }
#define TILE(mr)                                                                                                               \
    TILE_FORM(mr, 1, row, rs, 1) TILE_FORM(mr, 2, row, rs, 1) TILE_FORM(mr, 1, col, 1, cs) TILE_FORM(mr, 2, col, 1, cs)
TILES(TILE)
#undef TILE
#define TILE(mr) {{tile_##mr##_1_row, tile_##mr##_2_row}, {tile_##mr##_1_col, tile_##mr##_2_col}},
static tile_fn *const tiles[MR][2][2] = {TILES(TILE)};
#undef TILE

/* dst[w] = act(z + before + bias) + after; before, bias and after may be NULL. dst may be before or after. */
static void finish_row(float *dst, const float *z, int w, const float *before, const float *bias, enum kern_act act,
                       const float *after)
{
    for (int j = 0; j < w; j += VW) {
        VM mask = v_mask(w - j < VW ? w - j : VW);
        VF v = v_loadm(z + j, mask);
        if (before) v = v_add(v, v_loadm(before + j, mask));
        if (bias) v = v_add(v, v_loadm(bias + j, mask));
        switch (act) {
        case KERN_ACT_NONE: break;
        case KERN_ACT_SILU: v = vsilu(v); break;
        case KERN_ACT_SIGMOID: v = vsigmoid(v); break;
        case KERN_ACT_RELU: v = v_relu(v); break;
        }
        if (after) v = v_add(v, v_loadm(after + j, mask));
        v_storem(dst + j, v, mask);
    }
}

/* ---- packing B --------------------------------------------------------------------------------------------------------------
 */

/* dst[p][0..stride) = src[j*ld + p], j < w, zero beyond w: a panel from n-major B. 8 x 8 at a time where both run full. */
static void pack_transposed(float *restrict dst, int stride, const float *restrict src, ptrdiff_t ld, int kc, int w)
{
    for (int j = 0; j < stride; j += 8) {
        int p = 0;
        if (j + 8 <= w)
            for (; p + 8 <= kc; p += 8) {
                const float *s = src + j * ld + p;
                __m256 r0 = _mm256_loadu_ps(s), r1 = _mm256_loadu_ps(s + ld), r2 = _mm256_loadu_ps(s + 2 * ld);
                __m256 r3 = _mm256_loadu_ps(s + 3 * ld), r4 = _mm256_loadu_ps(s + 4 * ld), r5 = _mm256_loadu_ps(s + 5 * ld);
                __m256 r6 = _mm256_loadu_ps(s + 6 * ld), r7 = _mm256_loadu_ps(s + 7 * ld);
                __m256 t0 = _mm256_unpacklo_ps(r0, r1), t1 = _mm256_unpackhi_ps(r0, r1), t2 = _mm256_unpacklo_ps(r2, r3);
                __m256 t3 = _mm256_unpackhi_ps(r2, r3), t4 = _mm256_unpacklo_ps(r4, r5), t5 = _mm256_unpackhi_ps(r4, r5);
                __m256 t6 = _mm256_unpacklo_ps(r6, r7), t7 = _mm256_unpackhi_ps(r6, r7);
                r0 = _mm256_shuffle_ps(t0, t2, 0x44), r1 = _mm256_shuffle_ps(t0, t2, 0xee);
                r2 = _mm256_shuffle_ps(t1, t3, 0x44), r3 = _mm256_shuffle_ps(t1, t3, 0xee);
                r4 = _mm256_shuffle_ps(t4, t6, 0x44), r5 = _mm256_shuffle_ps(t4, t6, 0xee);
                r6 = _mm256_shuffle_ps(t5, t7, 0x44), r7 = _mm256_shuffle_ps(t5, t7, 0xee);
                float *d = dst + (ptrdiff_t)p * stride + j;
                _mm256_storeu_ps(d, _mm256_permute2f128_ps(r0, r4, 0x20));
                _mm256_storeu_ps(d + stride, _mm256_permute2f128_ps(r1, r5, 0x20));
                _mm256_storeu_ps(d + 2 * stride, _mm256_permute2f128_ps(r2, r6, 0x20));
                _mm256_storeu_ps(d + 3 * stride, _mm256_permute2f128_ps(r3, r7, 0x20));
                _mm256_storeu_ps(d + 4 * stride, _mm256_permute2f128_ps(r0, r4, 0x31));
                _mm256_storeu_ps(d + 5 * stride, _mm256_permute2f128_ps(r1, r5, 0x31));
                _mm256_storeu_ps(d + 6 * stride, _mm256_permute2f128_ps(r2, r6, 0x31));
                _mm256_storeu_ps(d + 7 * stride, _mm256_permute2f128_ps(r3, r7, 0x31));
            }
        for (; p < kc; p++)
            for (int l = j; l < j + 8; l++) dst[(ptrdiff_t)p * stride + l] = l < w ? src[l * ld + p] : 0;
    }
}

/* dst[i*ld + 0..count) = elements from..from+count of patches row0..row0+rows of an image factor, then `pad` zeros each. */
static void gather_rows(float *restrict dst, ptrdiff_t ld, const struct factor *f, int row0, int rows, int from, int count,
                        int pad)
{
    const struct patches *g = f->patch;
    const size_t image = (size_t)g->ih * g->iw * g->ic;
    int q = row0 % g->ow, p = row0 / g->ow % g->oh, n = row0 / g->ow / g->oh;
    for (int i = 0; i < rows; i++, dst += ld) {
        patch_row(dst, f->p + n * image, g, p, q, from, count);
        zero_floats(dst + count, pad);
        if (++q < g->ow) continue;
        q = 0;
        if (++p < g->oh) continue;
        p = 0, n++;
    }
}

/* Row p of B when its columns are contiguous. */
INLINE const float *b_row(const struct factor *b, int p)
{
    if (!b->flip) return b->p + p * b->rs;
    const struct flip *f = b->flip;
    int o = p % f->oc, u = p / f->oc / f->h.taps, v = p / f->oc % f->h.taps;
    int r = f->v.tap0 + f->stride * (f->v.taps - 1 - u), t = f->h.tap0 + f->stride * (f->h.taps - 1 - v);
    return b->p + (((ptrdiff_t)o * f->k + r) * f->k + t) * f->ic;
}

/* Columns j..j+w of rows p0..p0+kc of B, zero-padded to `stride` (VW or NR) columns. */
static void pack_panel(float *restrict dst, int stride, const struct factor *b, int p0, int kc, int j, int w)
{
    if (b->cs != 1) {
        pack_transposed(dst, stride, b->p + p0 + j * b->cs, b->cs, kc, w);
        return;
    }
    if (b->patch) {
        gather_rows(dst, stride, b, p0, kc, j, w, stride - w);
        return;
    }
    VM mask = v_mask(w - (stride - VW));
    for (int p = 0; p < kc; p++, dst += stride) {
        const float *src = b_row(b, p0 + p) + j;
        if (stride == NR) v_store(dst, v_load(src));
        v_store(dst + (stride - VW), v_loadm(src + (stride - VW), mask));
    }
}

/* Width of the panel at column j: NR, or at the right edge what holds the rest. */
INLINE int panel_width(int j, int n)
{
    return n - j > VW ? NR : VW;
}

/* A block of B, rows p0.. (kc), columns j0.. (nc), ready to multiply: each panel packed at pack + (its first column)*kc, or in
 * place. */
struct block {
    const float *pack;
    const float *place; /* full panels are read here, ld apart; NULL: packed */
    ptrdiff_t ld;
    bool padded; /* place holds whole vectors at its right edge too */
    int p0, kc, j0, nc;
};

INLINE bool panel_in_place(const struct block *b, int j)
{
    return b->place && (b->padded || b->nc - j >= panel_width(j, b->nc));
}

/* ---- strips of A ------------------------------------------------------------------------------------------------------------
 */

struct strip {
    const float *a;
    ptrdiff_t rs, cs;
};

/* Rows i0..i0+mr of A, columns p0..p0+kc. Copied to buf when it must be gathered, or when it is read often (reuse) and in place
 * its lines would fall into few sets of L1. */
static struct strip take_strip(const struct factor *a, int i0, int mr, int p0, int kc, bool reuse, float *buf)
{
    const ptrdiff_t ld = (kc + 15) / 16 * 16 + 16; /* rows of the copy: not a multiple of 4 KiB apart */
    if (a->patch) {
        gather_rows(buf, ld, a, i0, mr, p0, kc, 0);
        return (struct strip){buf, ld, 1};
    }

    const float *src = a->p + i0 * a->rs + p0 * a->cs;
    if (a->cs != 1 && reuse) { /* transposed: [kc][MR] */
        VM mask = v_mask(mr);
        for (int p = 0; p < kc; p++) v_store(buf + p * MR, v_loadm(src + p * a->cs, mask));
        return (struct strip){buf, 1, MR};
    }
    if (a->cs == 1 && reuse && a->rs % 512 == 0) {
        for (int i = 0; i < mr; i++) copy_floats(buf + i * ld, src + i * a->rs, kc);
        return (struct strip){buf, ld, 1};
    }
    return (struct strip){src, a->rs, a->cs};
}

/* Balanced heights: strips of 49 rows are 13 12 12 12 rather than 14 14 14 7. */
INLINE int strip_count(int m)
{
    return (m + MR - 1) / MR;
}
INLINE int strip_start(int m, int s)
{
    return (int)((int64_t)m * s / strip_count(m));
}

/* Strip s of C (or of out, a partial C) over the columns j..j_end of a block: += its product, and on the last block of k the
 * epilogue. */
static void multiply_strip(const struct product *g, const struct target *out, const struct block *b, int s, int j, int j_end,
                           bool first, bool last, bool whole, float *buf)
{
    int i0 = strip_start(g->m, s), mr = strip_start(g->m, s + 1) - i0;
    struct strip a = take_strip(&g->a, i0, mr, b->p0, b->kc, j_end - j > 2 * NR, buf);
    float *z = buf + GEMM_MR_MAX * (b->kc + 32); /* a tile that still needs more than a bias */

    /* Later blocks of k, and whole products that accumulate, add to what is there. */
    const float *before = !first ? out->c : whole ? g->before : NULL;
    const float *bias = last && whole ? g->bias : NULL, *after = last && whole ? g->after : NULL;
    enum kern_act act = last && whole ? g->act : KERN_ACT_NONE;
    bool direct = act == KERN_ACT_NONE && !after && !out->grid;
    ptrdiff_t row = direct ? target_row(out, i0) : 0;

    for (; j < j_end; j += NR) {
        int col = b->j0 + j, stride = panel_width(j, b->nc), w = j_end - j < NR ? j_end - j : NR;
        bool in_place = panel_in_place(b, j);
        const float *bp = in_place ? b->place + j : b->pack + (ptrdiff_t)j * b->kc;
        ptrdiff_t bs = in_place ? b->ld : stride;
        tile_fn *fn = tiles[mr - 1][a.cs != 1][stride > VW];
        if (direct) {
            ptrdiff_t at = row + col;
            fn(b->kc, a.a, a.rs, a.cs, bp, bs, out->c + at, out->ld, before ? before + at : NULL, bias ? bias + col : NULL,
               v_mask(w - (stride - VW)));
            continue;
        }
        fn(b->kc, a.a, a.rs, a.cs, bp, bs, z, NR, NULL, NULL, v_mask(VW));
        for (int i = 0; i < mr; i++) {
            ptrdiff_t at = target_row(out, i0 + i) + col;
            finish_row(out->c + at, z + i * NR, w, before ? before + at : NULL, bias ? bias + col : NULL, act,
                       after ? after + at : NULL);
        }
    }
}

/* ---- the two forms of gemm_plan.h -------------------------------------------------------------------------------------------
 */

static int team(const struct product *g)
{
    return 2.0 * g->m * g->n * g->k < SERIAL_FLOPS ? 1 : kern_threads();
}

/* B may be read in place when its rows are contiguous in memory at one stride, and too few strips would repay the copy. */
INLINE bool readable_in_place(const struct product *g)
{
    return g->b.cs == 1 && !g->b.patch && !g->b.flip && strip_count(g->m) <= 3;
}

static void product_tiles(const struct product *g)
{
    const struct kern_gemm_plan *plan = &g->plan;
    const int strips = strip_count(g->m);
    float *pack = g->scratch;

#pragma omp parallel num_threads(team(g))
    {
        float *own = g->scratch + plan->shared + omp_get_thread_num() * plan->own;
        for (int j0 = 0; j0 < g->n; j0 += plan->nc)
            for (int p0 = 0; p0 < g->k; p0 += plan->kc) {
                struct block b = {.pack = pack, .ld = g->b.rs, .p0 = p0, .j0 = j0};
                b.kc = g->k - p0 < plan->kc ? g->k - p0 : plan->kc;
                b.nc = g->n - j0 < plan->nc ? g->n - j0 : plan->nc;
                if (readable_in_place(g)) b.place = b_row(&g->b, p0) + j0;

                int panels = (b.nc + NR - 1) / NR;
#pragma omp for schedule(static)
                for (int i = 0; i < panels; i++)
                    if (!panel_in_place(&b, i * NR)) {
                        int j = i * NR, w = b.nc - j < NR ? b.nc - j : NR;
                        pack_panel(pack + (ptrdiff_t)j * b.kc, panel_width(j, b.nc), &g->b, p0, b.kc, j0 + j, w);
                    }

                /* Items: a few strips each when there are many; when there are few, a strip is cut along n as well. */
                int per = strips / 128 + 1, groups = (strips + per - 1) / per;
                int cuts = groups >= 32 ? 1 : 32 / groups;
                if (cuts > panels) cuts = panels;
#pragma omp for schedule(dynamic)
                for (int item = 0; item < groups * cuts; item++) {
                    int group = item / cuts, cut = item % cuts;
                    int j = panels * cut / cuts * NR, j_end = panels * (cut + 1) / cuts * NR;
                    if (j_end > b.nc) j_end = b.nc;
                    for (int s = group * per; s < strips && s < (group + 1) * per; s++)
                        multiply_strip(g, &g->out, &b, s, j, j_end, p0 == 0, p0 + b.kc == g->k, true, own);
                }
            }
    }
}

/* One chunk of k: a whole partial C, made by one thread with blocks of B of its own. */
static void product_chunk(const struct product *g, int chunk, float *partial, float *own)
{
    const struct kern_gemm_plan *plan = &g->plan;
    const int from = chunk * plan->chunk, to = g->k - from < plan->chunk ? g->k : from + plan->chunk;
    float *pack = own + GEMM_MR_MAX * (plan->kc + 32) + GEMM_MR_MAX * GEMM_NR_MAX;
    const struct target out = {partial, g->n, NULL};

    for (int j0 = 0; j0 < g->n; j0 += plan->nc)
        for (int p0 = from; p0 < to; p0 += plan->kc) {
            struct block b = {.pack = pack, .ld = g->b.rs, .p0 = p0, .j0 = j0};
            b.kc = to - p0 < plan->kc ? to - p0 : plan->kc;
            b.nc = g->n - j0 < plan->nc ? g->n - j0 : plan->nc;

            if (g->b.patch) {                      /* gathered row by row, padded to whole vectors, then read "in place" */
                b.ld = (b.nc + 15) / 16 * 16 | 16; /* whole vectors, and an odd number of lines apart */
                gather_rows(pack, b.ld, &g->b, p0, b.kc, j0, b.nc, (int)b.ld - b.nc);
                b.place = pack;
                b.padded = true;
            } else if (readable_in_place(g)) {
                b.place = b_row(&g->b, p0) + j0;
            }
            for (int j = 0; j < b.nc; j += NR)
                if (!panel_in_place(&b, j)) {
                    int w = b.nc - j < NR ? b.nc - j : NR;
                    pack_panel(pack + (ptrdiff_t)j * b.kc, panel_width(j, b.nc), &g->b, p0, b.kc, j0 + j, w);
                }
            for (int s = 0; s < strip_count(g->m); s++)
                multiply_strip(g, &out, &b, s, 0, b.nc, p0 == from, p0 + b.kc == to, false, own);
        }
}

static void product_splits(const struct product *g)
{
    const struct kern_gemm_plan *plan = &g->plan;
    const size_t size = plan->shared / plan->splits;

#pragma omp parallel num_threads(team(g))
    {
        float *own = g->scratch + plan->shared + omp_get_thread_num() * plan->own;
#pragma omp for schedule(dynamic)
        for (int chunk = 0; chunk < plan->splits; chunk++) product_chunk(g, chunk, g->scratch + chunk * size, own);

#pragma omp for schedule(static)
        for (int i = 0; i < g->m; i++) {
            float *sum = g->scratch + (ptrdiff_t)i * g->n;
            for (int chunk = 1; chunk < plan->splits; chunk++)
                finish_row(sum, sum, g->n, sum + chunk * size, NULL, KERN_ACT_NONE, NULL);
            ptrdiff_t at = target_row(&g->out, i);
            finish_row(g->out.c + at, sum, g->n, g->before ? g->before + at : NULL, g->bias, g->act,
                       g->after ? g->after + at : NULL);
        }
    }
}

static void product_run(struct product *g, bool one_block)
{
    kern_gemm_plan(&g->plan, g->m, g->n, g->k, one_block);
    g->scratch += -((uintptr_t)g->scratch / sizeof(float)) % 16; /* vectors that straddle cache lines cost twice */
    if (g->plan.splits > 1)
        product_splits(g);
    else
        product_tiles(g);
}

/* ---- few rows, n-major B: dot products --------------------------------------------------------------------------------------
 */

/* z[i*NR + j] = a[i,:] . b[j,:] for mr x nr rows of k floats each. Lanes are summed at the end in a fixed tree. */
INLINE void dots(const int mr, const int nr, float *z, const float *a, const float *b, int k)
{
    VF acc[4][4];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) acc[i][j] = v_zero();
    for (int p = 0; p < k; p += VW) {
        VM mask = v_mask(k - p < VW ? k - p : VW);
        VF av[4];
        UNROLL for (int i = 0; i < mr; i++) av[i] = v_loadm(a + (ptrdiff_t)i * k + p, mask);
        UNROLL for (int j = 0; j < nr; j++)
        {
            VF bv = v_loadm(b + (ptrdiff_t)j * k + p, mask);
            UNROLL for (int i = 0; i < mr; i++) acc[i][j] = v_fma(av[i], bv, acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) z[i * NR + j] = v_sum(acc[i][j]);
}

static void dots_rows(int mr, int nr, float *z, const float *a, const float *b, int k)
{
    switch (mr * 8 + nr) {
    case 8 + DOT_N: dots(1, DOT_N, z, a, b, k); return;
    case 16 + DOT_N: dots(2, DOT_N, z, a, b, k); return;
    case 24 + DOT_N: dots(3, DOT_N, z, a, b, k); return;
    case 32 + DOT_N: dots(4, DOT_N, z, a, b, k); return;
    }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) dots(1, 1, z + i * NR + j, a + (ptrdiff_t)i * k, b + (ptrdiff_t)j * k, k);
}

static void product_dots(const struct product *g)
{
    const int items = (g->n + NR - 1) / NR;
#pragma omp parallel for schedule(static) num_threads(team(g))
    for (int item = 0; item < items; item++) {
        float z[DOT_M * NR];
        int j0 = item * NR, w = g->n - j0 < NR ? g->n - j0 : NR;
        for (int i = 0; i < g->m; i += 4)
            for (int j = 0; j < w; j += DOT_N)
                dots_rows(g->m - i < 4 ? g->m - i : 4, w - j < DOT_N ? w - j : DOT_N, z + i * NR + j,
                          g->a.p + (ptrdiff_t)i * g->k, g->b.p + (ptrdiff_t)(j0 + j) * g->k, g->k);
        for (int i = 0; i < g->m; i++) {
            ptrdiff_t at = (ptrdiff_t)i * g->n + j0;
            finish_row(g->out.c + at, z + i * NR, w, g->before ? g->before + at : NULL, g->bias ? g->bias + j0 : NULL, g->act,
                       g->after ? g->after + at : NULL);
        }
    }
}

/* ---- the kernels ------------------------------------------------------------------------------------------------------------
 */

/* Without an activation a residual may as well be added first, while the tile is in registers. */
static void epilogue(struct product *g, enum kern_act act, const float *bias, const float *residual)
{
    g->act = act;
    g->bias = bias;
    if (act == KERN_ACT_NONE)
        g->before = residual;
    else
        g->after = residual;
}

void gemm(float *c, const float *a, const float *b, const struct kern_gemm *s, float *scratch)
{
    struct product g = {.m = s->m, .n = s->n, .k = s->k, .out = {c, s->n, NULL}, .scratch = scratch};
    g.a = s->trans_a ? (struct factor){.p = a, .rs = 1, .cs = s->m} : (struct factor){.p = a, .rs = s->k, .cs = 1};
    g.b = s->trans_b ? (struct factor){.p = b, .rs = 1, .cs = s->k} : (struct factor){.p = b, .rs = s->n, .cs = 1};
    if (s->accumulate)
        g.before = c;
    else
        epilogue(&g, s->act, s->bias, s->residual);

    if (s->trans_b && s->m <= DOT_M && (!s->trans_a || s->m == 1))
        product_dots(&g);
    else
        product_run(&g, !s->accumulate && kern_gemm_one_block(s, c));
}

void conv_fwd(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s,
              float *restrict scratch)
{
    const struct patches patch = patches_of_input(s);
    struct product g = {
        .m = s->n * s->oh * s->ow, .n = s->oc, .k = s->k * s->k * s->ic, .out = {y, s->oc, NULL}, .scratch = scratch};
    g.a = (struct factor){.p = x, .cs = 1, .patch = &patch};
    g.b = (struct factor){.p = w, .rs = 1, .cs = g.k};
    epilogue(&g, s->act, s->bias, s->residual);
    product_run(&g, false);
}

void conv_bwd_data(float *restrict dx, const float *restrict dy, const float *restrict w, const struct kern_conv *s,
                   float *restrict scratch)
{
    for (int first = 0; first < s->stride * s->stride; first++) {
        struct phase v = conv_phase(first / s->stride, s->ih, s->k, s->stride, s->pad_top);
        struct phase h = conv_phase(first % s->stride, s->iw, s->k, s->stride, s->pad_left);
        const struct grid grid = {v, h, s->ih, s->iw, s->stride};
        struct product g = {.m = s->n * v.count * h.count, .n = s->ic, .k = v.taps * h.taps * s->oc, .scratch = scratch};
        g.out = (struct target){dx, s->ic, s->stride > 1 ? &grid : NULL};
        if (s->accumulate) g.before = dx;
        if (g.m == 0) continue;
        if (g.k == 0) { /* no tap reaches these pixels */
            for (int i = 0; i < g.m && !s->accumulate; i++) zero_floats(dx + target_row(&g.out, i), s->ic);
            continue;
        }
        const struct patches patch = {s->oh, s->ow, s->oc, v.count, h.count, v.taps, h.taps, 1, v.pad, h.pad};
        const struct flip flip = {v, h, s->ic, s->oc, s->k, s->stride};
        g.a = (struct factor){.p = dy, .cs = 1, .patch = &patch};
        g.b = (struct factor){.p = w, .cs = 1, .flip = &flip};
        product_run(&g, false);
    }
}

void conv_bwd_weight(float *restrict dw, const float *restrict x, const float *restrict dy, const struct kern_conv *s,
                     float *restrict scratch)
{
    const struct patches patch = patches_of_input(s);
    struct product g = {.m = s->oc, .n = s->k * s->k * s->ic, .k = s->n * s->oh * s->ow, .scratch = scratch};
    g.out = (struct target){dw, g.n, NULL};
    g.a = (struct factor){.p = dy, .rs = 1, .cs = s->oc};
    g.b = (struct factor){.p = x, .cs = 1, .patch = &patch};
    product_run(&g, false);
}
