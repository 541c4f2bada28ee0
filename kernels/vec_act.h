/* vec_act.h - the activations and their slopes over one vector: act_ref.h's formulas in float.
 *
 * Not here: e^x, sigmoid and SiLU themselves (vec_exp.h). */
#ifndef KERN_VEC_ACT_H
#define KERN_VEC_ACT_H

#include "kernels/kern.h"
#include "kernels/vec.h"
#include "kernels/vec_exp.h"

INLINE vf v_act(enum kern_act act, vf z)
{
    switch (act) {
    case KERN_ACT_SILU: return vsilu(z);
    case KERN_ACT_SIGMOID: return vsigmoid(z);
    case KERN_ACT_RELU: return v_max(v_set(0), z); /* in this order NaN stays NaN */
    case KERN_ACT_RELU6: return v_min(v_set(6), v_max(v_set(0), z));
    case KERN_ACT_NONE: break;
    }
    return z;
}

/* d * act'(z) */
INLINE vf v_times_slope(enum kern_act act, vf d, vf z)
{
    vf s;
    switch (act) {
    case KERN_ACT_SILU:
        z = v_max(v_set(EXP_LEAST), z); /* where s no longer falls */
        s = vsigmoid(z);
        return v_mul(d, v_mul(s, v_fma(z, v_sub(v_set(1), s), v_set(1))));
    case KERN_ACT_SIGMOID: s = vsigmoid(z); return v_mul(d, v_mul(s, v_sub(v_set(1), s)));
    case KERN_ACT_RELU: return v_positive(z, d);
    case KERN_ACT_RELU6: return v_positive(v_sub(v_set(6), z), v_positive(z, d));
    case KERN_ACT_NONE: break;
    }
    return d;
}

/* Runs statement with `act` a constant where it matters, so that the choice is made once per call and not once per vector. */
#define WITH_ACT(value, statement)                                                                                             \
    do {                                                                                                                       \
        if ((value) == KERN_ACT_SILU) {                                                                                        \
            const enum kern_act act = KERN_ACT_SILU;                                                                           \
            statement;                                                                                                         \
        } else if ((value) == KERN_ACT_NONE) {                                                                                 \
            const enum kern_act act = KERN_ACT_NONE;                                                                           \
            statement;                                                                                                         \
        } else if ((value) == KERN_ACT_RELU) {                                                                                 \
            const enum kern_act act = KERN_ACT_RELU;                                                                           \
            statement;                                                                                                         \
        } else if ((value) == KERN_ACT_RELU6) {                                                                                \
            const enum kern_act act = KERN_ACT_RELU6;                                                                          \
            statement;                                                                                                         \
        } else {                                                                                                               \
            const enum kern_act act = value;                                                                                   \
            statement;                                                                                                         \
        }                                                                                                                      \
    } while (0)

#endif
