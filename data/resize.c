/* resize.c - antialiased image resize, bit-equal to Pillow's.
 *
 * Each output pixel is a weighted mean of the input pixels under a filter stretched by the scale, first along rows, then along columns
 * (separable; the intermediate is uint8, as in Pillow, and that rounding is part of the contract).
 *
 *     in  [ih, iw, 3] u8  --rows-->  mid [rows that are needed, cw, 3] u8  --columns-->  out [ch, cw, 3] u8
 *
 * Weights are integers scaled by 2^PRECISION (22): 8 bits of pixel + 22 of weight + 2 of overshoot fill an int32.
 * Bicubic uses a = -0.5 (Keys 1981, eq. 4), not OpenCV's -0.75: that one difference moves logits in the second decimal.
 *
 * A pass whose box and size already agree is left out, as in Pillow (it would be the identity).
 *
 * Source: Pillow's Resample.c, whose order of double operations is kept, since weights are rounded from doubles.
 * Not here: gamma-correct resizing, 16-bit pixels, alpha. */
#include "data/resize.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PRECISION = 32 - 8 - 2 };

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

/* The filter of one axis for output positions first .. first+n-1: position i reads count[i] source pixels from start[i] on, with the
 * weights at weight[i * stride]. */
struct axis {
    int n, stride;
    bool identity; /* box and size agree: nothing to compute */
    int *start, *count;
    int32_t *weight;
};

static void axis_free(struct axis *a)
{
    rudd_free(a->start);
    rudd_free(a->weight);
}

/* Weights of output position i of `out` over source pixels; w has room for stride doubles. */
static void weights_at(struct axis *a, int at, int i, enum nn_filter filter, float from, float to, int in, int out, double *w)
{
    double scale = (double)(to - from) / out, stretch = scale < 1 ? 1 : scale;
    double support = (filter == NN_BICUBIC ? 2.0 : 1.0) * stretch, inverse = 1.0 / stretch, sum = 0;
    double centre = from + (i + 0.5) * scale;

    int start = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    if (start < 0) start = 0;
    if (end > in) end = in;
    for (int x = start; x < end; x++) {
        double distance = (x - centre + 0.5) * inverse;
        w[x - start] = filter == NN_BICUBIC ? bicubic(distance) : bilinear(distance);
        sum += w[x - start];
    }
    a->start[at] = start;
    a->count[at] = end - start;
    for (int k = 0; k < end - start; k++) {
        double v = sum != 0 ? w[k] / sum : w[k];
        a->weight[(size_t)at * a->stride + k] = (int32_t)(v < 0 ? -0.5 + v * (1 << PRECISION) : 0.5 + v * (1 << PRECISION));
    }
}

static enum rudd_status axis_init(struct axis *a, enum nn_filter filter, float from, float to, int in, int out, int first,
                                  int n, struct rudd_error *err)
{
    double scale = (double)(to - from) / out, stretch = scale < 1 ? 1 : scale;
    *a = (struct axis){.n = n, .identity = out == in && from == 0 && to == (float)out};
    a->stride = (int)ceil((filter == NN_BICUBIC ? 2.0 : 1.0) * stretch) * 2 + 1;

    a->start = rudd_alloc((size_t)n * 2 * sizeof *a->start);
    a->count = a->start + n;
    a->weight = rudd_zalloc((size_t)n * (size_t)a->stride, sizeof *a->weight);
    double *w = rudd_alloc((size_t)a->stride * sizeof *w);
    enum rudd_status status = RUDD_OK;
    if (!a->start || !a->weight || !w)
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for the weights of a resize from %d to %d pixels", in, out);
    else
        for (int i = 0; i < n; i++) weights_at(a, i, first + i, filter, from, to, in, out, w);
    rudd_free(w);
    return status;
}

