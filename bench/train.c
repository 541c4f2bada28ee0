/* train.c - rudd-bench train: one training step of the whole network: forward, backward, AdamW over every parameter.
 *
 * What is left out of the step: reading and augmenting pictures (they come from threads of their own while the step runs). */
#include "bench/bench.h"
#include "kernels/kern.h"
#include "nn/plan.h"
#include <math.h>
#include <string.h>

struct training {
    struct nn_plan *plan;
    struct nn_model *model;
    float *grads, *m, *v, *q; /* the first three in the model's layout; q [batch, classes] */
    double inv_norm;
    int batch, t;
};

static void step(void *user)
{
    struct training *s = user;
    memset(s->grads, 0, sizeof(float) * s->model->value_count);
    nn_plan_set_step(s->plan, 0, (uint64_t)s->t);
    nn_plan_forward(s->plan, s->batch);
    nn_plan_backward(s->plan, s->grads, s->q, s->inv_norm, s->batch);
    s->t++;
    /* One call over the whole block; running statistics have no gradient, and without decay such values stay as they are. */
    const struct kern_adamw update = {.lr = 1e-4f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .eps = 1e-8f,
                                      .bias1 = (float)(1 - pow(0.9, s->t)),
                                      .bias2 = (float)(1 - pow(0.999, s->t)),
                                      .g_scale = 1};
    kern_table()->adamw_f32(s->model->values, s->m, s->v, s->grads, s->model->value_count, &update);
}

static enum rudd_status prepare(struct training *s, const struct bench_work *work, struct rudd_error *err)
{
    const struct nn_plan_options options = {
        .batch = work->batch, .image_size = work->size, .train = true, .dropout = 0.2f, .drop_path = 0.2f, .bn_momentum = 0.1f};
    int classes = work->model->class_count;
    size_t count = work->model->value_count;
    s->model = work->model;
    s->batch = work->batch;
    enum rudd_status status = bench_plan(&s->plan, work, &options, 3 * count * sizeof(float), err);
    if (status) return status;
    s->grads = rudd_zalloc(count, sizeof(float));
    s->m = rudd_zalloc(count, sizeof(float));
    s->v = rudd_zalloc(count, sizeof(float));
    s->q = rudd_zalloc((size_t)work->batch * (size_t)classes, sizeof(float));
    int *labels = rudd_alloc(sizeof *labels * (size_t)work->batch);
    if (s->grads && s->m && s->v && s->q && labels) {
        for (int i = 0; i < work->batch; i++) labels[i] = i % classes;
        s->inv_norm = nn_targets(s->q, labels, NULL, 0.1f, work->batch, classes);
        bench_fill(nn_plan_input(s->plan), (size_t)work->batch * (size_t)work->size * (size_t)work->size * 3);
    } else {
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for gradients and moments of %zu parameters", count);
    }
    rudd_free(labels);
    return status;
}

enum rudd_status bench_train(int argc, char **argv, struct rudd_error *err)
{
    struct bench_work work = {.arch = "tf_efficientnetv2_b0",
                              .batch = 16,
                              .repeat = 10,
                              .warmup = 2,
                              .memory_limit = NN_BYTES_AUTO,
                              .classes = 15,
                              .trains = true};
    struct training s = {0};
    bool done;
    enum rudd_status status =
        bench_open(&work, &done, argc, argv, "rudd-bench train [--arch NAME | --model FILE] [--size N] ...",
                   "Times of one training step: forward, backward, AdamW.", err);
    if (!status && !done) status = prepare(&s, &work, err);
    if (!status && !done) status = bench_measure(&work, "train", s.plan, step, &s, err);
    nn_plan_destroy(s.plan);
    rudd_free(s.grads);
    rudd_free(s.m);
    rudd_free(s.v);
    rudd_free(s.q);
    return bench_close(&work, status, err);
}
