/* test_nn.c - the network layer: gradients of every operation, fused against plain, plans in memory, freezing, failures. */
#include "kernels/kern.h"
#include "nn/graph.h"
#include "nn/plan.h"
#include "nn/rng.h"
#include "tests/sanitized.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { CLASSES = 5, BATCH = 3, SIZE = 10 }; /* even: SAME then pads one side more than the other */

/* ---- one small network per operation: input -> 1x1 -> operation under test -> pool -> linear --------------------- */

/* The 1x1 before it makes the operation's own input gradient matter. */
struct operation {
    const char *name;
    int (*build)(struct nn_builder *b, int x);
    enum nn_pad pad;
    bool freeze_bn, corners; /* corners: not smooth, so that differences must be small */
    float dropout, drop_path;
};

static int op_pointwise(struct nn_builder *b, int x)
{
    return nn_build_conv(b, x, "op", 7, 1, 1, true);
}
static int op_dense3(struct nn_builder *b, int x)
{
    return nn_build_conv(b, x, "op", 6, 3, 1, false);
}
static int op_dense3s2(struct nn_builder *b, int x)
{
    return nn_build_conv(b, x, "op", 6, 3, 2, true);
}
static int op_dw3(struct nn_builder *b, int x)
{
    return nn_build_dwconv(b, x, "op", 3, 1);
}
static int op_dw3s2(struct nn_builder *b, int x)
{
    return nn_build_dwconv(b, x, "op", 3, 2);
}
static int op_dw5(struct nn_builder *b, int x)
{
    return nn_build_dwconv(b, x, "op", 5, 1);
}
static int op_dw5s2(struct nn_builder *b, int x)
{
    return nn_build_dwconv(b, x, "op", 5, 2);
}
static int op_batchnorm(struct nn_builder *b, int x)
{
    return nn_build_batchnorm(b, x, "op");
}
static int op_batchnorm_silu(struct nn_builder *b, int x)
{
    return nn_build_act(b, nn_build_batchnorm(b, x, "op"), KERN_ACT_SILU);
}
static int op_silu(struct nn_builder *b, int x)
{
    return nn_build_act(b, x, KERN_ACT_SILU);
}
static int op_sigmoid(struct nn_builder *b, int x)
{
    return nn_build_act(b, x, KERN_ACT_SIGMOID);
}
static int op_relu(struct nn_builder *b, int x)
{
    return nn_build_act(b, x, KERN_ACT_RELU);
}
/* Over a sum of 36 products, so that both corners matter. */
static int op_relu6(struct nn_builder *b, int x)
{
    return nn_build_act(b, nn_build_conv(b, x, "op", 6, 3, 1, false), KERN_ACT_RELU6);
}
static int op_batchnorm_relu6(struct nn_builder *b, int x)
{
    return nn_build_act(b, nn_build_batchnorm(b, x, "op"), KERN_ACT_RELU6);
}
static int op_pointwise_s2(struct nn_builder *b, int x)
{
    return nn_build_conv(b, x, "op", 6, 1, 2, true);
}
static int op_dense7s2(struct nn_builder *b, int x)
{
    return nn_build_conv(b, x, "op", 2, 7, 2, true);
}
static int op_maxpool(struct nn_builder *b, int x)
{
    return nn_build_maxpool(b, x, 3, 2, false);
}
static int op_maxpool_zeros(struct nn_builder *b, int x)
{
    return nn_build_maxpool(b, x, 3, 2, true);
}
/* Pre-activation: what is added to is read before, by the batch norm; a maximum of one pixel only thins. */
static int op_preact(struct nn_builder *b, int x)
{
    int y = nn_build_act(b, nn_build_batchnorm(b, x, "norm"), KERN_ACT_SILU);
    x = nn_build_add(b, nn_build_conv(b, y, "op1", 4, 3, 1, true), x, 0.5f);
    y = nn_build_act(b, nn_build_batchnorm(b, x, "norm2"), KERN_ACT_SILU);
    int skip = nn_build_maxpool(b, x, 1, 2, false);
    x = nn_build_add(b, nn_build_conv(b, y, "op2", 4, 3, 2, false), skip, 1);
    y = nn_build_act(b, nn_build_batchnorm(b, x, "norm3"), KERN_ACT_SILU);
    skip = nn_build_conv(b, y, "shortcut", 6, 1, 1, true);
    return nn_build_add(b, nn_build_conv(b, y, "op3", 6, 1, 1, false), skip, 1);
}
static int op_squeeze_excite(struct nn_builder *b, int x)
{
    int s = nn_build_act(b, nn_build_conv(b, nn_build_pool(b, x), "reduce", 2, 1, 1, true), KERN_ACT_SILU);
    s = nn_build_act(b, nn_build_conv(b, s, "expand", 4, 1, 1, true), KERN_ACT_SIGMOID);
    return nn_build_scale(b, x, s);
}
static int op_residual(struct nn_builder *b, int x)
{
    return nn_build_add(b, nn_build_conv(b, x, "op", 4, 1, 1, false), x, 1);
}
/* A skip whose other reader cannot add to a gradient (depthwise), twice in a row, as in B4's first stage. */
static int op_residual_chain(struct nn_builder *b, int x)
{
    x = nn_build_add(b, nn_build_batchnorm(b, nn_build_dwconv(b, x, "op1", 3, 1), "bn1"), x, 0.5f);
    return nn_build_add(b, nn_build_batchnorm(b, nn_build_dwconv(b, x, "op2", 3, 1), "bn2"), x, 1);
}
static int op_dropout(struct nn_builder *b, int x)
{
    return nn_build_dropout(b, x);
}

