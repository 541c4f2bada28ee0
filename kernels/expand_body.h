/* expand_body.h - the first half of an inverted bottleneck in one pass: expansion, depthwise convolution, sums for the squeeze.
 *
 *     x [ih,iw,ic] --1x1, act--> e [ih,iw,c] --k x k depthwise, act--> y [oh,ow,c] --sum over pixels--> sums [strips,c]
 *
 * The expanded activation is the largest of the network (B4 at 380: 20 MB) and nobody else reads it. So it never exists: an item
 * of work is a strip of output rows times a group of NR channels, one panel of the packed weights. It keeps a ring of at least the k
 * expanded rows that an output row reads, in its own first or second cache, a plane for each of the panel's vectors:
 *
 *     plane 0, 1    row 0   0 |e e e e e e ... e| 0      each pixel one vector; the zeros of the left and right border
 *                   row 1   0 |e e e e e e ... e| 0      leave the depthwise core without a border and without a branch
 *                   ...
 *               row slots-1 0 |e e e e e e ... e| 0      output row p reads rows p*stride - pad_top ..+k; those above and below
 *                                                        the image are left out
 *
 * A block is all output rows that the ring's rows suffice for. It is expanded for both vectors, then convolved plane by plane: the k rows
 * of one plane are few enough to stay in the first cache from one output row to the next, those of both often are not.
 *
 * Two strips both expand the k - stride rows between them; packed_plan.h keeps those few. Without an expansion (weight NULL) the
 * rows of x themselves are copied to the ring.
 *
 * MobileNetV2, arXiv:1801.04381, section 3 and 4 (memory efficient inference: the same split along channels).
 * Not here: the squeeze-excitation itself; the projection (packed_body.h), which takes its scale. */
#include "kernels/packed_plan.h"

struct expand_item {
    const struct kern_expand *s;
    const float *x;          /* the image */
    const float *panel;      /* packed weights of the group */
    const float *next, *end; /* what is left to fetch of the panel that this thread will probably take next */
    int width;               /* of the panel: NR or VW */
    int c0, c;               /* first channel, channels */
    ptrdiff_t row;           /* floats of a ring row of one vector */
    const float *taps;       /* packed depthwise weights of the group: [k*k][width] */
    float *ring;
    float *bias, *expand_bias; /* [NR] */
    float *line;               /* [ow][VW]: an output row of one vector, before its activation */
    float *tile;               /* [MR][NR] */
    int slots;                 /* rows of the ring */
    VM mask[2];
};

/* dst [pixels][VW] = act(src [pixels][NR]), one vector of each, in fours. */
static void activate_pixels(float *dst, const float *src, enum kern_act act, int pixels)
{
    int j = 0;
    for (; j + 4 <= pixels; j += 4, dst += 4 * VW, src += 4 * NR) {
        VF z[4];
        UNROLL for (int i = 0; i < 4; i++) z[i] = v_load(src + i * NR);
        activate_all(act, z, 4);
        UNROLL for (int i = 0; i < 4; i++) v_store(dst + i * VW, z[i]);
    }
    for (; j < pixels; j++, dst += VW, src += NR) v_store(dst, activate(act, v_load(src)));
}

/* Row i of the image in plane v of the ring. */
static float *ring_row(const struct expand_item *e, int v, int i)
{
    return e->ring + ((ptrdiff_t)v * e->slots + i % e->slots) * e->row;
}

