/* cmd_compare.c - `rudd runs compare A B`: two models over the same pictures, their figures side by side, and whether they differ by more
 * than luck.
 *
 *     pictures of A's run (or --data) --A--> right or wrong, each --\
 *                                     --B--> right or wrong, each ---+--> McNemar's test (compare.h)
 *
 * A and B are run folders or model files with the same classes, in any order. Each sees the pictures by its own preprocessing. */
#include "train/cmd_runs.h"

#include "kernels/kern.h"
#include "train/compare.h"
#include "train/evaluate.h"
#include "train/labels.h"
#include "train/progress.h"
#include "train/run_folder.h"
#include "train/runs.h"
#include "train/settings.h"
#include "nn/config.h"
#include "nn/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct side {
    const char *name;      /* as given */
    char file[TRAIN_PATH]; /* of the model */
    struct train_run run;  /* path NULL: a model file */
    struct nn_model *model;
    struct train_evaluation evaluation;
    unsigned char *answers; /* [pictures], enum train_answer */
};

struct comparing {
    const char *data;
    int batch, threads;
    double max_megapixels;
    bool truncated, json, quiet;
    struct side sides[2];
    struct data_splits splits;
    struct data_set *set; /* the one in splits that both answer */
};

static enum rudd_status open_side(struct side *side, const char *name, struct rudd_error *err)
{
    struct stat st;
    enum rudd_status status = RUDD_OK;
    side->name = name;
    if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
        status = train_run_open(&side->run, name, err);
        train_run_path(side->file, name, "model.safetensors");
    } else {
        snprintf(side->file, sizeof side->file, "%s", name);
    }
    if (status == RUDD_OK) status = rudd_model_open(&side->model, side->file, err);
    return status;
}

/* The test pictures of a run, by its own options; the validation pictures when it has none to test. */
static enum rudd_status open_split(struct comparing *c, const struct train_run *run, struct rudd_error *err)
{
    struct train_settings s = train_settings_default;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    const struct nn_options options = {.rows = rows, .count = train_settings_table(rows, &s)};
    enum rudd_status status = nn_config_apply_json(&options, json_object_get(run->record, "options"), "run.json: ", err);
    if (status == RUDD_OK && !s.data)
        status = rudd_fail(err, RUDD_FORMAT, "%s/run.json: names no pictures; give --data", run->path);
    if (status == RUDD_OK) status = data_splits_scan(&c->splits, s.data, s.split, (uint64_t)s.seed, err);
    if (status != RUDD_OK) return status;
    c->set = c->splits.test.count ? &c->splits.test : &c->splits.val;
    if (c->set->count) return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT, "%s: has neither test nor validation pictures; give --data", s.data);
}

static enum rudd_status open_pictures(struct comparing *c, struct rudd_error *err)
{
    const struct train_run *a = &c->sides[0].run, *b = &c->sides[1].run;
    if (c->data) {
        c->set = &c->splits.train; /* so that labels can follow each model */
        return train_labels_scan(c->set, c->sides[0].model, c->data, err);
    }
    if (!a->path && !b->path) return rudd_fail(err, RUDD_ARGUMENT, "compare: neither is a run folder; say --data DIR");
    if (a->path && b->path && strcmp(train_run_text(a, "dataset.root_hash"), train_run_text(b, "dataset.root_hash")) != 0)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "%s and %s learned from different pictures (%s, %s), so one may have learned from what the other is "
                         "tested on; give --data DIR with pictures that neither has seen",
                         a->path, b->path, train_run_text(a, "options.data"), train_run_text(b, "options.data"));
    return open_split(c, a->path ? a : b, err);
}

static enum rudd_status answer(struct comparing *c, struct side *side, const struct train_events *events,
                               struct rudd_error *err)
{
    struct train_evaluator *evaluator = NULL;
    const struct data_limits limits = data_limits_of(c->max_megapixels, c->truncated);
    bool followed;
    enum rudd_status status = train_labels_follow(&followed, &c->splits, side->model, err);
    if (status != RUDD_OK) return status;
    if (!followed) return rudd_fail(err, RUDD_MISMATCH, "%s: its classes are not those of the pictures", side->name);
    side->answers = rudd_zalloc((size_t)c->set->count, 1);
    if (!side->answers) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d answers", c->set->count);
    status = train_evaluator_within(&evaluator, side->model, c->set, &limits, c->batch, c->threads, NN_BYTES_AUTO, err);
    if (status == RUDD_OK) status = train_evaluate(&side->evaluation, evaluator, side == c->sides ? "A" : "B", events, err);
    const struct train_evaluation *e = &side->evaluation;
    for (int i = 0; status == RUDD_OK && i < e->count; i++)
        side->answers[e->items[i]] = e->results[i].best == e->labels[i] ? TRAIN_RIGHT : TRAIN_WRONG;
    train_evaluator_destroy(evaluator);
    return status;
}

static json_t *side_json(const struct side *side)
{
    return json_pack("{s:o,s:o}", "model", nn_text_json(side->file), "metrics",
                     train_metrics_json(&side->evaluation.metrics, NULL, false));
}

