/* cmd_synth.h - `rudd data synth`, a row in cmd_data.c's table of sub-commands. */
#ifndef TRAIN_CMD_SYNTH_H
#define TRAIN_CMD_SYNTH_H

#include "train/command.h"

train_command train_cmd_data_synth;

#endif
