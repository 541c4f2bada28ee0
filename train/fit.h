/* fit.h - a whole training run: open, learn, validate, keep the best, checkpoint, test, report. */
#ifndef TRAIN_FIT_H
#define TRAIN_FIT_H

#include "train/events.h"
#include "train/lr_find.h"
#include "train/runs/advice.h"
#include "train/settings.h"

/* What a finished run is worth. */
struct train_outcome {
    char path[4096];
    int best_epoch;
    const char *phase; /* which pictures the figures below are of: "test", or "val", or "train" when there are no others */
    int images;
    double top1, top3, macro_f1, loss;
    struct train_advice advice;
};

/* Runs it. settings are resolved (train_settings_resolve); with settings->resume, they are the run's own, and it goes on behind
 * its last finished epoch. The process' number of threads is set. events and outcome may be NULL.
 * RUDD_CANCELLED: stopped on request; the run folder can be resumed, as after any failure. */
enum rudd_status train_fit(struct train_outcome *outcome, const struct train_settings *settings,
                           const struct train_events *events, struct rudd_error *err);

/* In place of a run, settings->find_lr: opens as much and leaves lr_finder.json in the run's folder; nothing else is
 * written. path [TRAIN_PATH] (run_folder.h) receives the file's name. */
enum rudd_status train_fit_find_lr(struct train_lr_sweep *sweep, char *path, const struct train_settings *settings,
                                   const struct train_events *events, struct rudd_error *err);

#endif
