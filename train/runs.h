/* runs.h - what finished runs say about themselves: their records (run.json), read back, and one figure of them by name.
 *
 *     DIR/1/run.json  DIR/2/run.json ...  -->  struct train_run[], oldest first
 *
 * A figure's name is "PHASE.KEY" of the record's final metrics ("val.top1", "test.macro_f1"), or KEY alone, which is then that
 * of the pictures that judge best: test, else val, else train. */
#ifndef TRAIN_RUNS_H
#define TRAIN_RUNS_H

#include <jansson.h>
#include <stdbool.h>
#include "nn/rudd.h"

struct train_run {
    char *path;
    json_t *record;  /* run.json; NULL when it cannot be read */
    double modified; /* seconds since 1970: when the record was last written */
};

/* The folders in dir that hold a run.json, by time. None is fine. RUDD_IO when dir cannot be read. */
enum rudd_status train_runs_list(struct train_run **runs, int *count, const char *dir, struct rudd_error *err);
/* One run, by its folder. RUDD_IO, RUDD_FORMAT. */
enum rudd_status train_run_open(struct train_run *run, const char *path, struct rudd_error *err);
void train_run_close(struct train_run *run);
void train_runs_free(struct train_run *runs, int count);

/* Text at a key of the record ("id", "status") or of an object in it ("options.arch"); "" when there is none. */
const char *train_run_text(const struct train_run *run, const char *key);
/* NaN when the run has no such figure (yet). */
double train_run_figure(const struct train_run *run, const char *name);
bool train_figure_falls(const char *name); /* less is better: loss, ece */
/* {"run","status","id","arch","data","modified","final":{...}}: a line of a list. A new reference; NULL when out of memory. */
json_t *train_run_summary(const struct train_run *run);

/* The figures that tables show, in this order, up to a NULL key. */
struct train_figure {
    const char *key, *title;
    bool share; /* 0..1, shown in percent */
};
extern const struct train_figure train_figures[];
/* "93.2%", "0.486", "-" for NaN; into out[16]. Returns out. */
char *train_figure_text(char out[16], const struct train_figure *figure, double value);

#endif
