/* optim_body.h - optimiser steps over count floats; included by optim_avx2.c and optim_avx512.c.
 *
 * AdamW touches seven floats of memory per parameter (w m v read and written, g read), which is what limits it; constants that
 * combine (1 - lr*decay, lr/bias1) are formed once, in double.
 *
 * Not here: what it means (optim_ref.c). */
#include <math.h>

#include "kernels/kern.h"
#include "kernels/vec.h"

/* w = w*(1 - lr*decay) - (lr/bias1) * m / (sqrt(v) / sqrt(bias2) + eps) */
INLINE void adamw(float *w, float *m, float *v, const float *g, int lanes, const struct kern_adamw *s)
{
    vf grad = v_mul(v_load(g, lanes), v_set(s->g_scale));
    vf first = v_fma(v_set(s->beta1), v_load(m, lanes), v_mul(v_set((float)(1.0 - s->beta1)), grad));
    vf second = v_fma(v_set(s->beta2), v_load(v, lanes), v_mul(v_mul(v_set((float)(1.0 - s->beta2)), grad), grad));
    vf root = v_fma(v_sqrt(second), v_set((float)(1 / sqrt(s->bias2))), v_set(s->eps));
    vf step = v_div(v_mul(first, v_set((float)(-(double)s->lr / s->bias1))), root);
    v_store(w, v_fma(v_load(w, lanes), v_set((float)(1 - (double)s->lr * s->decay)), step), lanes);
    v_store(m, first, lanes);
    v_store(v, second, lanes);
}

static void adamw_piece(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const struct kern_adamw s = *(const struct kern_adamw *)e->how; /* a copy cannot alias what is written */
    (void)place;
    EACH_VECTOR_OF(e, first, end, adamw(e->y + j, e->m + j, e->v + j, e->a + j, lanes, &s));
}

void TIER(kern_adamw_f32)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                          const struct kern_adamw *s)
{
    share_elements(adamw_piece, &(struct elements){.y = w, .m = m, .v = v, .a = g, .count = (ptrdiff_t)count, .how = s});
}

INLINE void sgd(float *w, float *m, const float *g, int lanes, const struct kern_sgd *s)
{
    vf old = v_load(w, lanes);
    vf grad = v_fma(v_load(g, lanes), v_set(s->g_scale), v_mul(v_set(s->decay), old));
    vf first = v_fma(v_set(s->momentum), v_load(m, lanes), grad);
    vf step = s->nesterov ? v_fma(v_set(s->momentum), first, grad) : first;
    v_store(m, first, lanes);
    v_store(w, v_fma(v_set(-s->lr), step, old), lanes);
}

static void sgd_piece(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const struct kern_sgd s = *(const struct kern_sgd *)e->how; /* a copy cannot alias what is written */
    (void)place;
    EACH_VECTOR_OF(e, first, end, sgd(e->y + j, e->m + j, e->a + j, lanes, &s));
}

void TIER(kern_sgd_f32)(float *restrict w, float *restrict m, const float *restrict g, size_t count, const struct kern_sgd *s)
{
    share_elements(sgd_piece, &(struct elements){.y = w, .m = m, .a = g, .count = (ptrdiff_t)count, .how = s});
}

INLINE void rmsprop(float *w, float *m, float *v, const float *g, int lanes, const struct kern_rmsprop *s)
{
    vf old = v_load(w, lanes), mean = v_load(v, lanes);
    vf grad = v_fma(v_load(g, lanes), v_set(s->g_scale), v_mul(v_set(s->decay), old));
    vf square = v_fma(v_set((float)(1.0 - s->alpha)), v_sub(v_mul(grad, grad), mean), mean);
    vf step = v_div(v_mul(v_set(s->lr), grad), v_sqrt(v_add(square, v_set(s->eps))));
    vf first = v_fma(v_set(s->momentum), v_load(m, lanes), step);
    v_store(v, square, lanes);
    v_store(m, first, lanes);
    v_store(w, v_sub(old, first), lanes);
}

static void rmsprop_piece(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const struct kern_rmsprop s = *(const struct kern_rmsprop *)e->how; /* a copy cannot alias what is written */
    (void)place;
    EACH_VECTOR_OF(e, first, end, rmsprop(e->y + j, e->m + j, e->v + j, e->a + j, lanes, &s));
}