/* Input rows i..end, expanded, to their places in the ring. Their pixels follow each other in x, so tiles go across the ends of rows. */
static void expand_rows(struct expand_item *e, int i, int end)
{
    const struct kern_expand *s = e->s;
    const struct kern_conv *d = &s->dw;
    const int pixels = (end - i) * d->iw, vectors = e->width / VW;
    const ptrdiff_t left = (ptrdiff_t)d->pad_left * VW;
    if (!s->weight) {
        const float *x = e->x + (ptrdiff_t)i * d->iw * d->ic + e->c0;
        for (; i < end; i++) {
            float *low = ring_row(e, 0, i) + left, *high = ring_row(e, vectors - 1, i) + left;
            for (int q = 0; q < d->iw; q++, x += d->ic, low += VW, high += VW) {
                v_store(low, v_loadm(x, e->mask[0]));
                if (vectors > 1) v_store(high, v_loadm(x + VW, e->mask[1]));
            }
        }
        return;
    }
    struct tile t = {.kc = s->ic, .segments = 1, .rs = s->ic, .cs = 1, .b = e->panel, .bs = e->width, .c = e->tile, .ld = NR};
    t.a = e->x + (ptrdiff_t)i * d->iw * s->ic;
    t.bias = e->expand_bias, t.mask = v_mask(VW);
    for (int strip = 0, q = 0; strip < strip_count(pixels); strip++) {
        const int mr = strip_start(pixels, strip + 1) - strip_start(pixels, strip);
        t.ahead = t.a + (ptrdiff_t)mr * s->ic;
        if (e->next < e->end) t.ahead = e->next, e->next += (ptrdiff_t)s->ic * 16;
        tiles[mr - 1][TILE_AHEAD][vectors - 1](&t);
        t.a += (ptrdiff_t)mr * s->ic;
        for (int done = 0; done < mr;) {
            const int n = least_int(mr - done, d->iw - q);
            for (int v = 0; v < vectors; v++)
                activate_pixels(ring_row(e, v, i) + left + (ptrdiff_t)q * VW, e->tile + done * NR + v * VW, s->act, n);
            done += n, q += n;
            if (q == d->iw) q = 0, i++;
        }
    }
}

/* Sums of outputs q..q+Q-1 of one vector of channels, bias included. rows[r]: the ring rows that taps r0..r1-1 read. */
INLINE void dw_tile(const struct expand_item *e, const float *const *rows, int r0, int r1, int q, int v, const int K,
                    const int S, const int Q)
{
    VF acc[8], tap[5];
    const VF bias = v_load(e->bias + v);
    UNROLL for (int i = 0; i < Q; i++) acc[i] = bias;
    for (int r = r0; r < r1; r++) {
        const float *x = rows[r] + (ptrdiff_t)q * S * VW, *w = e->taps + (ptrdiff_t)r * K * e->width + v;
        __asm__("" : "+r"(x)); /* one address, so that the columns are constants beside it */
        UNROLL for (int t = 0; t < K; t++) tap[t] = v_load(w + t * e->width);
        UNROLL for (int j = 0; j < (Q - 1) * S + K; j++)
        {
            VF xj = v_load(x + j * VW);
            __asm__("" : "+v"(xj)); /* loaded once, not by each of its products */
            UNROLL for (int i = 0; i < Q; i++) if (j - i * S >= 0 && j - i * S < K) acc[i] = v_fma(xj, tap[j - i * S], acc[i]);
        }
    }
    UNROLL for (int i = 0; i < Q; i++) v_store(e->line + (q + i) * VW, acc[i]);
}

INLINE void dw_row(const struct expand_item *e, const float *const *rows, int r0, int r1, int v, const int K, const int S)
{
    const int ow = e->s->dw.ow;
    int q = 0;
    if (ow % 7 == 0)
        for (; q < ow; q += 7) dw_tile(e, rows, r0, r1, q, v, K, S, 7);
    for (; q + 8 <= ow; q += 8) dw_tile(e, rows, r0, r1, q, v, K, S, 8);
    if (q + 4 <= ow) dw_tile(e, rows, r0, r1, q, v, K, S, 4), q += 4;
    for (; q < ow; q++) dw_tile(e, rows, r0, r1, q, v, K, S, 1);
}

typedef void dw_row_fn(const struct expand_item *e, const float *const *rows, int r0, int r1, int v);
#define DW_ROW(K, S)                                                                                                           \
    static void dw_row_##K##_##S(const struct expand_item *e, const float *const *rows, int r0, int r1, int v)                 \
    {                                                                                                                          \
        dw_row(e, rows, r0, r1, v, K, S);                                                                                      \
    }
DW_ROW(3, 1)
DW_ROW(3, 2)
DW_ROW(5, 1)
DW_ROW(5, 2)

