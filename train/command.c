/* command.c - what every command of `rudd` does first. */
#include "train/command.h"

#include <stdio.h>

enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err)
{
    *done = false;
    enum rudd_status status = nn_options_parse(options, argc, argv, err);
    if (status != RUDD_OK || !options->help) return status;
    char *text = nn_options_help(options);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the help page");
    fputs(text, stdout);
    rudd_free(text);
    *done = true;
    return RUDD_OK;
}
