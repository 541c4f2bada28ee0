/* fit_run.h - a run in progress, shared by the files fit*.c and by nobody else.
 *
 *     fit.c         learn, validate, keep the best, test          fit_open.c    everything before the first step
 *     fit_record.c  run.json */
#ifndef TRAIN_FIT_RUN_H
#define TRAIN_FIT_RUN_H

#include "nn/budget.h"
#include "nn/sha256.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/frozen.h"
#include "train/learner.h"
#include "train/left.h"
#include "train/run_folder.h"
#include "train/settings.h"

struct train_fit_run {
    struct train_settings s;
    const struct train_events *events; /* &paced */
    struct train_events paced;         /* the caller's, with the run's pace */
    struct train_pace pace;
    struct data_splits splits;
    char dataset[NN_SHA256_HEX];
    struct nn_model *model;
    struct train_frozen *frozen; /* NULL: the network runs from the pictures on */
    bool cache_is_own;           /* its cache lies in the run's folder and goes with the run's end */
    struct train_learner learner;
    struct nn_budget budget;     /* of its plans */
    size_t saving;               /* bytes that saving a model takes for a moment, where the budget was found */
    struct train_evaluator *val; /* NULL: no validation pictures */
    struct train_run_folder folder;
    struct train_state state;
    json_t *record;                   /* run.json */
    struct train_told told, told_val; /* of training and validation pictures */
    int claim;                        /* of the folder, train_run_claim; -1: none */

    /* The best model, when no file holds it yet: its values, or NULL. Its texts are in model. */
    float *best;
    bool best_pending;

    uint64_t saved_steps; /* optimiser steps, epochs and train_now() of the last checkpoint */
    int saved_epoch;
    double saved_at;
};

/* Opens all of it; events and s are set. The caller frees it, also after a failure. */
enum rudd_status train_fit_open(struct train_fit_run *f, struct rudd_error *err);
void train_fit_close(struct train_fit_run *f);
/* Of the budget, what validation has taken. A limit that was found counts its prepared weights; what --memory-limit says is for activations. */
size_t train_fit_validation_bytes(const struct train_fit_run *f);
/* Threads of each loader, as data_loader_options has them. */
int train_fit_loaders(const struct train_fit_run *f);
/* Whether a checkpoint is due behind an epoch. */
bool train_fit_is_due(const struct train_fit_run *f);
/* The checkpoint: last.safetensors, where learner and state stand now, which may be between any two
 * batches. What it refers to is written first: model.safetensors and metrics.jsonl. */
enum rudd_status train_fit_save(struct train_fit_run *f, struct rudd_error *err);
/* The present values are the best so far. They are written now when a checkpoint is due, else with
 * the next one. */
enum rudd_status train_fit_keep_best(struct train_fit_run *f, struct rudd_error *err);
/* model.safetensors and metrics.jsonl as they stand, without a checkpoint. */
enum rudd_status train_fit_save_best(struct train_fit_run *f, struct rudd_error *err);

/* Starts run.json for a fresh run, and gives the model the run's id and the data set's hash. */
enum rudd_status train_fit_record_begin(struct train_fit_run *f, struct rudd_error *err);
/* Goes on with a run's own record: options may have been changed on the command line, pictures may not. */
enum rudd_status train_fit_record_resume(struct train_fit_run *f, struct rudd_error *err);
/* Adds what the learner, the validation and this loader could not read to the record. */
enum rudd_status train_fit_record_skipped(struct train_fit_run *f, const struct data_loader *loader, struct rudd_error *err);
/* The record of a run that ends, in memory. outcome: "done", "stopped", "failed". final, not taken over, may be NULL. */
enum rudd_status train_fit_record_end(struct train_fit_run *f, const char *outcome, json_t *final, struct rudd_error *err);
/* The same, and run.json. A run whose run.json says "done" has nothing left to write: this comes last. */
enum rudd_status train_fit_record_finish(struct train_fit_run *f, const char *outcome, json_t *final, struct rudd_error *err);
/* The outcome "failed", with the reason; without, where the disk has no room for it. */
void train_fit_record_failure(struct train_fit_run *f, const struct rudd_error *why);

#endif