/* Any k up to KERN_EXPAND_K_MAX and any stride, an output at a time: the same sums, slower. */
static void dw_row_any(const struct expand_item *e, const float *const *rows, int r0, int r1, int v)
{
    const struct kern_conv *d = &e->s->dw;
    for (int q = 0; q < d->ow; q++) {
        VF a = v_load(e->bias + v);
        for (int r = r0; r < r1; r++)
            for (int t = 0; t < d->k; t++)
                a = v_fma(v_load(rows[r] + ((ptrdiff_t)q * d->stride + t) * VW),
                          v_load(e->taps + ((ptrdiff_t)r * d->k + t) * e->width + v), a);
        v_store(e->line + q * VW, a);
    }
}

static dw_row_fn *choose_dw_row(int k, int stride)
{
    if (k == 3 && stride == 1) return dw_row_3_1;
    if (k == 3 && stride == 2) return dw_row_3_2;
    if (k == 5 && stride == 1) return dw_row_5_1;
    if (k == 5 && stride == 2) return dw_row_5_2;
    return dw_row_any;
}

/* n outputs of a line: activated, added up, and put at y. */
INLINE VF finish_outputs(const struct expand_item *e, float *y, const float *z, VM mask, VF sum, const int n)
{
    const ptrdiff_t c = e->s->dw.ic;
    VF a[4];
    UNROLL for (int i = 0; i < n; i++) a[i] = v_load(z + i * VW);
    activate_all(e->s->dw.act, a, n);
    UNROLL for (int i = 0; i < n; i++)
    {
        sum = v_add(sum, a[i]);
        v_storem(y + i * c, a[i], mask);
    }
    return sum;
}

/* The line of sums of one output row: y [ow] of one vector of channels, and their sum. */
static VF finish_line(const struct expand_item *e, float *y, VM mask)
{
    const int ow = e->s->dw.ow;
    const ptrdiff_t c = e->s->dw.ic;
    VF sum = v_zero();
    int q = 0;
    for (; q + 4 <= ow; q += 4) sum = finish_outputs(e, y + q * c, e->line + q * VW, mask, sum, 4);
    for (; q < ow; q++) sum = finish_outputs(e, y + q * c, e->line + q * VW, mask, sum, 1);
    return sum;
}

/* dst[0..NR) = src[0..c), zero beyond; src NULL: zeros */
static void copy_channels(float *dst, const float *src, const VM *mask, int width)
{
    v_store(dst, src ? v_loadm(src, mask[0]) : v_zero());
    v_store(dst + VW, src && width > VW ? v_loadm(src + VW, mask[1]) : v_zero());
}

/* Output rows p0..p1 of one group of channels, block by block; y: the image; sums [c] of this strip. */
static void expand_strip(struct expand_item *e, float *y, float *sums, int p0, int p1)
{
    const struct kern_conv *d = &e->s->dw;
    dw_row_fn *fn = choose_dw_row(d->k, d->stride);
    VF sum[2] = {v_zero(), v_zero()};
    const int last = (p1 - 1) * d->stride - d->pad_top + d->k; /* beyond the last input row that is read */
    int next = p0 * d->stride - d->pad_top;                    /* the input row to be expanded next */
    if (next < 0) next = 0;
    for (int p = p0, block; p < p1; p = block) {
        const int top = p * d->stride - d->pad_top, end = least_int(d->ih, least_int((top < 0 ? 0 : top) + e->slots, last));
        block = least_int(p1, p + 1 + (e->slots - d->k) / d->stride);
        if (next < top) next = top; /* a stride beyond the kernel skips rows */
        if (next < end) expand_rows(e, next, end), next = end;
        for (int v = 0; v < e->width; v += VW)
            for (int row = p; row < block; row++) {
                const int first = row * d->stride - d->pad_top, r0 = first < 0 ? -first : 0,
                          r1 = least_int(d->k, d->ih - first);
                const float *rows[KERN_EXPAND_K_MAX];
                for (int r = r0; r < r1; r++) rows[r] = ring_row(e, v / VW, first + r);
                fn(e, rows, r0, r1, v);
                /* Summed by row first: an image of 190 x 190 would lose digits in one long sum. */
                sum[v > 0] = v_add(sum[v > 0], finish_line(e, y + (ptrdiff_t)row * d->ow * d->ic + e->c0 + v, e->mask[v > 0]));
            }
    }
    v_storem(sums + e->c0, sum[0], e->mask[0]);
    if (e->width > VW) v_storem(sums + e->c0 + VW, sum[1], e->mask[1]);
}

