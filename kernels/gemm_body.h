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
#include "kernels/gemm_tile.h"
#include "kernels/team.h"

/* Below this many flops a team costs more than it saves. */
enum { SERIAL_FLOPS = 1 << 19 };

/* Rows of A up to which a transposed B is not packed: dot products read it in place, so many columns an item of work that the 68 of a
 * squeeze fall evenly to the threads. */
enum { DOT_M = 16, DOT_ITEM = 8 };

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

/* ---- packing B --------------------------------------------------------------------------------------------------------------
 */

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
        struct tile t = {.kc = b->kc, .segments = 1, .a = a.a, .rs = a.rs, .cs = a.cs, .b = bp, .bs = bs};
        tile_fn *fn = tiles[mr - 1][a.cs == 1 ? TILE_ROW : TILE_COL][stride > VW];
        if (direct) {
            ptrdiff_t at = row + col;
            t.c = out->c + at, t.ld = out->ld;
            t.before = before ? before + at : NULL, t.bias = bias ? bias + col : NULL;
            t.mask = v_mask(w - (stride - VW));
            fn(&t);
            continue;
        }
        t.c = z, t.ld = NR, t.mask = v_mask(VW);
        fn(&t);
        for (int i = 0; i < mr; i++) {
            ptrdiff_t at = target_row(out, i0 + i) + col;
            finish_row(out->c + at, z + i * NR, w, before ? before + at : NULL, bias ? bias + col : NULL, act,
                       after ? after + at : NULL);
        }
    }
}

/* ---- the two forms of gemm_plan.h -------------------------------------------------------------------------------------------
 */

static bool worth_sharing(const struct product *g)
{
    /* An element of B from memory takes as long as 32 flops, which is what a product of one row waits for. */
    return (2.0 * g->m + 32) * g->n * g->k >= SERIAL_FLOPS;
}

/* A place's part of scratch. */
static float *own_scratch(const struct product *g, int place)
{
    return g->scratch + g->plan.shared + place * g->plan.own;
}

/* B may be read in place when its rows are contiguous in memory at one stride, and too few strips would repay the copy. */
INLINE bool readable_in_place(const struct product *g)
{
    return g->b.cs == 1 && !g->b.patch && !g->b.flip && strip_count(g->m) <= 3;
}

/* One block of B, and the strips of A that it is multiplied with. An item is a few strips each when there are many; when there are
 * few, a strip is cut along n as well. */
struct block_work {
    const struct product *g;
    struct block b;
    int strips, panels, per, cuts;
};

static void pack_panels_of_block(const void *work, int first, int end, int place)
{
    const struct block_work *w = work;
    const struct block *b = &w->b;
    (void)place;
    for (int i = first; i < end; i++)
        if (!panel_in_place(b, i * NR)) {
            const int j = i * NR, width = b->nc - j < NR ? b->nc - j : NR;
            pack_panel(w->g->scratch + (ptrdiff_t)j * b->kc, panel_width(j, b->nc), &w->g->b, b->p0, b->kc, b->j0 + j, width);
        }
}

static void multiply_items(const void *work, int first, int end, int place)
{
    const struct block_work *w = work;
    const struct product *g = w->g;
    const int p0 = w->b.p0, kc = w->b.kc;
    for (int item = first; item < end; item++) {
        const int group = item / w->cuts, cut = item % w->cuts;
        const int j = w->panels * cut / w->cuts * NR;
        int j_end = w->panels * (cut + 1) / w->cuts * NR;
        if (j_end > w->b.nc) j_end = w->b.nc;
        for (int s = group * w->per; s < w->strips && s < (group + 1) * w->per; s++)
            multiply_strip(g, &g->out, &w->b, s, j, j_end, p0 == 0, p0 + kc == g->k, true, own_scratch(g, place));
    }
}

