/* command.h - the commands of the program `rudd`: one function each, in train/cmd_<name>.c, one row each below.
 *
 * A command gets argv with its own name in argv[0]. Results go to stdout. It returns a status; main.c prints the message and
 * turns RUDD_ARGUMENT into exit status 2 (wrong usage), any other failure into 1. */
#ifndef TRAIN_COMMAND_H
#define TRAIN_COMMAND_H

#include <jansson.h>
#include "nn/options.h"

typedef enum rudd_status train_command(int argc, char **argv, struct rudd_error *err);

/* One row per command: declares it here, lists it in help and reaches it by name in main.c. */
#define TRAIN_COMMANDS(ROW)                                                                                                    \
    ROW(train, "fine-tune a classifier on a folder of pictures")                                                               \
    ROW(eval, "measure a model on a folder of pictures")                                                                       \
    ROW(predict, "what is on pictures")                                                                                        \
    ROW(import, "foreign weights into a model file")                                                                           \
    ROW(export, "a model file into what other programs read")                                                                  \
    ROW(inspect, "what a model file, any weights file or an architecture is")                                                  \
    ROW(diff, "two weights files, tensor by tensor")                                                                           \
    ROW(data, "check, describe, split or draw folders of pictures")                                                            \
    ROW(runs, "list, show, compare and promote runs")

#define TRAIN_DECLARE(name, help) train_command train_cmd_##name;
TRAIN_COMMANDS(TRAIN_DECLARE)
#undef TRAIN_DECLARE

/* nn_options_parse, and the help page on stdout when asked for: then *done is set and the command has nothing left to do. For rudd-bench's, too. */
enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err);

/* A command of commands (`rudd data check`): runs the row that argv[1] names, with argv moved by one. `name` starts the messages. The rows
 * end with a NULL name. --help lists them. */
struct train_subcommand {
    const char *name;
    train_command *run;
    const char *help;
};
enum rudd_status train_command_dispatch(const char *name, const struct train_subcommand *rows, int argc, char **argv,
                                        struct rudd_error *err);

/* One JSON text on stdout, a line. Takes json over; NULL is RUDD_NO_MEMORY. */
enum rudd_status train_command_print(json_t *json, struct rudd_error *err);

#endif
