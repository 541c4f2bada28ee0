/* build.h - another build of rudd-bench, such as last month's, asked for a measurement.
 *
 * It is started anew each time, as `PROGRAM infer ... --json`, with options that every rudd-bench
 * has known. So its memory lies elsewhere each time, and no lucky place decides a comparison. */
#ifndef BENCH_BUILD_H
#define BENCH_BUILD_H

#include "nn/rudd.h"

struct bench_build_work {
    const char *arch;
    int size, batch, threads;
};

/* *ms: the median of three forward passes, after one that is not measured. RUDD_IO: it does not
 * start, died or said nothing for seconds; RUDD_FORMAT: not the line of JSON; RUDD_CANCELLED: a
 * signal came. */
enum rudd_status bench_build_ask(double *ms, const char *program, const struct bench_build_work *w, double seconds,
                                 struct rudd_error *err);

#endif
