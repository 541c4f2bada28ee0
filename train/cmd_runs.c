/* cmd_runs.c - `rudd runs list|show|best|compare|promote`: what became of a folder of runs.
 *
 *     list     a table, the latest run last, or by a figure (cli/cmd_runs_list.c)
 *     show     one run: what it did that is not the default, and its figures
 *     best     the finished run that is best by a figure of the validation pictures; the test pictures are for judging, not
 *              choosing. Runs of other pictures do not compete (runs/choose.c)
 *     compare  two models on the same pictures (cmd_compare.c)
 *     promote  a run's model to DIR/NAME.safetensors, the name a server watches, and a line into DIR/NAME.history.jsonl */
#include "train/cmd_runs.h"

#include "data/image/decode.h"
#include "nn/sha256.h"
#include "nn/text.h"
#include "train/cli/cmd_runs_list.h"
#include "train/folder.h"
#include "train/run_folder.h"
#include "train/run_json.h"
#include "train/runs.h"
#include "train/runs/choose.h"
#include "train/settings.h"
#include "weights/replace.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Usage mistakes of commands that want one or two positional arguments. */
static enum rudd_status want_arguments(const struct nn_options *o, int least, struct rudd_error *err)
{
    if (o->argument_count >= least) return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT, "%d arguments given, expected %d: %s", o->argument_count, least, o->usage);
}

/* ---- list, best -------------------------------------------------------------------------------------------------- */

