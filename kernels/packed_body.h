/* packed_body.h - convolution over packed weights: what inference runs, since its weights never change.
 *
 * Pointwise (k = 1): y [m,n] = act((x * scale) B + bias) + residual. An item of work is a range of strips times a range of panels;
 * it walks blocks of k, and inside one of two orders (packed_plan.h):
 *
 *     strip by strip     copy MR rows of x, scaled; multiply them with every panel       many rows, few weights
 *     panel by panel     copy a panel, scaled; multiply every strip of x with it         few rows, many weights
 *
 * Either way the scale of a squeeze-excitation costs no pass over the activations.
 *
 * Dense (k > 1): an item is a few output rows. It copies the input rows that they read, with the zeros of the border, and then
 * every tile reads the image itself: k segments of k*ic floats a pixel (gemm_tile.h).
 *
 * k is not cut: a strip and a panel stream through the first cache from the second one, which keeps up (B4's widest, k = 2688, reach
 * 87 % of the peak), while the first panel's tiles fetch the next strip.
 *
 * Order of summation: one chain of fused multiply-adds in rising k.
 * Not here: expansion fused with a depthwise convolution (expand_body.h); weights that change (gemm_body.h). */
#include "kernels/packed_plan.h"
#include "kernels/team.h"

/* ---- packing ---- */

/* Panel j of w [oc][ic][taps], times scale. */
static void pack_one(float *restrict dst, const float *restrict w, const float *scale, int j, int oc, int ic, int taps)
{
    const int width = panel_width(j, oc), n = oc - j < width ? oc - j : width;
    enum { CHUNK = 128 }; /* rows that are still in the first cache when they are scaled */
    if (taps == 1) {
        for (int p = 0; p < ic; p += CHUNK)
            pack_transposed(dst + (ptrdiff_t)p * width, width, w + (ptrdiff_t)j * ic + p, ic, ic - p < CHUNK ? ic - p : CHUNK,
                            n);
    } else {
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < ic; i++)
                for (int l = 0; l < width; l++)
                    dst[((ptrdiff_t)t * ic + i) * width + l] = l < n ? w[((ptrdiff_t)(j + l) * ic + i) * taps + t] : 0;
    }
    if (!scale) return;
    for (int v = 0; v < width; v += VW) {
        const VF s = v_loadm(scale + j + v, v_mask(n - v < VW ? (n - v < 0 ? 0 : n - v) : VW));
        for (ptrdiff_t p = 0; p < (ptrdiff_t)taps * ic; p++)
            v_store(dst + p * width + v, v_mul(s, v_load(dst + p * width + v)));
    }
}

struct packing {
    float *packed;
    const float *w, *scale;
    int oc, ic, taps;
};

static void pack_panels(const void *work, int first, int end, int place)
{
    const struct packing *p = work;
    (void)place;
    for (int i = first; i < end; i++)
        pack_one(p->packed + (ptrdiff_t)i * NR * p->ic * p->taps, p->w, p->scale, i * NR, p->oc, p->ic, p->taps);
}

void pack(float *restrict packed, const float *restrict w, const float *restrict scale, int oc, int ic, int k)
{
    const struct packing p = {packed, w, scale, oc, ic, k * k};
    kern_share(pack_panels, &p, (oc + NR - 1) / NR, 1, (size_t)oc * ic * k * k > 1 << 16);
}

/* ---- what both forms share ---- */

/* One tile at y + at: t's product, activated, plus the residual. z: a tile of scratch. */
INLINE void put_tile(struct tile *t, tile_fn *fn, const struct kern_conv *s, float *y, int mr, int j, int width, ptrdiff_t at,
                     float *z)
{
    const int w = s->oc - j < width ? s->oc - j : width;
    const float *bias = s->bias ? s->bias + j : NULL, *residual = s->residual ? s->residual + at : NULL;
    if (s->act == KERN_ACT_NONE) {
        t->before = residual, t->bias = bias, t->c = y + at, t->ld = s->oc, t->mask = v_mask(w - (width - VW));
        fn(t);
        return;
    }
    t->before = t->bias = NULL, t->c = z, t->ld = NR, t->mask = v_mask(VW);
    fn(t);
    for (int i = 0; i < mr; i++) {
        ptrdiff_t row = (ptrdiff_t)i * s->oc;
        finish_row(y + at + row, z + i * NR, w, NULL, bias, s->act, residual ? residual + row : NULL);
    }
}

/* ---- pointwise ---- */

struct pointwise {
    const struct kern_conv *s;
    float *y, *scratch;
    const float *x, *packed;
    int images, rows; /* rows of an image; without a scale all images are one */
    int strips, panels, strip_cuts, panel_cuts;
    bool by_panel;
};

