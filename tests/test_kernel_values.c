/* test_kernel_values.c - what agreeing with the reference does not prove: that the references are right, and that every tier
 * holds at the ends of the number line.
 *
 * Backward references are compared with their forward ones: transposes for linear operations, central differences for the rest.
 *
 * Not here: tiers against references over shapes (test_kernels.c); the vector e^x alone (test_gemm.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/act_ref.h"

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* The tables of the tiers that this processor has: references, AVX2, AVX-512. */
static int fill_tables(struct kern_table tables[3])
{
    static const unsigned needs[] = {0, KERN_CPU_AVX2, KERN_CPU_AVX2 | KERN_CPU_AVX512};
    int count = 0;
    for (size_t i = 0; i < LENGTH(needs); i++)
        if ((kern_cpu_features() & needs[i]) == needs[i]) kern_table_fill(&tables[count++], needs[i]);
    return count;
}

/* ---- extremes ---- */

enum { COPIES = 37 }; /* two vectors of 16 and a tail */

/* Within a few ulp of the reference where that is a normal number, never NaN from a finite input, and the same bits in the core
 * of a vector as in its tail. */
static void check_activation(const struct kern_table *t, enum kern_act act, float z)
{
    float x[COPIES], ones[COPIES], y[COPIES], slope[COPIES];
    for (int j = 0; j < COPIES; j++) x[j] = z, ones[j] = 1;
    t->act_fwd_f32(y, x, act, COPIES);
    t->act_bwd_f32(slope, ones, x, act, COPIES);
    for (int j = 0; j < COPIES; j++) {
        assert_memory_equal(&y[j], &y[0], sizeof y[j]);
        assert_memory_equal(&slope[j], &slope[0], sizeof slope[j]);
    }
    double value = act_value(act, z), derivative = act_slope(act, z);
    /* Where e^-z overflows a float (z < -88.7) the tiers give 0 for values below 2e-36. */
    if (!(fabs(y[0] - value) <= 5e-7 * fabs(value) + 2e-36))
        fail_msg("act %d of %.9g: %.9g, expected %.9g", act, z, y[0], value);
    /* 1 + z(1-s) cancels near its root. */
    if (!(fabs(slope[0] - derivative) <= 1e-6 * fabs(derivative) + 4e-7))
        fail_msg("slope %d at %.9g: %.9g, expected %.9g", act, z, slope[0], derivative);
}

static void activations_hold_at_extremes(void **state)
{
    static const float ends[] = {3e38f, 1e30f, 1e4f, 150, 104, 103, 89, 88.8f, 88.7f, 88, 87, 50, 20, 1e-3f, 1e-40f, 0};
    struct kern_table tables[3];
    (void)state;
    for (int i = fill_tables(tables) - 1; i >= 0; i--)
        for (int act = KERN_ACT_NONE; act < KERN_ACTS; act++) {
            for (size_t k = 0; k < LENGTH(ends); k++) {
                check_activation(&tables[i], (enum kern_act)act, ends[k]);
                check_activation(&tables[i], (enum kern_act)act, -ends[k]);
            }
            for (int k = -800; k <= 800; k++) check_activation(&tables[i], (enum kern_act)act, (float)k * 0.11f);
            float y[COPIES], x[COPIES];
            for (int j = 0; j < COPIES; j++) x[j] = INFINITY;
            tables[i].act_fwd_f32(y, x, (enum kern_act)act, COPIES);
            for (int j = 0; j < COPIES; j++)
                assert_true(y[j] == (act == KERN_ACT_SIGMOID ? 1 : act == KERN_ACT_RELU6 ? 6 : INFINITY));
        }
}

