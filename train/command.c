/* command.c - what every command of `rudd` does first. */
#include "train/command.h"

#include "nn/base/help.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40 }; /* rows of one table of commands, with its headings */

/* The program that runs, for hints at its other commands. */
static const struct train_commands *program;

/* "--top is an option of rudd predict", where an option is not this command's. */
static void hint_at_owner(const char *word, struct rudd_error *err)
{
    char name[NN_TITLE], request[NN_TITLE + 16], *argv[] = {name, request, NULL};
    struct rudd_error owner;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    snprintf(request, sizeof request, NN_HELP_OWNER_REQUEST "%s", name);
    if (program && train_command_dispatch(program, 2, argv, &owner) == RUDD_MISMATCH)
        rudd_fail(err, RUDD_ARGUMENT, "unknown option --%s; it is an option of %s", name, owner.message);
}

enum rudd_status train_command_parse(struct nn_options *options, bool *done, int argc, char **argv, struct rudd_error *err)
{
    enum rudd_status status = nn_options_parse(options, argc, argv, err);
    if (status == RUDD_ARGUMENT && options->unknown) hint_at_owner(options->unknown, err);
    *done = !status && options->help;
    if (*done) fputs(options->help, stdout);
    return status;
}

/* The page of all commands: a table of options, whose rows are commands. */
static enum rudd_status print_page(const struct train_commands *commands, int argc, char **argv, struct rudd_error *err)
{
    struct nn_option rows[MOST];
    struct nn_options options = {.usage = commands->usage,
                                 .about = commands->about,
                                 .more = commands->more,
                                 .examples = commands->examples,
                                 .rows = rows};
    bool done;
    for (const struct train_subcommand *c = commands->rows; c->help && options.count < MOST; c++)
        rows[options.count++] = c->name ? (struct nn_option){c->name, NN_OPTION_COMMAND, .help = c->help}
                                        : (struct nn_option){"", NN_OPTION_GROUP, .help = c->help};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    nn_options_free(&options);
    return status;
}

static const struct train_subcommand *find(const struct train_commands *commands, const char *name)
{
    for (const struct train_subcommand *c = commands->rows; c->help; c++)
        if (c->name && strcmp(c->name, name) == 0) return c;
    return NULL;
}

static enum rudd_status unknown(const struct train_commands *commands, const char *wanted, struct rudd_error *err)
{
    const char *names[MOST];
    char title[NN_TITLE], list[300] = "";
    int count = 0;
    for (const struct train_subcommand *c = commands->rows; c->help && count < MOST; c++) {
        if (!c->name) continue;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", c->name);
        names[count++] = c->name;
    }
    /* "data: " of rudd data, and nothing of rudd, which begins every message. */
    const char *group = strchr(nn_help_title(title, commands->usage), ' ');
    char where[NN_TITLE + 2] = "";
    if (group) snprintf(where, sizeof where, "%s: ", group + 1);
    if (!wanted) return rudd_fail(err, RUDD_ARGUMENT, "%sno command given; expected one of %s", where, list);
    const struct nn_suggestion s = nn_suggest(wanted, names, count, commands->synonyms);
    if (s.name || s.advice)
        return rudd_fail(err, RUDD_ARGUMENT, "%sunknown command \"%.60s\"; %s%s", where, wanted,
                         s.name ? "did you mean " : s.advice, s.name ? s.name : "");
    return rudd_fail(err, RUDD_ARGUMENT, "%sunknown command \"%.60s\"; expected one of %s", where, wanted, list);
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "-h") == 0 || strncmp(word, "--help", 6) == 0;
}

/* Passes a request on to every command. RUDD_MISMATCH: some have the option; the message names the first. */
static enum rudd_status ask_all(const struct train_commands *commands, char **argv, struct rudd_error *err)
{
    static const char others[] = " and others";
    struct rudd_error owner;
    bool found = false;
    for (const struct train_subcommand *c = commands->rows; c->help; c++) {
        if (!c->name || c->run(2, argv, &owner) != RUDD_MISMATCH) continue;
        if (!found)
            *err = owner;
        else if (!strstr(err->message, others))
            rudd_fail(err, RUDD_MISMATCH, "%.100s%s", err->message, others);
        found = true;
    }
    return found ? RUDD_MISMATCH : RUDD_ARGUMENT;
}

enum rudd_status train_command_dispatch(const struct train_commands *commands, int argc, char **argv, struct rudd_error *err)
{
    static char whole[] = "--help";
    if (argc < 2) return unknown(commands, NULL, err);
    if (strncmp(argv[1], NN_HELP_OWNER_REQUEST, strlen(NN_HELP_OWNER_REQUEST)) == 0) return ask_all(commands, argv, err);
    if (asks_for_help(argv[1])) {
        if (argv[1][0] != '-') argv[1] = whole;
        if (argc == 2) return print_page(commands, argc, argv, err);
        /* `help train` is `train --help`. The request comes first, so that nothing behind it runs. */
        char *request = argv[1];
        argv[1] = argv[2];
        argv[2] = request;
    }
    const struct train_subcommand *c = find(commands, argv[1]);
    return c ? c->run(argc - 1, argv + 1, err) : unknown(commands, argv[1], err);
}

enum rudd_status train_command_program(const struct train_commands *commands, int argc, char **argv, struct rudd_error *err)
{
    static char whole[] = "--help";
    char title[NN_TITLE];
    program = commands;
    if (argc < 2) return print_page(commands, 2, (char *[]){argv[0], whole, NULL}, err);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "version") == 0) {
        char *text = nn_build_print(nn_help_title(title, commands->usage), commands->libraries);
        if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the version's page");
        fputs(text, stdout);
        rudd_free(text);
        return RUDD_OK;
    }
    return train_command_dispatch(commands, argc, argv, err);
}

int train_command_exit(enum rudd_status status)
{
    switch (status) {
    case RUDD_OK: return 0;
    case RUDD_ARGUMENT: return 2;
    case RUDD_CANCELLED: return TRAIN_EXIT_STOPPED;
    default: return 1;
    }
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
