/* sampling.h - which pictures an epoch shows, how often, and in which order.
 *
 *     natural   every picture of the set once
 *     balanced  as many draws as the set has pictures, shared evenly among the classes that have any; within a class every picture
 *               comes as often as any other, or once more: those are drawn anew each epoch
 *     views     every picture `views` times in a row, for averages over views (preprocess.h)
 *
 * A draw is a number that names the picture and which of its appearances it is, so that a picture that comes twice is not seen twice in
 * the same view:          draw = item + appearance * count of the set
 *
 * An epoch's list depends on (seed, epoch) and the set's labels alone. One thread at a time per sampler. */
#ifndef DATA_SAMPLING_H
#define DATA_SAMPLING_H

#include "data/sets/dataset.h"
#include "nn/rng.h"

enum data_sampling { DATA_NATURAL, DATA_BALANCED };

struct data_sampler {
    const struct data_set *set;
    enum data_sampling sampling;
    bool shuffle;    /* always on where it is balanced */
    int views;       /* natural only */
    int length;      /* draws in an epoch */
    uint64_t *draws; /* [length] of the epoch drawn last */
    int *members;    /* [count] the set's items by class; what follows is for balanced draws */
    int *first;      /* [classes + 1] where each class begins among members */
    int *order;      /* [max(length, classes)] scratch */
    uint64_t *list;  /* [length] scratch */
};

/* set must outlive it. views < 1: 1. RUDD_NO_MEMORY; RUDD_LIMIT for more than 2^31 - 1 draws. */
enum rudd_status data_sampler_init(struct data_sampler *sampler, const struct data_set *set,
                                   enum data_sampling sampling, bool shuffle, int views,
                                   struct rudd_error *err);
void data_sampler_free(struct data_sampler *sampler);

/* Fills draws. */
void data_sampler_draw(struct data_sampler *sampler, uint64_t seed, uint64_t epoch);
/* A draw's picture and appearance. */
int data_draw_item(const struct data_sampler *sampler, uint64_t draw);
int data_draw_appearance(const struct data_sampler *sampler, uint64_t draw);

#endif