/* Rows i0..i0+mr, columns p0..p0+kc of x times scale, ld apart. */
static void scale_strip(float *restrict dst, ptrdiff_t ld, const float *x, ptrdiff_t rs, const float *scale, int mr, int kc)
{
    for (int i = 0; i < mr; i++, dst += ld, x += rs) {
        int p = 0;
        for (; p + VW <= kc; p += VW) v_store(dst + p, v_mul(v_load(x + p), v_load(scale + p)));
        if (p < kc) {
            VM mask = v_mask(kc - p);
            v_storem(dst + p, v_mul(v_loadm(x + p, mask), v_loadm(scale + p, mask)), mask);
        }
    }
}

static void scale_panel(float *restrict dst, const float *b, int width, const float *scale, int kc)
{
    for (int p = 0; p < kc; p++, dst += width, b += width) {
        VF s = v_set1(scale[p]);
        for (int v = 0; v < width; v += VW) v_store(dst + v, v_mul(s, v_load(b + v)));
    }
}

/* Strip i of image `image`, with the panels j0..j_end; b: the panel when there is one only, already scaled. ahead: what to fetch; NULL:
 * the next strip. */
INLINE void pointwise_strip(const struct pointwise *g, int image, int i, int j0, int j_end, const float *b, const float *scale,
                            const float *ahead, float *strip, float *z)
{
    const struct kern_conv *s = g->s;
    const int first = strip_start(g->rows, i), mr = strip_start(g->rows, i + 1) - first, row = image * g->rows + first;
    const ptrdiff_t ld = (s->ic + 15) / 16 * 16 + 16; /* rows of the copy: not a multiple of 4 KiB apart */
    struct tile t = {.kc = s->ic, .segments = 1, .a = g->x + (ptrdiff_t)row * s->ic, .rs = s->ic, .cs = 1};
    t.ahead = ahead ? ahead : t.a + (i + 1 < g->strips ? (ptrdiff_t)mr * s->ic : 0);
    if (scale) {
        scale_strip(strip, ld, t.a, t.rs, scale, mr, s->ic);
        t.a = strip, t.rs = ld;
    }
    for (int j = j0; j < j_end && j < s->oc; j += NR) {
        const int width = panel_width(j, s->oc);
        t.b = b ? b : g->packed + (ptrdiff_t)j * s->ic, t.bs = width;
        put_tile(&t, tiles[mr - 1][j == j0 ? TILE_AHEAD : TILE_ROW][width > VW], s, g->y, mr, j, width,
                 (ptrdiff_t)row * s->oc + j, z);
    }
}

static void pointwise_item(const struct pointwise *g, int item, float *own)
{
    const struct kern_conv *s = g->s;
    const int panel_cut = item % g->panel_cuts, strip_cut = item / g->panel_cuts % g->strip_cuts;
    const int image = item / g->panel_cuts / g->strip_cuts;
    const int j0 = g->panels * panel_cut / g->panel_cuts * NR, j_end = g->panels * (panel_cut + 1) / g->panel_cuts * NR;
    const int s0 = (int)((int64_t)g->strips * strip_cut / g->strip_cuts);
    const int s1 = (int)((int64_t)g->strips * (strip_cut + 1) / g->strip_cuts);
    const float *scale = s->scale ? s->scale + (ptrdiff_t)image * s->ic : NULL;
    float *z = own, *copy = own + GEMM_MR_MAX * GEMM_NR_MAX;

    if (!g->by_panel) {
        for (int i = s0; i < s1; i++) pointwise_strip(g, image, i, j0, j_end, NULL, scale, NULL, copy, z);
        return;
    }
    for (int j = j0; j < j_end && j < s->oc; j += NR) {
        const float *b = g->packed + (ptrdiff_t)j * s->ic;
        /* The panel that this thread will probably take next comes from memory, not from a cache: two strips fetch it. */
        const int next = j + NR;
        const float *ahead = next < s->oc ? g->packed + (ptrdiff_t)next * s->ic : NULL;
        if (scale) scale_panel(copy, b, panel_width(j, s->oc), scale, s->ic), b = copy;
        for (int i = s0; i < s1; i++) {
            const bool half = ahead && i - s0 < 2;
            pointwise_strip(g, image, i, j, j + NR, b, NULL, half ? ahead + (ptrdiff_t)(i - s0) * s->ic * 16 : NULL, NULL, z);
        }
    }
}

static void pointwise_items(const void *work, int first, int end, int place)
{
    const struct pointwise *g = work;
    float *own = g->scratch + place * kern_packed_own(g->s);
    for (int item = first; item < end; item++) pointwise_item(g, item, own);
}