/* A diverged run must show: NaN passes every activation, alone, and a channel's statistics. */
static void nan_stays_nan(void **state)
{
    struct kern_table tables[3];
    (void)state;
    for (int i = fill_tables(tables) - 1; i >= 0; i--) {
        float x[COPIES], y[COPIES], mean, var;
        for (int j = 0; j < COPIES; j++) x[j] = (float)j;
        x[21] = NAN;
        for (int act = KERN_ACT_NONE; act < KERN_ACTS; act++) {
            tables[i].act_fwd_f32(y, x, (enum kern_act)act, COPIES);
            for (int j = 0; j < COPIES; j++) assert_int_equal(isnan(y[j]) != 0, j == 21);
        }
        float *scratch = malloc(kern_rows_scratch(1) * sizeof *scratch);
        assert_non_null(scratch);
        tables[i].bn_stats_f32(&mean, &var, x, COPIES, 1, scratch);
        free(scratch);
        assert_true(isnan(mean) && isnan(var));
    }
}

/* The border of a max pool is nothing, or 0; a tie's gradient goes to the first, one with the border's 0 to nobody; NaN wins. */
static void max_pools_choose(void **state)
{
    static const float x[9] = {-1, -2, -3, -4, 0, 5, -6, 5, 5}, dy[4] = {1, 2, 4, 8};
    static const struct kern_conv g = {
        .n = 1, .ih = 3, .iw = 3, .ic = 1, .oh = 2, .ow = 2, .oc = 1, .k = 3, .stride = 2, .pad_top = 1, .pad_left = 1};
    struct kern_table tables[3];
    (void)state;
    for (int i = fill_tables(tables) - 1; i >= 0; i--) {
        float y[4], dx[9], bad[9];
        tables[i].maxpool_fwd_f32(y, x, &g, false);
        assert_memory_equal(y, ((float[]){0, 5, 5, 5}), sizeof y);
        tables[i].maxpool_bwd_f32(dx, dy, x, &g, false);
        assert_memory_equal(dx, ((float[]){0, 0, 0, 0, 1, 2 + 8, 0, 4, 0}), sizeof dx);
        memcpy(bad, x, sizeof bad);
        bad[5] = -5;
        tables[i].maxpool_fwd_f32(y, bad, &g, true);
        assert_memory_equal(y, ((float[]){0, 0, 5, 5}), sizeof y);
        tables[i].maxpool_bwd_f32(dx, dy, bad, &g, true);
        assert_memory_equal(dx, ((float[]){0, 0, 0, 0, 0, 0, 0, 4 + 8, 0}), sizeof dx);
        bad[0] = NAN;
        tables[i].maxpool_fwd_f32(y, bad, &g, false);
        assert_true(isnan(y[0]) && y[1] == 0 && y[2] == 5 && y[3] == 5);
    }
}

/* ---- buffers ---- */

struct arena {
    float *block[16];
    int used;
    uint32_t seed;
};
static float *out(struct arena *a, size_t count)
{
    assert_true(a->used < (int)LENGTH(a->block));
    float *p = malloc(count * sizeof *p);
    assert_non_null(p);
    return a->block[a->used++] = p;
}
/* Random floats in [-1, 1). */
static float *in(struct arena *a, size_t count)
{
    float *p = out(a, count);
    for (size_t i = 0; i < count; i++) {
        a->seed = a->seed * 1664525u + 1013904223u;
        p[i] = (float)(a->seed >> 8) / (1 << 23) - 1;
    }
    return p;
}
static void release(struct arena *a)
{
    while (a->used) free(a->block[--a->used]);
}

/* ---- the references' gradients ---- */

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}
static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * (fabs(want) + 1))) fail_msg("%.9g, expected %.9g", got, want);
}

/* Depthwise convolution is linear in x and in w, so each gradient is its transpose: <dx,h> = <dy, conv(h,w)>, <dw,v> = <dy,
 * conv(x,v)> for any h and v. */
