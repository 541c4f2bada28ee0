/* resize.c - antialiased image resize, bit-equal to Pillow's.
 *
 * Each output pixel is a weighted mean of the input pixels under a filter stretched by the scale, first along rows, then along columns
 * (separable; the intermediate is uint8, as in Pillow, and that rounding is part of the contract).
 *
 *     in  [ih, iw, 3] u8  --rows-->  mid [rows that are needed, cw, 3] u8  --columns-->  out [ch, cw, 3] u8
 *
 * Weights are integers scaled by 2^22: 8 bits of pixel + 22 of weight + 2 of overshoot fill an int32.
 * Bicubic uses a = -0.5 (Keys 1981, eq. 4), not OpenCV's -0.75: that one difference moves logits in the second decimal.
 *
 * Rows may come one after another, as a decoder makes them: only those that the next output row reads are kept, in a window that slides.
 * When they come from a picture that was stored lying on its side, its columns are the rows of the upright one, which go first:
 *
 *     upright    in --along its width--> | window | --along its height--> out
 *     sideways   in -> | window | --along its height--> --along its width--> out      and the small picture is turned
 *
 * A mirrored axis has its taps mirrored, so that in every case the same integers are added up.
 *
 * Source: Pillow's Resample.c, whose order of double operations is kept, since weights are rounded from doubles. (Pillow leaves out a pass
 * whose box and size agree: its weights are 0 and 1, so that it changes nothing.)
 * Not here: gamma-correct resizing, 16-bit pixels, alpha; the arithmetic of the two passes (kernels/resize_*). */
#include "data/image/codec.h"
#include "data/image/resize.h"
#include "kernels/kern.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* ---- the filter of one axis --------------------------------------------------------------------------------------------------- */

/* One axis of the upright picture: `out` pixels from [from, to) of `in`, of which n from first on
 * are made. mirrored: the source is stored from its other end, and so is what is made of it. */
struct axis {
    enum nn_filter filter;
    float from, to; /* float32 and its differences, as in Pillow */
    int in, out, first, n;
    bool mirrored;
    struct kern_taps taps;
    int *start, *count;
    int16_t *hi, *lo;
};

static void axis_free(struct axis *a)
{
    rudd_free(a->start);
    rudd_free(a->hi);
}

/* The taps of output pixel i at place `at` of the tables; w has room for stride doubles. */
static void taps_at(struct axis *a, int at, int i, double *w)
{
    double scale = (double)(a->to - a->from) / a->out, stretch = scale < 1 ? 1 : scale;
    double support = (a->filter == NN_BICUBIC ? 2.0 : 1.0) * stretch, inverse = 1.0 / stretch,
           sum = 0;
    double centre = a->from + (i + 0.5) * scale;

    int start = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    if (start < 0) start = 0;
    if (end > a->in) end = a->in;
    for (int x = start; x < end; x++) {
        double distance = (x - centre + 0.5) * inverse;
        w[x - start] = a->filter == NN_BICUBIC ? bicubic(distance) : bilinear(distance);
        sum += w[x - start];
    }
    const double one = 1 << KERN_TAP_BITS;
    const size_t row = (size_t)at * a->taps.stride;
    a->start[at] = a->mirrored ? a->in - end : start;
    a->count[at] = end - start;
    for (int k = 0; k < end - start; k++) {
        double v = sum != 0 ? w[k] / sum : w[k];
        const int32_t weight = (int32_t)(v < 0 ? -0.5 + v * one : 0.5 + v * one);
        const size_t to = row + (size_t)(a->mirrored ? end - start - 1 - k : k);
        a->lo[to] = (int16_t)(weight & ((1 << KERN_TAP_LOW) - 1));
        a->hi[to] = (int16_t)((weight - a->lo[to]) / (1 << KERN_TAP_LOW));
    }
}

/* Of *a, all up to mirrored is set. */
static enum rudd_status axis_init(struct axis *a, struct rudd_error *err)
{
    double scale = (double)(a->to - a->from) / a->out, stretch = scale < 1 ? 1 : scale;
    const int most = (int)ceil((a->filter == NN_BICUBIC ? 2.0 : 1.0) * stretch) * 2 + 1;
    const int stride = (most + KERN_TAP_GROUP - 1) / KERN_TAP_GROUP * KERN_TAP_GROUP;
    const size_t n = (size_t)a->n;