static int op_hidden_layer(struct nn_builder *b, int x)
{
    return nn_build_dropout(b, nn_build_act(b, nn_build_linear(b, nn_build_pool(b, x), "fc1", 6), KERN_ACT_SILU));
}

static const struct operation operations[] = {
    {.name = "conv 1x1 + bias", .build = op_pointwise},
    {.name = "conv 3x3", .build = op_dense3},
    {.name = "conv 3x3/2, symmetric", .build = op_dense3s2},
    {.name = "conv 3x3/2, SAME", .build = op_dense3s2, .pad = NN_PAD_SAME},
    {.name = "dwconv 3x3", .build = op_dw3},
    {.name = "dwconv 3x3/2, symmetric", .build = op_dw3s2},
    {.name = "dwconv 3x3/2, SAME", .build = op_dw3s2, .pad = NN_PAD_SAME},
    {.name = "dwconv 5x5", .build = op_dw5},
    {.name = "dwconv 5x5/2, SAME", .build = op_dw5s2, .pad = NN_PAD_SAME},
    {.name = "batchnorm", .build = op_batchnorm},
    {.name = "batchnorm + silu", .build = op_batchnorm_silu},
    {.name = "batchnorm, frozen", .build = op_batchnorm, .freeze_bn = true},
    {.name = "batchnorm + silu, frozen", .build = op_batchnorm_silu, .freeze_bn = true},
    {.name = "silu", .build = op_silu},
    {.name = "sigmoid", .build = op_sigmoid},
    {.name = "relu", .build = op_relu, .corners = true},
    {.name = "relu6", .build = op_relu6, .corners = true},
    {.name = "batchnorm + relu6", .build = op_batchnorm_relu6, .corners = true},
    {.name = "conv 1x1/2", .build = op_pointwise_s2},
    {.name = "conv 7x7/2, symmetric", .build = op_dense7s2},
    {.name = "conv 7x7/2, SAME", .build = op_dense7s2, .pad = NN_PAD_SAME},
    {.name = "max pool", .build = op_maxpool, .corners = true},
    {.name = "max pool, zeros around", .build = op_maxpool_zeros, .corners = true},
    {.name = "max pool, SAME", .build = op_maxpool, .pad = NN_PAD_SAME, .corners = true},
    {.name = "pre-activation", .build = op_preact},
    {.name = "pre-activation, drop path", .build = op_preact, .drop_path = 0.4f},
    {.name = "squeeze-excite", .build = op_squeeze_excite},
    {.name = "residual", .build = op_residual},
    {.name = "residual, drop path", .build = op_residual, .drop_path = 0.4f},
    {.name = "residual chain", .build = op_residual_chain},
    {.name = "residual chain, drop path", .build = op_residual_chain, .drop_path = 0.4f},
    {.name = "dropout", .build = op_dropout, .dropout = 0.3f},
    {.name = "hidden layer", .build = op_hidden_layer, .dropout = 0.3f},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static void describe_operation(struct nn_builder *b, const void *spec)
{
    const struct operation *op = spec;
    int x = nn_build_conv(b, nn_build_input(b), "before", 4, 1, 1, true);
    b->stage = 1;
    x = nn_build_pool(b, op->build(b, x));
    b->stage = 2;
    nn_build_linear(b, x, "classifier", b->model->class_count);
}

static void randomise(float *x, size_t n, uint64_t key, double scale)
{
    struct nn_rng rng;
    nn_rng_init(&rng, 7, key, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)(scale * nn_rng_normal(&rng));
}

/* Values away from their initial ones and zeros, so that no gradient vanishes by symmetry. */
static void shake(struct nn_model *m)
{
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        float *v = m->values + p->offset;
        randomise(v, p->count, (uint64_t)i + 100, p->kind == NN_LINEAR_WEIGHT ? 2 : 0.5);
        for (size_t j = 0; j < p->count; j++)
            if (p->kind == NN_BN_VAR)
                v[j] = 0.5f + fabsf(v[j]);
            else if (p->kind == NN_BN_WEIGHT)
                v[j] += 1;
    }
}

