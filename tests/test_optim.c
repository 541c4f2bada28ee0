/* test_optim.c - optimisers with their groups and clipping against PyTorch's; schedules; the moving average.
 *
 * The expected parameters were printed by this, with PyTorch 1.13:
 *
 *     h, b = [[0.5,-1.25,2.0],[1.5,0.25,-0.75]], [0.1,-0.2]            # classifier
 *     w, g = [1.0,-2.0,3.0,0.5], [1.0,0.9]                              # convolution, norm
 *     groups = [w: lr .01 decay .1] [g: lr .01 decay 0] [h: lr .1 decay .1] [b: lr .1 decay 0]
 *     for t in range(5):
 *         p.grad[i] = ((3*i+5*t+7*j)%11-5)/4.0   for parameter j of [w, g, h, b]
 *         torch.nn.utils.clip_grad_norm_(all, 2.0); opt.step()
 *     opt = AdamW(groups)  |  SGD(groups, momentum=0.9, nesterov=True) */
#include "kernels/kern.h"
#include "train/ema.h"
#include "train/optim.h"
#include "train/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { PARAMS = 4, BLOCK = 64 };

/* A model of four parameters, in the order convolution, norm, classifier weight, classifier bias. */
static struct nn_param params[PARAMS] = {
    {.name = "w", .kind = NN_CONV_WEIGHT, .count = 4, .offset = 0, .stage = 1},
    {.name = "g", .kind = NN_BN_WEIGHT, .count = 2, .offset = 16, .stage = 1},
    {.name = "h", .kind = NN_LINEAR_WEIGHT, .count = 6, .offset = 32, .stage = 2},
    {.name = "b", .kind = NN_BIAS, .count = 2, .offset = 48, .stage = 2},
};
static struct nn_model model = {.params = params, .param_count = PARAMS, .value_count = BLOCK};

static void start(float values[BLOCK])
{
    static const float w[] = {1, -2, 3, 0.5f}, g[] = {1, 0.9f}, h[] = {0.5f, -1.25f, 2, 1.5f, 0.25f, -0.75f},
                       b[] = {0.1f, -0.2f};
    const float *const from[PARAMS] = {w, g, h, b};
    memset(values, 0, BLOCK * sizeof *values);
    for (int j = 0; j < PARAMS; j++) memcpy(values + params[j].offset, from[j], params[j].count * sizeof *values);
}

static void gradient(float grads[BLOCK], int t)
{
    memset(grads, 0, BLOCK * sizeof *grads);
    for (int j = 0; j < PARAMS; j++)
        for (int i = 0; i < (int)params[j].count; i++)
            grads[params[j].offset + (size_t)i] = (float)((3 * i + 5 * t + 7 * j) % 11 - 5) / 4;
}

/* Five steps; gradients come doubled with g_scale 1/2, as after accumulation. */
static void check(enum train_optim_kind kind, const double expected[14])
{
    static const bool trains[PARAMS] = {true, true, true, true};
    const struct train_optim_options options = {
        .kind = kind, .lr = 0.01, .head_lr = 0.1, .weight_decay = 0.1, .momentum = 0.9, .clip_norm = 2};
    struct train_optim optim;
    float values[BLOCK], grads[BLOCK];
    start(values);
    assert_int_equal(train_optim_init(&optim, &model, trains, &options, NULL), RUDD_OK);
    for (int t = 0; t < 5; t++) {
        gradient(grads, t);
        for (int i = 0; i < BLOCK; i++) grads[i] *= 2;
        double norm = train_optim_step(&optim, values, grads, 1, 0.5);
        if (t == 0) assert_true(fabs(norm - 3.072051525115967) < 1e-6);
    }
    for (int j = 0, at = 0; j < PARAMS; j++)
        for (size_t i = 0; i < params[j].count; i++, at++)
            if (!(fabs(values[params[j].offset + i] - expected[at]) < 2e-6))
                fail_msg("%s[%zu]: found %.9g, expected %.9g", params[j].name, i, values[params[j].offset + i], expected[at]);
    for (size_t i = 4; i < 16; i++) assert_true(values[i] == 0); /* the padding between parameters stays untouched */
    train_optim_free(&optim);
}

static void adamw_equals_torch(void **state)
{
    (void)state;
    static const double expected[] = {1.00788498,  -1.97775853,  2.98448539,   0.476779372, 1.00493979,
                                      0.869039059, 0.594927132,  -1.19301224,  1.6998961,   1.70015943,
                                      0.223116636, -0.661895156, -0.209609032, 0.0546622947};
    check(TRAIN_ADAMW, expected);
}

