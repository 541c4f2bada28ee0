/* runs.c - run folders read back: see runs.h. */
#include "train/runs.h"

#include "data/sets/dataset.h"
#include "nn/text.h"
#include "train/run_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const struct train_figure train_figures[] = {{"top1", "top-1", true},
                                             {"top3", "top-3", true},
                                             {"balanced_accuracy", "balanced", true},
                                             {"macro_f1", "macro F1", false},
                                             {"roc_auc", "ROC AUC", false},
                                             {"loss", "loss", false},
                                             {"ece", "ECE", false},
                                             {NULL, NULL, false}};

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

enum rudd_status train_run_open(struct train_run *run, const char *path, struct rudd_error *err)
{
    struct train_run r = {.modified = modified(path)};
    enum rudd_status status = train_run_json_read(&r.record, path, err);
    if (status != RUDD_OK) return status;
    r.path = rudd_strdup(path);
    if (!r.path) {
        json_decref(r.record);
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the run's name", path);
    }
    *run = r;
    return RUDD_OK;
}

void train_run_close(struct train_run *run)
{
    json_decref(run->record);
    rudd_free(run->path);
    *run = (struct train_run){NULL, NULL, 0};
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
    struct train_run *list = rudd_zalloc((size_t)n + 1, sizeof *list);
    if (!list) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d runs", dir, n);
    for (int i = 0; i < n && status == RUDD_OK; i++) {
        if (entries[i].kind != DATA_ENTRY_FOLDER || entries[i].name[0] == '.') continue;
        char *path = data_path_join(dir, entries[i].name);
        if (!path) {
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d runs", dir, n);
            break;
        }
        list[found] = (struct train_run){path, NULL, modified(path)};
        if (isnan(list[found].modified)) {
            rudd_free(path);
            continue;
        }
        train_run_json_read(&list[found++].record, path, NULL); /* a broken one is listed as such */
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

double train_run_figure(const struct train_run *run, const char *name)
{
    static const char *const phases[] = {"test", "val", "train"};
    const json_t *final = json_object_get(run->record, "final"), *value = at(final, name);
    for (int i = 0; i < 3 && !strchr(name, '.') && !value; i++)
        value = json_object_get(json_object_get(final, phases[i]), name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool train_figure_falls(const char *name)
{
    const char *dot = strchr(name, '.'), *key = dot ? dot + 1 : name;
    return strncmp(key, "loss", 4) == 0 || strncmp(key, "ece", 3) == 0;
}

json_t *train_run_summary(const struct train_run *run)
{
    char when[32] = "";
    struct tm tm;
    time_t seconds = (time_t)run->modified;
    json_t *final = json_object_get(run->record, "final");
    if (gmtime_r(&seconds, &tm)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:O}", "run", nn_text_json(run->path), "status",
                     run->record ? train_run_text(run, "status") : "unreadable", "id", train_run_text(run, "id"), "arch",
                     train_run_text(run, "model.arch"), "data", train_run_text(run, "options.data"), "modified", when, "final",
                     final ? final : json_null());
}