struct trial {
    struct nn_model *m;
    struct nn_plan *plan;
    float *grads, *saved;
    float q[BATCH * CLASSES];
    double inv_norm;
};

static double loss_of(struct trial *t)
{
    nn_plan_forward(t->plan, BATCH);
    return nn_plan_loss(t->plan, t->q, t->inv_norm, BATCH);
}

/* Loss with tensor p moved by h along direction. */
static double loss_moved(struct trial *t, const struct nn_param *p, const float *direction, double h)
{
    float *v = t->m->values + p->offset;
    for (size_t j = 0; j < p->count; j++) v[j] = (float)(t->saved[p->offset + j] + h * (double)direction[j]);
    double loss = loss_of(t);
    memcpy(v, t->saved + p->offset, p->count * sizeof *v);
    return loss;
}

/* Slope along the gradient's own direction against its norm, by the five-point difference quotient. A wrong gradient has either
 * another norm or another slope along itself. */
static void check_slope(struct trial *t, const struct operation *op, int i)
{
    const struct nn_param *p = &t->m->params[i];
    const float *g = t->grads + p->offset;
    double norm = 0, h = op->corners ? 1e-3 : 2e-2;
    for (size_t j = 0; j < p->count; j++) norm += (double)g[j] * g[j];
    norm = sqrt(norm);
    assert_true(isfinite(norm));
    float direction[512];
    assert_true(p->count <= sizeof direction / sizeof *direction);
    for (int random = 0; random < 2; random++) {
        double slope = 0;
        if (random) randomise(direction, p->count, (uint64_t)i + 500, 1 / sqrt((double)p->count));
        for (size_t j = 0; j < p->count; j++) {
            if (!random) direction[j] = norm > 0 ? (float)(g[j] / norm) : 0;
            slope += (double)g[j] * direction[j];
        }
        double near = loss_moved(t, p, direction, h) - loss_moved(t, p, direction, -h);
        double far = loss_moved(t, p, direction, 2 * h) - loss_moved(t, p, direction, -2 * h);
        double measured = (8 * near - far) / (12 * h);
        if (fabs(measured - slope) > 1e-2 * norm + 2e-4)
            fail_msg("%s: %s (%s direction): slope %.6g by differences, %.6g by backward, norm %.3g", op->name, p->name,
                     random ? "random" : "gradient", measured, slope, norm);
    }
}

