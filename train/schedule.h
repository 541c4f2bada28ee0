/* schedule.h - how the learning rate moves: a factor 0..1 that multiplies the rates of all groups.
 *
 *     factor(step) = rise(step) * shape(step)
 *     rise      (step+1)/warmup below warmup, else 1              linear warm-up, arXiv:1706.02677, section 2.2
 *     cosine    (1 + cos(pi * (step-warmup)/(total-warmup))) / 2  behind the warm-up       SGDR, arXiv:1608.03983, eq. 5
 *     plateau   halved whenever `patience` epochs brought no lower loss; held from there
 *     constant  1
 *     step      decay_rate^floor(step / (decay_epochs * steps))   counted from the first step, as PyTorch's StepLR
 *     one-cycle no rise of its own: from 1/25 to 1 over the first 30 % of the steps, then to 1/250,000 at the last, both along
 *               half a cosine, while momentum (beta1) goes from 0.95 to 0.85 and back: PyTorch's OneCycleLR with its defaults,
 *               arXiv:1708.07120, section 2
 *
 * Not here: the search for the peak (lr_find.h). */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

enum train_schedule_kind { TRAIN_COSINE, TRAIN_PLATEAU, TRAIN_CONSTANT, TRAIN_STEP, TRAIN_ONE_CYCLE };

struct train_schedule_options {
    enum train_schedule_kind kind;
    int epochs;
    double warmup_epochs;            /* not with one-cycle */
    double decay_epochs, decay_rate; /* of step */
};

struct train_schedule {
    enum train_schedule_kind kind;
    uint64_t warmup, total; /* optimiser steps */
    double decay_steps, decay_rate;
    int patience; /* plateau: epochs */

    double factor; /* plateau's state, saved in checkpoints: 1 at first */
    double best;   /* least loss so far; meaningful once epochs > 0 */
    int stale;     /* epochs since then */
    int epochs;    /* seen */
};

/* steps: of the optimiser, in one epoch. */
void train_schedule_init(struct train_schedule *s, const struct train_schedule_options *options, uint64_t steps);
/* For the step with this number, from 0. Beyond the last, cosine stays at 0 and one-cycle at its end. */
double train_schedule_factor(const struct train_schedule *s, uint64_t step);
/* One-cycle's momentum for that step; 0: the optimiser's own. */
double train_schedule_momentum(const struct train_schedule *s, uint64_t step);
/* Told the validation loss after each epoch. */
void train_schedule_epoch(struct train_schedule *s, double loss);

#endif
