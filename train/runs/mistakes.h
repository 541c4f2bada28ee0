/* mistakes.h - which pictures a model got wrong, how sure it was, and an example of what it took
 * them for. */
#ifndef TRAIN_RUNS_MISTAKES_H
#define TRAIN_RUNS_MISTAKES_H

#include "train/evaluate.h"

/* One wrong answer. */
struct train_mistake {
    int row;        /* of the evaluation */
    double sure;    /* probability of the answer, as train_answer_sure gives it */
    float surprise; /* -log of the probability of the picture's own class */
};
struct train_mistakes {
    struct train_mistake *list; /* [count], the most surprising first; ties by row */
    int count;
    int *example; /* [classes] row of each class's surest right answer; -1: none was right */
    int sure_count, sure_right; /* answers given with TRAIN_SURE or more, and how many are right */
};

/* An answer counts as sure from this probability on. */
#define TRAIN_SURE 0.9

/* The probability of the answer in a row: calibrated where the model has a temperature and the
 * logits of all pictures were kept, else as the network gave it. */
double train_answer_sure(const struct train_evaluation *evaluation, int row);
/* Pure: the same evaluation gives the same list. RUDD_NO_MEMORY. */
enum rudd_status train_mistakes_find(struct train_mistakes *mistakes,
                                     const struct train_evaluation *evaluation,
                                     struct rudd_error *err);
void train_mistakes_free(struct train_mistakes *mistakes);

#endif