    a->start = rudd_alloc(n * 2 * sizeof *a->start);
    a->hi = rudd_zalloc(n * (size_t)stride, 2 * sizeof *a->hi);
    double *w = rudd_alloc((size_t)stride * sizeof *w);
    enum rudd_status status = RUDD_OK;
    if (!a->start || !a->hi || !w) {
        status =
            rudd_fail(err, RUDD_NO_MEMORY,
                      "no memory for the weights of a resize from %d to %d pixels", a->in, a->out);
    } else {
        a->count = a->start + n;
        a->lo = a->hi + n * (size_t)stride;
        a->taps = (struct kern_taps){a->in, a->n, stride, a->start, a->count, a->hi, a->lo};
        for (int i = 0; i < a->n; i++) taps_at(a, a->mirrored ? a->n - 1 - i : i, a->first + i, w);
    }
    rudd_free(w);
    return status;
}

/* Most source pixels that one output reads. */
static int most_taps(const struct kern_taps *t)
{
    int most = 0;
    for (int i = 0; i < t->n; i++) most = t->count[i] > most ? t->count[i] : most;
    return most;
}

/* ---- rows in, rows out ---------------------------------------------------------------------------------------------------------- */

enum { CHUNK = 16 }; /* rows that the window has room for beyond twice what an output row reads */

/* x and y are those of the source as it is stored. */
struct data_resizer {
    struct axis x, y;
    struct data_turn turn;
    uint8_t *out; /* the caller's, upright */
    uint8_t *
        small; /* what is made of the source as stored; `out` itself when nothing is to be turned */
    uint8_t *band; /* sideways: [in.w, 3] one row after the pass along columns */

    /* The window: rows `top` .. top+held-1 of the source; of each, what the pass along columns
     * reads. */
    uint8_t *window;
    size_t bytes; /* of a row */
    int top, held, room;
    int made; /* output rows */
};

/* Rows of the source that the next output row needs end before this one. */
static int next_end(const struct data_resizer *r)
{
    return r->y.start[r->made] + r->y.count[r->made];
}

static void make_row(struct data_resizer *r)
{
    const struct kern_table *kern = kern_table();
    const uint8_t *rows = r->window + (size_t)(r->y.start[r->made] - r->top) * r->bytes;
    uint8_t *out = r->small + (size_t)r->made * (size_t)r->x.n * 3;
    if (r->band) {
        kern->resize_cols_u8(r->band, rows, r->bytes, &r->y.taps, r->made);
        kern->resize_rows_u8(out, r->band, 1, r->bytes, &r->x.taps);
    } else {
        kern->resize_cols_u8(out, rows, r->bytes, &r->y.taps, r->made);
    }
    r->made++;
}

/* Drops the rows that no further output row reads. */
static void slide(struct data_resizer *r)
{
    const int keep = r->y.start[r->made], drop = keep - r->top < r->held ? keep - r->top : r->held;
    r->held -= drop;
    memmove(r->window, r->window + (size_t)drop * r->bytes, (size_t)r->held * r->bytes);
    r->top = r->held ? r->top + drop : keep;
}

void data_resizer_columns(int *first, int *last, const struct data_resizer *r)
{
    *first = r->x.in;
    *last = 0;
    for (int i = 0; i < r->x.n; i++) {
        if (r->x.start[i] < *first) *first = r->x.start[i];
        if (r->x.start[i] + r->x.count[i] > *last) *last = r->x.start[i] + r->x.count[i];
    }
}

