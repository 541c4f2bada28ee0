/* measure.c - options, clock and report of the model benches: see bench.h.
 *
 * first_ms is from the beginning of opening the model to the end of its first run: with --model, what a program that predicts once
 * waits, but for decoding. Median and minimum of wall-clock times: the median is what a user waits, the minimum what the machine can do when nothing
 * else runs. peak_rss_mb is the process's high-water mark, so it includes the model and the program itself.
 *
 * Busy loops (--beside) run from before the model is opened until the last measured run has ended. */
#include "bench/bench.h"
#include "kernels/kern.h"
#include "nn/base/help.h"
#include "nn/budget.h"
#include "nn/trace.h"
#include "train/command.h"
#include "weights/model_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum rudd_status bench_open(struct bench_work *work, bool *done, int argc, char **argv, const char *usage, const char *about,
                            struct rudd_error *err)
{
    const struct nn_option rows[] = {
        {"arch", NN_OPTION_STRING, &work->arch, "NAME", 0, 0, "architecture, with random weights", NN_COMMON},
        {"model", NN_OPTION_STRING, &work->model_path, "FILE", 0, 0, "model file instead", NN_COMMON},
        {"classes", NN_OPTION_INT, &work->classes, "N", 1, NN_MAX_CLASSES, "classes, with --arch"},
        {"size", NN_OPTION_INT, &work->size, "N", 0, 4096,
         "width and height of the pictures in pixels; 0: what the model was made for", NN_COMMON},
        {"batch", NN_OPTION_INT, &work->batch, "N", 1, 1024, "pictures at a time", NN_COMMON},
        NN_OPTION_THREADS(&work->threads, "threads"),
        {"repeat", NN_OPTION_INT, &work->repeat, "N", 1, 100000, "runs to measure"},
        {"warmup", NN_OPTION_INT, &work->warmup, "N", 0, 1000, "runs before these"},
        NN_OPTION_MEMORY(&work->memory_limit, "most memory for the network"),
        {"beside", NN_OPTION_INT, &work->beside, "N", 0, BENCH_BESIDE_MOST, "processes that keep a processor busy meanwhile"},
        {"json", NN_OPTION_FLAG, &work->json, NULL, 0, 0, "print one line of JSON instead of a table", NN_COMMON},
    };
    char title[NN_TITLE], line[NN_TITLE + 80];
    snprintf(line, sizeof line, "%s --arch tf_efficientnetv2_b0 --size 224", nn_help_title(title, usage));
    const struct nn_example examples[] = {{"a network with random weights", line}, {NULL, NULL}};
    struct nn_options options = {
        .usage = usage, .about = about, .examples = examples, .rows = rows, .count = sizeof rows / sizeof *rows};
    enum rudd_status status = train_command_parse(&options, done, argc, argv, err);
    if (!status && !*done) status = bench_beside_start(&work->loops, work->beside, err);
    if (!status && !*done) {
        kern_set_threads(kern_threads_within(work->threads));
        work->opened_ms = bench_now_ms();
        if (work->model_path) {
            const struct weights_load_options load = {.predict_only = !work->trains};
            status = weights_model_load(&work->model, work->model_path, &load, NULL, err);
        } else {
            status = nn_model_describe(&work->model, work->arch, work->classes, err);
            if (!status) status = nn_model_draw_later(work->model, 0, err);
            if (!status && work->trains) status = nn_model_read_values(work->model, err);
        }
        if (!status && !work->size) work->size = work->model->preprocess.image_size;
    }
    nn_options_free(&options);
    return status;
}

enum rudd_status bench_plan(struct nn_plan **plan, const struct bench_work *work, const struct nn_plan_options *options,
                            size_t beside, struct rudd_error *err)
{
    struct nn_plan_options o = *options;
    struct nn_budget budget;
    nn_budget_make(&budget, work->memory_limit, beside, kern_threads() - 1);
    o.memory_limit = budget.limit;
    enum rudd_status status = nn_plan_create(plan, work->model, &o, err);
    return nn_budget_tell(&budget, status, "a smaller --batch or --size", err);
}

