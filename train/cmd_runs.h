/* cmd_runs.h - `rudd runs compare`, a row in cmd_runs.c's table of sub-commands. */
#ifndef TRAIN_CMD_RUNS_H
#define TRAIN_CMD_RUNS_H

#include "train/command.h"

train_command train_cmd_runs_compare;

#endif