static void sgd_equals_torch(void **state)
{
    (void)state;
    static const double expected[] = {0.983527005,  -1.95121825,  2.95854187,   0.46513468, 1.03006327,
                                      0.84496367,   0.567939281,  -0.968012214, 1.42829633, 1.59138668,
                                      0.0859473348, -0.332652152, -0.450362712, 0.236702517};
    check(TRAIN_SGD, expected);
}

/* What is frozen counts neither for steps nor for the norm, and a gradient that is not finite changes nothing at all. */
static void frozen_and_broken(void **state)
{
    (void)state;
    static const bool trains[PARAMS] = {false, false, true, true};
    const struct train_optim_options options = {.kind = TRAIN_ADAMW, .lr = 0.01, .head_lr = 0.1, .weight_decay = 0.1};
    struct train_optim optim;
    float values[BLOCK], before[BLOCK], grads[BLOCK];
    start(values);
    start(before);
    gradient(grads, 0);
    assert_int_equal(train_optim_init(&optim, &model, trains, &options, NULL), RUDD_OK);
    grads[0] = NAN; /* of a frozen parameter */
    double norm = train_optim_step(&optim, values, grads, 1, 1);
    assert_true(isfinite(norm) && norm > 0);
    assert_memory_equal(values, before, 32 * sizeof *values);
    assert_true(values[32] != before[32]);

    memcpy(before, values, sizeof before);
    grads[33] = INFINITY;
    assert_false(isfinite(train_optim_step(&optim, values, grads, 1, 1)));
    assert_memory_equal(values, before, sizeof values);
    assert_int_equal(optim.steps, 1);
    train_optim_free(&optim);
}

/* Cosine: rises over the warm-up, is at the peak behind it, half way at 1/2, and ends at 0. */
static void cosine(void **state)
{
    (void)state;
    struct train_schedule s;
    train_schedule_init(&s, TRAIN_COSINE, 10, 110);
    assert_true(fabs(train_schedule_factor(&s, 0) - 0.1) < 1e-12);
    assert_true(fabs(train_schedule_factor(&s, 9) - 1) < 1e-12);
    assert_true(fabs(train_schedule_factor(&s, 10) - 1) < 1e-12);
    assert_true(fabs(train_schedule_factor(&s, 60) - 0.5) < 1e-12);
    assert_true(fabs(train_schedule_factor(&s, 35) - (2 + sqrt(2)) / 4) < 1e-12);
    assert_true(train_schedule_factor(&s, 110) == 0 && train_schedule_factor(&s, 1000) == 0);
    for (uint64_t i = 10; i < 110; i++) assert_true(train_schedule_factor(&s, i + 1) < train_schedule_factor(&s, i));
}

/* Plateau: two epochs without a better loss halve the rate, an improvement resets the count; constant and cosine do not listen.
 */
static void plateau(void **state)
{
    (void)state;
    static const double losses[] = {1, 0.9, 0.95, 0.89, 0.89, 0.9, 0.9, 0.9}, factors[] = {1, 1, 1, 1, 1, 0.5, 0.5, 0.25};
    struct train_schedule s, deaf;
    train_schedule_init(&s, TRAIN_PLATEAU, 0, 100);
    train_schedule_init(&deaf, TRAIN_CONSTANT, 0, 100);
    for (int i = 0; i < 8; i++) {
        train_schedule_epoch(&s, losses[i]);
        train_schedule_epoch(&deaf, losses[i]);
        assert_true(train_schedule_factor(&s, 50) == factors[i]);
        assert_true(train_schedule_factor(&deaf, 50) == 1);
    }
}

/* The average of a constant is that constant; a step response follows the formula of its warm-up. */
static void moving_average(void **state)
{
    (void)state;
    struct train_ema ema;
    float x[100];
    double expected = 0;
    for (int i = 0; i < 100; i++) x[i] = 0;
    assert_int_equal(train_ema_init(&ema, x, 100, 0.9, NULL), RUDD_OK);
    for (int i = 0; i < 100; i++) x[i] = 1;
    for (int t = 1; t <= 200; t++) {
        double d = fmin(0.9, (1.0 + t) / (10.0 + t));
        expected = expected * d + (1 - d);
        train_ema_update(&ema, x);
        for (int i = 0; i < 100; i++) assert_true(fabs(ema.values[i] - expected) < 1e-5);
    }
    assert_int_equal(ema.updates, 200);
    train_ema_free(&ema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_equals_torch),
        cmocka_unit_test(sgd_equals_torch),
        cmocka_unit_test(frozen_and_broken),
        cmocka_unit_test(cosine),
        cmocka_unit_test(plateau),
        cmocka_unit_test(moving_average),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
