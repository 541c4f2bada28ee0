/* maxpool_body.h - max pooling and its gradient, a vector of channels at a time; included by maxpool_avx2.c and maxpool_avx512.c.
 *
 *     forward     rows of outputs are shared among threads
 *     backward    the maximum is found again, with the number of its tap, and dy added there. Windows overlap, so a task is whole planes: an
 *                 image's PLANE channels, which no other task touches; within it the order is that of the windows.
 *
 * Not here: what it means (maxpool_ref.c). */
#include <math.h>

#include "kernels/kern.h"
#include "kernels/vec.h"

enum { PLANE = 16 }; /* channels of a backward task: a cache line */

/* Taps of a window that lie in the image: rows r0..r1, columns t0..t1; the first of them is at input pixel (i,j). */
struct window {
    int r0, r1, t0, t1, i, j;
    bool border;
};

INLINE struct window window_of(const struct kern_conv *s, int p, int q)
{
    const int i = p * s->stride - s->pad_top, j = q * s->stride - s->pad_left;
    struct window w = {.r0 = i < 0 ? -i : 0, .r1 = least(s->k, s->ih - i), .t0 = j < 0 ? -j : 0, .t1 = least(s->k, s->iw - j)};
    w.border = w.r0 || w.t0 || w.r1 < s->k || w.t1 < s->k;
    w.i = i + w.r0, w.j = j + w.t0;
    return w;
}

/* The maximum of channels c.. of a window; tap (if wanted): which of its taps, counted row by row, has it first; -1: the border's zero. */
INLINE vf window_max(vf *tap, const float *x, const struct kern_conv *s, const struct window *w, bool zeros, int c, int lanes)
{
    vf most = v_set(zeros && w->border ? 0 : -INFINITY), found = v_set(-1);
    for (int r = w->r0; r < w->r1; r++) {
        const float *at = x + ((ptrdiff_t)(w->i + r - w->r0) * s->iw + w->j) * s->ic + c;
        for (int t = w->t0; t < w->t1; t++, at += s->ic) {
            const vf v = v_load(at, lanes);
            if (tap) found = v_where_more(v, most, v_set((float)(r * s->k + t)), found);
            most = v_where_more(v, most, v, most);
        }
    }
    if (tap) *tap = found;
    return most;
}

struct pooling {
    float *out;
    const float *x, *dy;
    const struct kern_conv *s;
    bool zeros;
};

static void fwd_rows(const void *work, int first, int end, int place)
{
    const struct pooling *p = work;
    const struct kern_conv *s = p->s;
    const int c = s->ic;
    const size_t image = (size_t)s->ih * s->iw * c;
    (void)place;
    for (int row = first; row < end; row++)
        for (int q = 0; q < s->ow; q++) {
            const struct window w = window_of(s, row % s->oh, q);
            float *to = p->out + ((size_t)row * s->ow + q) * c;
            EACH_VECTOR(0, c,
                        v_store(to + j, window_max(NULL, p->x + row / s->oh * image, s, &w, p->zeros, (int)j, lanes), lanes));
        }
}

void TIER(kern_maxpool_fwd_f32)(float *restrict y, const float *restrict x, const struct kern_conv *s, bool zeros)
{
    const struct pooling p = {.out = y, .x = x, .s = s, .zeros = zeros};
    const int rows = s->n * s->oh;
    const size_t row = (size_t)s->ow * s->ic;
    kern_share(fwd_rows, &p, rows, kern_grain(row * s->k * s->k), rows * row > ALONE);
}

/* Adds dy to the pixel that has the maximum. */
INLINE void send_back(float *dx, vf dy, const float *x, const struct kern_conv *s, const struct window *w, bool zeros, int c,
                      int lanes)
{
    vf tap;
    window_max(&tap, x, s, w, zeros, c, lanes);
    for (int r = w->r0; r < w->r1; r++) {
        float *at = dx + ((ptrdiff_t)(w->i + r - w->r0) * s->iw + w->j) * s->ic + c;
        for (int t = w->t0; t < w->t1; t++, at += s->ic)
            v_store(at, v_add(v_load(at, lanes), v_where_equal(tap, v_set((float)(r * s->k + t)), dy)), lanes);
    }
}

static void bwd_planes(const void *work, int begin, int beyond, int place)
{
    const struct pooling *g = work;
    const struct kern_conv *s = g->s;
    const int c = s->ic, planes = (c + PLANE - 1) / PLANE;
    const size_t image = (size_t)s->ih * s->iw * c;
    (void)place;
    for (int task = begin; task < beyond; task++) {
        const int n = task / planes, first = task % planes * PLANE, end = least(c, first + PLANE);
        const float *x = g->x + n * image;
        float *dx = g->out + n * image;
        for (size_t pixel = 0; pixel < (size_t)s->ih * s->iw; pixel++)
            EACH_VECTOR(first, end, v_store(dx + pixel * c + j, v_set(0), lanes));
        for (int p = 0; p < s->oh; p++)
            for (int q = 0; q < s->ow; q++) {
                const struct window w = window_of(s, p, q);
                const float *from = g->dy + (((size_t)n * s->oh + p) * s->ow + q) * c;
                EACH_VECTOR(first, end, send_back(dx, v_load(from + j, lanes), x, s, &w, g->zeros, (int)j, lanes));
            }
    }
}

void TIER(kern_maxpool_bwd_f32)(float *restrict dx, const float *restrict dy, const float *restrict x,
                                const struct kern_conv *s, bool zeros)
{
    const struct pooling g = {.out = dx, .x = x, .dy = dy, .s = s, .zeros = zeros};
    const int planes = (s->ic + PLANE - 1) / PLANE;
    kern_share(bwd_planes, &g, s->n * planes, 1, (size_t)s->n * s->ih * s->iw * s->ic > ALONE);
}
