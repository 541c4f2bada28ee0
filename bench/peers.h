/* peers.h - what the parts of rudd-bench peers share: a row of its table, who is measured in it. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include "bench/bench.h"
#include "bench/peer.h"

struct peers_work {
    const char *arch;
    int size, batch; /* size 0: the network's own */
    bool beside;     /* measured a second time, beside busy loops */
};

struct peers_settings {
    struct peers_work one; /* arch NULL, size and batch 0: the usual ones */
    const char *python;
    const char *old;           /* another build of rudd-bench; NULL: none */
    int threads, rounds, only; /* only: 0 all, 1 + index in peers_kinds, or beyond: none */
    int beside;                /* busy loops; 0: no rows beside them */
    bool json;
};

enum { PEERS_KINDS = 3 };
extern const char *const peers_kinds[PEERS_KINDS];

/* Somebody's rounds. sorted once they are summed up. */
struct peers_times {
    double *each;                  /* [rounds], milliseconds */
    double median, min, low, high; /* low, high: quartiles */
};

/* Of two in the same round: the median over the rounds, and its 95 % interval if there is one. */
struct peers_ratio {
    double median, low, high;
    bool has_interval;
};

/* One of the other engines while a row is measured. */
struct peers_side {
    const char *kind;
    struct bench_peer process;
    char name[32], version[64];
    char trouble[2100]; /* why it does not take part, or no longer; "" while it does */
    bool missing;       /* not installed: no fault */
    double difference;  /* of logits; -1: not said yet */
    struct peers_times times;
    struct peers_ratio ratio; /* rudd / it */
};

/* Another build, and this one in the same way: each in a process of its own (build.h). */
struct peers_builds {
    char trouble[600]; /* "" while all is well */
    struct peers_times old, now;
    struct peers_ratio ratio; /* now / old */
};

struct peers_row {
    const struct peers_settings *settings;
    struct peers_work work;
    struct nn_model *model;
    struct nn_plan *plan;
    char folder[256];
    const struct bench_beside *loops; /* they rest unless the row is measured beside them */
    int beside;                       /* how many run now */
    double *block;                    /* what all `each` point into */
    double *ratios;                   /* [rounds], scratch */
    struct peers_times rudd;
    struct peers_builds builds;
    struct peers_side sides[PEERS_KINDS];
};

bool peers_takes_part(const struct peers_settings *settings, int kind);

/* Runs the plan once and writes what the peers read into a new folder (peers_files.c). */
enum rudd_status peers_write_files(struct peers_row *r, struct rudd_error *err);
/* Fine when there is no folder. */
void peers_remove_files(struct peers_row *r);

/* The table, or lines of JSON (peers_report.c). */
void peers_print_heading(const struct peers_settings *settings);
enum rudd_status peers_print_row(const struct peers_row *r, struct rudd_error *err);

#endif
