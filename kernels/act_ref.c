/* act_ref.c - activations, products and sums over count floats, in plain C.
 *
 * Not here: the formulas of the activations (act_ref.h); speed (act_body.h). */
#include "kernels/act_ref.h"

void kern_act_fwd_f32_ref(float *y, const float *x, enum kern_act act, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = (float)act_value(act, x[i]);
}

void kern_act_bwd_f32_ref(float *dx, const float *dy, const float *x, enum kern_act act, size_t count)
{
    for (size_t i = 0; i < count; i++) dx[i] = (float)(dy[i] * act_slope(act, x[i]));
}

void kern_mul_f32_ref(float *y, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = a[i] * b[i];
}

void kern_add_f32_ref(float *y, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}
