/* learner.h - the training loop proper: epochs of steps over a model, batch by batch.
 *
 *     loader --batch--> mix --> plan forward --logits--> targets, loss --> plan backward --> grads (summed over `accumulate` batches)
 *                                                                       then  step(values, grads / mass),  average update
 *
 * Gradients are summed as sums, not means, and divided by the mass of all pictures of the step at once: a step over k batches
 * of n is the step over one batch of k*n, also when pictures were left out (batch norm's statistics excepted, which see n).
 *
 * Between two batches, all that a later one depends on is in the model, the optimiser, the average, the schedule, the gradients
 * and the tally, which checkpoints save, or follows from the options and (epoch, batch), by which all random choices are keyed.
 * A feature keeps to that (checkpoint.h says how): a run is stopped and resumed between any two batches.
 *
 *     status = train_learner_start(l, epoch, events, err);
 *     do status = train_learner_batch(&more, l, err); while (status == RUDD_OK && more);
 *     train_learner_result(&result, l);                    or stop anywhere, save, and start again elsewhere
 *     l->tally = (struct train_tally){0}; */
#ifndef TRAIN_LEARNER_H
#define TRAIN_LEARNER_H

#include "data/sets/loader.h"
#include "nn/plan.h"
#include "train/ema.h"
#include "train/events.h"
#include "train/loss.h"
#include "train/mix.h"
#include "train/optim.h"
#include "train/schedule.h"
#include "train/teacher.h"

struct train_learner_options {
    struct nn_plan_options plan;
    struct data_loader_options loader; /* with plan.first_stage, its source gives that stage's input, floats set here */
    struct train_optim_options optim;
    struct train_schedule_options schedule;
    double ema;          /* 0: none */
    int unfreeze_epochs; /* the classifier learns first, a stage more every so many epochs, down to plan.freeze_stage; 0: all at
                            once. ULMFiT, arXiv:1801.06146, section 3.3 */
    int epochs, accumulate;
    bool
        whole_batches; /* a plan.memory_limit that batches of this size do not fit is a failure, not a reason for smaller ones */
    uint64_t max_steps; /* optimiser steps in all; 0: no limit */
    uint64_t seed;
    float label_smoothing;
    bool balance; /* class weights n / (classes * n_c) */
    struct train_mix_options mix;
    struct train_loss loss;
    const char *teacher; /* model file to distil from; NULL: none, and loss.distill counts for nothing */
};

/* How far an epoch is: counters and sums of the batches learned from. Doubles, for record.h; all zero at its beginning. */
#define TRAIN_TALLY_COUNTS(F)                                                                                                  \
    F(next)     /* the loader's batch that comes next; ahead of `batches` where all pictures of one were bad */                \
    F(batch)    /* pictures in a batch of the loader's */                                                                      \
    F(batches)  /* learned from; keys random choices */                                                                        \
    F(pictures) /* in them */
#define TRAIN_TALLY_SUMS(F)                                                                                                    \
    F(hits)      /* pictures named rightly; of a mixed one, the share of the class that was named */                           \
    F(loss)      /* weighted losses */                                                                                         \
    F(mass)      /* their weights */                                                                                           \
    F(step_mass) /* the same, of the step that has begun; 0 between steps */                                                   \
    F(seconds)   /* spent; the one number that is not the same in every run */
struct train_tally {
    TRAIN_TALLY_COUNTS(TRAIN_FIELD)
    TRAIN_TALLY_SUMS(TRAIN_FIELD)
};

struct train_learner {
    struct train_learner_options options;
    struct nn_model *model;
    const struct data_set *set;
    struct nn_plan *plan; /* trains optim.first_stage and above; NULL after an unfreezing that failed */
    struct data_loader *loader;
    float *grads, *q; /* [value_count] zero between steps, [batch, classes] */
    bool *trains;     /* [param_count], sooner or later */
    float *class_weights;
    struct train_teacher *teacher; /* NULL: none */
    struct train_optim optim;
    struct train_schedule schedule;
    double forced;        /* factor of the rates in place of the schedule's, for lr_find.c; 0: none */
    struct train_ema ema; /* values NULL: none */
    int epoch;            /* the one under way */
    struct train_tally tally;
    double resting; /* train_now() - tally.seconds while it learns */
};

/* model and set must outlive it. Under plan.memory_limit the batch may become smaller and accumulate larger, unless
 * whole_batches: see learner->options. */
enum rudd_status train_learner_init(struct train_learner *learner, struct nn_model *model, const struct data_set *set,
                                    const struct train_learner_options *options, struct rudd_error *err);
void train_learner_free(struct train_learner *learner);
bool train_learner_finished(const struct train_learner *learner); /* max_steps are taken */

/* Epoch number epoch, from 1, where the tally says: at its beginning, or behind what a checkpoint brought back. */
enum rudd_status train_learner_start(struct train_learner *learner, int epoch, const struct train_events *events,
                                     struct rudd_error *err);
/* Learns from one more batch; takes the optimiser's step when that completes one. *more false: the epoch (or max_steps) was over
 * and nothing was left to learn. RUDD_LIMIT when the loss is not finite; RUDD_FORMAT when no picture could be read. After a
 * failure the model and the optimiser are good for nothing: go on from a checkpoint. */
enum rudd_status train_learner_batch(bool *more, struct train_learner *learner, struct rudd_error *err);
/* Fills the train_ fields, learning_rate, images_per_second and seconds of *result from the tally. */
void train_learner_result(struct train_epoch *result, const struct train_learner *learner);

/* Exchanges the model's values with the average's; the same again brings them back. Nothing without an average. */
void train_learner_swap(struct train_learner *learner);

#endif
