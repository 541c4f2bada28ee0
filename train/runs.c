/* runs.c - run folders read back: see runs.h. */
#include "train/runs.h"

#include "data/sets/dataset.h"
#include "data/sets/walk.h"
#include "nn/text.h"
#include "train/run_folder.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const struct train_figure train_figures[] = {{"top1", "top-1", true, true},
                                             {"top3", "top-3", true, false},
                                             {"balanced_accuracy", "balanced", true, false},
                                             {"macro_f1", "macro F1", false, true},
                                             {"roc_auc", "ROC AUC", false, false},
                                             {"loss", "loss", false, true},
                                             {"ece", "ECE", false, false},
                                             {NULL, NULL, false, false}};

char *train_figure_text(char out[16], const struct train_figure *figure, double value)
{
    if (isnan(value))
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, figure->share ? "%.1f%%" : "%.4f", figure->share ? 100 * value : value);
    return out;
}

/* Seconds since 1970 of a run's record; NaN: there is none. */
static double modified(const char *path)
{
    char file[TRAIN_PATH];
    struct stat st;
    if (stat(train_run_path(file, path, "run.json"), &st) != 0) return NAN;
    return (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec;
}

static void judge(struct train_run *run)
{
    run->dead = strcmp(train_run_text(run, "status"), "running") == 0 && train_run_claimed(run->path) == TRAIN_CLAIM_FREE;
}

static bool is_run(const char *path)
{
    char file[TRAIN_PATH];
    struct stat st;
    return stat(train_run_path(file, path, "run.json"), &st) == 0;
}

/* A run that lies in the folder path, rudd_alloc'ed; NULL: none, or no memory. */
static char *run_within(const char *path)
{
    struct data_entry *entries;
    int n;
    char *found = NULL;
    if (data_entries_read(&entries, &n, path, NULL) != RUDD_OK) return NULL;
    for (int i = n - 1; i >= 0 && !found; i--) {
        if (entries[i].kind != DATA_ENTRY_FOLDER || entries[i].name[0] == '.') continue;
        char *inner = data_path_join(path, entries[i].name);
        if (inner && is_run(inner))
            found = inner;
        else
            rudd_free(inner);
    }
    data_entries_free(entries, n);
    return found;
}

/* path is no run: says what it is instead, and what was meant. */
static enum rudd_status explain(const char *path, struct rudd_error *err)
{
    char near[TRAIN_PATH];
    struct stat st;
    if (stat(path, &st) != 0) {
        snprintf(near, sizeof near, "runs/%.1000s", path);
        if (is_run(near)) return rudd_fail(err, RUDD_IO, "%s: no such run; did you mean %s?", path, near);
        return rudd_fail(err, RUDD_IO, "%s: no such run: %s; rudd runs list DIR shows the runs in DIR", path, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(near, sizeof near, "%.1000s", path);
        char *slash = strrchr(near, '/');
        if (slash) *slash = 0;
        if (is_run(slash ? near : "."))
            return rudd_fail(err, RUDD_ARGUMENT, "%s: is a file of a run; give the run's folder, %s", path, slash ? near : ".");
        return rudd_fail(err, RUDD_ARGUMENT, "%s: is a file; give a run's folder", path);
    }
    char *inner = run_within(path);
    enum rudd_status status =
        inner ? rudd_fail(err, RUDD_ARGUMENT, "%s: holds runs, and is none itself; give one of them, such as %s", path, inner)
              : rudd_fail(err, RUDD_IO, "%s: is no run, since it holds no run.json", path);
    rudd_free(inner);
    return status;
}

enum rudd_status train_run_open(struct train_run *run, const char *path, struct rudd_error *err)
{
    struct train_run r = {.modified = modified(path)};
    if (isnan(r.modified)) return explain(path, err);
    enum rudd_status status = train_run_json_read(&r.record, path, err);
    if (status != RUDD_OK) return status;
    r.path = rudd_strdup(path);
    if (!r.path) {
        json_decref(r.record);
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the run's name", path);
    }
    judge(&r);
    *run = r;
    return RUDD_OK;
}

void train_run_close(struct train_run *run)
{
    json_decref(run->record);
    rudd_free(run->path);
    *run = (struct train_run){.path = NULL};
}

void train_runs_free(struct train_run *runs, int count)
{
    for (int i = 0; i < count; i++) train_run_close(&runs[i]);
    rudd_free(runs);
}

static int by_time(const void *a, const void *b)
{
    const struct train_run *x = a, *y = b;
    if (x->modified != y->modified) return x->modified < y->modified ? -1 : 1;
    return strcmp(x->path, y->path);
}

enum rudd_status train_runs_list(struct train_run **runs, int *count, const char *dir, struct rudd_error *err)
{
    struct data_entry *entries;
    int n, found = 0;
    enum rudd_status status = data_entries_read(&entries, &n, dir, err);
    if (status != RUDD_OK) return status;
    if (is_run(dir)) {
        data_entries_free(entries, n);
        return rudd_fail(err, RUDD_ARGUMENT, "%s: is a run, not a folder of runs; see it by rudd runs show %s", dir, dir);
    }
    struct train_run *list = rudd_zalloc((size_t)n + 1, sizeof *list);
    if (!list) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d runs", dir, n);
    for (int i = 0; i < n && status == RUDD_OK; i++) {
        if (entries[i].kind != DATA_ENTRY_FOLDER || entries[i].name[0] == '.') continue;
        char *path = data_path_join(dir, entries[i].name);
        if (!path) {
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d runs", dir, n);
            break;
        }
        list[found] = (struct train_run){.path = path, .modified = modified(path)};
        if (isnan(list[found].modified)) {
            rudd_free(path);
            continue;
        }
        train_run_json_read(&list[found].record, path, NULL); /* a broken one is listed as such */
        judge(&list[found++]);
    }
    data_entries_free(entries, n);
    if (status != RUDD_OK) {
        if (list) train_runs_free(list, found);
        return status;
    }
    qsort(list, (size_t)found, sizeof *list, by_time);
    *runs = list;
    *count = found;
    return RUDD_OK;
}

/* The value at "a.b" or "a"; NULL when there is none. */
static const json_t *at(const json_t *object, const char *key)
{
    char first[64];
    const char *dot = strchr(key, '.');
    if (!dot) return json_object_get(object, key);
    snprintf(first, sizeof first, "%.*s", (int)(dot - key), key);
    return json_object_get(json_object_get(object, first), dot + 1);
}

const char *train_run_text(const struct train_run *run, const char *key)
{
    const char *text = json_string_value(at(run->record, key));
    return text ? text : "";
}

const char *train_run_status(const struct train_run *run)
{
    return !run->record ? "unreadable" : run->dead ? "dead" : train_run_text(run, "status");
}

double train_run_figure(const struct train_run *run, const char *name)
{
    const json_t *final = json_object_get(run->record, "final");
    const json_t *value = strchr(name, '.') ? at(final, name) : json_object_get(json_object_get(final, "val"), name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool train_figure_falls(const char *name)
{
    const char *dot = strchr(name, '.'), *key = dot ? dot + 1 : name;
    return strncmp(key, "loss", 4) == 0 || strncmp(key, "ece", 3) == 0;
}

/* The command that goes on with a run that has not come to its end; json null: it is done, or goes on. */
static json_t *resume_json(const struct train_run *run)
{
    static const char *const ended[] = {"dead", "stopped", "failed"};
    char command[TRAIN_PATH];
    for (int i = 0; i < 3; i++)
        if (strcmp(train_run_status(run), ended[i]) == 0) {
            snprintf(command, sizeof command, "rudd train --resume %s", run->path);
            return nn_text_json(command);
        }
    return json_null();
}

json_t *train_run_summary(const struct train_run *run)
{
    char when[32] = "";
    struct tm tm;
    time_t seconds = (time_t)run->modified;
    json_t *final = json_object_get(run->record, "final");
    if (gmtime_r(&seconds, &tm)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:O}", "run", nn_text_json(run->path), "status", train_run_status(run),
                     "id", train_run_text(run, "id"), "arch", train_run_text(run, "model.arch"), "data",
                     train_run_text(run, "options.data"), "dataset", train_run_text(run, "dataset.root_hash"), "modified", when,
                     "resume", resume_json(run), "final", final ? final : json_null());
}