static void start_trial(struct trial *t, const struct operation *op)
{
    struct rudd_error err;
    if (nn_model_build(&t->m, op->name, describe_operation, op, CLASSES, &err)) fail_msg("%s", err.message);
    t->m->pad = op->pad;
    shake(t->m);
    struct nn_plan_options o = {.batch = BATCH,
                                .image_size = SIZE,
                                .train = true,
                                .freeze_bn = op->freeze_bn,
                                .dropout = op->dropout,
                                .drop_path = op->drop_path,
                                .bn_momentum = 0};
    if (nn_plan_create(&t->plan, t->m, &o, &err)) fail_msg("%s", err.message);
    nn_plan_set_step(t->plan, 3, 5);
    randomise(nn_plan_input(t->plan), (size_t)BATCH * SIZE * SIZE * 3, 1, 1);
    t->grads = rudd_zalloc(t->m->value_count, sizeof *t->grads);
    t->saved = rudd_alloc(t->m->value_count * sizeof *t->saved);
    memcpy(t->saved, t->m->values, t->m->value_count * sizeof *t->saved);
    static const float class_weights[CLASSES] = {1, 0.5f, 2, 1.5f, 0.7f};
    t->inv_norm = nn_targets(t->q, (int[]){1, 4, 2}, class_weights, 0.1f, BATCH, CLASSES);
}

static void end_trial(struct trial *t)
{
    rudd_free(t->grads);
    rudd_free(t->saved);
    nn_plan_destroy(t->plan);
    nn_model_destroy(t->m);
}

static void gradients_of_every_operation(void **state)
{
    (void)state;
    bool covered[NN_OP_COUNT] = {false};
    for (int k = 0; k < OPERATIONS; k++) {
        struct trial t;
        start_trial(&t, &operations[k]);
        loss_of(&t);
        nn_plan_backward(t.plan, t.grads, t.q, t.inv_norm, BATCH);
        for (int i = 0; i < t.m->param_count; i++)
            if (nn_plan_trains(t.plan, i)) check_slope(&t, &operations[k], i);
        for (int i = 0; i < t.m->graph->count; i++) covered[t.m->graph->nodes[i].op] = true;
        end_trial(&t);
    }
    for (int op = 0; op < NN_OP_COUNT; op++) assert_true(covered[op]); /* a new operation needs a row above */
}

/* Gradients add up over calls, as accumulation over small batches needs. */
static void gradients_accumulate(void **state)
{
    (void)state;
    struct trial t;
    start_trial(&t, &operations[1]);
    loss_of(&t);
    nn_plan_backward(t.plan, t.grads, t.q, t.inv_norm, BATCH);
    float *once = rudd_alloc(t.m->value_count * sizeof *once);
    memcpy(once, t.grads, t.m->value_count * sizeof *once);
    loss_of(&t);
    nn_plan_backward(t.plan, t.grads, t.q, t.inv_norm, BATCH);
    for (size_t i = 0; i < t.m->value_count; i++) assert_true(fabsf(t.grads[i] - 2 * once[i]) <= 1e-5f * (1 + fabsf(once[i])));
    rudd_free(once);
    end_trial(&t);
}

/* ---- whole networks ---------------------------------------------------------------------------------------------- */

static struct nn_model *shaken(const char *arch, int classes)
{
    struct nn_model *m;
    struct rudd_error err;
    if (nn_model_create(&m, arch, classes, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].kind == NN_BN_MEAN || m->params[i].kind == NN_BN_BIAS)
            randomise(m->values + m->params[i].offset, m->params[i].count, (uint64_t)i, 0.2);
    return m;
}

static struct nn_plan *planned(struct nn_model *m, struct nn_plan_options o)
{
    struct nn_plan *plan;
    struct rudd_error err;
    if (nn_plan_create(&plan, m, &o, &err)) fail_msg("%s", err.message);
    return plan;
}

