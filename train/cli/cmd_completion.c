/* cmd_completion.c - `rudd completion`: a script that makes a shell complete commands and options.
 *
 * The scripts hold no names. They ask the program that is completed, by --help=words. */
#include "train/cli/completion.h"
#include "train/command.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *shell;
    const unsigned char *script;
    const size_t *size;
} scripts[] = {
    {"bash", train_completion_bash, &train_completion_bash_size},
    {"zsh", train_completion_zsh, &train_completion_zsh_size},
    {"fish", train_completion_fish, &train_completion_fish_size},
};

static enum rudd_status print_script(const struct nn_options *options, struct rudd_error *err)
{
    if (!options->argument_count)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "completion: no shell given; expected bash, zsh or fish");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (strcmp(options->arguments[0], scripts[i].shell) == 0) {
            fwrite(scripts[i].script, 1, *scripts[i].size, stdout);
            return RUDD_OK;
        }
    return rudd_fail(err, RUDD_ARGUMENT, "completion: found \"%.40s\", expected bash, zsh or fish",
                     options->arguments[0]);
}

enum rudd_status train_cmd_completion(int argc, char **argv, struct rudd_error *err)
{
    static const struct nn_example examples[] = {
        {"in this terminal", "source <(rudd completion bash)"},
        {"in every new one",
         "rudd completion bash > ~/.local/share/bash-completion/completions/rudd"},
        {NULL, NULL}};
    struct nn_options options = {
        .usage = "rudd completion bash|zsh|fish",
        .about =
            "Prints a script for completion in a shell. It completes the commands, options and "
            "values of rudd, rudd-serve and rudd-bench.",
        .examples = examples,
        .max_arguments = 1};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status == RUDD_OK && !done) status = print_script(&options, err);
    nn_options_free(&options);
    return status;
}
