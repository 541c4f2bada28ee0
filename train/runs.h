/* runs.h - what finished runs say about themselves: their records (run.json), read back, and one figure of them by name.
 *
 *     DIR/1/run.json  DIR/2/run.json ...  -->  struct train_run[], oldest first
 *
 * A figure's name is "PHASE.KEY" of the record's final metrics ("val.top1", "test.macro_f1"). KEY alone is that of the
 * validation pictures: those are for choosing, the test pictures for judging, and the two never stand for each other. */
#ifndef TRAIN_RUNS_H
#define TRAIN_RUNS_H

#include <jansson.h>
#include <stdbool.h>
#include "nn/rudd.h"

struct train_run {
    char *path;
    json_t *record;  /* run.json; NULL when it cannot be read */
    double modified; /* seconds since 1970: when the record was last written */
    bool dead;       /* the record says that it runs, but no process does */
};

/* The folders in dir that hold a run.json, by time. None is fine. RUDD_IO when dir cannot be read. */
enum rudd_status train_runs_list(struct train_run **runs, int *count, const char *dir, struct rudd_error *err);
/* One run, by its folder. RUDD_IO, RUDD_FORMAT; RUDD_ARGUMENT when path is a folder of runs, or a file in a run: the
 * line names the folder that was meant. */
enum rudd_status train_run_open(struct train_run *run, const char *path, struct rudd_error *err);
void train_run_close(struct train_run *run);
void train_runs_free(struct train_run *runs, int count);

/* "done", "stopped", "failed", "running"; "dead"; "unreadable". */
const char *train_run_status(const struct train_run *run);
/* Text at a key of the record ("id", "status") or of an object in it ("options.arch"); "" when there is none. */
const char *train_run_text(const struct train_run *run, const char *key);
/* NaN when the run has no such figure (yet). */
double train_run_figure(const struct train_run *run, const char *name);
bool train_figure_falls(const char *name); /* less is better: loss, ece */
/* {"run","status","id","arch","data","dataset","modified","resume","final":{...}}: a line of a list. dataset: the hash of
 * its pictures; resume: the command that goes on, null when the run is done or going on. A new reference; NULL when out
 * of memory. */
json_t *train_run_summary(const struct train_run *run);

/* The figures that tables show, in this order, up to a NULL key. */
struct train_figure {
    const char *key, *title;
    bool share;  /* 0..1, shown in percent */
    bool listed; /* in lists, which have little room */
};
extern const struct train_figure train_figures[];
/* "93.2%", "0.486", "-" for NaN; into out[16]. Returns out. */
char *train_figure_text(char out[16], const struct train_figure *figure, double value);

#endif