enum rudd_status bench_close(struct bench_work *work, enum rudd_status status, struct rudd_error *err)
{
    nn_model_destroy(work->model);
    return bench_beside_stop(&work->loops, status, err);
}

void bench_fill(float *x, size_t count)
{
    uint32_t state = 1; /* Numerical Recipes' linear congruential generator: any noise will do */
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / (float)(1 << 22) - 2.0f;
    }
}

double bench_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *times, size_t n)
{
    qsort(times, n, sizeof *times, by_value);
    return (times[(n - 1) / 2] + times[n / 2]) / 2;
}

/* A value is below the median as a coin falls: P(fewer than k of n) = sum of C(n, i) / 2^n, i < k.
 * The k-th values from both ends hold the median unless fewer than k lie on one of its sides. */
bool bench_interval(double *low, double *high, const double *sorted, size_t n)
{
    const double each_side = 0.025, count = (double)n;
    double below = 0;
    size_t k = 0;
    for (; k < n; k++) {
        const double i = (double)k, ways = lgamma(count + 1) - lgamma(i + 1) - lgamma(count - i + 1);
        below += exp(ways - count * log(2));
        if (below > each_side) break;
    }
    if (k == 0) return false;
    *low = sorted[k - 1];
    *high = sorted[n - k];
    return true;
}

struct report {
    double median_ms, min_ms, first_ms, plan_mb, peak_rss_mb;
};

static void print_report(const struct bench_work *w, const char *what, const struct report *r)
{
    double ms_per_image = r->median_ms / w->batch, images_per_second = 1e3 / ms_per_image;
    /* Architecture names come from a table or a checked model file: letters, digits and _ only, so no escaping. */
    const char *form =
        w->json ? "{\"what\":\"%s\",\"arch\":\"%s\",\"size\":%d,\"batch\":%d,\"threads\":%d,\"isa\":\"%s\",\"repeat\":%d,"
                  "\"beside\":%d,\"median_ms\":%.3f,\"min_ms\":%.3f,"
                  "\"ms_per_image\":%.3f,\"images_per_second\":%.2f,"
                  "\"first_ms\":%.1f,\"plan_mb\":%.1f,\"peak_rss_mb\":%.1f}\n"
                : "%s %s   %d pixels, batch %d, %d threads, %s, %d runs, %d busy loops beside\n"
                  "  median            %10.2f ms\n  minimum           %10.2f ms\n  an image          %10.2f ms\n"
                  "  images a second   %10.2f\n  first done after  %10.2f ms\n  plan              %10.1f MB\n  peak memory     "
                  "  %10.1f MB\n";
    printf(form, what, w->model->arch, w->size, w->batch, kern_threads(), kern_isa(), w->repeat, w->beside, r->median_ms,
           r->min_ms, ms_per_image, images_per_second, r->first_ms, r->plan_mb, r->peak_rss_mb);
}

enum rudd_status bench_measure(struct bench_work *work, const char *what, struct nn_plan *plan, void (*step)(void *user),
                               void *user, struct rudd_error *err)
{
    size_t n = (size_t)work->repeat;
    double *times = rudd_alloc(sizeof *times * n);
    if (!times) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d times", work->repeat);
    struct nn_trace_log *trace = nn_trace_begin(plan);
    double first_ms = 0;
    for (int i = 0; i < work->warmup + work->repeat; i++) {
        double start = bench_now_ms();
        step(user);
        if (i == 0) first_ms = bench_now_ms() - work->opened_ms;
        if (i >= work->warmup) times[i - work->warmup] = bench_now_ms() - start;
    }
    const enum rudd_status status = bench_beside_stop(&work->loops, RUDD_OK, err);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double median = bench_median(times, n);
    struct report report = {.median_ms = median,
                            .min_ms = times[0],
                            .first_ms = first_ms,
                            .plan_mb = (double)nn_plan_bytes(plan) / (1 << 20),
                            .peak_rss_mb = (double)use.ru_maxrss / 1024};
    if (!status) print_report(work, what, &report);
    nn_trace_end(stdout, trace);
    rudd_free(times);
    return status;
}
