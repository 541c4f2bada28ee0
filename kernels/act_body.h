/* act_body.h - activations, products and sums over count floats; included by act_avx2.c and act_avx512.c.
 *
 * Not here: what it means (act_ref.c), the vector activations (vec_act.h). */
#include "kernels/vec_act.h"

void TIER(kern_act_fwd_f32)(float *y, const float *x, enum kern_act wanted, size_t count)
{
    WITH_ACT(wanted, EACH_VECTOR_SHARED(count, v_store(y + j, v_act(act, v_load(x + j, lanes)), lanes)));
}

void TIER(kern_act_bwd_f32)(float *dx, const float *dy, const float *x, enum kern_act wanted, size_t count)
{
    WITH_ACT(wanted, EACH_VECTOR_SHARED(
                         count, v_store(dx + j, v_times_slope(act, v_load(dy + j, lanes), v_load(x + j, lanes)), lanes)));
}

void TIER(kern_mul_f32)(float *y, const float *a, const float *b, size_t count)
{
    EACH_VECTOR_SHARED(count, v_store(y + j, v_mul(v_load(a + j, lanes), v_load(b + j, lanes)), lanes));
}

void TIER(kern_add_f32)(float *y, const float *a, const float *b, size_t count)
{
    EACH_VECTOR_SHARED(count, v_store(y + j, v_add(v_load(a + j, lanes), v_load(b + j, lanes)), lanes));
}
