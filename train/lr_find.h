/* lr_find.h - a short sweep that shows which learning rates a model and its pictures bear, and what it suggests.
 *
 *     rate(i) = 1e-7 * (10 / 1e-7)^(i/99)      one optimiser step at each, over the training pictures again and again
 *
 *     loss  ----.__                            flat: too low            steepest: where the smoothed loss falls fastest
 *                  `-._      /                 falling: useful          valley:   half way down the longest fall
 *                      `-.__/  4x the best     rising: too high
 *           1e-7 ...................... 10
 *
 * The loss is smoothed as fastai's recorder does: s = 0.98*s + 0.02*loss, divided by 1 - 0.98^(i+1). The sweep ends early when that
 * exceeds four times its least value so far, or is no number. Suggestions leave out the first tenth of the steps and the last five.
 *
 * Sources: Smith, arXiv:1506.01186, section 3.3; fastai's lr_find, with its steep and valley (ESRI's).
 * Not here: momentum cycles; rates of more than one group: the classifier's moves along, in its ratio to the others'. */
#ifndef TRAIN_LR_FIND_H
#define TRAIN_LR_FIND_H

#include "train/learner.h"

enum { TRAIN_LR_STEPS = 100 };

struct train_lr_sweep {
    int count; /* steps taken and finite */
    double rate[TRAIN_LR_STEPS], loss[TRAIN_LR_STEPS], smooth[TRAIN_LR_STEPS];
    bool diverged;
    double steepest, valley; /* rates; NaN: too few steps to tell */
};

/* Takes the learner's model and optimiser through the sweep; neither is of use afterwards. RUDD_CANCELLED, RUDD_FORMAT as
 * train_learner_batch; a loss that is not finite ends the sweep, not the program. */
enum rudd_status train_lr_sweep_run(struct train_lr_sweep *sweep, struct train_learner *learner,
                                    const struct train_events *events, struct rudd_error *err);
/* Fills steepest and valley from rate and smooth. */
void train_lr_sweep_suggest(struct train_lr_sweep *sweep);
/* FOLDER/lr_finder.json: {"steepest","valley","diverged","steps":[{"learning_rate","loss","smoothed_loss"}...]} */
enum rudd_status train_lr_sweep_write(const struct train_lr_sweep *sweep, const char *folder, struct rudd_error *err);

#endif
