/* test_gemm.c - every row of the matrix product and the dense convolution against the references, and against itself on other
 * numbers of threads.
 *
 * Each buffer stands between NaNs: an input that is over-read poisons a result, an output that is over-written loses a NaN.
 * A failing line names the row and the shape as `rudd-bench kernels` takes them.
 *
 * Not here: the other kernels (test_kernels.c). */
#include "kernels/kern.h"
#include "tests/sanitized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

/* ---- guarded buffers and comparison -----------------------------------------------------------------------------------------
 */

enum { GUARD = 64 };

/* count floats in [-1, 1] from a fixed seed, NaN before and behind. */
static float *guarded(size_t count, unsigned seed)
{
    float *all = malloc((count + 2 * GUARD) * sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < count + 2 * GUARD; i++) {
        seed = seed * 1664525u + 1013904223u;
        all[i] = i < GUARD || i >= count + GUARD ? NAN : (float)(seed >> 8) / (1 << 23) - 1;
    }
    return all + GUARD;
}

static void release(float *p)
{
    if (p) free(p - GUARD);
}

static bool guards_hold(const float *p, size_t count)
{
    for (int i = 1; i <= GUARD; i++)
        if (!isnan(p[-i]) || !isnan(p[count + i - 1])) return false;
    return true;
}

/* Sums of `terms` products of numbers in [-1, 1]: the rounding errors of a chain of that length, with room; a lost or doubled
 * term is far larger. */
static void assert_close(const float *got, const float *want, size_t count, int terms, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        double limit = 1e-6 + 1e-6 * fabs((double)want[i]) + 1e-7 * terms;
        if (!(fabs((double)got[i] - want[i]) <= limit)) fail_msg("%s: [%zu] is %.9g, expected %.9g", what, i, got[i], want[i]);
    }
}

static void assert_same_bits(const float *got, const float *want, size_t count, int threads, const char *what)
{
    if (memcmp(got, want, count * sizeof *got)) fail_msg("%s: other bits with %d threads than with 1", what, threads);
}

/* ---- matrix product ---------------------------------------------------------------------------------------------------------
 */

enum residual { RESIDUAL_NONE, RESIDUAL_OWN, RESIDUAL_IS_C };

/* All runnable rows on one product; each with every number of threads of the list. */
static void check_gemm(struct kern_gemm s, bool bias, enum residual residual, const int *threads, int thread_counts)
{
    const size_t size = (size_t)s.m * s.n;
    float *a = guarded((size_t)s.m * s.k, 1), *b = guarded((size_t)s.k * s.n, 2), *start = guarded(size, 3);
    float *bias_data = guarded(s.n, 4), *residual_data = guarded(size, 5);
    float *want = guarded(size, 3), *first = guarded(size, 3), *got = guarded(size, 3);
    if (bias) s.bias = bias_data;
    if (residual) s.residual = residual == RESIDUAL_OWN ? residual_data : want;
    kern_gemm_f32_ref(want, a, b, &s, NULL);

    int rows;
    const struct kern_row *row = kern_rows(&rows);
    for (int r = 0; r < rows; r++) {
        if (strcmp(row[r].name, "gemm_f32") || (kern_features() & row[r].features) != row[r].features) continue;
        char what[200];
        snprintf(what, sizeof what, "gemm_f32 %s %dx%dx%d %c%c acc=%d act=%d bias=%d residual=%d", row[r].tier, s.m, s.n, s.k,
                 s.trans_a ? 'T' : 'N', s.trans_b ? 'T' : 'N', s.accumulate, s.act, bias, residual);
        for (int t = 0; t < thread_counts; t++) {
            kern_set_threads(threads[t]);
            float *c = t == 0 ? first : got;
            memcpy(c, start, size * sizeof *c);
            if (residual == RESIDUAL_IS_C) s.residual = c;
            size_t floats = kern_gemm_scratch(&s);
            float *scratch = guarded(floats, 6);
            ((kern_gemm_f32 *)row[r].run)(c, a, b, &s, scratch);
            if (!guards_hold(c, size)) fail_msg("%s: wrote around C", what);
            if (!guards_hold(scratch, floats)) fail_msg("%s: wrote around scratch, %d threads", what, threads[t]);
            release(scratch);
            if (t == 0)
                assert_close(c, want, size, s.k, what);
            else
                assert_same_bits(c, first, size, threads[t], what);
        }
    }
    release(a), release(b), release(start), release(bias_data), release(residual_data);
    release(want), release(first), release(got);
}

