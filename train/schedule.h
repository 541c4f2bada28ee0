/* schedule.h - how the learning rate moves: a factor 0..1 that multiplies the rates of all groups.
 *
 *     factor(step) = rise(step) * shape(step)
 *     rise     (step+1)/warmup below warmup, else 1              linear warm-up, arXiv:1706.02677, section 2.2
 *     cosine   (1 + cos(pi * (step-warmup)/(total-warmup))) / 2  behind the warm-up       SGDR, arXiv:1608.03983, eq. 5
 *     plateau  halved whenever `patience` epochs brought no lower loss; held from there
 *     constant 1 */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

enum train_schedule_kind { TRAIN_COSINE, TRAIN_PLATEAU, TRAIN_CONSTANT };

struct train_schedule {
    enum train_schedule_kind kind;
    uint64_t warmup, total; /* optimiser steps */
    int patience;           /* plateau: epochs */

    double factor; /* plateau's state, saved in checkpoints: 1 at first */
    double best;   /* least loss so far; meaningful once epochs > 0 */
    int stale;     /* epochs since then */
    int epochs;    /* seen */
};

void train_schedule_init(struct train_schedule *s, enum train_schedule_kind kind, uint64_t warmup, uint64_t total);
/* For the step with this number, from 0. Beyond total a cosine stays at 0. */
double train_schedule_factor(const struct train_schedule *s, uint64_t step);
/* Told the validation loss after each epoch. */
void train_schedule_epoch(struct train_schedule *s, double loss);

#endif