/* Running statistics move to those of a random batch: else the deepest networks amplify rounding until nothing can be compared. */
static void accustom(struct nn_model *m, int size)
{
    struct nn_plan *plan =
        planned(m, (struct nn_plan_options){.batch = 4, .image_size = size, .train = true, .bn_momentum = 0.5f});
    float *grads = rudd_zalloc(m->value_count, sizeof *grads), q[4 * 10] = {0};
    assert_non_null(grads);
    randomise(nn_plan_input(plan), (size_t)4 * (size_t)size * (size_t)size * 3, 12, 1);
    nn_plan_forward(plan, 4);
    nn_plan_backward(plan, grads, q, 1, 4);
    rudd_free(grads);
    nn_plan_destroy(plan);
}

/* Every architecture: fused and plain agree, and so does an image alone with the same image in a batch. */
static void fused_equals_plain(void **state)
{
    (void)state;
    for (int a = 0; nn_arch_name(a); a++) {
        const char *arch = nn_arch_name(a);
        int digit = arch[strlen(arch) - 1];
        if (digit > '4' && digit <= '9') continue; /* the largest ones only repeat what these have */
        if (SANITIZED && digit > '1' && digit <= '9') {
            print_message("  left out under sanitizers: %s\n", arch);
            continue;
        }
        struct nn_model *m = shaken(arch, 10);
        if (strstr(arch, "v2_s") || strstr(arch, "resnet")) accustom(m, 37);
        struct nn_plan *fused = planned(m, (struct nn_plan_options){.batch = 2, .image_size = 37});
        struct nn_plan *plain = planned(m, (struct nn_plan_options){.batch = 2, .image_size = 37, .unfused = true});
        size_t image = 37 * 37 * 3;
        randomise(nn_plan_input(fused), 2 * image, 11, 1);
        randomise(nn_plan_input(plain), 2 * image, 11, 1);
        nn_plan_forward(fused, 2);
        nn_plan_forward(plain, 2);
        const float *y = nn_plan_logits(fused), *z = nn_plan_logits(plain);
        float second[10], largest = 0;
        for (int i = 0; i < 20; i++) largest = fmaxf(largest, fabsf(z[i]));
        for (int i = 0; i < 20; i++)
            if (fabsf(y[i] - z[i]) > 1e-4f * largest) fail_msg("%s: logit %d: fused %g, plain %g", arch, i, y[i], z[i]);
        memcpy(second, y + 10, sizeof second);
        randomise(nn_plan_input(plain), 2 * image, 11, 1);
        memcpy(nn_plan_input(fused), nn_plan_input(plain) + image, image * sizeof(float));
        nn_plan_forward(fused, 1);
        for (int i = 0; i < 10; i++) assert_true(fabsf(nn_plan_logits(fused)[i] - second[i]) <= 1e-5f * largest);
        nn_plan_destroy(fused);
        nn_plan_destroy(plain);
        nn_model_destroy(m);
    }
}

static void step(struct nn_model *m, struct nn_plan *plan, float *grads, int n)
{
    float q[16 * 10];
    int labels[16];
    for (int i = 0; i < n; i++) labels[i] = i % 10;
    double inv_norm = nn_targets(q, labels, NULL, 0.1f, n, 10);
    memset(grads, 0, m->value_count * sizeof *grads);
    nn_plan_set_step(plan, 1, 2);
    nn_plan_forward(plan, n);
    nn_plan_backward(plan, grads, q, inv_norm, n);
}

/* Frozen stages get no gradient and keep their statistics; the others get the same gradient as if nothing were frozen but the
 * batch norms below. */
