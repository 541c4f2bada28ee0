/* act_ref.h - the activations and their slopes in double: what every reference kernel means by `act`.
 *
 *     sigmoid(z) = 1 / (1 + e^-z)      silu(z) = z sigmoid(z),  silu'(z) = s (1 + z (1 - s)), s = sigmoid(z) arXiv:1702.03118
 *
 * A very negative z makes e^-z infinite and both functions 0; NaN stays NaN, also through ReLU and ReLU6.
 * Not here: the vector forms (vec_exp.h), which are compared with these. */
#ifndef KERN_ACT_REF_H
#define KERN_ACT_REF_H

#include <math.h>

#include "kernels/kern.h"

static inline double act_value(enum kern_act act, double z)
{
    switch (act) {
    case KERN_ACT_SILU: return z / (1 + exp(-z));
    case KERN_ACT_SIGMOID: return 1 / (1 + exp(-z));
    case KERN_ACT_RELU: return z < 0 ? 0 : z;
    case KERN_ACT_RELU6: return z < 0 ? 0 : z > 6 ? 6 : z;
    case KERN_ACT_NONE: break;
    }
    return z;
}

/* d act(z) / dz; at the corners of ReLU and ReLU6 the slope is 0. */
static inline double act_slope(enum kern_act act, double z)
{
    double s;
    switch (act) {
    case KERN_ACT_SILU: s = 1 / (1 + exp(-z)); return s * (1 + z * (1 - s));
    case KERN_ACT_SIGMOID: s = 1 / (1 + exp(-z)); return s * (1 - s);
    case KERN_ACT_RELU: return z > 0;
    case KERN_ACT_RELU6: return z > 0 && z < 6;
    case KERN_ACT_NONE: break;
    }
    return 1;
}

#endif
