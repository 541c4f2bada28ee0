/* fit_words.h - what a run in progress says of itself: before its first epoch, how long it will
 * take, and what to do next. Part of fit*.c, kept apart from what computes. */
#ifndef TRAIN_RUNS_FIT_WORDS_H
#define TRAIN_RUNS_FIT_WORDS_H

#include "train/fit_run.h"
#include "train/runs/advice.h"

/* What a limit of memory costs, once the learner is there. batch: as it was asked for. */
void train_fit_note_memory(const struct train_fit_run *f, int batch);
/* Cautions, unless it is resumed, then what is learned, from what and with what. RUDD_NO_MEMORY. */
enum rudd_status train_fit_note_run(const struct train_fit_run *f, struct rudd_error *err);

/* The pictures that judge the best model at the end: test, else validation, else training. */
const struct data_set *train_fit_judging_set(const struct train_fit_run *f);
/* Sets what is still to be done when this epoch begins; behind the last epoch, one more than there
 * are. Epoch 0: the frozen part has not seen the pictures yet. */
void train_fit_plan_pace(struct train_fit_run *f, int epoch);

/* Three sentences on what to do next, into *advice and the record. evaluation: of the best model on
 * the judging set, which phase names; diverged: learning broke off. RUDD_NO_MEMORY. */
enum rudd_status train_fit_advise(struct train_advice *advice, struct train_fit_run *f,
                                  const struct train_evaluation *evaluation, const char *phase,
                                  bool diverged, struct rudd_error *err);

#endif
