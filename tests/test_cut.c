/* test_cut.c - a network in two parts is the network: cut at any stage, run one after the other, same bits. */
#include "nn/plan.h"
#include "nn/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { CLASSES = 7, BATCH = 3, SIZE = 49 }; /* odd: sides round up on their way down */

static struct rudd_error err;

static struct nn_model *model_of(const char *arch)
{
    struct nn_model *m;
    struct nn_rng rng;
    if (nn_model_create(&m, arch, CLASSES, &err)) fail_msg("%s", err.message);
    nn_rng_init(&rng, 1, 2, 3);
    /* Norms that do something: statistics and shifts away from 0 and 1. */
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        bool shift = p->kind == NN_BN_BIAS || p->kind == NN_BN_MEAN, scale = p->kind == NN_BN_WEIGHT || p->kind == NN_BN_VAR;
        for (size_t j = 0; j < p->count && (shift || scale); j++)
            m->values[p->offset + j] = (float)(scale + nn_rng_range(&rng, -0.2, 0.2));
    }
    return m;
}

static struct nn_plan *plan_of(struct nn_model *m, struct nn_plan_options o)
{
    struct nn_plan *plan;
    o.batch = BATCH;
    o.image_size = SIZE;
    if (nn_plan_create(&plan, m, &o, &err)) fail_msg("%s", err.message);
    return plan;
}

static void picture(float *x, size_t count)
{
    struct nn_rng rng;
    nn_rng_init(&rng, 4, 5, 6);
    for (size_t i = 0; i < count; i++) x[i] = (float)nn_rng_normal(&rng);
}

static void hand_over(struct nn_plan *above, const struct nn_plan *below)
{
    size_t floats = nn_plan_input_floats(above);
    assert_int_equal(floats, nn_plan_output_floats(below));
    memcpy(nn_plan_input(above), nn_plan_logits(below), floats * BATCH * sizeof(float));
}

static const char *const archs[] = {"rudd_nano", "efficientnet_b0", "tf_efficientnetv2_b0"};

/* Inference: the part below, then the part above, gives the logits of the whole, whatever the border. */
static void two_parts_are_the_whole(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        struct nn_model *m = model_of(archs[a]);
        struct nn_plan *whole = plan_of(m, (struct nn_plan_options){0});
        assert_int_equal(nn_plan_output_floats(whole), CLASSES);
        picture(nn_plan_input(whole), nn_plan_input_floats(whole) * BATCH);
        nn_plan_forward(whole, BATCH);
        for (int stage = 1; stage < nn_model_stage_count(m); stage++) {
            struct nn_plan *below = plan_of(m, (struct nn_plan_options){.end_stage = stage});
            struct nn_plan *above = plan_of(m, (struct nn_plan_options){.first_stage = stage});
            picture(nn_plan_input(below), nn_plan_input_floats(below) * BATCH);
            nn_plan_forward(below, BATCH);
            hand_over(above, below);
            nn_plan_forward(above, BATCH);
            if (memcmp(nn_plan_logits(above), nn_plan_logits(whole), sizeof(float) * CLASSES * BATCH) != 0)
                fail_msg("%s, cut at stage %d: other logits", archs[a], stage);
            nn_plan_destroy(below);
            nn_plan_destroy(above);
        }
        nn_plan_destroy(whole);
        nn_model_destroy(m);
    }
}

/* Training with a frozen prefix: loss, gradients and new running statistics are those of the whole plan. */
static void training_above_is_training_frozen(void **state)
{
    (void)state;
    const int labels[BATCH] = {3, 0, 6};
    float q[BATCH * CLASSES];
    double norm = nn_targets(q, labels, NULL, 0.1f, BATCH, CLASSES);
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++)
        for (int stage = 1; stage <= 6; stage += 2) {
            struct nn_model *m = model_of(archs[a]), *other = model_of(archs[a]);
            struct nn_plan_options o = {.train = true, .freeze_stage = stage, .bn_momentum = 0.1f};
            struct nn_plan *whole = plan_of(m, o);
            o.first_stage = stage;
            struct nn_plan *below = plan_of(other, (struct nn_plan_options){.end_stage = stage}), *above = plan_of(other, o);
            float *g = rudd_zalloc(m->value_count, sizeof *g), *h = rudd_zalloc(m->value_count, sizeof *h);
            picture(nn_plan_input(whole), nn_plan_input_floats(whole) * BATCH);
            picture(nn_plan_input(below), nn_plan_input_floats(below) * BATCH);
            nn_plan_forward(whole, BATCH);
            nn_plan_forward(below, BATCH);
            hand_over(above, below);
            nn_plan_forward(above, BATCH);
            assert_true(nn_plan_backward(whole, g, q, norm, BATCH) == nn_plan_backward(above, h, q, norm, BATCH));
            double sum = 0;
            for (int i = 0; i < m->param_count; i++) {
                const struct nn_param *p = &m->params[i];
                assert_int_equal(nn_plan_trains(whole, i), nn_plan_trains(above, i));
                assert_memory_equal(g + p->offset, h + p->offset, p->count * sizeof *g);
                assert_memory_equal(m->values + p->offset, other->values + p->offset, p->count * sizeof *g);
                for (size_t j = 0; j < p->count; j++) sum += (double)g[p->offset + j] * g[p->offset + j];
            }
            assert_true(sum > 0);
            rudd_free(g);
            rudd_free(h);
            nn_plan_destroy(whole);
            nn_plan_destroy(below);
            nn_plan_destroy(above);
            nn_model_destroy(m);
            nn_model_destroy(other);
        }
}

/* Dropout before the classifier belongs to what learns: with a rate it changes the logits from step to step. */
static void dropout_stays_above(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    int last = nn_model_stage_count(m) - 1;
    float first[BATCH * CLASSES];
    struct nn_plan *plan =
        plan_of(m, (struct nn_plan_options){.train = true, .freeze_stage = last, .first_stage = last, .dropout = 0.5f});
    for (uint64_t step = 0; step < 2; step++) {
        picture(nn_plan_input(plan), nn_plan_input_floats(plan) * BATCH);
        nn_plan_set_step(plan, 1, step);
        nn_plan_forward(plan, BATCH);
        if (step == 0)
            memcpy(first, nn_plan_logits(plan), sizeof first);
        else
            assert_memory_not_equal(first, nn_plan_logits(plan), sizeof first);
    }
    nn_plan_destroy(plan);
    nn_model_destroy(m);
}

/* A cut that leaves nothing is refused. */
static void refusals(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    struct nn_plan *plan = NULL;
    int beyond = nn_model_stage_count(m);
    struct nn_plan_options o = {.batch = 1, .image_size = SIZE, .first_stage = beyond};
    assert_int_equal(nn_plan_create(&plan, m, &o, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "cut"));
    assert_null(plan);
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_parts_are_the_whole),
        cmocka_unit_test(training_above_is_training_frozen),
        cmocka_unit_test(dropout_stays_above),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
