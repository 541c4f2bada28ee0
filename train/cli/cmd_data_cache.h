/* cmd_data_cache.h - `rudd data cache`. */
#ifndef TRAIN_CLI_CMD_DATA_CACHE_H
#define TRAIN_CLI_CMD_DATA_CACHE_H

#include "train/command.h"

train_command train_cmd_data_cache;

#endif
