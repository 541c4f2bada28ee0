/* mistakes_page.h - the mistakes of a run as a part of report.html. */
#ifndef TRAIN_RUNS_MISTAKES_PAGE_H
#define TRAIN_RUNS_MISTAKES_PAGE_H

#include "train/page.h"
#include "train/runs/mistakes.h"

struct train_mistakes_page {
    const struct train_evaluation *evaluation;
    const struct data_set *set; /* what was evaluated */
    const struct nn_model *model;
    const char *phase;         /* "test" */
    const char *data;          /* the folder that paths are told from; NULL: whole paths */
    struct data_limits limits; /* as the pictures were read */
};

/* The files that were answered wrongly, the most surprising first: each beside the surest right
 * picture of the class that it was taken for, then more files by name only. A picture that cannot
 * be read any more is left empty. */
void train_mistakes_page(struct train_page *page, const struct train_mistakes_page *what);

#endif