static const int one_thread[] = {1}, some_threads[] = {1, 2, 4};

/* Tiles are 6 and 14 rows, 16 and 32 columns of 8 and 16 lanes; transposed packing goes by 8; blocks of k end at 384 and 512;
 * products of up to 16 rows with n-major B take another way. */
static const int tile_m[] = {1, 5, 6, 7, 12, 13, 14, 15, 16, 17, 29};
static const int tile_n[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 67};
static const int tile_k[] = {1, 2, 7, 8, 37, 513, 1031};

/* Any m, n, k, either factor transposed. */
static void products_of_tile_derived_sizes(void **state)
{
    (void)state;
    for (int m = 0; m < COUNT(tile_m); m++)
        for (int n = 0; n < COUNT(tile_n); n++)
            for (int k = 0; k < COUNT(tile_k); k++)
                for (int t = 0; t < 4; t++) {
                    struct kern_gemm s = {.m = tile_m[m], .n = tile_n[n], .k = tile_k[k], .trans_a = t & 1, .trans_b = t & 2};
                    check_gemm(s, false, RESIDUAL_NONE, one_thread, 1);
                }
}

/* Each activation with and without bias; a residual apart and in C itself; accumulation; also when k is cut into blocks. */
static void epilogues(void **state)
{
    (void)state;
    static const int ms[] = {1, 17, 29}, ns[] = {9, 33}, ks[] = {5, 700};
    for (int i = 0; i < 12; i++)
        for (int t = 0; t < 4; t++) {
            struct kern_gemm s = {.m = ms[i / 4], .n = ns[i / 2 % 2], .k = ks[i % 2], .trans_a = t & 1, .trans_b = t & 2};
            for (int act = KERN_ACT_NONE; act < KERN_ACTS; act++)
                for (int e = 0; e < 6; e++) {
                    s.act = (enum kern_act)act;
                    check_gemm(s, e & 1, (enum residual)(e / 2), one_thread, 1);
                }
            s.act = KERN_ACT_NONE;
            s.accumulate = true;
            check_gemm(s, false, RESIDUAL_NONE, one_thread, 1);
        }
}

/* The same bits with 1, 2 and 4 threads: tall, wide, deep (k split into chunks), one row; and shapes on which OpenBLAS 0.3.21
 * differs. */
static void products_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const struct kern_gemm shapes[] = {
        {.m = 144, .n = 24, .k = 36100, .trans_a = true},
        {.m = 2, .n = 1792, .k = 1000},
        {.m = 24, .n = 144, .k = 20011, .trans_a = true},
        {.m = 8009, .n = 24, .k = 144, .trans_b = true},
        {.m = 49, .n = 1152, .k = 192, .trans_b = true},
        {.m = 144, .n = 272, .k = 1632, .trans_b = true},
        {.m = 300, .n = 520, .k = 600},
        {.m = 1, .n = 1000, .k = 1792, .trans_b = true},
        {.m = 16, .n = 1000, .k = 1280, .trans_b = true},
        {.m = 13, .n = 37, .k = 8209, .trans_b = true},
        {.m = 640, .n = 700, .k = 17, .trans_a = true},
        {.m = 40, .n = 24, .k = 5003},
    };
    for (int i = 0; i < COUNT(shapes); i++) {
        struct kern_gemm s = shapes[i];
        if (SANITIZED && (double)s.m * s.n * s.k > 3e7) {
            print_message("  left out under sanitizers: %dx%dx%d\n", s.m, s.n, s.k);
            continue;
        }
        s.act = i % 3 == 1 ? KERN_ACT_SILU : KERN_ACT_NONE;
        s.accumulate = i % 3 == 2;
        check_gemm(s, i % 3 == 1, i % 3 == 1 ? RESIDUAL_IS_C : RESIDUAL_NONE, some_threads, COUNT(some_threads));
    }
}

/* Activations over the whole float range, through a 1 x n x 1 product with a = 1: within 4 units in the last place where e^-z
 * is a normal number, right in the limits (SiLU at -inf, where z / (1 + e^-z) is NaN, may be the true limit), NaN stays NaN. */