static void dwconv_gradients_are_transposes(void **state)
{
    (void)state;
    for (int k = 1; k <= 5; k++)
        for (int stride = 1; stride <= 3; stride++)
            for (int pad = 0; pad <= k / 2; pad++) {
                struct arena a = {.seed = 7};
                struct kern_conv g = {.n = 2, .ih = 9, .iw = 6, .ic = 3, .oc = 3, .k = k, .stride = stride, .pad_top = pad};
                g.pad_left = k / 2, g.oh = 8 / stride + 1, g.ow = 5 / stride + 1;
                size_t taps = (size_t)k * k * 3, nx = 2 * 9 * 6 * 3, ny = (size_t)2 * g.oh * g.ow * 3;
                float *x = in(&a, nx), *h = in(&a, nx), *w = in(&a, taps), *v = in(&a, taps), *dy = in(&a, ny);
                float *y = out(&a, ny), *dx = out(&a, nx), *dw = out(&a, taps);
                kern_dwconv_bwd_data_f32_ref(dx, dy, w, &g);
                kern_dwconv_fwd_f32_ref(y, h, w, &g);
                assert_near(dot(dx, h, nx), dot(dy, y, ny), 1e-6);
                kern_dwconv_bwd_weight_f32_ref(dw, x, dy, &g, NULL);
                kern_dwconv_fwd_f32_ref(y, x, v, &g);
                assert_near(dot(dw, v, taps), dot(dy, y, ny), 1e-6);
                release(&a);
            }
}

/* act_slope is the derivative of act_value. */
static void slopes_match_differences(void **state)
{
    (void)state;
    for (int act = KERN_ACT_NONE; act < KERN_ACTS; act++)
        for (double z = -12.03; z < 12; z += 0.1) {
            double step = 1e-5;
            double slope = (act_value((enum kern_act)act, z + step) - act_value((enum kern_act)act, z - step)) / (2 * step);
            assert_near(act_slope((enum kern_act)act, z), slope, 1e-8);
        }
}

/* L = <dy, act(batch norm(x))>, batch norm by the forward references. */
static double norm_loss(const float *x, const float *dy, const float *gamma, const float *beta, const struct kern_bn *s,
                        float *work)
{
    float *mean = work, *var = work + s->c, *a = work + 2 * s->c, *b = work + 3 * s->c, *y = work + 4 * s->c;
    kern_bn_stats_f32_ref(mean, var, x, s->rows, s->c, NULL);
    for (int j = 0; j < s->c; j++) {
        if (s->frozen) mean[j] = s->mean[j], var[j] = 1 / (s->rstd[j] * s->rstd[j]) - 1e-3f;
        a[j] = gamma[j] / sqrtf(var[j] + 1e-3f);
        b[j] = beta[j] - mean[j] * a[j];
    }
    kern_affine_act_f32_ref(y, x, a, b, s->act, s->rows, s->c);
    return dot(dy, y, (size_t)s->rows * s->c);
}

/* Batch norm's gradients against central differences of its forward pass along random directions of x, gamma and beta. */
static void bn_gradients_match_differences(void **state)
{
    enum { ROWS = 23, C = 5, N = ROWS * C };
    (void)state;
    for (int act = KERN_ACT_NONE; act <= KERN_ACT_SIGMOID; act++)
        for (int frozen = 0; frozen <= 1; frozen++) {
            struct arena a = {.seed = 11};
            float *x = in(&a, N), *dy = in(&a, N), *h = in(&a, N), *gamma = in(&a, C), *beta = in(&a, C), *mean = in(&a, C),
                  *var = in(&a, C);
            float *dz = out(&a, N), *dx = out(&a, N), *dgamma = out(&a, C), *dbeta = out(&a, C), *work = out(&a, N + 4 * C);
            if (frozen)
                for (int j = 0; j < C; j++) var[j] = fabsf(var[j]) + 0.1f;
            else
                kern_bn_stats_f32_ref(mean, var, x, ROWS, C, NULL);
            float *rstd = var;
            for (int j = 0; j < C; j++) rstd[j] = 1 / sqrtf(var[j] + 1e-3f);
            struct kern_bn s = {.rows = ROWS,
                                .c = C,
                                .act = (enum kern_act)act,
                                .frozen = frozen,
                                .mean = mean,
                                .rstd = rstd,
                                .gamma = gamma,
                                .beta = beta};
            kern_bn_bwd_reduce_f32_ref(dz, dgamma, dbeta, dy, x, &s, NULL);
            kern_bn_bwd_apply_f32_ref(dx, dz, x, dgamma, dbeta, &s);

            const struct {
                float *value;
                const float *gradient;
                size_t count;
            } wrt[] = {{x, dx, N}, {gamma, dgamma, C}, {beta, dbeta, C}};
            for (size_t k = 0; k < LENGTH(wrt); k++) {
                const float step = 1.0f / 128;
                double ahead, behind;
                for (size_t i = 0; i < wrt[k].count; i++) wrt[k].value[i] += step * h[i];
                ahead = norm_loss(x, dy, gamma, beta, &s, work);
                for (size_t i = 0; i < wrt[k].count; i++) wrt[k].value[i] -= 2 * step * h[i];
                behind = norm_loss(x, dy, gamma, beta, &s, work);
                for (size_t i = 0; i < wrt[k].count; i++) wrt[k].value[i] += step * h[i];
                assert_near(dot(wrt[k].gradient, h, wrt[k].count), (ahead - behind) / (2 * step), 1e-3);
            }
            release(&a);
        }
}