static inline uint8_t clip8(int32_t v)
{
    v >>= PRECISION; /* arithmetic: floor */
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One row: out [a->n, 3] from in [.., 3]. */
static void resize_row(uint8_t *restrict out, const uint8_t *restrict in, const struct axis *a)
{
    for (int i = 0; i < a->n; i++) {
        const uint8_t *px = in + 3 * (size_t)a->start[i];
        const int32_t *w = a->weight + (size_t)i * a->stride;
        int32_t r = 1 << (PRECISION - 1), g = r, b = r;
        for (int k = 0; k < a->count[i]; k++, px += 3) {
            r += px[0] * w[k];
            g += px[1] * w[k];
            b += px[2] * w[k];
        }
        out[3 * i] = clip8(r);
        out[3 * i + 1] = clip8(g);
        out[3 * i + 2] = clip8(b);
    }
}

/* One row of `bytes` samples from count rows of them under weights w. */
static void blend_rows(uint8_t *restrict out, const uint8_t *restrict in, size_t stride, const int32_t *w, int count,
                       size_t bytes)
{
    enum { BLOCK = 64 }; /* sums that stay in registers or the first cache */
    for (size_t x = 0; x < bytes; x += BLOCK) {
        size_t n = bytes - x < BLOCK ? bytes - x : BLOCK;
        int32_t sum[BLOCK];
        for (size_t i = 0; i < n; i++) sum[i] = 1 << (PRECISION - 1);
        for (int k = 0; k < count; k++) {
            const uint8_t *row = in + (size_t)k * stride + x;
            for (size_t i = 0; i < n; i++) sum[i] += row[i] * w[k];
        }
        for (size_t i = 0; i < n; i++) out[x + i] = clip8(sum[i]);
    }
}

static bool sound(const struct data_image *image, const struct data_resize *r)
{
    return r->left >= 0 && r->left < r->right && r->right <= (float)image->w && r->top >= 0 && r->top < r->bottom &&
           r->bottom <= (float)image->h && r->cx >= 0 && r->cw > 0 && r->cx <= r->w - r->cw && r->cy >= 0 && r->ch > 0 &&
           r->cy <= r->h - r->ch;
}

enum rudd_status data_resize(uint8_t *out, const struct data_image *image, const struct data_resize *r, struct rudd_error *err)
{
    if (!sound(image, r))
        return rudd_fail(err, RUDD_ARGUMENT, "resize: box or window outside of the picture of %d x %d pixels", image->w,
                         image->h);

    struct axis cols = {0}, rows = {0};
    uint8_t *mid = NULL;
    enum rudd_status status = axis_init(&cols, r->filter, r->left, r->right, image->w, r->w, r->cx, r->cw, err);
    if (!status) status = axis_init(&rows, r->filter, r->top, r->bottom, image->h, r->h, r->cy, r->ch, err);
    if (status) goto done;

    /* Rows of the source that the column pass will read. */
    int first = rows.identity ? r->cy : rows.start[0];
    int last = rows.identity ? r->cy + r->ch : rows.start[r->ch - 1] + rows.count[r->ch - 1];
    size_t in_stride = (size_t)image->w * 3, stride = (size_t)r->cw * 3;

    uint8_t *target = rows.identity ? out : (mid = rudd_alloc(stride * (size_t)(last - first)));
    if (!target) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "resize: no memory for %d rows of %d pixels", last - first, r->cw);
        goto done;
    }
    for (int y = first; y < last; y++) {
        const uint8_t *in = image->rgb + (size_t)y * in_stride;
        if (cols.identity)
            memcpy(target + (size_t)(y - first) * stride, in + 3 * (size_t)r->cx, stride);
        else
            resize_row(target + (size_t)(y - first) * stride, in, &cols);
    }
    if (!rows.identity)
        for (int y = 0; y < r->ch; y++)
            blend_rows(out + (size_t)y * stride, mid + (size_t)(rows.start[y] - first) * stride, stride,
                       rows.weight + (size_t)y * rows.stride, rows.count[y], stride);
done:
    rudd_free(mid);
    axis_free(&rows);
    axis_free(&cols);
    return status;
}
