/* schedule.c - learning-rate schedules: formulas in schedule.h. */
#include "train/schedule.h"

#include <math.h>

void train_schedule_init(struct train_schedule *s, enum train_schedule_kind kind, uint64_t warmup, uint64_t total)
{
    *s = (struct train_schedule){.kind = kind, .warmup = warmup, .total = total, .patience = 2, .factor = 1};
}

double train_schedule_factor(const struct train_schedule *s, uint64_t step)
{
    static const double pi = 3.14159265358979323846;
    if (step < s->warmup) return (double)(step + 1) / (double)s->warmup * s->factor;
    if (s->kind != TRAIN_COSINE) return s->factor;
    if (step >= s->total) return 0;
    return (1 + cos(pi * (double)(step - s->warmup) / (double)(s->total - s->warmup))) / 2;
}

void train_schedule_epoch(struct train_schedule *s, double loss)
{
    /* A difference below 1e-4 of the best is noise: PyTorch's threshold. */
    if (s->epochs++ == 0 || loss < s->best * (1 - 1e-4)) {
        s->best = loss;
        s->stale = 0;
    } else if (++s->stale >= s->patience && s->kind == TRAIN_PLATEAU) {
        s->factor *= 0.5;
        s->stale = 0;
    }
}
