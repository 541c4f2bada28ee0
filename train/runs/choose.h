/* choose.h - runs in an order, and the best of them by a figure.
 *
 * Figures compare only between runs of the same pictures in the same split, which the hash in their
 * records names. */
#ifndef TRAIN_RUNS_CHOOSE_H
#define TRAIN_RUNS_CHOOSE_H

#include "train/runs.h"

enum { TRAIN_FIGURE_NAME = 64 };

/* A figure's whole name, "val.top1", from what was given for option: "top1" is of the validation
 * pictures. Known are the figures of tables (runs.h) and whatever one of the runs has. RUDD_ARGUMENT
 * for others; the line names those that are known. */
enum rudd_status train_figure_find(char out[TRAIN_FIGURE_NAME], const char *option,
                                   const char *given, const struct train_run *runs, int count,
                                   struct rudd_error *err);

/* Best first; runs without the figure last. Equals stay in their order. */
void train_runs_sort(struct train_run *runs, int count, const char *figure);

/* Index of the best finished run by a figure; of equals, the one of less validation loss. The runs are
 * sorted for that. like: a run whose pictures the others must have, too; NULL: all must have the same,
 * else RUDD_ARGUMENT, and the line names a run of each set. RUDD_MISMATCH: no finished run has the
 * figure. dir is for messages. */
enum rudd_status train_runs_best(int *best, struct train_run *runs, int count, const char *figure,
                                 const struct train_run *like, const char *dir,
                                 struct rudd_error *err);

#endif
