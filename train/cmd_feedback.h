/* cmd_feedback.h - `rudd data feedback`, a row in cmd_data.c's table of sub-commands. */
#ifndef TRAIN_CMD_FEEDBACK_H
#define TRAIN_CMD_FEEDBACK_H

#include "train/command.h"

train_command train_cmd_data_feedback;

#endif
