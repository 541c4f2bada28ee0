/* test_golden.c - EfficientNet forward and backward against PyTorch's numbers in float64.
 *
 * shared/golden holds logits, loss, gradients and batch-norm statistics of models whose weights and inputs are formulas of
 * their torchvision names (golden/make_golden.py states the formulas); here the same model is built from nothing. Skipped where
 * the files are absent. */
#include "kernels/kern.h"
#include "nn/plan.h"
#include "tests/sanitized.h"
#include "weights/model_file.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Element i of tensor `name` as make_golden.py defines it. */
static uint64_t key_of(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

static float formula(uint64_t key, size_t i, double offset, double scale)
{
    uint64_t z = key + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (float)(offset + scale * ((double)(z >> 40) * 0x1p-23 - 1));
}

static void fill_by_formula(struct nn_model *m)
{
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        char name[NN_NAME];
        weights_param_name(name, m, i, WEIGHTS_TORCHVISION);
        double offset = 0, scale = 0.1;
        switch (p->kind) {
        case NN_CONV_WEIGHT:
        case NN_DWCONV_WEIGHT: scale = sqrt(5.0 / ((double)p->shape[1] * p->shape[2] * p->shape[3])); break;
        case NN_LINEAR_WEIGHT: scale = 10 * sqrt(3.0 / p->shape[1]); break;
        case NN_BN_WEIGHT: offset = 1, scale = 0.3; break;
        case NN_BN_VAR: offset = 1, scale = 0.5; break;
        case NN_BIAS:
        case NN_BN_BIAS:
        case NN_BN_MEAN: break;
        }
        uint64_t key = key_of(name);
        for (size_t j = 0; j < p->count; j++) m->values[p->offset + j] = formula(key, j, offset, scale);
    }
}

static void fill_input(float *nhwc, int batch, int size)
{
    uint64_t key = key_of("input");
    size_t plane = (size_t)size * (size_t)size;
    for (size_t n = 0; n < (size_t)batch; n++)
        for (size_t c = 0; c < 3; c++)
            for (size_t p = 0; p < plane; p++) nhwc[(n * plane + p) * 3 + c] = formula(key, (n * 3 + c) * plane + p, 0, 2);
}

static double norm_of(const float *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * a[i];
    return sqrt(sum);
}

/* |a - b| / |b| in the L2 norm */
static double relative(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum) / norm_of(b, n);
}

static const float *golden(const struct weights_file *f, const char *prefix, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct weights_tensor *t = weights_find(f, full);
    if (!t) fail_msg("golden tensor %s is missing", full);
    return t->data;
}

static void check_inference(struct nn_model *m, const struct weights_file *f, int batch, int size)
{
    size_t count = (size_t)batch * (size_t)m->class_count;
    for (int unfused = 0; unfused < 2; unfused++) {
        struct nn_plan *plan;
        struct rudd_error err;
        struct nn_plan_options o = {.batch = batch, .image_size = size, .unfused = unfused};
        if (nn_plan_create(&plan, m, &o, &err)) fail_msg("%s", err.message);
        fill_input(nn_plan_input(plan), batch, size);
        nn_plan_forward(plan, batch);
        double e = relative(nn_plan_logits(plan), golden(f, "", "logits"), count);
        print_message("  %s logits: relative L2 error %.2e, plan %.1f MiB\n", unfused ? "unfused" : "fused", e,
                      (double)nn_plan_bytes(plan) / 1048576);
        assert_true(e <= 1e-4);
        nn_plan_destroy(plan);
    }
}

static void check_gradients(const struct nn_model *m, const struct weights_file *f, const float *grads)
{
    double global = 0, worst = 0, worst_head = 0;
    int checked = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < m->param_count; i++) {
            const struct nn_param *p = &m->params[i];
            if (p->kind == NN_BN_MEAN || p->kind == NN_BN_VAR) continue;
            char name[NN_NAME];
            weights_param_name(name, m, i, WEIGHTS_TORCHVISION);
            double expected = golden(f, "grad_norm/", name)[0], got = norm_of(grads + p->offset, p->count);
            if (pass == 0) {
                global += expected * expected;
                continue;
            }
            double error = fabs(got - expected), allowed = fmax(1e-3 * expected, 1e-6 * sqrt(global));
            if (error > allowed) fail_msg("gradient of %s: norm %.9g, expected %.9g", name, got, expected);
            worst = fmax(worst, error / allowed);
            const float *head = golden(f, "grad_head/", name);
            for (size_t j = 0; j < p->count && j < 8; j++) {
                double e = fabs((double)grads[p->offset + j] - head[j]) / fmax(expected, 1e-3 * sqrt(global));
                worst_head = fmax(worst_head, e);
                if (e > 2e-3) fail_msg("gradient of %s[%zu]: %.9g, expected %.9g", name, j, grads[p->offset + j], head[j]);
            }
            checked++;
        }
    print_message("  gradients of %d parameters: worst norm error %.3f of what is allowed, worst element %.2e of its norm\n",
                  checked, worst, worst_head);
}

