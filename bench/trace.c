/* trace.c - RUDD_TRACE=1: where the time of a plan goes, step by step.
 *
 * Every step of every run reports itself; kept is each step's fastest time, since on a shared machine that is the one that says
 * what the code can do. Printed in the order of execution, then summed by operation. */
#include "bench/bench.h"
#include "nn/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 4096 };
struct bench_trace {
    struct nn_trace steps[MAX_STEPS];
    int count;
};

static void keep_fastest(void *user, const struct nn_trace *t)
{
    struct bench_trace *trace = user;
    for (int i = 0; i < trace->count; i++)
        if (trace->steps[i].node == t->node && trace->steps[i].backward == t->backward) {
            if (t->seconds < trace->steps[i].seconds) trace->steps[i] = *t;
            return;
        }
    if (trace->count < MAX_STEPS) trace->steps[trace->count++] = *t;
}

struct bench_trace *bench_trace_begin(struct nn_plan *plan)
{
    const char *wanted = getenv("RUDD_TRACE");
    if (!wanted || !*wanted || !strcmp(wanted, "0")) return NULL;
    struct bench_trace *trace = rudd_zalloc(1, sizeof *trace);
    if (trace) nn_plan_set_trace(plan, keep_fastest, trace);
    return trace;
}

static void print_sums(const struct bench_trace *trace)
{
    double total = 0;
    bool done[MAX_STEPS] = {false};
    for (int i = 0; i < trace->count; i++) total += trace->steps[i].seconds;
    for (int i = 0; i < trace->count; i++) {
        const struct nn_trace *t = &trace->steps[i];
        double seconds = 0, flops = 0, bytes = 0;
        if (done[i]) continue;
        for (int j = i; j < trace->count; j++) {
            const struct nn_trace *u = &trace->steps[j];
            if (strcmp(u->op, t->op) || u->backward != t->backward || u->k != t->k) continue;
            done[j] = true;
            seconds += u->seconds, flops += u->flops, bytes += u->bytes;
        }
        printf("%-10s %s k%d  %9.0f us  %5.1f %%  %8.1f GFLOP/s %7.1f GB/s\n", t->op, t->backward ? "back" : "forw", t->k,
               seconds * 1e6, 100 * seconds / total, flops / seconds * 1e-9, bytes / seconds * 1e-9);
    }
    printf("total           %9.0f us\n", total * 1e6);
}

void bench_trace_end(struct bench_trace *trace)
{
    if (!trace) return;
    for (int i = 0; i < trace->count; i++) {
        const struct nn_trace *t = &trace->steps[i];
        printf("%3d %-10s %s  %dx%dx%dx%d -> %dx%dx%dx%d k%d s%d  %9.0f us  %8.1f GFLOP/s %7.1f GB/s\n", t->node, t->op,
               t->backward ? "back" : "forw", t->in[0], t->in[1], t->in[2], t->in[3], t->out[0], t->out[1], t->out[2],
               t->out[3], t->k, t->stride, t->seconds * 1e6, t->flops / t->seconds * 1e-9, t->bytes / t->seconds * 1e-9);
    }
    print_sums(trace);
    rudd_free(trace);
}
