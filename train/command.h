/* command.h - the commands of the program `rudd`: one function each, in train/cmd_<name>.c, one row each in train/main.c.
 *
 * A command gets argv with its own name in argv[0]. Results go to stdout. It returns a status; main.c prints the message and
 * turns RUDD_ARGUMENT into exit status 2 (wrong usage), any other failure into 1. */
#ifndef TRAIN_COMMAND_H
#define TRAIN_COMMAND_H

#include "nn/options.h"

typedef enum rudd_status train_command(int argc, char **argv, struct rudd_error *err);

/* nn_options_parse, and the help page on stdout when asked for: then *done is set and the command has nothing left to do. */
enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err);

#endif
