/* cmd_fetch.c - `rudd fetch`: weights by name, from the Hugging Face hub into its cache.
 *
 * The folder's path is all that stdout gets, so that scripts can use it. */
#include "train/cli/cmd_fetch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "train/command.h"
#include "train/events.h"
#include "weights/hf_folder.h"
#include "weights/hub/hub.h"
#include "weights/hub/known.h"

/* ---- the bar ------------------------------------------------------------------------------- */

static void clear(struct train_fetch_bar *b)
{
    if (b->drawn) fputs("\r\033[K", stderr);
    b->drawn = false;
}

static void tick(void *user, const struct weights_hub_tick *t)
{
    struct train_fetch_bar *b = user;
    enum { WIDTH = 20 };
    const double now = train_now();
    if (t->ended) {
        clear(b);
        b->began = 0;
        return;
    }
    if (b->began <= 0) b->began = now;
    if (!b->bar || now - b->last < 0.1) return;
    char bar[WIDTH + 1], left[32] = "";
    const double share = t->total ? (double)t->done / (double)t->total : 0;
    const double new_bytes = t->done > t->began ? (double)(t->done - t->began) : 0;
    const double rate = now > b->began ? new_bytes / (now - b->began) : 0;
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(WIDTH * (share < 1 ? share : 1)));
    bar[WIDTH] = 0;
    if (rate > 0) snprintf(left, sizeof left, "  %.0f s left", (double)(t->total - t->done) / rate);
    fprintf(stderr, "\r%s [%s] %.0f %%  %.1f/%.1f MB  %.1f MB/s%s\033[K", t->file, bar, 100 * share,
            (double)t->done / 1e6, (double)t->total / 1e6, rate / 1e6, left);
    b->drawn = true;
    b->last = now;
}

static void note(void *user, const char *line)
{
    clear(user);
    fprintf(stderr, "rudd: %s\n", line);
}

const struct weights_hub_events *train_fetch_events(struct train_fetch_bar *bar, bool quiet)
{
    *bar = (struct train_fetch_bar){.events = {.user = bar}};
    bar->bar = !quiet && isatty(STDERR_FILENO) && !hub_says_yes("HF_HUB_DISABLE_PROGRESS_BARS");
    if (!quiet) {
        bar->events.tick = tick;
        bar->events.note = note;
    }
    return &bar->events;
}

/* ---- the list ------------------------------------------------------------------------------ */

/* Names that are known to work, and what each brings. */
static enum rudd_status print_known(struct rudd_error *err)
{
    puts("name                                          megabytes");
    for (int i = 0; hub_known(i); i++) {
        const struct hub_known *row = hub_known(i);
        struct nn_model *model;
        enum rudd_status status = nn_model_describe(&model, row->arch, 1000, err);
        if (status) return status;
        const double megabytes = (double)model->value_count * 4 / 1e6;
        for (const char *tag = row->tags; *tag;) {
            char name[100];
            const size_t length = strcspn(tag, " ");
            snprintf(name, sizeof name, "timm/%s.%.*s", row->arch, (int)length, tag);
            printf("%-45s %9.0f\n", name, megabytes);
            tag += length + (tag[length] == ' ');
        }
        nn_model_destroy(model);
    }
    puts("\nThe hub holds many more: any timm model of these architectures.");
    return RUDD_OK;
}

/* ---- the command --------------------------------------------------------------------------- */

/* Opened as import would open it: nothing is read that is not needed to know that it fits. */
static enum rudd_status check(const struct weights_hub_found *found, bool quiet,
                              struct rudd_error *err)
{
    struct nn_model *model;
    const struct weights_load_options options = {.predict_only = true};
    enum rudd_status status = weights_model_load(&model, found->path, &options, NULL, err);
    if (status) return status;
    if (!quiet)
        fprintf(stderr, "%s: %s, %d classes, %.1f MB, commit %.12s\n",
                found->fetched ? "fetched" : "here already", model->arch, model->class_count,
                (double)found->bytes / 1e6, found->commit);
    nn_model_destroy(model);
    return RUDD_OK;
}

/* Whether somebody thought of a file. */
static bool ends_as_file(const char *path)
{
    static const char *const endings[] = {".safetensors", ".bin", ".pth", ".json"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(path), length = strlen(endings[i]);
        if (n >= length && !strcmp(path + n - length, endings[i])) return true;
    }
    return false;
}

enum rudd_status train_cmd_fetch(int argc, char **argv, struct rudd_error *err)
{
    const char *out = NULL;
    struct weights_hub_options fetch = {.max_bytes = WEIGHTS_HUB_MAX_BYTES, .verify = true};
    bool list = false, quiet = false, done;
    const struct nn_option rows[] = {
        {"out|o", NN_OPTION_STRING, &out, "DIR", 0, 0, "also copy the files into this folder",
         NN_COMMON},
        {"max-size", NN_OPTION_BYTES, &fetch.max_bytes, "BYTES", 0, 0,
         "refuse a file that is larger"},
        {"sha256", NN_OPTION_STRING, &fetch.sha256, "HEX", 0, 0,
         "refuse weights that have another hash"},
        {"list", NN_OPTION_FLAG, &list, NULL, 0, 0, "print names that are known to work",
         NN_COMMON},
        {"quiet|q", NN_OPTION_FLAG, &quiet, NULL, 0, 0, "print only the path"},
    };
    struct nn_options options = {
        .usage = "rudd fetch NAME [-o DIR]",
        .about =
            "Brings weights by name from the Hugging Face hub into its cache (HF_HOME), and prints "
            "the folder's path. A fetch that breaks off goes on when the command is given again. "
            "Without NAME: --list.",
        .examples =
            (const struct nn_example[]){
                {"weights to start training from", "rudd fetch timm/tf_efficientnetv2_b0.in1k"},
                {"names that are known to work", "rudd fetch --list"},
                {NULL, NULL}},
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
        .max_arguments = 1};
    struct train_fetch_bar bar;
    struct weights_hub_found *found = NULL;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (list || !options.argument_count) {
        status = print_known(err);
        goto out;
    }
    if (out && ends_as_file(out)) {
        status =
            rudd_fail(err, RUDD_ARGUMENT,
                      "--out: found \"%.200s\", expected a folder: config.json and the weights go "
                      "into it",
                      out);
        goto out;
    }
    fetch.events = train_fetch_events(&bar, quiet);
    found = rudd_zalloc(1, sizeof *found);
    status = found ? weights_hub_fetch(found, options.arguments[0], &fetch, err)
                   : rudd_fail(err, RUDD_NO_MEMORY, "fetch: no memory to begin");
    if (!status) status = check(found, quiet, err);
    if (!status && out) status = weights_hub_copy(found, out, err);
    if (!status) puts(out ? out : found->path);
out:
    rudd_free(found);
    nn_options_free(&options);
    return status;
}
