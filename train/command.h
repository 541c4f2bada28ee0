/* command.h - the commands of the program `rudd`: one function each, in train/cmd_<name>.c, one row each below.
 *
 * A command gets argv with its own name in argv[0]. Results go to stdout. It returns a status; main.c prints the message and
 * turns it into the exit status (train_command_exit). */
#ifndef TRAIN_COMMAND_H
#define TRAIN_COMMAND_H

#include <jansson.h>
#include "nn/base/build.h"
#include "nn/base/suggest.h"

typedef enum rudd_status train_command(int argc, char **argv, struct rudd_error *err);

/* One row per command: declares it here, lists it in help and reaches it by name in main.c. GROUP is a heading of help. */
#define TRAIN_COMMANDS(GROUP, ROW)                                                                                             \
    GROUP("Learn from pictures")                                                                                               \
    ROW(data, "check, describe, split or draw folders of pictures")                                                            \
    ROW(train, "fine-tune a classifier on a folder of pictures")                                                               \
    ROW(eval, "measure a model on a folder of pictures")                                                                       \
    GROUP("Use a model")                                                                                                       \
    ROW(predict, "say what is on pictures")                                                                                    \
    GROUP("Exchange models with other programs")                                                                               \
    ROW(fetch, "bring weights by name from the Hugging Face hub")                                                              \
    ROW(import, "make a model file of another program's weights")                                                              \
    ROW(export, "write a model in a form that other programs read")                                                            \
    GROUP("Look after models and runs")                                                                                        \
    ROW(runs, "list, show, compare and promote runs")                                                                          \
    ROW(inspect, "show what a model file, a weights file or an architecture is")                                               \
    ROW(diff, "compare two weights files, tensor by tensor")                                                                   \
    GROUP("Use rudd")                                                                                                          \
    ROW(completion, "print a script that completes words in a shell")

#define TRAIN_NO_GROUP(heading)
#define TRAIN_DECLARE(name, help) train_command train_cmd_##name;
TRAIN_COMMANDS(TRAIN_NO_GROUP, TRAIN_DECLARE)
#undef TRAIN_DECLARE
#undef TRAIN_NO_GROUP

/* nn_options_parse, and the help page on stdout when asked for: then *done is set and the command has nothing left to do. For rudd-bench's, too. */
enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err);

/* A program or command that consists of commands. */
struct train_subcommand {
    const char *name; /* NULL: a heading of help */
    train_command *run;
    const char *help; /* NULL ends the rows */
};
struct train_commands {
    const char *usage, *about, *more; /* as in struct nn_options; "rudd data COMMAND" */
    const struct nn_example *examples;
    const struct nn_synonym *synonyms; /* other programs' names for them; may be NULL */
    const struct train_subcommand *rows;
    const struct nn_build_library *const *libraries; /* for --version; programs only */
};
/* Runs the row that argv[1] names, with argv moved by one. help, -h and --help show the commands; with a command's name behind
 * them, that command's page. argv may be changed. */
enum rudd_status train_command_dispatch(const struct train_commands *commands, int argc, char **argv, struct rudd_error *err);
/* The same for a whole program: no words show the commands, --version what the program is. */
enum rudd_status train_command_program(const struct train_commands *commands, int argc, char **argv, struct rudd_error *err);

/* The exit status of a program whose command returned this: 0 done, 1 failed, 2 wrong use or
 * configuration, 75 unfinished work that can go on (RUDD_CANCELLED; EX_TEMPFAIL of sysexits.h). */
enum { TRAIN_EXIT_STOPPED = 75 };
int train_command_exit(enum rudd_status status);

/* One JSON text on stdout, a line. Takes json over; NULL is RUDD_NO_MEMORY. */
enum rudd_status train_command_print(json_t *json, struct rudd_error *err);

#endif
