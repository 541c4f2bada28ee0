/* bench.h - what the commands of rudd-bench share: their options, the clock, the report.
 *
 * A command prepares its work, hands it to bench_measure, which repeats it and prints one line of JSON or a small table. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include "bench/beside.h"
#include "nn/options.h"
#include "nn/plan.h"

/* A command of the table in main.c; argv[0] is its name. It prints its results, main prints err. */
typedef enum rudd_status bench_command(int argc, char **argv, struct rudd_error *err);
bench_command bench_infer, bench_train, bench_kernels, bench_peers, bench_serve, bench_metrics;

/* What is measured: from the command line, shared by infer and train. */
struct bench_work {
    const char *arch, *model_path; /* a model file, or else random weights of this architecture */
    int size, batch, threads, repeat, warmup, classes;
    size_t memory_limit; /* of the plan, as asked for; see bench_plan */
    bool json;
    bool trains;            /* the model's values are needed */
    double opened_ms;       /* when bench_open began with the model */
    struct nn_model *model; /* bench_open's */
    int beside;             /* busy loops that run meanwhile */
    struct bench_beside loops;
};

/* Reads the options, starts the busy loops and opens the model; size 0 becomes the model's own.
 * *done: help was printed. bench_close must follow, also on failure. */
enum rudd_status bench_open(struct bench_work *work, bool *done, int argc, char **argv, const char *usage, const char *about,
                            struct rudd_error *err);

/* The plan of *options under the work's memory limit; beside: bytes that will be needed beside it. */
enum rudd_status bench_plan(struct nn_plan **plan, const struct bench_work *work, const struct nn_plan_options *options,
                            size_t beside, struct rudd_error *err);

/* With RUDD_TRACE=1 in the environment the report ends with what each step of the plan took (nn/trace.h).
 * Runs step(user) work->warmup + work->repeat times and prints the report; what: "infer" or "train"; plan: step's.
 * The busy loops end after the last run. */
enum rudd_status bench_measure(struct bench_work *work, const char *what, struct nn_plan *plan, void (*step)(void *user),
                               void *user, struct rudd_error *err);

/* Ends the busy loops, if they still run, and destroys the model. Passes status on. */
enum rudd_status bench_close(struct bench_work *work, enum rudd_status status, struct rudd_error *err);

/* Fills count floats with a fixed pattern of normalised-pixel size. */
void bench_fill(float *x, size_t count);

/* A clock that never goes back, in milliseconds. */
double bench_now_ms(void);
/* Sorts times [n], n >= 1, and returns their median. */
double bench_median(double *times, size_t n);
/* The 95 % interval of the median of what sorted [n] was drawn from: two of its values, as far from
 * its beginning as from its end. It holds for any distribution. False: n < 6, too few to tell. */
bool bench_interval(double *low, double *high, const double *sorted, size_t n);

#endif
