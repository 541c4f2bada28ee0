/* command.c - what every command of `rudd` does first. */
#include "train/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err)
{
    enum rudd_status status = nn_options_parse(options, argc, argv, err);
    *done = !status && options->help;
    if (*done) fputs(options->help, stdout);
    return status;
}

enum rudd_status train_command_dispatch(const char *name, const struct train_subcommand *rows, int argc, char **argv,
                                        struct rudd_error *err)
{
    enum { MOST = 16 };
    const char *names[MOST], *wanted = argc > 1 ? argv[1] : "--help";
    char list[200] = "";
    int count = 0;
    for (; rows[count].name && count < MOST; count++) {
        names[count] = rows[count].name;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", names[count]);
    }
    if (argc < 2) return rudd_fail(err, RUDD_ARGUMENT, "%s: no sub-command given; expected one of %s", name, list);
    if (strcmp(wanted, "--help") == 0 || strcmp(wanted, "-h") == 0) {
        printf("usage: rudd %s COMMAND [OPTION ...]\n\n", name);
        for (int i = 0; i < count; i++) printf("  %-8s %s\n", names[i], rows[i].help);
        return RUDD_OK;
    }
    for (int i = 0; i < count; i++)
        if (strcmp(wanted, names[i]) == 0) return rows[i].run(argc - 1, argv + 1, err);
    const char *near = nn_option_nearest(wanted, names, count);
    return rudd_fail(err, RUDD_ARGUMENT, "%s: unknown sub-command \"%.40s\"; %s%s", name, wanted,
                     near ? "did you mean " : "expected one of ", near ? near : list);
}

enum rudd_status train_command_print(json_t *json, struct rudd_error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the JSON text, or a file name in it is not UTF-8");
    puts(text);
    free(text); /* jansson's */
    return RUDD_OK;
}
