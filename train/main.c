/* main.c - the program `rudd`: finds the command, prints its mistake, chooses the exit status.
 *
 *     0 done   1 failed   2 wrong usage */
#include "train/command.h"

#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    train_command *run;
    const char *help;
} commands[] = {
#define ROW(name, help) {#name, train_cmd_##name, help},
    TRAIN_COMMANDS(ROW)
#undef ROW
        {NULL, NULL, NULL},
};
enum { COMMAND_COUNT = (int)(sizeof commands / sizeof *commands) - 1 };

static void print_help(void)
{
    printf("usage: rudd COMMAND [OPTION ...]\n\n"
           "Fine-tunes and runs image classifiers on ordinary CPUs.\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\n  rudd COMMAND --help    the options of a command\n"
           "  rudd --version         %s\n",
           RUDD_VERSION);
}

static enum rudd_status unknown_command(const char *name, struct rudd_error *err)
{
    const char *names[COMMAND_COUNT + 1] = {0};
    for (int i = 0; i < COMMAND_COUNT; i++) names[i] = commands[i].name;
    const char *near = nn_option_nearest(name, names, COMMAND_COUNT);
    return rudd_fail(err, RUDD_ARGUMENT, "unknown command \"%.80s\"; %s%s", name, near ? "did you mean " : "see rudd ",
                     near ? near : "help");
}

static enum rudd_status dispatch(int argc, char **argv, struct rudd_error *err)
{
    if (argc < 2) return rudd_fail(err, RUDD_ARGUMENT, "no command given; rudd help lists them");
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("rudd %s\n", RUDD_VERSION);
        return RUDD_OK;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return RUDD_OK;
    }
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1, err);
    return unknown_command(name, err);
}

int main(int argc, char **argv)
{
    struct rudd_error err = {RUDD_OK, ""};
    enum rudd_status status = dispatch(argc, argv, &err);
    /* A full disk behind a redirected stdout is a failure too. */
    if (fflush(stdout) != 0 && status == RUDD_OK) status = rudd_fail(&err, RUDD_IO, "standard output cannot be written");
    if (status == RUDD_OK) return 0;
    if (*err.message) fprintf(stderr, "rudd: %s\n", err.message); /* empty: all was told already */
    return status == RUDD_ARGUMENT ? 2 : 1;
}