void TIER(kern_rmsprop_f32)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                            const struct kern_rmsprop *s)
{
    share_elements(rmsprop_piece, &(struct elements){.y = w, .m = m, .v = v, .a = g, .count = (ptrdiff_t)count, .how = s});
}

INLINE void lion(float *w, float *m, const float *g, int lanes, const struct kern_lion *s)
{
    vf grad = v_mul(v_load(g, lanes), v_set(s->g_scale)), old = v_load(m, lanes), lr = v_set(s->lr);
    vf c = v_fma(v_set(s->beta1), old, v_mul(v_set((float)(1.0 - s->beta1)), grad));
    vf step = v_sub(v_positive(c, lr), v_positive(v_sub(v_set(0), c), lr)); /* lr * sign(c) */
    v_store(w, v_sub(v_mul(v_load(w, lanes), v_set((float)(1 - (double)s->lr * s->decay))), step), lanes);
    v_store(m, v_fma(v_set(s->beta2), old, v_mul(v_set((float)(1.0 - s->beta2)), grad)), lanes);
}

static void lion_piece(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const struct kern_lion s = *(const struct kern_lion *)e->how; /* a copy cannot alias what is written */
    (void)place;
    EACH_VECTOR_OF(e, first, end, lion(e->y + j, e->m + j, e->a + j, lanes, &s));
}

void TIER(kern_lion_f32)(float *restrict w, float *restrict m, const float *restrict g, size_t count, const struct kern_lion *s)
{
    share_elements(lion_piece, &(struct elements){.y = w, .m = m, .a = g, .count = (ptrdiff_t)count, .how = s});
}

static void lerp(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const float keep = *(const float *)e->how;
    const vf old = v_set(keep), new = v_set((float)(1.0 - keep));
    (void)place;
    EACH_VECTOR_OF(e, first, end,
                   v_store(e->y + j, v_fma(v_load(e->y + j, lanes), old, v_mul(v_load(e->a + j, lanes), new)), lanes));
}

void TIER(kern_lerp_f32)(float *restrict y, const float *restrict x, float keep, size_t count)
{
    share_elements(lerp, &(struct elements){.y = y, .a = x, .count = (ptrdiff_t)count, .how = &keep});
}

/* Sum of squares of up to BLOCK floats: each lane in float over 1/16 of STRETCH floats, then in double. */
static double sumsq_block(const float *x, ptrdiff_t count)
{
    enum { STRETCH = 1024 };
    double sums[VW] = {0}, total = 0;
    for (ptrdiff_t first = 0; first < count; first += STRETCH) {
        vf square = v_set(0), a;
        EACH_VECTOR(first, first + STRETCH < count ? first + STRETCH : count,
                    (a = v_load(x + j, lanes), square = v_fma(a, a, square)));
        v_add_to_double(sums, square);
    }
    for (int i = 0; i < VW; i++) total += sums[i];
    return total;
}

struct sumsq {
    double *part;
    const float *x;
    ptrdiff_t count, blocks;
    int chunks;
};

static void sumsq_chunks(const void *work, int first, int end, int place)
{
    const struct sumsq *q = work;
    (void)place;
    for (int chunk = first; chunk < end; chunk++) {
        q->part[chunk] = 0;
        for (ptrdiff_t b = q->blocks * chunk / q->chunks; b < q->blocks * (chunk + 1) / q->chunks; b++) {
            ptrdiff_t left = q->count - b * BLOCK;
            q->part[chunk] += sumsq_block(q->x + b * BLOCK, left < BLOCK ? left : BLOCK);
        }
    }
}

void TIER(kern_sumsq_f32)(double *sum, const float *x, size_t count)
{
    double part[KERN_CHUNKS];
    struct sumsq q = {.part = part, .x = x, .count = (ptrdiff_t)count, .blocks = (ptrdiff_t)((count + BLOCK - 1) / BLOCK)};
    q.chunks = q.blocks < KERN_CHUNKS ? (int)q.blocks : KERN_CHUNKS;
    kern_share(sumsq_chunks, &q, q.chunks, 1, count > ALONE);
    *sum = 0;
    for (int chunk = 0; chunk < q.chunks; chunk++) *sum += part[chunk];
}