static void freezing(void **state)
{
    (void)state;
    struct nn_model *m = shaken("tf_efficientnetv2_b0", 10);
    float *grads = rudd_alloc(m->value_count * sizeof *grads), *before = rudd_alloc(m->value_count * sizeof *before);
    const char *texts[] = {"none", "stem", "1", "4", "6", "head", "all"};
    int stages[] = {0, 1, 2, 5, 7, 8, 8};
    assert_int_equal(nn_model_stage_count(m), 9);
    for (int k = 0; k < 7; k++) {
        int freeze = nn_model_freeze_stage(m, texts[k]);
        assert_int_equal(freeze, stages[k]);
        struct nn_plan *plan = planned(
            m,
            (struct nn_plan_options){.batch = 4, .image_size = 32, .train = true, .freeze_stage = freeze, .bn_momentum = 0.1f});
        randomise(nn_plan_input(plan), 4 * 32 * 32 * 3, 12, 1);
        memcpy(before, m->values, m->value_count * sizeof *before);
        step(m, plan, grads, 4);
        for (int i = 0; i < m->param_count; i++) {
            const struct nn_param *p = &m->params[i];
            bool statistic = p->kind == NN_BN_MEAN || p->kind == NN_BN_VAR, frozen = p->stage < freeze, moved = false,
                 any = false;
            for (size_t j = p->offset; j < p->offset + p->count; j++) {
                moved |= m->values[j] != before[j];
                any |= grads[j] != 0;
            }
            assert_int_equal(nn_plan_trains(plan, i), !frozen && !statistic);
            assert_int_equal(moved, statistic && !frozen);
            assert_int_equal(any, !statistic && !frozen);
        }
        nn_plan_destroy(plan);
    }
    assert_int_equal(nn_model_freeze_stage(m, "7"), -1);
    assert_int_equal(nn_model_freeze_stage(m, "none "), -1);
    assert_int_equal(nn_model_freeze_stage(m, ""), -1);
    rudd_free(grads);
    rudd_free(before);
    nn_model_destroy(m);
}

/* Whatever a limit makes a plan compute again, gradients and statistics stay the same, bit for bit, and the limit is kept. Levels are
 * reached one after the other. */
static void recomputing_changes_nothing(void **state)
{
    (void)state;
    float *first = NULL;
    size_t limit = 0;
    int levels[3] = {0}, plans = 0;
    for (bool fits = true; fits;) {
        struct nn_model *m = shaken("efficientnet_b0", 10);
        const struct nn_plan_options o = {.batch = 3,
                                          .image_size = 72,
                                          .train = true,
                                          .dropout = 0.2f,
                                          .drop_path = 0.2f,
                                          .bn_momentum = 0.1f,
                                          .memory_limit = limit};
        struct nn_plan *plan = NULL;
        struct rudd_error err;
        enum rudd_status status = nn_plan_create(&plan, m, &o, &err);
        fits = status == RUDD_OK;
        if (fits) {
            float *grads = rudd_alloc(m->value_count * sizeof *grads), *all = rudd_alloc(2 * m->value_count * sizeof *all);
            randomise(nn_plan_input(plan), 3 * 72 * 72 * 3, 13, 1);
            step(m, plan, grads, 3);
            memcpy(all, grads, m->value_count * sizeof *all);
            memcpy(all + m->value_count, m->values, m->value_count * sizeof *all);
            if (first) assert_memory_equal(first, all, 2 * m->value_count * sizeof *all);
            if (limit) assert_true(nn_plan_bytes(plan) + nn_plan_weight_bytes(plan) <= limit);
            limit = (nn_plan_bytes(plan) + nn_plan_weight_bytes(plan)) / 50 * 49;
            for (int i = 0; i < 3; i++) levels[i] |= nn_plan_recomputes(plan, (enum nn_recompute)i) > 0;
            plans++;
            if (first)
                rudd_free(all);
            else
                first = all;
            rudd_free(grads);
        } else {
            assert_int_equal(status, RUDD_LIMIT);
            assert_non_null(strstr(err.message, "computed again"));
        }
        nn_plan_destroy(plan);
        nn_model_destroy(m);
    }
    assert_true(plans > 5);
    for (int i = 0; i < 3; i++) assert_true(levels[i]);
    rudd_free(first);
}

