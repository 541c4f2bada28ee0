/* ema.c - moving average of model values: formula in ema.h. */
#include "train/ema.h"

#include "kernels/kern.h"
#include <string.h>

enum rudd_status train_ema_init(struct train_ema *ema, const float *values, size_t count, double decay, struct rudd_error *err)
{
    float *copy = rudd_alloc(count * sizeof *copy);
    if (!copy) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a moving average of %zu values", count);
    memcpy(copy, values, count * sizeof *copy);
    *ema = (struct train_ema){copy, count, decay, 0};
    return RUDD_OK;
}

void train_ema_free(struct train_ema *ema)
{
    rudd_free(ema->values);
    memset(ema, 0, sizeof *ema);
}

void train_ema_update(struct train_ema *ema, const float *values)
{
    double t = (double)++ema->updates;
    double warm = (1 + t) / (10 + t);
    kern_table()->lerp_f32(ema->values, values, (float)(warm < ema->decay ? warm : ema->decay), ema->count);
}