void data_resizer_rows(struct data_resizer *r, const uint8_t *rgb, int y, int count)
{
    const size_t stride = (size_t)r->x.in * 3;
    const int above = r->top + r->held - y; /* rows that nothing reads */
    if (above > 0) {
        const int skip = above < count ? above : count;
        rgb += (size_t)skip * stride, count -= skip;
    }
    while (count > 0 && r->made < r->y.n) {
        const int n = r->room - r->held < count ? r->room - r->held : count;
        uint8_t *to = r->window + (size_t)r->held * r->bytes;
        if (r->band)
            memcpy(to, rgb, (size_t)n * stride);
        else
            kern_table()->resize_rows_u8(to, rgb, n, stride, &r->x.taps);
        r->held += n;
        rgb += (size_t)n * stride, count -= n;
        while (r->made < r->y.n && next_end(r) <= r->top + r->held) make_row(r);
        if (r->made < r->y.n && r->held == r->room) slide(r);
        if (r->made == r->y.n && r->small != r->out)
            data_turn_rgb(r->out, r->small, r->x.n, r->y.n, r->turn);
    }
}

static bool sound(const struct data_resize *r, int w, int h)
{
    return r->left >= 0 && r->left < r->right && r->right <= (float)w && r->top >= 0 &&
           r->top < r->bottom && r->bottom <= (float)h && r->cx >= 0 && r->cw > 0 &&
           r->cx <= r->w - r->cw && r->cy >= 0 && r->ch > 0 && r->cy <= r->h - r->ch;
}

static enum rudd_status take_memory(struct data_resizer *r, struct rudd_error *err)
{
    enum rudd_status status = axis_init(&r->x, err);
    if (!status) status = axis_init(&r->y, err);
    if (status) return status;
    /* Twice what one output row reads, so that sliding moves each row about once. */
    const size_t wide = (size_t)r->x.in * 3, narrow = (size_t)r->x.n * 3;
    const int most = most_taps(&r->y.taps);
    r->room = 2 * most + CHUNK < r->y.in ? 2 * most + CHUNK : r->y.in;
    r->bytes = r->turn.transpose ? wide : narrow;
    r->top = r->y.start[0];
    r->window = rudd_alloc((size_t)r->room * r->bytes);
    if (r->turn.transpose) r->band = rudd_alloc(wide);
    if (r->small != r->out) r->small = rudd_alloc(narrow * (size_t)r->y.n);
    if (!r->window || (r->turn.transpose && !r->band) || !r->small)
        return rudd_fail(err, RUDD_NO_MEMORY, "resize: no memory for %d rows of %zu bytes", r->room,
                         r->bytes);
    return RUDD_OK;
}

enum rudd_status data_resizer_create(struct data_resizer **resizer, uint8_t *out, int w, int h,
                                     int orientation, const struct data_resize *r,
                                     struct rudd_error *err)
{
    if (!sound(r, w, h))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "resize: box or window outside of the picture of %d x %d pixels", w, h);
    struct data_resizer *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "no memory to resize a picture");
    struct axis across = {r->filter, r->left, r->right, w, r->w, r->cx, r->cw, .mirrored = false};
    struct axis down = {r->filter, r->top, r->bottom, h, r->h, r->cy, r->ch, .mirrored = false};
    s->turn = data_turn_of(orientation);
    s->x = s->turn.transpose ? down : across;
    s->y = s->turn.transpose ? across : down;
    s->x.mirrored = s->turn.flip_column;
    s->y.mirrored = s->turn.flip_row;
    s->out = out;
    s->small = orientation == 1 ? out : NULL;
    enum rudd_status status = take_memory(s, err);
    if (status)
        data_resizer_destroy(s);
    else
        *resizer = s;
    return status;
}

void data_resizer_destroy(struct data_resizer *r)
{
    if (!r) return;
    if (r->small != r->out) rudd_free(r->small);
    rudd_free(r->band);
    rudd_free(r->window);
    axis_free(&r->x);
    axis_free(&r->y);
    rudd_free(r);
}

enum rudd_status data_resize(uint8_t *out, const struct data_image *image,
                             const struct data_resize *r, struct rudd_error *err)
{
    struct data_resizer *resizer;
    enum rudd_status status = data_resizer_create(&resizer, out, image->w, image->h, 1, r, err);
    if (status) return status;
    data_resizer_rows(resizer, image->rgb, 0, image->h);
    data_resizer_destroy(resizer);
    return RUDD_OK;
}
