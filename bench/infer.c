/* infer.c - rudd-bench infer: one forward pass of a planned, fused network over a full batch, pixels already normalised. */
#include "bench/bench.h"
#include "nn/plan.h"

static void step(void *user)
{
    struct nn_plan *plan = user;
    nn_plan_forward(plan, nn_plan_batch(plan));
}

enum rudd_status bench_infer(int argc, char **argv, struct rudd_error *err)
{
    struct bench_work work = {
        .arch = "efficientnet_b4", .batch = 1, .repeat = 20, .warmup = 3, .memory_limit = NN_BYTES_AUTO, .classes = 1000};
    struct nn_plan *plan = NULL;
    bool done;
    enum rudd_status status =
        bench_open(&work, &done, argc, argv, "rudd-bench infer [--arch NAME | --model FILE] [--size N] ...",
                   "Times of the network alone, without decoding.", err);
    if (!status && !done) {
        struct nn_plan_options options = {.batch = work.batch, .image_size = work.size};
        status = bench_plan(&plan, &work, &options, 0, err);
        if (!status) {
            bench_fill(nn_plan_input(plan), (size_t)work.batch * (size_t)work.size * (size_t)work.size * 3);
            status = bench_measure(&work, "infer", plan, step, plan, err);
        }
    }
    nn_plan_destroy(plan);
    return bench_close(&work, status, err);
}
