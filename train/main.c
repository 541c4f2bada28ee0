/* main.c - the program `rudd`: its commands; prints the mistake, chooses the exit status.
 *
 *     0 done   1 failed   2 wrong use   75 told to stop, and the work can go on */
#include "data/libraries.h"
#include "train/cli/signals.h"
#include "train/command.h"
#include "weights/hub/libraries.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct train_subcommand rows[] = {
#define GROUP(heading) {NULL, NULL, heading},
#define ROW(name, help) {#name, train_cmd_##name, help},
    TRAIN_COMMANDS(GROUP, ROW)
#undef ROW
#undef GROUP
        {NULL, NULL, NULL},
};

static const struct nn_example examples[] = {
    {"look at your photos: a folder for each class, photos/perch/1.jpg", "rudd data check photos"},
    {"learn from them, starting from pretrained weights",
     "rudd train --data photos --weights weights.safetensors --out runs/first"},
    {"ask the model", "rudd predict --model runs/first/model.safetensors new.jpg"},
    {"answer over HTTP, with a page to try it at http://127.0.0.1:8080/", "rudd-serve --model "
                                                                          "runs/first/model.safetensors"},
    {NULL, NULL},
};

/* What other programs call our commands. */
static const struct nn_synonym synonyms[] = {
    {"fit", "train", NULL},
    {"finetune", "train", NULL},
    {"fine-tune", "train", NULL},
    {"learn", "learn|train", NULL},
    {"test", "eval", NULL},
    {"val", "eval", NULL},
    {"validate", "eval", NULL},
    {"evaluate", "eval", NULL},
    {"score", "eval", NULL},
    {"infer", "predict", NULL},
    {"inference", "predict", NULL},
    {"classify", "predict", NULL},
    {"run", "predict", NULL},
    {"detect", "predict", NULL},
    {"convert", NULL, "rudd import reads other programs' weights, rudd export writes them"},
    {"load", "import", NULL},
    {"save", "export", NULL},
    {"download", "fetch", "rudd takes weights from files: rudd train --weights FILE"},
    {"pull", "fetch", "rudd takes weights from files: rudd train --weights FILE"},
    {"info", "inspect", NULL},
    {"show", "inspect", NULL},
    {"summary", "inspect", NULL},
    {"compare", NULL, "rudd runs compare A B compares two models, rudd diff A B their weights"},
    {"list", "runs", NULL},
    {"dataset", "data", NULL},
    {"split", "data", "rudd data split divides a folder of pictures"},
    {"check", "data", "rudd data check reads a folder of pictures"},
    {"serve", NULL, "the server is a program of its own: rudd-serve --model FILE"},
    {"server", NULL, "the server is a program of its own: rudd-serve --model FILE"},
    {"bench", NULL, "measuring is a program of its own: rudd-bench help"},
    {"benchmark", NULL, "measuring is a program of its own: rudd-bench help"},
    {NULL, NULL, NULL},
};

static const struct nn_build_library *const libraries[] = {data_libraries, weights_hub_libraries, NULL};

static const struct train_commands commands = {
    .usage = "rudd COMMAND [OPTION ...]",
    .about = "Fine-tunes and runs image classifiers on ordinary processors.",
    .more = "rudd help COMMAND explains a command and its options. rudd-serve --help is about "
            "the server, "
            "rudd-bench --help about measuring this machine.",
    .examples = examples,
    .synonyms = synonyms,
    .rows = rows,
    .libraries = libraries,
};

static void exit_stopped(void)
{
    _exit(TRAIN_EXIT_STOPPED);
}

int main(int argc, char **argv)
{
    train_signals_exit = exit_stopped;
    struct rudd_error err = {RUDD_OK, ""};
    enum rudd_status status = train_command_program(&commands, argc, argv, &err);
    /* A full disk behind a redirected stdout is a failure too. */
    if (fflush(stdout) != 0 && status == RUDD_OK) status = rudd_fail(&err, RUDD_IO, "standard output cannot be written");
    if (status == RUDD_OK) return 0;
    if (*err.message) fprintf(stderr, "rudd: %s\n", err.message); /* empty: all was told already */
    return train_command_exit(status);
}