static enum rudd_status print_list_json(const struct train_run *runs, int count, struct rudd_error *err)
{
    json_t *list = json_array();
    for (int i = 0; list && i < count; i++)
        if (json_array_append_new(list, train_run_summary(&runs[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return train_command_print(list, err);
}

/* The runs that a command is about: those of the folder it was given, or of runs/, which may be missing yet. */
struct chosen {
    struct train_run *runs;
    int count;
    const char *dir;
    bool given;
};

static enum rudd_status choose(struct chosen *c, const struct nn_options *options, struct rudd_error *err)
{
    struct stat st;
    *c = (struct chosen){.dir = "runs", .given = options->argument_count};
    if (c->given) c->dir = options->arguments[0];
    if (!c->given && stat(c->dir, &st) != 0 && errno == ENOENT) return RUDD_OK;
    return train_runs_list(&c->runs, &c->count, c->dir, err);
}

static enum rudd_status list(int argc, char **argv, struct rudd_error *err)
{
    const char *sort = NULL;
    bool json = false, done;
    struct chosen c = {.count = 0};
    char figure[TRAIN_FIGURE_NAME];
    const struct nn_option rows[] = {
        {"sort", NN_OPTION_STRING, &sort, "FIGURE", 0, 0,
         "best run first, by val.top1, val.macro_f1, loss ...; without it, the newest last"},
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print a JSON list"},
    };
    static const struct nn_example examples[] = {
        {"best run first", "rudd runs list --sort val.macro_f1"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd runs list [DIR] [--sort FIGURE] [--json]",
                                 .about = "Lists the runs in a folder. DIR is runs/ if it is not "
                                          "given. Shows the figures of the validation pictures and "
                                          "of the test pictures.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 1};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status == RUDD_OK && !done) status = choose(&c, &options, err);
    if (status == RUDD_OK && !done && sort) status = train_figure_find(figure, "--sort", sort, c.runs, c.count, err);
    if (status == RUDD_OK && !done) {
        if (sort) train_runs_sort(c.runs, c.count, figure);
        if (json)
            status = print_list_json(c.runs, c.count, err);
        else if (c.count)
            train_runs_print(c.runs, c.count, sort ? figure : NULL);
        else
            printf("no runs %sin %s%s\n", c.given ? "" : "yet ", c.dir, c.given ? "" : "/: rudd train makes one");
    }
    train_runs_free(c.runs, c.count);
    nn_options_free(&options);
    return status;
}

static enum rudd_status print_best(const struct train_run *run, const char *figure, bool json, struct rudd_error *err)
{
    if (json) return train_command_print(train_run_summary(run), err);
    printf("%s  %s %.4f", run->path, figure, train_run_figure(run, figure));
    if (!isnan(train_run_figure(run, "test.top1"))) printf("  test.top1 %.4f", train_run_figure(run, "test.top1"));
    putchar('\n');
    return RUDD_OK;
}

static enum rudd_status best(int argc, char **argv, struct rudd_error *err)
{
    const char *by = "val.top1", *like = NULL;
    bool json = false, done;
    struct chosen c = {.count = 0};
    struct train_run like_run = {.path = NULL};
    char figure[TRAIN_FIGURE_NAME];
    int at;
    const struct nn_option rows[] = {
        {"by", NN_OPTION_STRING, &by, "FIGURE", 0, 0, "figure that decides: val.top1, val.loss, val.macro_f1, test.ece ..."},
        {"like", NN_OPTION_STRING, &like, "RUN", 0, 0, "only compare runs that learned from the same pictures as RUN"},
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print the run as runs list --json does"},
    };
    static const struct nn_example examples[] = {
        {"the run with the lowest loss", "rudd runs best --by val.loss"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd runs best [DIR] [--by FIGURE] [--like RUN] [--json]",
                                 .about = "Shows the best finished run in a folder. DIR is runs/ "
                                          "if it is not given. Of equal runs it is the one with "
                                          "the lower validation loss.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 1};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status != RUDD_OK || done) goto done;
    status = choose(&c, &options, err);
    if (status == RUDD_OK && like) status = train_run_open(&like_run, like, err);
    if (status == RUDD_OK) status = train_figure_find(figure, "--by", by, c.runs, c.count, err);
    if (status == RUDD_OK) status = train_runs_best(&at, c.runs, c.count, figure, like ? &like_run : NULL, c.dir, err);
    if (status == RUDD_OK) status = print_best(&c.runs[at], figure, json, err);
done:
    train_run_close(&like_run);
    train_runs_free(c.runs, c.count);
    nn_options_free(&options);
    return status;
}

/* ---- show -------------------------------------------------------------------------------------------------------- */

/* The options of the record that differ from the defaults, as the command line would give them. */
static void print_options(const struct train_run *run)
{
    struct train_settings defaults = train_settings_default;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    json_t *usual = train_options_json(rows, train_settings_table(rows, &defaults)), *value;
    const char *name;
    json_object_foreach(json_object_get(run->record, "options"), name, value)
    {
        if (json_equal(value, json_object_get(usual, name))) continue;
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        printf("    %-18s %s\n", name, text ? text : json_string_value(value));
        free(text); /* jansson's */
    }
    json_decref(usual);
}

static void print_run(const struct train_run *run)
{
    static const char *const phases[] = {"train", "val", "test"};
    const json_t *final = json_object_get(run->record, "final"), *dataset = json_object_get(run->record, "dataset");
    printf("%s  %s  id %s\n", run->path, train_run_status(run), train_run_text(run, "id"));
    if (run->dead) printf("its process ended before the run did; go on with: rudd train --resume %s\n", run->path);
    printf("%s on %s: %d classes, %d pictures to train, %d to validate, %d to test\n", train_run_text(run, "model.arch"),
           train_run_text(run, "options.data"), (int)json_integer_value(json_object_get(dataset, "classes")),
           (int)json_integer_value(json_object_get(dataset, "train")), (int)json_integer_value(json_object_get(dataset, "val")),
           (int)json_integer_value(json_object_get(dataset, "test")));
    printf("options that are not the defaults:\n");
    print_options(run);
    if (!final) return;
    printf("best epoch %d:\n    %-6s %8s", (int)json_integer_value(json_object_get(final, "epoch")), "", "pictures");
    for (const struct train_figure *f = train_figures; f->key; f++) printf(" %9s", f->title);
    putchar('\n');
    for (int i = 0; i < 3; i++) {
        if (!json_object_get(final, phases[i])) continue;
        char name[64], text[16];
        snprintf(name, sizeof name, "%s.images", phases[i]);
        printf("    %-6s %8.0f", phases[i], train_run_figure(run, name));
        for (const struct train_figure *f = train_figures; f->key; f++) {
            snprintf(name, sizeof name, "%s.%s", phases[i], f->key);
            printf(" %9s", train_figure_text(text, f, train_run_figure(run, name)));
        }
        putchar('\n');
    }
}

static enum rudd_status show(int argc, char **argv, struct rudd_error *err)
{
    bool json = false, done;
    const struct nn_option rows[] = {{"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print run.json on one line"}};
    static const struct nn_example examples[] = {
        {"options and figures of a run", "rudd runs show runs/1"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd runs show RUN [--json]",
                                 .about = "Shows what a run did, and how good its model is.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = 1,
                                 .max_arguments = 1};
    struct train_run run;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status == RUDD_OK && !done) status = want_arguments(&options, 1, err);
    if (status == RUDD_OK && !done) status = train_run_open(&run, options.arguments[0], err);
    if (status == RUDD_OK && !done) {
        if (json)
            status = train_command_print(json_incref(run.record), err);
        else
            print_run(&run);
        train_run_close(&run);
    }
    nn_options_free(&options);
    return status;
}

/* ---- promote ----------------------------------------------------------------------------------------------------- */

enum { MODEL_MAX = 1 << 30, HISTORY_MAX = 64 << 20 };

/* The history with one more line, whole and atomically. */
static enum rudd_status add_history(const char *path, json_t *line, struct rudd_error *err)
{
    uint8_t *old = NULL;
    size_t length = 0;
    FILE *there = fopen(path, "rb");
    enum rudd_status status = RUDD_OK;
    if (there) {
        fclose(there);
        status = data_file_read(&old, &length, path, HISTORY_MAX, err);
    }
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    size_t more = text ? strlen(text) : 0;
    char *whole = status == RUDD_OK && text ? rudd_alloc(length + more + 1) : NULL;
    if (whole) {
        if (length) memcpy(whole, old, length);
        memcpy(whole + length, text, more);
        whole[length + more] = '\n';
        status = weights_write_bytes(path, whole, length + more + 1, err);
    } else if (status == RUDD_OK) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for one more line", path);
    }
    rudd_free(whole);
    rudd_free(old);
    free(text); /* jansson's */
    return status;
}

static enum rudd_status promote_run(const struct train_run *run, const char *name, const char *dir, struct rudd_error *err)
{
    char from[TRAIN_PATH], to[TRAIN_PATH], history[TRAIN_PATH], hex[NN_SHA256_HEX];
    uint8_t *bytes;
    size_t length;
    struct nn_sha256 hash;
    if (strlen(dir) + strlen(name) > TRAIN_PATH - 64 || strchr(name, '/') || name[0] == '.' || !name[0])
        return rudd_fail(err, RUDD_ARGUMENT, "promote: found the name \"%.80s\", expected a plain one such as \"fish\"", name);
    if (strcmp(train_run_status(run), "done") != 0)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "%s: its status is \"%s\", expected a finished run; finish it by rudd train --resume %s", run->path,
                         train_run_status(run), run->path);
    enum rudd_status status =
        data_file_read(&bytes, &length, train_run_path(from, run->path, "model.safetensors"), MODEL_MAX, err);
    if (status != RUDD_OK) return status;
    nn_sha256_init(&hash);
    nn_sha256_update(&hash, bytes, length);
    nn_sha256_hex(hex, &hash);
    status = train_folder_make(dir, err);
    snprintf(to, sizeof to, "%s/%s.safetensors", dir, name);
    snprintf(history, sizeof history, "%s/%s.history.jsonl", dir, name);
    if (status == RUDD_OK) status = weights_write_bytes(to, bytes, length, err);
    rudd_free(bytes);
    if (status != RUDD_OK) return status;

    char when[32] = "";
    struct tm tm;
    time_t now = time(NULL);
    if (gmtime_r(&now, &tm)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_t *final = json_object_get(run->record, "final");
    json_t *line = json_pack("{s:s,s:o,s:s,s:s,s:O}", "time", when, "run", nn_text_json(run->path), "id",
                             train_run_text(run, "id"), "sha256", hex, "final", final ? final : json_null());
    status = add_history(history, line, err);
    json_decref(line);
    if (status == RUDD_OK)
        printf("%s is now run %s of %s; %s says what was\n", to, train_run_text(run, "id"), run->path, history);
    return status;
}

static enum rudd_status promote(int argc, char **argv, struct rudd_error *err)
{
    const char *dir = "models";
    bool done;
    const struct nn_option rows[] = {{"to", NN_OPTION_STRING, &dir, "DIR", 0, 0, "folder of promoted models"}};
    static const struct nn_example examples[] = {
        {"make a run's model the one that the server loads", "rudd runs promote runs/2 fishes --to models"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd runs promote RUN NAME [--to DIR]",
                                 .about = "Copies the model of a run to DIR/NAME.safetensors and "
                                          "writes this into DIR/NAME.history.jsonl. To go back, "
                                          "promote the earlier run again.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = 1,
                                 .max_arguments = 2};
    struct train_run run;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status == RUDD_OK && !done) status = want_arguments(&options, 2, err);
    if (status == RUDD_OK && !done) status = train_run_open(&run, options.arguments[0], err);
    if (status == RUDD_OK && !done) {
        status = promote_run(&run, options.arguments[1], dir, err);
        train_run_close(&run);
    }
    nn_options_free(&options);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

enum rudd_status train_cmd_runs(int argc, char **argv, struct rudd_error *err)
{
    static const struct train_subcommand rows[] = {
        {"list", list, "the runs in a folder, in a table"},
        {"show", show, "one run: options and figures"},
        {"best", best, "the best finished run by a figure"},
        {"compare", train_cmd_runs_compare, "two models on the same pictures, with McNemar's test"},
        {"promote", promote, "a run's model to a place with a name"},
        {NULL, NULL, NULL},
    };
    static const struct nn_example examples[] = {
        {"the runs in runs/, best first", "rudd runs list --sort val.macro_f1"},
        {"is the second really better than the first?", "rudd runs compare runs/1 runs/2"},
        {NULL, NULL}};
    static const struct nn_synonym synonyms[] = {
        {"ls", "list", NULL},        {"view", "show", NULL},       {"info", "show", NULL},
        {"diff", "compare", NULL},   {"top", "best", NULL},        {"winner", "best", NULL},
        {"deploy", "promote", NULL}, {"publish", "promote", NULL}, {NULL, NULL, NULL}};
    static const struct train_commands commands = {.usage = "rudd runs COMMAND [OPTION ...]",
                                                   .about = "Lists, shows, compares and promotes "
                                                            "training runs.",
                                                   .examples = examples,
                                                   .synonyms = synonyms,
                                                   .rows = rows};
    return train_command_dispatch(&commands, argc, argv, err);
}