/* Pooling and scaling are linear too: <pool_bwd(dy), h> = <dy, pool_fwd(h)>; <scale_bwd_s(dy,x), v> = <dy, scale(x,v)>. */
static void map_gradients_are_transposes(void **state)
{
    enum { N = 3, HW = 21, C = 5, ALL = N * HW * C };
    (void)state;
    struct arena a = {.seed = 13};
    float *x = in(&a, ALL), *dy = in(&a, ALL), *dx = in(&a, ALL), *before = in(&a, ALL), *y = out(&a, ALL);
    float *small = in(&a, N * C), *pooled = out(&a, N * C), *ds = out(&a, N * C);
    kern_pool_fwd_f32_ref(pooled, x, N, HW, C, HW);
    memcpy(before, dx, sizeof(float) * ALL);
    kern_pool_bwd_f32_ref(dx, small, N, HW, C, true);
    assert_near(dot(dx, x, ALL) - dot(before, x, ALL), dot(small, pooled, N * C), 1e-6);
    kern_scale_bwd_s_f32_ref(ds, dy, x, N, HW, C);
    kern_scale_f32_ref(y, x, small, N, HW, C);
    assert_near(dot(ds, small, N * C), dot(dy, y, ALL), 1e-6);
    release(&a);
}

/* Cross-entropy's gradient against central differences of the loss, one logit at a time, for a target mass that is not 1. */
static void xent_gradient_matches_differences(void **state)
{
    enum { N = 3, C = 7 };
    (void)state;
    struct arena a = {.seed = 17};
    float *logits = in(&a, N * C), *q = in(&a, N * C), *d = out(&a, N * C);
    double loss, ahead, behind;
    for (int i = 0; i < N * C; i++) q[i] = fabsf(q[i]);
    kern_xent_f32_ref(&loss, d, logits, q, 0.25, N, C);
    for (int i = 0; i < N * C; i++) {
        const float keep = logits[i], up = keep + 1e-3f, down = keep - 1e-3f;
        logits[i] = up;
        kern_xent_f32_ref(&ahead, NULL, logits, q, 0.25, N, C);
        logits[i] = down;
        kern_xent_f32_ref(&behind, NULL, logits, q, 0.25, N, C);
        logits[i] = keep;
        assert_near(d[i], (ahead - behind) / ((double)up - down), 1e-6);
    }
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_hold_at_extremes),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(max_pools_choose),
        cmocka_unit_test(dwconv_gradients_are_transposes),
        cmocka_unit_test(slopes_match_differences),
        cmocka_unit_test(bn_gradients_match_differences),
        cmocka_unit_test(map_gradients_are_transposes),
        cmocka_unit_test(xent_gradient_matches_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
