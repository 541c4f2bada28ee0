/* choose.c - runs sorted and chosen: see choose.h. */
#include "train/runs/choose.h"

#include "nn/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- figures by name ------------------------------------------------------------------------- */

enum { KNOWN = 32 };
static const char *const phases[] = {"val", "test", "train"};

/* Names that a mistyped one may have meant. Returns how many. */
static int known_names(char names[KNOWN][TRAIN_FIGURE_NAME])
{
    int n = 0;
    for (int p = 0; p < 3; p++)
        for (const struct train_figure *f = train_figures; f->key && n < KNOWN; f++)
            snprintf(names[n++], TRAIN_FIGURE_NAME, "%s.%s", phases[p], f->key);
    return n;
}

static enum rudd_status unknown_figure(const char *option, const char *given,
                                       struct rudd_error *err)
{
    char names[KNOWN][TRAIN_FIGURE_NAME], keys[300] = "", near[100] = "";
    const char *list[KNOWN];
    const int n = known_names(names);
    for (int i = 0; i < n; i++) list[i] = names[i];
    size_t used = 0;
    for (const struct train_figure *f = train_figures; f->key && used < sizeof keys; f++)
        used += (size_t)snprintf(keys + used, sizeof keys - used, "%s%s", used ? ", " : "", f->key);
    const char *meant = nn_option_nearest(given, list, n);
    if (meant) snprintf(near, sizeof near, "; did you mean %s?", meant);
    return rudd_fail(
        err, RUDD_ARGUMENT,
        "%s: found \"%.80s\", expected val., test. or train. and one of %s, such as val.top1%s",
        option, given, keys, near);
}

enum rudd_status train_figure_find(char out[TRAIN_FIGURE_NAME], const char *option,
                                   const char *given, const struct train_run *runs, int count,
                                   struct rudd_error *err)
{
    const bool whole = strchr(given, '.');
    const int n = snprintf(out, TRAIN_FIGURE_NAME, whole ? "%s" : "val.%s", given);
    char names[KNOWN][TRAIN_FIGURE_NAME];
    if (n >= TRAIN_FIGURE_NAME) return unknown_figure(option, given, err);
    for (int i = known_names(names) - 1; i >= 0; i--)
        if (strcmp(names[i], out) == 0) return RUDD_OK;
    for (int i = 0; i < count; i++)
        if (!isnan(train_run_figure(&runs[i], out))) return RUDD_OK;
    return unknown_figure(option, given, err);
}

/* ---- order ----------------------------------------------------------------------------------- */

static bool before(const struct train_run *a, const struct train_run *b, const char *figure)
{
    const double x = train_run_figure(a, figure), y = train_run_figure(b, figure);
    if (isnan(x) || isnan(y)) return !isnan(x) && isnan(y);
    return train_figure_falls(figure) ? x < y : x > y;
}

void train_runs_sort(struct train_run *runs, int count, const char *figure)
{
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && before(&runs[j], &runs[j - 1], figure); j--) {
            struct train_run swap = runs[j];
            runs[j] = runs[j - 1];
            runs[j - 1] = swap;
        }
}

/* ---- the best -------------------------------------------------------------------------------- */

static const char *pictures_of(const struct train_run *run)
{
    return train_run_text(run, "dataset.root_hash");
}

/* Whether a run may be the best by figure at all. */
static bool competes(const struct train_run *run, const char *figure)
{
    return strcmp(train_run_status(run), "done") == 0 && !isnan(train_run_figure(run, figure));
}

/* One run of each set of pictures, the best of its set; runs are sorted. */
static enum rudd_status several_sets(const struct train_run *runs, int count, const char *figure,
                                     const char *dir, struct rudd_error *err)
{
    enum { SHOWN = 3 };
    char list[900] = "";
    const char *first = "";
    size_t used = 0;
    int sets = 0;
    for (int i = 0; i < count; i++) {
        int members = 0, earlier = 0;
        if (!competes(&runs[i], figure)) continue;
        for (int j = 0; j < count; j++) {
            if (!competes(&runs[j], figure) || strcmp(pictures_of(&runs[i]), pictures_of(&runs[j])))
                continue;
            members++;
            earlier += j < i;
        }
        if (earlier) continue;
        if (sets == 0) first = runs[i].path;
        if (sets++ < SHOWN && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used,
                                     "%s%.100s (%d run%s, such as %.100s)", sets > 1 ? ", " : "",
                                     train_run_text(&runs[i], "options.data"), members,
                                     members > 1 ? "s" : "", runs[i].path);
    }
    return rudd_fail(err, RUDD_ARGUMENT,
                     "%s: its finished runs learned from %d sets of pictures, and figures of "
                     "different pictures do not compare: "
                     "%s%s; choose one: --like %s",
                     dir, sets, list, sets > SHOWN ? " ..." : "", first);
}

enum rudd_status train_runs_best(int *best, struct train_run *runs, int count, const char *figure,
                                 const struct train_run *like, const char *dir,
                                 struct rudd_error *err)
{
    int at = -1;
    train_runs_sort(runs, count, "val.loss");
    train_runs_sort(runs, count, figure);
    for (int i = 0; i < count; i++) {
        if (!competes(&runs[i], figure)) continue;
        if (like && strcmp(pictures_of(like), pictures_of(&runs[i]))) continue;
        if (at >= 0 && strcmp(pictures_of(&runs[at]), pictures_of(&runs[i])))
            return several_sets(runs, count, figure, dir, err);
        if (at < 0) at = i;
    }
    *best = at;
    if (at >= 0) return RUDD_OK;
    if (!count)
        return rudd_fail(err, RUDD_MISMATCH, "%s: no runs in it; rudd train makes one", dir);
    return rudd_fail(err, RUDD_MISMATCH,
                     "%s: %d runs, but none that is finished and has %s%s%s; see rudd runs list %s",
                     dir, count, figure, like ? ", of the pictures of " : "",
                     like ? like->path : "", dir);
}
