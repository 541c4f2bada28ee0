/* act_body.h - activations, products and sums over count floats; included by act_avx2.c and act_avx512.c.
 *
 * Not here: what it means (act_ref.c), the vector activations (vec_act.h). */
#include "kernels/vec_act.h"

static void act_fwd(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const enum kern_act *wanted = e->how;
    (void)place;
    WITH_ACT(*wanted, EACH_VECTOR_OF(e, first, end, v_store(e->y + j, v_act(act, v_load(e->a + j, lanes)), lanes)));
}

void TIER(kern_act_fwd_f32)(float *y, const float *x, enum kern_act wanted, size_t count)
{
    share_elements(act_fwd, &(struct elements){.y = y, .a = x, .count = (ptrdiff_t)count, .how = &wanted});
}

static void act_bwd(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    const enum kern_act *wanted = e->how;
    (void)place;
    WITH_ACT(*wanted,
             EACH_VECTOR_OF(e, first, end,
                            v_store(e->y + j, v_times_slope(act, v_load(e->a + j, lanes), v_load(e->b + j, lanes)), lanes)));
}

void TIER(kern_act_bwd_f32)(float *dx, const float *dy, const float *x, enum kern_act wanted, size_t count)
{
    share_elements(act_bwd, &(struct elements){.y = dx, .a = dy, .b = x, .count = (ptrdiff_t)count, .how = &wanted});
}

static void multiply(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    (void)place;
    EACH_VECTOR_OF(e, first, end, v_store(e->y + j, v_mul(v_load(e->a + j, lanes), v_load(e->b + j, lanes)), lanes));
}

void TIER(kern_mul_f32)(float *y, const float *a, const float *b, size_t count)
{
    share_elements(multiply, &(struct elements){.y = y, .a = a, .b = b, .count = (ptrdiff_t)count});
}

static void add(const void *work, int first, int end, int place)
{
    const struct elements *e = work;
    (void)place;
    EACH_VECTOR_OF(e, first, end, v_store(e->y + j, v_add(v_load(e->a + j, lanes), v_load(e->b + j, lanes)), lanes));
}

void TIER(kern_add_f32)(float *y, const float *a, const float *b, size_t count)
{
    share_elements(add, &(struct elements){.y = y, .a = a, .b = b, .count = (ptrdiff_t)count});
}