/* 1, 2 and 4 threads: the same bits in loss, gradients and statistics, with dropout and drop path. */
static void threads_change_nothing(void **state)
{
    (void)state;
    float *first = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        kern_set_threads(threads);
        struct nn_model *m = shaken("efficientnet_b0", 10);
        float *grads = rudd_alloc(m->value_count * sizeof *grads);
        struct nn_plan *plan = planned(
            m, (struct nn_plan_options){
                   .batch = 6, .image_size = 40, .train = true, .dropout = 0.2f, .drop_path = 0.2f, .bn_momentum = 0.1f});
        randomise(nn_plan_input(plan), 6 * 40 * 40 * 3, 13, 1);
        step(m, plan, grads, 6);
        for (size_t i = 0; i < m->value_count; i++) m->values[i] -= grads[i];
        if (first)
            assert_memory_equal(first, m->values, m->value_count * sizeof *first);
        else {
            first = rudd_alloc(m->value_count * sizeof *first);
            memcpy(first, m->values, m->value_count * sizeof *first);
        }
        rudd_free(grads);
        nn_plan_destroy(plan);
        nn_model_destroy(m);
    }
    kern_set_threads(0);
    rudd_free(first);
}

/* Dropout's masks depend on (seed, step): the same key repeats them, another does not. */
static void masks_are_keyed(void **state)
{
    (void)state;
    struct nn_model *m = shaken("efficientnet_b0", 10);
    struct nn_plan *plan = planned(m, (struct nn_plan_options){.batch = 2, .image_size = 32, .train = true, .dropout = 0.5f});
    float logits[3][20];
    uint64_t steps[3] = {1, 2, 1};
    for (int k = 0; k < 3; k++) {
        randomise(nn_plan_input(plan), 2 * 32 * 32 * 3, 14, 1);
        nn_plan_set_step(plan, 9, steps[k]);
        nn_plan_forward(plan, 2);
        memcpy(logits[k], nn_plan_logits(plan), sizeof logits[k]);
    }
    assert_memory_equal(logits[0], logits[2], sizeof logits[0]);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    nn_plan_destroy(plan);
    nn_model_destroy(m);
}

/* ---- refusals and failures --------------------------------------------------------------------------------------- */

static void refusals(void **state)
{
    (void)state;
    struct nn_model *m = NULL;
    struct nn_plan *plan = NULL;
    struct rudd_error err;
    assert_int_equal(nn_model_create(&m, "efficientnet_b9", 10, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "efficientnet_b9"));
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", 0, &err), RUDD_ARGUMENT);
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", NN_MAX_CLASSES + 1, &err), RUDD_ARGUMENT);
    assert_null(m);
    m = shaken("efficientnet_b0", 10);
    struct nn_plan_options o = {.batch = 4, .image_size = 64, .memory_limit = 1 << 20};
    assert_int_equal(nn_plan_create(&plan, m, &o, &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "1.0 MiB"));
    o = (struct nn_plan_options){.batch = 0, .image_size = 64};
    assert_int_equal(nn_plan_create(&plan, m, &o, &err), RUDD_ARGUMENT);
    o = (struct nn_plan_options){.batch = 1, .image_size = 7};
    assert_int_equal(nn_plan_create(&plan, m, &o, &err), RUDD_ARGUMENT);
    assert_null(plan);
    nn_model_destroy(m);
}

static int countdown(void *user, size_t bytes)
{
    (void)bytes;
    return (*(int *)user)-- != 0;
}

/* Whichever allocation fails, creation says so, leaks nothing (the sanitizers watch) and leaves the caller's pointers alone. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    int fatal = 0;
    for (bool done = false; !done; fatal++) {
        struct nn_model *m = NULL;
        struct nn_plan *plan = NULL;
        struct rudd_error err;
        int left = fatal;
        rudd_set_alloc_hook(countdown, &left);
        enum rudd_status status = nn_model_create(&m, "efficientnet_b0", 3, &err);
        struct nn_plan_options o = {.batch = 1, .image_size = 32, .train = true};
        if (status)
            assert_null(m);
        else if ((status = nn_plan_create(&plan, m, &o, &err)))
            assert_null(plan);
        rudd_set_alloc_hook(NULL, NULL);
        if (status) assert_int_equal(status, RUDD_NO_MEMORY);
        done = !status;
        nn_plan_destroy(plan);
        nn_model_destroy(m);
    }
    assert_true(fatal > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_every_operation),
        cmocka_unit_test(gradients_accumulate),
        cmocka_unit_test(fused_equals_plain),
        cmocka_unit_test(freezing),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(masks_are_keyed),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
