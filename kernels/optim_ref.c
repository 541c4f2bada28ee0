/* optim_ref.c - optimiser steps over one parameter tensor, in plain C and double.
 *
 * AdamW: Loshchilov & Hutter, arXiv:1711.05101, algorithm 2, with PyTorch's reading (decay times lr; eps outside the root).
 * SGD: PyTorch's momentum, in which the learning rate is outside the buffer.
 * RMSprop: TensorFlow's, in which it is inside. Lion: Chen et al., arXiv:2302.06675, algorithm 2.
 * Not here: schedules, clipping (train/), speed (optim_body.h). */
#include <math.h>

#include "kernels/kern.h"

void kern_adamw_f32_ref(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                        const struct kern_adamw *s)
{
    for (size_t i = 0; i < count; i++) {
        double d = (double)g[i] * s->g_scale;
        double first = s->beta1 * (double)m[i] + (1.0 - s->beta1) * d;
        double second = s->beta2 * (double)v[i] + (1.0 - s->beta2) * d * d;
        double decayed = w[i] * (1.0 - (double)s->lr * s->decay);
        m[i] = (float)first;
        v[i] = (float)second;
        w[i] = (float)(decayed - s->lr * (first / s->bias1) / (sqrt(second / s->bias2) + s->eps));
    }
}

void kern_sgd_f32_ref(float *restrict w, float *restrict m, const float *restrict g, size_t count, const struct kern_sgd *s)
{
    for (size_t i = 0; i < count; i++) {
        double d = (double)g[i] * s->g_scale + (double)s->decay * w[i];
        double first = s->momentum * (double)m[i] + d;
        m[i] = (float)first;
        w[i] = (float)(w[i] - s->lr * (s->nesterov ? d + s->momentum * first : first));
    }
}

void kern_rmsprop_f32_ref(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                          const struct kern_rmsprop *s)
{
    for (size_t i = 0; i < count; i++) {
        double d = (double)g[i] * s->g_scale + (double)s->decay * w[i];
        double square = v[i] + (1.0 - s->alpha) * (d * d - v[i]);
        double first = s->momentum * (double)m[i] + s->lr * d / sqrt(square + s->eps);
        v[i] = (float)square;
        m[i] = (float)first;
        w[i] = (float)(w[i] - first);
    }
}

void kern_lion_f32_ref(float *restrict w, float *restrict m, const float *restrict g, size_t count, const struct kern_lion *s)
{
    for (size_t i = 0; i < count; i++) {
        double d = (double)g[i] * s->g_scale;
        double c = s->beta1 * (double)m[i] + (1.0 - s->beta1) * d;
        m[i] = (float)(s->beta2 * (double)m[i] + (1.0 - s->beta2) * d);
        w[i] = (float)(w[i] * (1.0 - (double)s->lr * s->decay) - s->lr * ((c > 0) - (c < 0)));
    }
}

void kern_lerp_f32_ref(float *restrict y, const float *restrict x, float keep, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = (float)(y[i] * (double)keep + x[i] * (1.0 - keep));
}

void kern_sumsq_f32_ref(double *sum, const float *x, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++) total += (double)x[i] * x[i];
    *sum = total;
}