static void activations_over_the_whole_range(void **state)
{
    (void)state;
    enum { N = 4001 };
    float *z = guarded(N, 1), *got = guarded(N, 2), *want = guarded(N, 3), one = 1;
    for (int i = 0; i < N; i++) z[i] = (float)(i - N / 2) * 0.05f;
    z[0] = -INFINITY, z[1] = INFINITY, z[2] = NAN, z[3] = -1e30f, z[4] = 1e30f, z[5] = -0.0f, z[6] = 1e-40f;

    int rows;
    const struct kern_row *row = kern_rows(&rows);
    for (int r = 0; r < rows; r++) {
        if (strcmp(row[r].name, "gemm_f32") || (kern_features() & row[r].features) != row[r].features) continue;
        for (int act = KERN_ACT_SILU; act < KERN_ACTS; act++) {
            struct kern_gemm s = {.m = 1, .n = N, .k = 1, .act = (enum kern_act)act};
            float *scratch = guarded(kern_gemm_scratch(&s), 4);
            kern_gemm_f32_ref(want, &one, z, &s, NULL);
            ((kern_gemm_f32 *)row[r].run)(got, &one, z, &s, scratch);
            release(scratch);
            for (int i = 0; i < N; i++) {
                float limit = 4 * (nextafterf(fabsf(want[i]), INFINITY) - fabsf(want[i])) + 2e-36f;
                bool ok = isnan(want[i])   ? isnan(got[i]) || (!isnan(z[i]) && fabsf(got[i]) < 2e-36f)
                          : isinf(want[i]) ? got[i] == want[i]
                                           : fabsf(got[i] - want[i]) <= limit;
                if (!ok)
                    fail_msg("gemm_f32 %s act=%d: act(%.9g) is %.9g, expected %.9g", row[r].tier, act, z[i], got[i], want[i]);
            }
        }
    }
    release(z), release(got), release(want);
}

/* ---- convolution ------------------------------------------------------------------------------------------------------------
 */

enum pass { PASS_FWD, PASS_BWD_DATA, PASS_BWD_WEIGHT, PASSES };
static const char *const pass_name[PASSES] = {"conv_fwd_f32", "conv_bwd_data_f32", "conv_bwd_weight_f32"};

static void run_conv(enum pass pass, void (*run)(void), float *d, const float *x, const float *w, const float *dy,
                     const struct kern_conv *s, float *scratch)
{
    switch (pass) {
    case PASS_FWD: ((kern_conv_fwd_f32 *)run)(d, x, w, s, scratch); break;
    case PASS_BWD_DATA: ((kern_conv_bwd_data_f32 *)run)(d, dy, w, s, scratch); break;
    case PASS_BWD_WEIGHT: ((kern_conv_bwd_weight_f32 *)run)(d, x, dy, s, scratch); break;
    case PASSES: break;
    }
}

static void check_conv(enum pass pass, struct kern_conv s, bool bias, bool residual, const int *threads, int thread_counts)
{
    const size_t in = (size_t)s.n * s.ih * s.iw * s.ic, out = (size_t)s.n * s.oh * s.ow * s.oc,
                 weights = (size_t)s.oc * s.k * s.k * s.ic;
    const size_t size = pass == PASS_FWD ? out : pass == PASS_BWD_DATA ? in : weights;
    const int terms = pass == PASS_FWD ? s.k * s.k * s.ic : pass == PASS_BWD_DATA ? s.k * s.k * s.oc : s.n * s.oh * s.ow;
    float *x = guarded(in, 1), *w = guarded(weights, 2), *dy = guarded(out, 3), *bias_data = guarded(s.oc, 4);
    float *residual_data = guarded(out, 5), *start = guarded(size, 6);
    float *want = guarded(size, 6), *first = guarded(size, 6), *got = guarded(size, 6);
    if (bias) s.bias = bias_data;
    if (residual) s.residual = residual_data;

    int rows;
    const struct kern_row *row = kern_rows(&rows);
    for (int r = 0; r < rows; r++) {
        if (strcmp(row[r].name, pass_name[pass]) || (kern_features() & row[r].features) != row[r].features) continue;
        if (!strcmp(row[r].tier, "ref")) {
            run_conv(pass, row[r].run, want, x, w, dy, &s, NULL);
            continue;
        }
        char what[240];
        snprintf(what, sizeof what, "%s %s %dx%dx%dx%d->%dx%dx%d k=%d s=%d pad=%d,%d acc=%d act=%d bias=%d residual=%d",
                 row[r].name, row[r].tier, s.n, s.ih, s.iw, s.ic, s.oh, s.ow, s.oc, s.k, s.stride, s.pad_top, s.pad_left,
                 s.accumulate, s.act, bias, residual);
        for (int t = 0; t < thread_counts; t++) {
            kern_set_threads(threads[t]);
            float *d = t == 0 ? first : got;
            memcpy(d, start, size * sizeof *d);
            size_t floats = kern_conv_scratch(&s);
            float *scratch = guarded(floats, 7);
            run_conv(pass, row[r].run, d, x, w, dy, &s, scratch);
            if (!guards_hold(d, size)) fail_msg("%s: wrote around the destination", what);
            if (!guards_hold(scratch, floats)) fail_msg("%s: wrote around scratch, %d threads", what, threads[t]);
            release(scratch);
            if (t == 0)
                assert_close(d, want, size, terms, what);
            else
                assert_same_bits(d, first, size, threads[t], what);
        }
    }
    release(x), release(w), release(dy), release(bias_data), release(residual_data), release(start);
    release(want), release(first), release(got);
}