static void check_training(struct nn_model *m, const struct weights_file *f, int batch, int size)
{
    struct nn_plan *plan;
    struct rudd_error err;
    struct nn_plan_options o = {.batch = batch, .image_size = size, .train = true, .bn_momentum = 0.1f};
    if (nn_plan_create(&plan, m, &o, &err)) fail_msg("%s", err.message);
    size_t count = (size_t)batch * (size_t)m->class_count;
    float *grads = rudd_zalloc(m->value_count, sizeof *grads), *q = rudd_alloc(count * sizeof *q);
    int labels[16];
    for (int n = 0; n < batch; n++) labels[n] = (n * 7 + 3) % m->class_count;
    fill_input(nn_plan_input(plan), batch, size);
    nn_plan_forward(plan, batch);
    double e = relative(nn_plan_logits(plan), golden(f, "", "train_logits"), count);
    double inv_norm = nn_targets(q, labels, NULL, 0, batch, m->class_count);
    double loss = nn_plan_backward(plan, grads, q, inv_norm, batch), expected = golden(f, "", "loss")[0];
    print_message("  training logits: relative L2 error %.2e; loss %.7g, expected %.7g; plan %.1f MiB\n", e, loss, expected,
                  (double)nn_plan_bytes(plan) / 1048576);
    assert_true(e <= 1e-4);
    assert_true(fabs(loss - expected) <= 1e-4 * fabs(expected));
    check_gradients(m, f, grads);

    double worst = 0;
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        if (p->kind != NN_BN_MEAN && p->kind != NN_BN_VAR) continue;
        char name[NN_NAME];
        weights_param_name(name, m, i, WEIGHTS_TORCHVISION);
        worst = fmax(worst, relative(m->values + p->offset, golden(f, "after/", name), p->count));
    }
    print_message("  batch-norm statistics: worst relative error %.2e\n", worst);
    assert_true(worst <= 1e-4);
    rudd_free(q);
    rudd_free(grads);
    nn_plan_destroy(plan);
}

static void check(const char *file, const char *arch, int batch, int size, int classes)
{
    char path[200];
    struct rudd_error err;
    struct weights_file f;
    struct nn_model *m = NULL;
    snprintf(path, sizeof path, "../shared/golden/%s", file);
    if (access(path, R_OK)) skip();
    if (weights_open(&f, path, &err) || nn_model_create(&m, arch, classes, &err)) fail_msg("%s", err.message);
    fill_by_formula(m);
    check_inference(m, &f, batch, size);
    check_training(m, &f, batch, size);
    nn_model_destroy(m);
    weights_close(&f);
}

static void b0_at_64(void **state)
{
    (void)state;
    check("b0_64.safetensors", "efficientnet_b0", 4, 64, 15);
}

static void b4_at_96(void **state)
{
    (void)state;
    check("b4_96.safetensors", "efficientnet_b4", 4, 96, 15);
}

static void b4_at_380(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("  left out under sanitizers: b4_at_96 is the same graph\n");
        skip();
    }
    check("b4_380.safetensors", "efficientnet_b4", 2, 380, 1000);
}

/* The figures of the paper's B4: parameters at 1000 and at 15 classes, multiply-adds at 380. */
static void b4_counts(void **state)
{
    (void)state;
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, "efficientnet_b4", 1000, NULL), RUDD_OK);
    assert_int_equal(nn_model_parameter_count(m), 19341616);
    assert_true(nn_model_macs(m, 380) == 4393771024u);
    nn_model_destroy(m);
    assert_int_equal(nn_model_create(&m, "efficientnet_b4", 15, NULL), RUDD_OK);
    assert_int_equal(nn_model_parameter_count(m), 17575511);
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(b4_counts), cmocka_unit_test(b0_at_64), cmocka_unit_test(b4_at_96),
                                       cmocka_unit_test(b4_at_380)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
