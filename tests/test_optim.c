/* test_optim.c - optimisers with their groups and clipping against PyTorch's and timm's; schedules; the moving average.
 *
 * The expected parameters were printed by this, with PyTorch 1.13 (RMSpropTF, Lion and OneCycleLR: 2.13, timm 1.0.31):
 *
 *     h, b = [[0.5,-1.25,2.0],[1.5,0.25,-0.75]], [0.1,-0.2]            # classifier
 *     w, g = [1.0,-2.0,3.0,0.5], [1.0,0.9]                              # convolution, norm
 *     groups = [w: lr .01 decay .1] [g: lr .01 decay 0] [h: lr .1 decay .1] [b: lr .1 decay 0]
 *     for t in range(5):
 *         p.grad[i] = ((3*i+5*t+7*j)%11-5)/4.0   for parameter j of [w, g, h, b]
 *         torch.nn.utils.clip_grad_norm_(all, 2.0); opt.step()
 *     opt = AdamW(groups)  |  SGD(groups, momentum=0.9, nesterov=True)  |  RMSpropTF(groups, alpha=0.9, eps=1e-3, momentum=0.9)  |
 *           Lion(groups)  |  AdamW and SGD with OneCycleLR(opt, max_lr=[.01, .01, .1, .1], total_steps=5), a step after each
 *
 * tests/parity/parity_recipes.py compares more of it with what is installed. */
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