static void product_block(const struct product *g, int p0, int j0)
{
    const struct kern_gemm_plan *plan = &g->plan;
    struct block_work w = {.g = g, .strips = strip_count(g->m)};
    w.b = (struct block){.pack = g->scratch, .ld = g->b.rs, .p0 = p0, .j0 = j0};
    w.b.kc = g->k - p0 < plan->kc ? g->k - p0 : plan->kc;
    w.b.nc = g->n - j0 < plan->nc ? g->n - j0 : plan->nc;
    if (readable_in_place(g)) w.b.place = b_row(&g->b, p0) + j0;

    const bool worth = worth_sharing(g);
    w.panels = (w.b.nc + NR - 1) / NR;
    kern_share(pack_panels_of_block, &w, w.panels, kern_grain((size_t)w.b.kc * NR), worth);

    w.per = w.strips / 128 + 1;
    const int groups = (w.strips + w.per - 1) / w.per;
    w.cuts = groups >= 32 ? 1 : 32 / groups;
    if (w.cuts > w.panels) w.cuts = w.panels;
    kern_share(multiply_items, &w, groups * w.cuts, 1, worth);
}

static void product_tiles(const struct product *g)
{
    for (int j0 = 0; j0 < g->n; j0 += g->plan.nc)
        for (int p0 = 0; p0 < g->k; p0 += g->plan.kc) product_block(g, p0, j0);
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

static void multiply_chunks(const void *work, int first, int end, int place)
{
    const struct product *g = work;
    const size_t size = g->plan.shared / g->plan.splits;
    for (int chunk = first; chunk < end; chunk++) product_chunk(g, chunk, g->scratch + chunk * size, own_scratch(g, place));
}

static void add_chunks(const void *work, int first, int end, int place)
{
    const struct product *g = work;
    const size_t size = g->plan.shared / g->plan.splits;
    (void)place;
    for (int i = first; i < end; i++) {
        float *sum = g->scratch + (ptrdiff_t)i * g->n;
        for (int chunk = 1; chunk < g->plan.splits; chunk++)
            finish_row(sum, sum, g->n, sum + chunk * size, NULL, KERN_ACT_NONE, NULL);
        ptrdiff_t at = target_row(&g->out, i);
        finish_row(g->out.c + at, sum, g->n, g->before ? g->before + at : NULL, g->bias, g->act,
                   g->after ? g->after + at : NULL);
    }
}

static void product_splits(const struct product *g)
{
    kern_share(multiply_chunks, g, g->plan.splits, 1, worth_sharing(g));
    kern_share(add_chunks, g, g->m, kern_grain((size_t)g->n * g->plan.splits), worth_sharing(g));
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

/* z[i*DOT_ITEM + j] = a[i,:] . b[j,:] for mr x nr rows of k floats each. Lanes are summed at the end in a fixed tree. */
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
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) z[i * DOT_ITEM + j] = v_sum(acc[i][j]);
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
        for (int j = 0; j < nr; j++) dots(1, 1, z + i * DOT_ITEM + j, a + (ptrdiff_t)i * k, b + (ptrdiff_t)j * k, k);
}

static void dots_items(const void *work, int first, int end, int place)
{
    const struct product *g = work;
    (void)place;
    for (int item = first; item < end; item++) {
        float z[DOT_M * DOT_ITEM];
        int j0 = item * DOT_ITEM, w = g->n - j0 < DOT_ITEM ? g->n - j0 : DOT_ITEM;
        for (int i = 0; i < g->m; i += 4)
            for (int j = 0; j < w; j += DOT_N)
                dots_rows(g->m - i < 4 ? g->m - i : 4, w - j < DOT_N ? w - j : DOT_N, z + i * DOT_ITEM + j,
                          g->a.p + (ptrdiff_t)i * g->k, g->b.p + (ptrdiff_t)(j0 + j) * g->k, g->k);
        for (int i = 0; i < g->m; i++) {
            ptrdiff_t at = (ptrdiff_t)i * g->n + j0;
            finish_row(g->out.c + at, z + i * DOT_ITEM, w, g->before ? g->before + at : NULL, g->bias ? g->bias + j0 : NULL,
                       g->act, g->after ? g->after + at : NULL);
        }
    }
}

static void product_dots(const struct product *g)
{
    const int items = (g->n + DOT_ITEM - 1) / DOT_ITEM;
    kern_share(dots_items, g, items, kern_grain((size_t)g->k * DOT_ITEM), worth_sharing(g));
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
