/* test_lbfgs.c - the minimiser on functions whose minimum is known, and the classifier it fits against the conditions of optimality. */
#include "kernels/kern.h"
#include "nn/rng.h"
#include "train/head_fit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct rudd_error err;

/* ---- functions with a known minimum -------------------------------------------------------------------------------- */

/* Rosenbrock in pairs: a curved valley; minimum 0 at all ones. */
static double rosenbrock(void *user, double *g, const double *x)
{
    double f = 0;
    for (size_t i = 0; i + 1 < *(size_t *)user; i += 2) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        f += 100 * a * a + b * b;
        g[i] = -400 * a * x[i] - 2 * b;
        g[i + 1] = 200 * a;
    }
    return f;
}

/* Axes whose curvatures span four decades. */
static double ellipse(void *user, double *g, const double *x)
{
    const size_t n = *(size_t *)user;
    double f = 0;
    for (size_t i = 0; i < n; i++) {
        double c = pow(10, 4.0 * (double)i / (double)(n - 1)), d = x[i] - (double)i;
        f += c * d * d / 2;
        g[i] = c * d;
    }
    return f;
}

/* Not a number left of -1: the line search must come back from there. */
static double log_barrier(void *user, double *g, const double *x)
{
    (void)user;
    g[0] = 1 - 0.01 / (x[0] + 1);
    return x[0] - 0.01 * log(x[0] + 1);
}

static void finds_known_minima(void **state)
{
    (void)state;
    enum { N = 40 };
    size_t n = N;
    double x[N];
    struct train_lbfgs_result r;
    struct train_lbfgs_options o = {.n = N, .history = 10, .max_iterations = 500, .tolerance = 1e-8};
    for (size_t i = 0; i < N; i++) x[i] = i % 2 ? 1 : -1.2;
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_OK);
    assert_true(r.converged && r.value < 1e-14 && r.evaluations < 200);
    for (size_t i = 0; i < N; i++) assert_true(fabs(x[i] - 1) < 1e-6);

    memset(x, 0, sizeof x);
    o.tolerance = 1e-6;
    o.max_iterations = 2000;
    assert_int_equal(train_lbfgs(&r, x, ellipse, &n, &o, &err), RUDD_OK);
    if (!r.converged) fail_msg("%d iterations, %d evaluations, gradient %g", r.iterations, r.evaluations, r.gradient);
    for (size_t i = 0; i < N; i++) assert_true(fabs(x[i] - (double)i) < 1e-5);

    o.n = 1;
    x[0] = 5;
    assert_int_equal(train_lbfgs(&r, x, log_barrier, NULL, &o, &err), RUDD_OK);
    assert_true(r.converged && fabs(x[0] + 0.99) < 1e-6);
}

static bool at_once(void *user)
{
    (void)user;
    return true;
}

/* Iterations are counted, a stop is heard, nonsense is refused, and no allocation may be missed. */
static int allow_none(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return 0;
}

static void ends_as_told(void **state)
{
    (void)state;
    size_t n = 2;
    double x[2] = {-1.2, 1};
    struct train_lbfgs_result r;
    struct train_lbfgs_options o = {.n = 2, .history = 3, .max_iterations = 4, .tolerance = 1e-10};
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_OK);
    assert_true(r.iterations == 4 && !r.converged && r.value < 24.2 && r.value > 1e-10);
    o.stop = at_once;
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_CANCELLED);
    o.stop = NULL;
    x[0] = NAN;
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_LIMIT);
    rudd_set_alloc_hook(allow_none, NULL);
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_NO_MEMORY);
    rudd_set_alloc_hook(NULL, NULL);
    o.history = 0;
    assert_int_equal(train_lbfgs(&r, x, rosenbrock, &n, &o, &err), RUDD_ARGUMENT);
}

/* ---- the classifier ------------------------------------------------------------------------------------------------ */

enum { ROWS = 300, FEATURES = 17, CLASSES = 4 };

/* Features far from standard: means up to 50, deviations from 0.01 to 30, one constant. */
static void draw_rows(float *x, int *labels)
{
    struct nn_rng rng;
    nn_rng_init(&rng, 11, 0, 0);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = (int)nn_rng_below(&rng, CLASSES);
        for (int j = 0; j < FEATURES; j++) {
            double z = nn_rng_normal(&rng) + (j % CLASSES == labels[i] ? 1 : 0);
            x[i * FEATURES + j] = j == 5 ? 3 : (float)(z * pow(10, -2 + 3.5 * j / FEATURES) + 3 * j);
        }
    }
}

struct fitted {
    float weight[CLASSES * FEATURES], bias[CLASSES], logits[ROWS * CLASSES];
    struct train_lbfgs_result result;
};