/* Five steps; gradients come doubled with g_scale 1/2, as after accumulation. schedule NULL: constant. */
static void check(enum train_optim_kind kind, const struct train_schedule *schedule, const double expected[14])
{
    static const bool trains[PARAMS] = {true, true, true, true};
    const struct train_optim_options options = {
        .kind = kind, .lr = 0.01, .head_lr = 0.1, .layer_decay = 1, .weight_decay = 0.1, .momentum = 0.9, .clip_norm = 2};
    struct train_optim optim;
    float values[BLOCK], grads[BLOCK];
    start(values);
    assert_int_equal(train_optim_init(&optim, &model, trains, &options, NULL), RUDD_OK);
    for (int t = 0; t < 5; t++) {
        gradient(grads, t);
        for (int i = 0; i < BLOCK; i++) grads[i] *= 2;
        double factor = schedule ? train_schedule_factor(schedule, (uint64_t)t) : 1;
        double momentum = schedule ? train_schedule_momentum(schedule, (uint64_t)t) : 0;
        double norm = train_optim_step(&optim, values, grads, factor, momentum, 0.5);
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
    check(TRAIN_ADAMW, NULL, expected);
}

static void sgd_equals_torch(void **state)
{
    (void)state;
    static const double expected[] = {0.983527005,  -1.95121825,  2.95854187,   0.46513468, 1.03006327,
                                      0.84496367,   0.567939281,  -0.968012214, 1.42829633, 1.59138668,
                                      0.0859473348, -0.332652152, -0.450362712, 0.236702517};
    check(TRAIN_SGD, NULL, expected);
}

static void rmsprop_equals_timm(void **state)
{
    (void)state;
    static const double expected[] = {0.990954399,  -1.9612124,   2.96741581,   0.470064342, 1.024562,
                                      0.853571713,  0.534428537,  -0.994227648, 1.51055455,  1.64269888,
                                      0.0850863904, -0.404136151, -0.364282489, 0.14501819};
    check(TRAIN_RMSPROP, NULL, expected);
}

static void lion_equals_timm(void **state)
{
    (void)state;
    static const double expected[] = {1.00495028,  -1.98004007,  2.99503016,  0.487524956, 1.00999999,
                                      0.889999986, 0.573534787,  -1.08875728, 1.80394053,  1.52252495,
                                      0.335787207, -0.611282229, 0,           -0.100000001};
    check(TRAIN_LION, NULL, expected);
}

/* Rate and momentum move together; AdamW's bias correction takes the present beta1, as PyTorch's does. */
static void one_cycle_equals_torch(void **state)
{
    (void)state;
    static const double adamw[] = {0.998230755, -2.00137997, 3.00574279, 0.498832256, 1.00940681,   0.895520389,  0.441816449,
                                   -1.11714029, 1.96163154,  1.52317226, 0.150994375, -0.643009365, 0.0552040748, -0.19610244};
    static const double sgd[] = {0.994737387, -1.99203336, 2.99958467, 0.492272198, 1.01324165,   0.885817528,   0.446279675,
                                 -1.02843344, 1.84315979,  1.57403409, 0.119075641, -0.579192698, -0.0418245308, -0.13655296};
    struct train_schedule s;
    train_schedule_init(&s, &(struct train_schedule_options){.kind = TRAIN_ONE_CYCLE, .epochs = 5}, 1);
    check(TRAIN_ADAMW, &s, adamw);
    check(TRAIN_SGD, &s, sgd);
}

/* Rates of V2-B0's shape of stages: 0 stem, 1..6, 7 head convolution, 8 classifier. timm's scales at 0.5, coarse: the head convolution goes
 * with the last blocks, each stage below has half the rate. */
static void layer_decay_by_stage(void **state)
{
    (void)state;
    struct nn_param of[9];
    const struct nn_model nine = {.params = of, .param_count = 9, .value_count = 16};
    const double expected[9] = {1.0 / 128, 1.0 / 64, 1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2, 1.0 / 2, 7};
    struct train_optim optim;
    for (int i = 0; i < 9; i++) of[i] = (struct nn_param){.kind = NN_BIAS, .count = 1, .offset = (size_t)i, .stage = i};
    struct train_optim_options options = {.kind = TRAIN_SGD, .lr = 1, .head_lr = 7, .layer_decay = 0.5};
    assert_int_equal(train_optim_init(&optim, &nine, (bool[9]){1, 1, 1, 1, 1, 1, 1, 1, 1}, &options, NULL), RUDD_OK);
    for (int i = 0; i < 9; i++) assert_true(train_optim_rate(&optim, i) == expected[i]);
    optim.options.layer_decay = 1;
    for (int i = 0; i < 9; i++) assert_true(train_optim_rate(&optim, i) == (i == 8 ? 7 : 1));

    /* The step takes what the table says. */
    float values[16] = {0}, grads[16];
    optim.options.layer_decay = 0.5;
    for (int i = 0; i < 16; i++) grads[i] = -1;
    train_optim_step(&optim, values, grads, 1, 0, 1);
    for (int i = 0; i < 9; i++) assert_true(values[i] == (float)expected[i]);
    train_optim_free(&optim);
}

/* A stage that joins after three steps moves as one that starts anew: its bias correction counts its own steps. Until then it
 * rests, and its gradient counts neither for the norm. */
static void late_stages_start_anew(void **state)
{
    (void)state;
    static const bool trains[PARAMS] = {true, true, true, true};
    for (enum train_optim_kind kind = TRAIN_ADAMW; kind <= TRAIN_LION; kind++) {
        const struct train_optim_options options = {
            .kind = kind, .lr = 0.01, .head_lr = 0.1, .layer_decay = 1, .weight_decay = 0.1, .momentum = 0.9};
        struct train_optim late, fresh;
        float a[BLOCK], b[BLOCK], before[BLOCK], grads[BLOCK];
        assert_int_equal(train_optim_init(&late, &model, trains, &options, NULL), RUDD_OK);
        assert_int_equal(train_optim_init(&fresh, &model, trains, &options, NULL), RUDD_OK);
        start(a), start(b), start(before);
        late.first_stage = 2;
        for (int t = 0; t < 5; t++) {
            gradient(grads, t);
            if (t < 3) grads[0] = NAN;
            if (t == 3) late.first_stage = 1;
            assert_true(isfinite(train_optim_step(&late, a, grads, 1, 0, 1)));
            if (t < 3) assert_memory_equal(a, before, 32 * sizeof *a);
            if (t >= 3) train_optim_step(&fresh, b, grads, 1, 0, 1);
        }
        assert_int_equal(late.began[1], 3);
        assert_int_equal(late.began[2], 0);
        assert_memory_equal(a, b, 32 * sizeof *a);
        assert_memory_not_equal(a, before, 4 * sizeof *a);
        train_optim_free(&late);
        train_optim_free(&fresh);
    }
}

/* What is frozen counts neither for steps nor for the norm, and a gradient that is not finite changes nothing at all. */
static void frozen_and_broken(void **state)
{
    (void)state;
    static const bool trains[PARAMS] = {false, false, true, true};
    const struct train_optim_options options = {
        .kind = TRAIN_ADAMW, .lr = 0.01, .head_lr = 0.1, .layer_decay = 1, .weight_decay = 0.1};
    struct train_optim optim;
    float values[BLOCK], before[BLOCK], grads[BLOCK];
    start(values);
    start(before);
    gradient(grads, 0);
    assert_int_equal(train_optim_init(&optim, &model, trains, &options, NULL), RUDD_OK);
    grads[0] = NAN; /* of a frozen parameter */
    double norm = train_optim_step(&optim, values, grads, 1, 0, 1);
    assert_true(isfinite(norm) && norm > 0);
    assert_memory_equal(values, before, 32 * sizeof *values);
    assert_true(values[32] != before[32]);

    memcpy(before, values, sizeof before);
    grads[33] = INFINITY;
    assert_false(isfinite(train_optim_step(&optim, values, grads, 1, 0, 1)));
    assert_memory_equal(values, before, sizeof values);
    assert_int_equal(optim.steps, 1);
    train_optim_free(&optim);
}

/* Cosine: rises over the warm-up, is at the peak behind it, half way at 1/2, and ends at 0. */
static void cosine(void **state)
{
    (void)state;
    struct train_schedule s;
    train_schedule_init(&s, &(struct train_schedule_options){.kind = TRAIN_COSINE, .epochs = 11, .warmup_epochs = 1}, 10);
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
    train_schedule_init(&s, &(struct train_schedule_options){.kind = TRAIN_PLATEAU, .epochs = 10}, 10);
    train_schedule_init(&deaf, &(struct train_schedule_options){.kind = TRAIN_CONSTANT, .epochs = 10}, 10);
    for (int i = 0; i < 8; i++) {
        train_schedule_epoch(&s, losses[i]);
        train_schedule_epoch(&deaf, losses[i]);
        assert_true(train_schedule_factor(&s, 50) == factors[i]);
        assert_true(train_schedule_factor(&deaf, 50) == 1);
    }
}

/* Step: the rate falls at the end of every decay_epochs epochs, fractions included, and rises over the warm-up. */
static void step(void **state)
{
    (void)state;
    struct train_schedule s;
    train_schedule_init(&s, &(struct train_schedule_options){TRAIN_STEP, .epochs = 9, .decay_epochs = 3, .decay_rate = 0.1}, 7);
    for (uint64_t i = 0; i < 63; i++) assert_true(fabs(train_schedule_factor(&s, i) - pow(0.1, (double)(i / 21))) < 1e-15);
    struct train_schedule_options efficientnet = {TRAIN_STEP, .epochs = 350, .warmup_epochs = 2, .decay_epochs = 2.4,
                                                  .decay_rate = 0.97};
    train_schedule_init(&s, &efficientnet, 10);
    assert_true(fabs(train_schedule_factor(&s, 4) - 0.25) < 1e-15);
    assert_true(train_schedule_factor(&s, 23) == 1 && train_schedule_factor(&s, 24) == 0.97);
    assert_true(train_schedule_momentum(&s, 24) == 0);
}

/* One-cycle: PyTorch's OneCycleLR with 10 steps; lengths whose first part is shorter than a step; held behind the end. */
static void one_cycle(void **state)
{
    (void)state;
    static const double rates[] = {
        0.04, 0.52, 1, 0.950484632013, 0.81174565395, 0.611262021936, 0.388741978064, 0.18825834605, 0.0495193679865, 4e-06};
    static const double momenta[] = {
        0.95, 0.9, 0.85, 0.854951556605, 0.868825509907, 0.888873953302, 0.911126046698, 0.931174490093, 0.945048443395, 0.95};
    struct train_schedule s;
    train_schedule_init(&s, &(struct train_schedule_options){TRAIN_ONE_CYCLE, .epochs = 2, .warmup_epochs = 1}, 5);
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(fabs(train_schedule_factor(&s, i) - rates[i]) < 1e-11);
        assert_true(fabs(train_schedule_momentum(&s, i) - momenta[i]) < 1e-11);
    }
    assert_true(train_schedule_factor(&s, 1000) == train_schedule_factor(&s, 9));
    for (int total = 1; total <= 4; total++) {
        train_schedule_init(&s, &(struct train_schedule_options){TRAIN_ONE_CYCLE, .epochs = total}, 1);
        for (uint64_t i = 0; i < 6; i++) assert_true(train_schedule_factor(&s, i) > 0 && train_schedule_factor(&s, i) <= 1);
        assert_true(fabs(train_schedule_factor(&s, (uint64_t)total - 1) - 4e-6) < 1e-12);
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
        cmocka_unit_test(rmsprop_equals_timm),
        cmocka_unit_test(lion_equals_timm),
        cmocka_unit_test(one_cycle_equals_torch),
        cmocka_unit_test(layer_decay_by_stage),
        cmocka_unit_test(late_stages_start_anew),
        cmocka_unit_test(frozen_and_broken),
        cmocka_unit_test(cosine),
        cmocka_unit_test(plateau),
        cmocka_unit_test(step),
        cmocka_unit_test(one_cycle),
        cmocka_unit_test(moving_average),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
