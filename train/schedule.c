/* schedule.c - learning-rate schedules: formulas in schedule.h. */
#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

void train_schedule_init(struct train_schedule *s, const struct train_schedule_options *o, uint64_t steps)
{
    *s = (struct train_schedule){.kind = o->kind,
                                 .warmup = (uint64_t)(o->warmup_epochs * (double)steps),
                                 .total = steps * (uint64_t)o->epochs,
                                 .decay_steps = o->decay_epochs * (double)steps,
                                 .decay_rate = o->decay_rate,
                                 .patience = 2,
                                 .factor = 1};
}

/* One-cycle: from `start` over `peak` to `end`. Its first part ends at step 0.3*total - 1, which need not be whole. */
static double cycle(const struct train_schedule *s, uint64_t step, double start, double peak, double end)
{
    const double turn = 0.3 * (double)s->total - 1, last = (double)s->total - 1;
    double at = step < s->total ? (double)step : last;
    double from = at <= turn ? start : peak, to = at <= turn ? peak : end;
    double share = at <= turn ? at / turn : (at - turn) / (last - turn);
    return to + (from - to) / 2 * (cos(pi * share) + 1);
}

double train_schedule_factor(const struct train_schedule *s, uint64_t step)
{
    if (s->kind == TRAIN_ONE_CYCLE) return cycle(s, step, 1 / 25.0, 1, 1 / 25.0 / 1e4);
    double rise = step < s->warmup ? (double)(step + 1) / (double)s->warmup : 1;
    if (s->kind == TRAIN_STEP) return rise * pow(s->decay_rate, floor((double)step / s->decay_steps));
    if (s->kind != TRAIN_COSINE || step < s->warmup) return rise * s->factor;
    if (step >= s->total) return 0;
    return (1 + cos(pi * (double)(step - s->warmup) / (double)(s->total - s->warmup))) / 2;
}

double train_schedule_momentum(const struct train_schedule *s, uint64_t step)
{
    return s->kind == TRAIN_ONE_CYCLE ? cycle(s, step, 0.95, 0.85, 0.95) : 0;
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