static void pointwise_run(struct pointwise *g)
{
    const struct kern_conv *s = g->s;
    const int m = s->n * s->oh * s->ow;
    g->images = s->scale ? s->n : 1;
    g->rows = m / g->images;
    g->strips = strip_count(g->rows);
    g->panels = (s->oc + NR - 1) / NR;
    g->by_panel = kern_packed_by_panel(s->oc, s->ic);

    /* Cut along the side that leaves what is copied whole, then along the other one if that was too little. */
    int *first = g->by_panel ? &g->panel_cuts : &g->strip_cuts, *second = g->by_panel ? &g->strip_cuts : &g->panel_cuts;
    const int most_first = g->by_panel ? g->panels : g->strips, most_second = g->by_panel ? g->strips : g->panels;
    *first = least_int(most_first, g->by_panel ? most_first : 4 * PACKED_ITEMS);
    *second = least_int(most_second, (PACKED_ITEMS + *first * g->images - 1) / (*first * g->images));
    const int items = g->images * g->strip_cuts * g->panel_cuts;
    kern_share(pointwise_items, g, items, 1, 2.0 * m * s->oc * s->ic > SERIAL_FLOPS);
}

/* ---- dense ---- */

/* dst: input rows first..first+count of an image, columns -pad_left.. (width of them), zero outside the image. */
static void copy_padded(float *restrict dst, const float *image, const struct kern_conv *s, int first, int count, int width)
{
    const int ic = s->ic, left = s->pad_left, inside = least_int(s->iw, width - left), right = width - left - inside;
    for (int i = first; i < first + count; i++, dst += (ptrdiff_t)width * ic) {
        if (i < 0 || i >= s->ih) {
            zero_floats(dst, width * ic);
            continue;
        }
        zero_floats(dst, left * ic);
        copy_floats(dst + (ptrdiff_t)left * ic, image + (ptrdiff_t)i * s->iw * ic, inside * ic);
        zero_floats(dst + (ptrdiff_t)(left + inside) * ic, right * ic);
    }
}

static void dense_item(float *y, const float *x, const float *packed, const struct kern_conv *s, int item, float *own)
{
    const int per = kern_packed_rows(s), groups = (s->oh + per - 1) / per, width = kern_padded_width(s);
    const int n = item / groups, p0 = item % groups * per, p1 = least_int(p0 + per, s->oh);
    const int rows = (p1 - p0 - 1) * s->stride + s->k, K = s->k * s->k * s->ic;
    float *z = own, *image = own + GEMM_MR_MAX * GEMM_NR_MAX;
    copy_padded(image, x + (ptrdiff_t)n * s->ih * s->iw * s->ic, s, p0 * s->stride - s->pad_top, rows, width);

    for (int p = p0; p < p1; p++)
        for (int i = 0; i < strip_count(s->ow); i++) {
            int q = strip_start(s->ow, i), mr = strip_start(s->ow, i + 1) - q;
            struct tile t = {.kc = s->k * s->ic, .segments = s->k, .rs = (ptrdiff_t)s->stride * s->ic, .cs = 1};
            t.as = (ptrdiff_t)width * s->ic;
            t.a = image + (ptrdiff_t)(p - p0) * s->stride * t.as + q * t.rs;
            for (int j = 0; j < s->oc; j += NR) {
                const int wide = panel_width(j, s->oc);
                t.b = packed + (ptrdiff_t)j * K, t.bs = wide;
                put_tile(&t, tiles[mr - 1][TILE_ROW][wide > VW], s, y, mr, j, wide,
                         (((ptrdiff_t)n * s->oh + p) * s->ow + q) * s->oc + j, z);
            }
        }
}

struct dense {
    float *y, *scratch;
    const float *x, *packed;
    const struct kern_conv *s;
};

static void dense_items(const void *work, int first, int end, int place)
{
    const struct dense *d = work;
    float *own = d->scratch + place * kern_packed_own(d->s);
    for (int item = first; item < end; item++) dense_item(d->y, d->x, d->packed, d->s, item, own);
}

void conv_packed(float *y, const float *restrict x, const float *restrict packed, const struct kern_conv *s,
                 float *restrict scratch)
{
    scratch += -((uintptr_t)scratch / sizeof(float)) % 16; /* vectors that straddle cache lines cost twice */
    if (s->k == 1 && s->stride == 1) {
        struct pointwise g = {.s = s, .y = y, .scratch = scratch, .x = x, .packed = packed};
        pointwise_run(&g);
        return;
    }
    const int per = kern_packed_rows(s), items = s->n * ((s->oh + per - 1) / per);
    const struct dense d = {y, scratch, x, packed, s};
    kern_share(dense_items, &d, items, 1, 2.0 * s->n * s->oh * s->ow * s->oc * s->k * s->k * s->ic > SERIAL_FLOPS);
}