/* Sets the output size and the leading pads along one axis: valid, TF SAME (the smaller half first) or symmetric k/2. */
enum rule { RULE_VALID, RULE_SAME, RULE_SYMMETRIC, RULES };
static void place(enum rule rule, int in, int k, int stride, int *out, int *pad)
{
    int total = rule == RULE_VALID ? 0 : rule == RULE_SYMMETRIC ? k - 1 : ((in + stride - 1) / stride - 1) * stride + k - in;
    if (total < 0) total = 0;
    *pad = total / 2;
    *out = (in + total - k) / stride + 1;
}

/* Kernels 1, 3, 5, strides 1, 2, 3; every padding rule; odd and even sizes; few and odd channels; sums added to and
 * overwritten. */
static void convolutions_of_odd_shapes(void **state)
{
    (void)state;
    static const int channels[][2] = {{1, 1}, {3, 7}, {17, 3}, {7, 33}, {33, 17}}, sizes[][2] = {{5, 5}, {6, 9}, {13, 8}};
    for (int i = 0; i < COUNT(channels) * COUNT(sizes) * 3 * 3 * RULES; i++) {
        int rest = i;
        struct kern_conv s = {.n = 2};
        enum rule rule = (enum rule)(rest % RULES);
        s.stride = (rest /= RULES) % 3 + 1;
        s.k = (rest /= 3) % 3 * 2 + 1;
        s.ih = sizes[(rest /= 3) % COUNT(sizes)][0], s.iw = sizes[rest % COUNT(sizes)][1];
        s.ic = channels[rest / COUNT(sizes)][0], s.oc = channels[rest / COUNT(sizes)][1];
        place(rule, s.ih, s.k, s.stride, &s.oh, &s.pad_top);
        place(rule, s.iw, s.k, s.stride, &s.ow, &s.pad_left);

        for (int pass = 0; pass < PASSES; pass++) check_conv((enum pass)pass, s, false, false, one_thread, 1);
        s.act = KERN_ACT_SILU;
        check_conv(PASS_FWD, s, true, true, one_thread, 1);
        s.act = KERN_ACT_NONE;
        check_conv(PASS_FWD, s, true, true, one_thread, 1);
        s.accumulate = true;
        check_conv(PASS_BWD_DATA, s, false, false, one_thread, 1);
    }
}

/* The same bits with 1, 2 and 4 threads, on layers long enough for several strips, blocks of k and chunks of the weight's
 * gradient. */
static void convolutions_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const struct kern_conv shapes[] = {
        {.n = 5, .ih = 64, .iw = 64, .ic = 3, .oh = 32, .ow = 32, .oc = 32, .k = 3, .stride = 2},
        {.n = 2, .ih = 47, .iw = 47, .ic = 8, .oh = 47, .ow = 47, .oc = 16, .k = 3, .stride = 1, .pad_top = 1, .pad_left = 1},
        {.n = 1, .ih = 15, .iw = 15, .ic = 72, .oh = 15, .ow = 15, .oc = 40, .k = 3, .stride = 1, .pad_top = 1, .pad_left = 1},
        {.n = 1, .ih = 16, .iw = 16, .ic = 33, .oh = 8, .ow = 8, .oc = 200, .k = 3, .stride = 2},
    };
    for (int i = 0; i < COUNT(shapes); i++)
        for (int pass = 0; pass < PASSES; pass++)
            check_conv((enum pass)pass, shapes[i], false, false, some_threads, COUNT(some_threads));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_tile_derived_sizes),    cmocka_unit_test(epilogues),
        cmocka_unit_test(products_do_not_depend_on_threads), cmocka_unit_test(activations_over_the_whole_range),
        cmocka_unit_test(convolutions_of_odd_shapes),        cmocka_unit_test(convolutions_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
