/* ema.h - a moving average of all model values, running statistics included; often a better model than the last step.
 *
 *     average = average*d + values*(1-d)        d = min(decay, (1+t)/(10+t)) at update t, so that short runs average too
 *
 * The warm-up of d is TensorFlow's (ExponentialMovingAverage, num_updates). */
#ifndef TRAIN_EMA_H
#define TRAIN_EMA_H

#include <stddef.h>
#include "nn/rudd.h"

struct train_ema {
    float *values; /* [count], starts as a copy */
    size_t count;
    double decay;
    uint64_t updates;
};
enum rudd_status train_ema_init(struct train_ema *ema, const float *values, size_t count, double decay, struct rudd_error *err);
void train_ema_free(struct train_ema *ema);
void train_ema_update(struct train_ema *ema, const float *values);

#endif
