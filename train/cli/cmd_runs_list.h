/* cmd_runs_list.h - runs as a table for people. */
#ifndef TRAIN_CLI_CMD_RUNS_LIST_H
#define TRAIN_CLI_CMD_RUNS_LIST_H

#include "train/runs.h"

/* A line a run on standard output: where, when (local time), what became of it, and its figures of the
 * validation and of the test pictures, in columns of their own. sort: a figure that has a column, too;
 * may be NULL. Below, how to go on with runs that died. */
void train_runs_print(const struct train_run *runs, int count, const char *sort);

#endif
