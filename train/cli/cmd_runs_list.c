/* cmd_runs_list.c - the table of `rudd runs list`: see cmd_runs_list.h. */
#include "train/cli/cmd_runs_list.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { COLUMNS = 12, NAME = 64, HASH_SHOWN = 8, DEAD_SHOWN = 5 };

/* A column of figures. */
struct column {
    char name[NAME]; /* "val.top1" */
    char title[NAME];
    struct train_figure figure;
};

static bool any_has(const struct train_run *runs, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!isnan(train_run_figure(&runs[i], name))) return true;
    return false;
}

static void add_column(struct column *c, const char *phase, const struct train_figure *figure)
{
    snprintf(c->name, sizeof c->name, "%s.%s", phase, figure->key);
    snprintf(c->title, sizeof c->title, "%s %s", phase, figure->title);
    c->figure = *figure;
}

/* What is shown: of each phase that a run has figures of, those for lists, and what is sorted by. */
static int choose_columns(struct column columns[COLUMNS], const struct train_run *runs, int count,
                          const char *sort)
{
    static const char *const phases[] = {"val", "test", "train"};
    int n = 0;
    bool sorted = false;
    for (int p = 0; p < 3; p++)
        for (const struct train_figure *f = train_figures; f->key; f++) {
            struct column c;
            add_column(&c, phases[p], f);
            const bool asked = sort && strcmp(sort, c.name) == 0;
            sorted |= asked;
            if (n < COLUMNS - 1 && (asked || (f->listed && any_has(runs, count, c.name))))
                columns[n++] = c;
        }
    if (sort && !sorted) { /* a figure that only records know */
        const struct train_figure raw = {sort, sort, false, false};
        snprintf(columns[n].name, NAME, "%s", sort);
        snprintf(columns[n].title, NAME, "%s", sort);
        columns[n++].figure = raw;
    }
    return n;
}

static const char *when(char out[32], double modified)
{
    struct tm tm;
    const time_t seconds = (time_t)modified;
    if (!localtime_r(&seconds, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M", &tm))
        snprintf(out, 32, "-");
    return out;
}

static const char *pictures_of(const struct train_run *run)
{
    return train_run_text(run, "dataset.root_hash");
}

static int wider(int width, const char *text)
{
    const int n = (int)strlen(text);
    return n > width ? n : width;
}

void train_runs_print(const struct train_run *runs, int count, const char *sort)
{
    struct column columns[COLUMNS];
    const int shown = choose_columns(columns, runs, count, sort);
    int run = 3, arch = 12, dead = 0;
    bool several = false;
    for (int i = 0; i < count; i++) {
        run = wider(run, runs[i].path);
        arch = wider(arch, train_run_text(&runs[i], "model.arch"));
        several |= strcmp(pictures_of(&runs[i]), pictures_of(&runs[0])) != 0;
    }
    printf("%-*s  %-16s  %-10s  %-*s", run, "run", "date", "status", arch, "architecture");
    if (several) printf("  %-*s", HASH_SHOWN, "pictures");
    for (int c = 0; c < shown; c++) printf("  %s", columns[c].title);
    putchar('\n');
    for (int i = 0; i < count; i++) {
        const struct train_run *r = &runs[i];
        char text[32];
        printf("%-*s  %-16s  %-10s  %-*s", run, r->path, when(text, r->modified),
               train_run_status(r), arch, train_run_text(r, "model.arch"));
        if (several) printf("  %-*.*s", HASH_SHOWN, HASH_SHOWN, pictures_of(r));
        for (int c = 0; c < shown; c++)
            printf(
                "  %*s", (int)strlen(columns[c].title),
                train_figure_text(text, &columns[c].figure, train_run_figure(r, columns[c].name)));
        putchar('\n');
    }
    for (int i = 0; i < count; i++)
        if (runs[i].dead && dead++ < DEAD_SHOWN)
            printf("%s is dead: its process ended before the run did; go on with: rudd train "
                   "--resume %s\n",
                   runs[i].path, runs[i].path);
    if (dead > DEAD_SHOWN) printf("%d more are dead\n", dead - DEAD_SHOWN);
}