static enum rudd_status print_json(const struct comparing *c, const struct train_comparison *r, struct rudd_error *err)
{
    return train_command_print(json_pack("{s:o,s:o,s:i,s:i,s:i,s:i,s:i,s:s,s:o,s:f,s:f,s:[f,f]}", "a", side_json(&c->sides[0]),
                                         "b", side_json(&c->sides[1]), "images", r->images, "both", r->both, "only_a",
                                         r->only_a, "only_b", r->only_b, "neither", r->neither, "test",
                                         r->exact ? "exact" : "chi2", "statistic", train_json_number(r->statistic), "p", r->p,
                                         "difference", r->difference, "interval", r->low, r->high),
                               err);
}

static void print_table(const struct comparing *c, const struct train_comparison *r)
{
    printf("A  %s\nB  %s\n\n%-16s %10s %10s\n", c->sides[0].name, c->sides[1].name, "", "A", "B");
    json_t *metrics[2];
    for (int i = 0; i < 2; i++) metrics[i] = train_metrics_json(&c->sides[i].evaluation.metrics, NULL, false);
    for (const struct train_figure *f = train_figures; f->key; f++) {
        char text[2][16];
        for (int i = 0; i < 2; i++) {
            const json_t *value = json_object_get(metrics[i], f->key);
            train_figure_text(text[i], f, json_is_number(value) ? json_number_value(value) : NAN);
        }
        printf("%-16s %10s %10s\n", f->title, text[0], text[1]);
    }
    for (int i = 0; i < 2; i++) json_decref(metrics[i]);
    printf("\nof %d pictures: both right %d, only A (b) %d, only B (c) %d, neither %d\n", r->images, r->both, r->only_a,
           r->only_b, r->neither);
    printf("top-1 of B - A: %+.1f points (95 %%: %+.1f to %+.1f)\n", 100 * r->difference, 100 * r->low, 100 * r->high);
    printf("McNemar, %s: p = %.3g; %s\n", r->exact ? "exact binomial" : "chi-square with correction", r->p,
           r->p >= 0.05            ? "no evidence that they differ"
           : r->only_b > r->only_a ? "B is better"
                                   : "A is better");
}

static enum rudd_status compare(struct comparing *c, const struct train_events *events, struct rudd_error *err)
{
    enum rudd_status status = open_pictures(c, err);
    for (int i = 0; i < 2 && status == RUDD_OK; i++) status = answer(c, &c->sides[i], events, err);
    if (status != RUDD_OK) return status;
    struct train_comparison result;
    train_compare(&result, c->sides[0].answers, c->sides[1].answers, c->set->count);
    if (c->json) return print_json(c, &result, err);
    print_table(c, &result);
    return RUDD_OK;
}

enum rudd_status train_cmd_runs_compare(int argc, char **argv, struct rudd_error *err)
{
    struct comparing *c = rudd_zalloc(1, sizeof *c);
    if (!c) return rudd_fail(err, RUDD_NO_MEMORY, "compare: no memory");
    c->batch = 16;
    c->max_megapixels = DATA_MEGAPIXELS;
    const struct nn_option rows[] = {
        {"data", NN_OPTION_STRING, &c->data, "DIR", 0, 0,
         "folder with a folder for each class; without it, the test pictures of A's run"},
        {"json", NN_OPTION_FLAG, &c->json, NULL, 0, 0, "print one JSON object instead of a table"},
        {"batch", NN_OPTION_INT, &c->batch, "N", 1, 4096, "pictures in one pass"},
        NN_OPTION_THREADS(&c->threads, "threads"),
        DATA_OPTION_MEGAPIXELS(&c->max_megapixels),
        DATA_OPTION_TRUNCATED(&c->truncated),
        {"quiet", NN_OPTION_FLAG, &c->quiet, NULL, 0, 0, "print no progress and no cautions"},
    };
    static const struct nn_example examples[] = {
        {"is the second really better than the first?", "rudd runs compare runs/1 runs/2"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd runs compare A B [--data DIR] [--json]",
                                 .about = "Compares two models on the same pictures. A and B are "
                                          "run folders or model files. Shows the figures of both, "
                                          "and by McNemar's test whether the difference is more "
                                          "than chance.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 2};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status != RUDD_OK || done) goto done;
    if (options.argument_count != 2) {
        status = rudd_fail(err, RUDD_ARGUMENT, "%d models given, expected two: %s", options.argument_count, options.usage);
        goto done;
    }
    kern_set_threads(kern_threads_within(c->threads));
    struct train_progress progress;
    struct train_events events = train_progress_events(&progress, c->quiet || c->json);
    for (int i = 0; i < 2 && status == RUDD_OK; i++) status = open_side(&c->sides[i], options.arguments[i], err);
    if (status == RUDD_OK) status = compare(c, &events, err);
done:
    for (int i = 0; i < 2; i++) {
        train_evaluation_free(&c->sides[i].evaluation);
        rudd_free(c->sides[i].answers);
        nn_model_destroy(c->sides[i].model);
        if (c->sides[i].run.path) train_run_close(&c->sides[i].run);
    }
    data_splits_free(&c->splits);
    rudd_free(c);
    nn_options_free(&options);
    return status;
}