/* What all items share. */
struct expansion {
    const struct kern_expand *s;
    float *y, *sums, *scratch;
    const float *x, *w;
};

/* The columns left and right of the image in all rows of the ring. All else is written before it is read. */
static void zero_borders(const struct expand_item *e)
{
    const struct kern_conv *d = &e->s->dw;
    const int left = d->pad_left * VW, inside = d->iw * VW;
    float *row = e->ring;
    for (int i = 0; i < 2 * e->slots; i++, row += e->row) {
        zero_floats(row, left);
        zero_floats(row + left + inside, (int)e->row - left - inside);
    }
}

/* This place's part of scratch. */
static struct expand_item item_scratch(const struct expansion *g, int place)
{
    const struct kern_conv *d = &g->s->dw;
    struct expand_item e = {.s = g->s, .row = (ptrdiff_t)kern_expand_columns(d) * VW, .slots = kern_expand_slots(d)};
    e.bias = g->scratch + place * kern_expand_own(g->s);
    e.expand_bias = e.bias + NR;
    e.line = e.expand_bias + NR;
    e.tile = e.line + (ptrdiff_t)d->ow * VW;
    e.ring = e.tile + MR * NR;
    zero_borders(&e);
    return e;
}

/* Strip by strip, so that the rows of x that a thread reads stay in its cache. */
static void expand_items(const void *work, int first, int beyond, int place)
{
    const struct expansion *g = work;
    const struct kern_expand *s = g->s;
    const struct kern_conv *d = &s->dw;
    const int groups = (d->ic + NR - 1) / NR, strips = kern_expand_strips(s), in_c = s->weight ? s->ic : d->ic;
    struct expand_item e = item_scratch(g, place);
    for (int item = first; item < beyond; item++) {
        const int group = item % groups, strip = item / groups % strips, n = item / groups / strips;
        e.c0 = group * NR;
        e.width = panel_width(e.c0, d->ic);
        e.c = least_int(d->ic - e.c0, e.width);
        e.mask[0] = v_mask(least_int(e.c, VW));
        e.mask[1] = v_mask(e.c > VW ? e.c - VW : 0);
        e.x = g->x + (ptrdiff_t)n * d->ih * d->iw * in_c;
        e.panel = s->weight ? s->weight + (ptrdiff_t)e.c0 * s->ic : NULL;
        const int later = e.c0 + NR;
        e.next = e.end = NULL;
        if (s->weight && later < d->ic) e.next = s->weight + (ptrdiff_t)later * s->ic, e.end = e.next + (ptrdiff_t)s->ic * NR;
        copy_channels(e.bias, d->bias ? d->bias + e.c0 : NULL, e.mask, e.width);
        copy_channels(e.expand_bias, s->bias ? s->bias + e.c0 : NULL, e.mask, e.width);
        e.taps = g->w + (ptrdiff_t)e.c0 * d->k * d->k;
        expand_strip(&e, g->y + (ptrdiff_t)n * d->oh * d->ow * d->ic, g->sums + ((ptrdiff_t)n * strips + strip) * d->ic,
                     d->oh * strip / strips, d->oh * (strip + 1) / strips);
    }
}

void expand_dw(float *restrict y, float *restrict sums, const float *restrict x, const float *restrict w,
               const struct kern_expand *s, float *restrict scratch)
{
    const struct kern_conv *d = &s->dw;
    const int items = d->n * kern_expand_strips(s) * ((d->ic + NR - 1) / NR);
    const double flops = 2.0 * d->n * d->ih * d->iw * d->ic * (d->k * d->k + (s->weight ? s->ic : 0));
    scratch += -((uintptr_t)scratch / sizeof(float)) % 16;
    kern_share(expand_items, &(struct expansion){s, y, sums, scratch, x, w}, items, 1, flops > SERIAL_FLOPS);
}
