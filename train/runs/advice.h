/* advice.h - three sentences on what to do next, chosen by what a run has shown.
 *
 *     facts --rules in order of importance--> the first three that apply and speak of different
 *             things (advice.c lists the rules)
 *
 * Two rules that would contradict each other speak of the same thing, so that at most one of them
 * is heard: a model that learned its pictures by heart is not also praised. The last rules always
 * apply, so there are always three. */
#ifndef TRAIN_RUNS_ADVICE_H
#define TRAIN_RUNS_ADVICE_H

#include "train/evaluate.h"
#include "train/runs/mistakes.h"

enum { TRAIN_ADVICE = 3, TRAIN_ADVICE_TEXT = 2000 };
struct train_advice {
    char text[TRAIN_ADVICE][TRAIN_ADVICE_TEXT]; /* the most important first; paths as bytes */
};

/* What a run has shown. Nothing is taken over. */
struct train_advice_facts {
    const char *run, *data;           /* the run's folder; the folder of its pictures */
    const char *phase;                /* which pictures were judged: "test", "val", "train" */
    const struct train_epoch *epochs; /* [epoch_count], in order */
    int epoch_count, epochs_asked, best_epoch; /* epochs count from 1; best 0: not known */
    const struct data_set *train, *judged;     /* labels index the same classes */
    const int *train_counts;                   /* [classes] training pictures of each class */
    int val_count;                             /* validation pictures */
    const struct train_evaluation *evaluation; /* of the judged pictures, by the best model */
    const struct train_mistakes *mistakes;     /* of the same */
    bool divided;              /* the data came in train/, val/, test/: --split has no meaning */
    bool pretrained;           /* began from weights */
    bool head_only;            /* the rest of the network was frozen */
    bool whole_fit;            /* L-BFGS: one epoch is all there is */
    bool diverged;             /* the loss became infinite */
    bool augment, randaugment; /* pictures were altered; strongly */
};

/* Pure: equal facts give equal sentences. */
void train_advise(struct train_advice *advice, const struct train_advice_facts *facts);

/* Bounds of the share that k right answers of n > 0 speak for, with 95 % confidence: Wilson 1927.
 * Of new pictures of the same kind, so many will be right. */
void train_wilson(double *low, double *high, int k, int n);

#endif
