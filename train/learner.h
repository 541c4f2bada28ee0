/* learner.h - the training loop proper: one epoch of steps over a model.
 *
 *     loader --batch--> mix --> plan forward --logits--> targets, loss --> plan backward --> grads (summed over `accumulate` batches)
 *                                                                       then  step(values, grads / mass),  average update
 *
 * Gradients are summed as sums, not means, and divided by the mass of all pictures of the step at once: a step over k batches
 * of n is the step over one batch of k*n, also when pictures were left out (batch norm's statistics excepted, which see n).
 *
 * All random choices are keyed by (seed, epoch, batch); an epoch depends on nothing but the state before it. */
#ifndef TRAIN_LEARNER_H
#define TRAIN_LEARNER_H

#include "data/loader.h"
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
    uint64_t max_steps; /* optimiser steps in all; 0: no limit */
    uint64_t seed;
    float label_smoothing;
    bool balance; /* class weights n / (classes * n_c) */
    struct train_mix_options mix;
    struct train_loss loss;
    const char *teacher; /* model file to distil from; NULL: none, and loss.distill counts for nothing */
};

struct train_learner {
    struct train_learner_options options;
    struct nn_model *model;
    const struct data_set *set;
    struct nn_plan *plan; /* trains optim.first_stage and above; NULL after an unfreezing that failed */
    struct data_loader *loader;
    float *grads, *q; /* [value_count], [batch, classes] */
    bool *trains;     /* [param_count], sooner or later */
    float *class_weights;
    struct train_teacher *teacher; /* NULL: none */
    struct train_optim optim;
    struct train_schedule schedule;
    struct train_ema ema; /* values NULL: none */
};

/* model and set must outlive it. */
enum rudd_status train_learner_init(struct train_learner *learner, struct nn_model *model, const struct data_set *set,
                                    const struct train_learner_options *options, struct rudd_error *err);
void train_learner_free(struct train_learner *learner);
bool train_learner_finished(const struct train_learner *learner); /* max_steps are taken */

/* Epoch number epoch, from 1. Fills the train_ fields, learning_rate and images_per_second of *result. RUDD_CANCELLED when
 * events asked to stop; RUDD_LIMIT when the loss is not finite; RUDD_FORMAT when no picture could be read. After a failure the
 * model and the optimiser are somewhere within the epoch: go on from a checkpoint. */
enum rudd_status train_learner_epoch(struct train_epoch *result, struct train_learner *learner, int epoch,
                                     const struct train_events *events, struct rudd_error *err);

/* Exchanges the model's values with the average's; the same again brings them back. Nothing without an average. */
void train_learner_swap(struct train_learner *learner);

#endif