static void fit(struct fitted *f, double decay, const float *q, double inv_norm)
{
    static float x[ROWS * FEATURES];
    int labels[ROWS];
    const struct train_head_options o = {.decay = decay, .max_iterations = 500, .tolerance = 1e-5};
    draw_rows(x, labels);
    if (train_head_fit(f->weight, f->bias, &f->result, f->logits, x, q, inv_norm, ROWS, FEATURES, CLASSES, &o, &err))
        fail_msg("%s", err.message);
}

/* At the minimum of a convex function its gradient is 0: recomputed here in double, from the folded weights and the raw features. */
static void classifier_is_optimal(void **state)
{
    (void)state;
    static float x[ROWS * FEATURES], q[ROWS * CLASSES];
    static struct fitted f;
    int labels[ROWS];
    const double decay = 0.03;
    draw_rows(x, labels);
    const double inv_norm = nn_targets(q, labels, NULL, 0.1f, ROWS, CLASSES);
    fit(&f, decay, q, inv_norm);
    assert_true(f.result.converged);

    double mean[FEATURES] = {0}, deviation[FEATURES] = {0}, worst = 0, logit_error = 0;
    static double error[ROWS][CLASSES];
    for (int j = 0; j < FEATURES; j++) {
        for (int i = 0; i < ROWS; i++) mean[j] += (double)x[i * FEATURES + j] / ROWS;
        for (int i = 0; i < ROWS; i++) deviation[j] += pow((double)x[i * FEATURES + j] - mean[j], 2) / ROWS;
        deviation[j] = sqrt(deviation[j]);
    }
    for (int i = 0; i < ROWS; i++) {
        double z[CLASSES], sum = 0;
        for (int k = 0; k < CLASSES; k++) {
            z[k] = f.bias[k];
            for (int j = 0; j < FEATURES; j++) z[k] += (double)f.weight[k * FEATURES + j] * x[i * FEATURES + j];
            logit_error = fmax(logit_error, fabs(z[k] - f.logits[i * CLASSES + k]));
            sum += exp(z[k]);
        }
        for (int k = 0; k < CLASSES; k++) error[i][k] = (exp(z[k]) / sum - q[i * CLASSES + k]) * inv_norm;
    }
    for (int k = 0; k < CLASSES; k++) {
        double bias_gradient = 0;
        for (int i = 0; i < ROWS; i++) bias_gradient += error[i][k];
        worst = fmax(worst, fabs(bias_gradient));
        for (int j = 0; j < FEATURES; j++) {
            if (j == 5) {
                assert_true(f.weight[k * FEATURES + j] == 0); /* a constant says nothing */
                continue;
            }
            double g = decay * f.weight[k * FEATURES + j] * deviation[j];
            for (int i = 0; i < ROWS; i++) g += error[i][k] * (x[i * FEATURES + j] - mean[j]) / deviation[j];
            worst = fmax(worst, fabs(g));
        }
    }
    if (!(worst < 2e-5 && logit_error < 1e-4)) fail_msg("gradient %g, logits off by %g", worst, logit_error);
}

/* More decay, smaller weights and a larger loss; and any number of threads gives the same bits. */
static void decay_and_threads(void **state)
{
    (void)state;
    static float x[ROWS * FEATURES], q[ROWS * CLASSES];
    static struct fitted weak, strong, again;
    int labels[ROWS];
    draw_rows(x, labels);
    const double inv_norm = nn_targets(q, labels, NULL, 0, ROWS, CLASSES);
    double loss[2], size[2] = {0, 0};
    fit(&weak, 0.001, q, inv_norm);
    fit(&strong, 1, q, inv_norm);
    kern_table()->xent_f32(&loss[0], NULL, weak.logits, q, inv_norm, ROWS, CLASSES);
    kern_table()->xent_f32(&loss[1], NULL, strong.logits, q, inv_norm, ROWS, CLASSES);
    for (int i = 0; i < CLASSES; i++) {
        size[0] += fabs((double)weak.weight[i * FEATURES]);
        size[1] += fabs((double)strong.weight[i * FEATURES]);
    }
    assert_true(loss[0] < loss[1] && loss[1] < log(CLASSES));
    assert_true(size[0] > 2 * size[1]);
    for (int threads = 1; threads <= 4; threads *= 2) {
        kern_set_threads(threads);
        memset(&again, 0, sizeof again);
        fit(&again, 0.001, q, inv_norm);
        assert_memory_equal(again.weight, weak.weight, sizeof weak.weight);
        assert_memory_equal(again.bias, weak.bias, sizeof weak.bias);
        assert_int_equal(kern_threads(), threads);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_known_minima),
        cmocka_unit_test(ends_as_told),
        cmocka_unit_test(classifier_is_optimal),
        cmocka_unit_test(decay_and_threads),
    };
    return cmocka_run_group_tests_name("lbfgs", tests, NULL, NULL);
}
