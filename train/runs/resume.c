/* resume.c - a run that is to go on: see resume.h. */
#include "train/runs/resume.h"

#include "data/image/decode.h"
#include "nn/model.h"
#include "nn/sha256.h"
#include "train/run_folder.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME = 64, WEIGHTS_MAX = 1 << 30, METRICS_MAX = 256 << 20 };

/* ---- what cannot change ---------------------------------------------------------------------- */

/* One option of a run, and what is given for it now. */
struct change {
    char name[NAME], had[PATH_MAX + 1], given[PATH_MAX + 1];
    bool flag;
};

static enum rudd_status refuse(const struct change *c, const struct train_run *run,
                               struct rudd_error *err)
{
    char option[2 * PATH_MAX];
    if (c->flag)
        snprintf(option, sizeof option, "--%s%s", strcmp(c->given, "true") ? "no-" : "", c->name);
    else
        snprintf(option, sizeof option, "--%s %.200s", c->name, c->given);
    return rudd_fail(err, RUDD_ARGUMENT,
                     "--%s: found %.200s, but the run in %s has %.200s, which cannot change; leave "
                     "--%s out, or make a new "
                     "run: rudd train --config %s/run.json %s",
                     c->name, *c->given ? c->given : "none", run->path, *c->had ? c->had : "none",
                     c->name, run->path, option);
}

/* The weights are those that the run began with, wherever they lie by now. */
static enum rudd_status check_weights(const struct change *c, const struct train_run *run,
                                      struct rudd_error *err)
{
    uint8_t *bytes;
    size_t length;
    char hex[NN_SHA256_HEX];
    struct nn_sha256 hash;
    if (data_file_read(&bytes, &length, c->given, WEIGHTS_MAX, NULL) != RUDD_OK)
        return refuse(c, run, err);
    nn_sha256_init(&hash);
    nn_sha256_update(&hash, bytes, length);
    nn_sha256_hex(hex, &hash);
    rudd_free(bytes);
    return strcmp(hex, train_run_text(run, "weights.sha256")) == 0 ? RUDD_OK : refuse(c, run, err);
}

/* An architecture may be given with its hidden layer or by its name alone. */
static bool same_arch(const struct train_settings *own, const struct train_settings *now)
{
    char a[NN_ARCH], b[NN_ARCH];
    if (!own->arch || !now->arch) return own->arch == now->arch;
    nn_arch_print(a, own->arch, own->head_hidden);
    nn_arch_print(b, now->arch, now->head_hidden);
    return strcmp(a, b) == 0;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

enum rudd_status train_resume_check(const struct train_run *run, const struct train_settings *own,
                                    const struct train_settings *now, struct rudd_error *err)
{
    struct train_settings a = *own, b = *now;
    struct nn_option ours[TRAIN_SETTINGS_ROWS], theirs[TRAIN_SETTINGS_ROWS];
    enum rudd_status status = RUDD_OK;
    const int count = train_settings_table(ours, &a);
    train_settings_table(theirs, &b);
    for (int i = 0; i < count && status == RUDD_OK; i++) {
        struct change c = {.flag = ours[i].type == NN_OPTION_FLAG};
        nn_option_name(c.name, sizeof c.name, &ours[i]);
        if (!train_settings_kept(c.name)) continue;
        nn_option_print(c.had, sizeof c.had, &ours[i]);
        nn_option_print(c.given, sizeof c.given, &theirs[i]);
        if (strcmp(c.had, c.given) == 0) continue;
        if (strcmp(c.name, "weights") == 0)
            status = check_weights(&c, run, err);
        else if (strcmp(c.name, "out") == 0)
            status = same_folder(c.given, run->path)
                         ? RUDD_OK
                         : rudd_fail(err, RUDD_ARGUMENT,
                                     "--out: found %.200s, but a run that goes on stays in its "
                                     "folder, %s; leave --out out",
                                     c.given, run->path);
        else if (strcmp(c.name, "arch") != 0 || !same_arch(own, now))
            status = refuse(&c, run, err);
    }
    return status;
}

/* ---- what has ended -------------------------------------------------------------------------- */

/* Of limits that end a run: whether the new one comes later. 0 is none. */
static bool is_later(int own, int now)
{
    return own && (!now || now > own);
}

bool train_resume_is_finished(const struct train_run *run, const struct train_settings *own,
                              const struct train_settings *now)
{
    return strcmp(train_run_text(run, "status"), "done") == 0 &&
           json_object_get(run->record, "final") && !is_later(own->epochs, now->epochs) &&
           !is_later(own->max_steps, now->max_steps) && !is_later(own->patience, now->patience) &&
           own->data && strcmp(own->data, now->data) == 0;
}

static int count_lines(const char *path)
{
    uint8_t *bytes;
    size_t length;
    int lines = 0;
    if (data_file_read(&bytes, &length, path, METRICS_MAX, NULL) != RUDD_OK) return 0;
    for (size_t i = 0; i < length; i++) lines += bytes[i] == '\n';
    rudd_free(bytes);
    return lines;
}

enum rudd_status train_resume_outcome(struct train_outcome *outcome, int *epochs,
                                      const struct train_run *run, struct rudd_error *err)
{
    static const char *const phases[] = {"test", "val", "train"};
    const json_t *final = json_object_get(run->record, "final"), *figures = NULL;
    char file[TRAIN_PATH];
    int phase = 0;
    while (phase < 3 && !(figures = json_object_get(final, phases[phase]))) phase++;
    if (!figures)
        return rudd_fail(err, RUDD_FORMAT, "%s/run.json: has no figures under \"final\"",
                         run->path);
    *outcome = (struct train_outcome){
        .best_epoch = (int)json_integer_value(json_object_get(final, "epoch")),
        .phase = phases[phase],
        .images = (int)json_integer_value(json_object_get(figures, "images")),
        .top1 = json_number_value(json_object_get(figures, "top1")),
        .top3 = json_number_value(json_object_get(figures, "top3")),
        .macro_f1 = json_number_value(json_object_get(figures, "macro_f1")),
        .loss = json_number_value(json_object_get(figures, "loss")),
    };
    snprintf(outcome->path, sizeof outcome->path, "%s", run->path);
    const json_t *advice = json_object_get(run->record, "advice");
    for (int i = 0; i < TRAIN_ADVICE; i++) {
        const char *text = json_string_value(json_array_get(advice, (size_t)i));
        snprintf(outcome->advice.text[i], TRAIN_ADVICE_TEXT, "%s", text ? text : "");
    }
    *epochs = count_lines(train_run_path(file, run->path, "metrics.jsonl"));
    return RUDD_OK;
}
