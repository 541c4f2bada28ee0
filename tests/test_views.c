/* test_views.c - several views of a picture: what each shows, and that answers are the means of theirs, wherever batches are cut. */
#include "data/image/preprocess.h"
#include "nn/plan.h"
#include "tests/pictures.h"
#include "train/evaluate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 16, BYTES = S * S * 3 };
static struct rudd_error err;

static void view(uint8_t out[BYTES], const struct data_image *image, const struct nn_preprocess *p, int which)
{
    if (data_preprocess_view(out, image, p, S, which, &err)) fail_msg("%s", err.message);
}

/* View 0 is evaluation's, odd ones of the first pair and the last four are mirrors; the corners show the corners of the picture,
 * whatever way it becomes square. */
static void views_show_what_they_say(void **state)
{
    (void)state;
    static uint8_t rgb[60 * 40 * 3];
    struct data_image image = {60, 40, rgb};
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 60; x++) {
            rgb[(y * 60 + x) * 3] = (uint8_t)(4 * x); /* red says where across, green where down */
            rgb[(y * 60 + x) * 3 + 1] = (uint8_t)(6 * y);
            rgb[(y * 60 + x) * 3 + 2] = 7;
        }
    for (int mode = NN_RESIZE_CROP; mode <= NN_RESIZE_PAD; mode++)
        for (int whole = 0; whole < 2; whole++) {
            struct nn_preprocess p = {.mode = (enum nn_resize_mode)mode, .crop_fraction = whole ? 1 : 0.8};
            uint8_t plain[BYTES], views[DATA_VIEWS][BYTES];
            assert_int_equal(data_preprocess(plain, &image, &p, S, NULL), RUDD_OK);
            for (int v = 0; v < DATA_VIEWS; v++) view(views[v], &image, &p, v);
            assert_memory_equal(plain, views[0], BYTES);
            for (int pair = 0; pair < 5; pair++) {
                const uint8_t *a = views[pair ? pair + 1 : 0], *b = views[pair ? pair + 5 : 1];
                for (int i = 0; i < S * S; i++) assert_memory_equal(a + 3 * i, b + 3 * (i / S * S + S - 1 - i % S), 3);
                assert_memory_not_equal(a, b, BYTES);
            }
            if (mode == NN_RESIZE_PAD) { /* above and below is colour: corners differ by what they show of it */
                assert_memory_not_equal(views[2], views[4], BYTES);
                continue;
            }
            const int last = (S * S - 1) * 3;
            assert_true(views[2][0] < 14 && views[2][1] < 14); /* the picture's corner pixels, but for the filter */
            assert_true(views[3][(S - 1) * 3] > 222 && views[3][(S - 1) * 3 + 1] < 14);
            assert_true(views[4][(S - 1) * S * 3] < 14 && views[4][(S - 1) * S * 3 + 1] > 220);
            assert_true(views[5][last] > 222 && views[5][last + 1] > 220);
        }
    struct nn_preprocess p = {.mode = NN_RESIZE_SQUASH};
    uint8_t out[BYTES];
    assert_int_equal(data_preprocess_view(out, &image, &p, S, DATA_VIEWS, NULL), RUDD_ARGUMENT);
    assert_int_equal(data_preprocess_view(out, &image, &p, S, -1, NULL), RUDD_ARGUMENT);
}

/* ---- means ------------------------------------------------------------------------------------------------------- */

enum { CLASSES = 3, PICTURES = 4, SIDE = 32 };

/* A random network that answers differently to different pictures. */
static struct nn_model *make_model(void)
{
    struct nn_model *m;
    if (nn_model_create(&m, "rudd_nano", CLASSES, &err)) fail_msg("%s", err.message);
    nn_model_init_params(m, 3, NULL);
    m->preprocess.image_size = SIDE;
    m->preprocess.mode = NN_RESIZE_CROP;
    return m;
}

/* The mean of probabilities over the first `views` views of a file, one at a time through a plan of one image. */
static void mean_by_hand(double mean[CLASSES], struct nn_model *m, const char *path, int views)
{
    struct nn_plan *plan;
    struct data_image image;
    static uint8_t square[SIDE * SIDE * 3];
    float p[CLASSES];
    if (nn_plan_create(&plan, m, &(struct nn_plan_options){.batch = 1, .image_size = SIDE}, &err)) fail_msg("%s", err.message);
    if (data_image_read(&image, path, NULL, &err)) fail_msg("%s", err.message);
    nn_plan_prepare(plan);
    memset(mean, 0, CLASSES * sizeof *mean);
    for (int v = 0; v < views; v++) {
        assert_int_equal(data_preprocess_view(square, &image, &m->preprocess, SIDE, v, &err), RUDD_OK);
        data_normalise(nn_plan_input(plan), square, SIDE * SIDE, &m->preprocess);
        nn_plan_forward(plan, 1);
        nn_plan_softmax(plan, p, 1);
        for (int k = 0; k < CLASSES; k++) mean[k] += (double)p[k] / views;
    }
    nn_plan_destroy(plan);
    data_image_free(&image);
}

/* Evaluation and sessions give the mean over views and its logarithm, with batches that cut a picture's views anywhere; one view again
 * is the plain answer, to the bit. */
static void answers_are_means(void **state)
{
    (void)state;
    static char folder[64], path[PICTURES][128];
    char *names[CLASSES] = {"a", "b", "c"};
    struct data_item items[PICTURES];
    const struct data_set set = {.class_names = names, .class_count = CLASSES, .items = items, .count = PICTURES};
    struct nn_model *m = make_model();
    folder_create(folder);
    for (int i = 0; i < PICTURES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.jpg", i);
        snprintf(path[i], sizeof path[i], "%s/%s", folder, name);
        if (i != 2) picture_put(folder, name, 70 + 10 * i, 50, 31 * i); /* one is missing: the others must not mix */
        items[i] = (struct data_item){.path = path[i], .label = i % CLASSES};
    }
    static const int all[] = {1, 2, 6, 7, 10};
    for (int k = 0; k < 5; k++) {
        const int views = all[k];
        double mean[CLASSES], gap = 0;
        struct train_evaluator *evaluator;
        struct train_evaluation e;
        if (train_evaluator_create(&evaluator, m, &set, NULL, NULL, 4, 2, 0, &err)) fail_msg("%s", err.message);
        if (train_evaluator_set_views(evaluator, views, &err)) fail_msg("%s", err.message);
        if (train_evaluate(&e, evaluator, "test", NULL, &err)) fail_msg("%s", err.message);
        assert_int_equal(e.count, PICTURES - 1);
        for (int i = 0; i < e.count; i++) {
            double p[CLASSES];
            assert_int_equal(e.items[i], i + (i >= 2));
            assert_int_equal(e.labels[i], items[e.items[i]].label);
            mean_by_hand(mean, m, path[e.items[i]], views);
            train_log_softmax(p, e.kept.logits + i * CLASSES, CLASSES);
            for (int c = 0; c < CLASSES; c++) assert_true(fabs(p[c] - mean[c]) < 1e-5);
            double plain[CLASSES];
            mean_by_hand(plain, m, path[e.items[i]], 1);
            gap = fmax(gap, fabs(plain[0] - mean[0]));
        }
        assert_true(views == 1 || gap > 1e-4); /* other views do answer otherwise: the test tests something */
        train_evaluation_free(&e);
        train_evaluator_destroy(evaluator);

        for (int batch = 1; batch <= 4; batch += 3) {
            rudd_session *session;
            if (rudd_session_create(&session, m, batch, &err)) fail_msg("%s", err.message);
            assert_int_equal(rudd_session_set_views(session, views, &err), RUDD_OK);
            assert_int_equal(rudd_predict_file(session, path[1], NULL, &err), RUDD_OK);
            mean_by_hand(mean, m, path[1], views);
            double p[CLASSES];
            train_log_softmax(p, rudd_session_logits(session), CLASSES);
            for (int c = 0; c < CLASSES; c++) {
                assert_true(fabs((double)rudd_session_probabilities(session)[c] - mean[c]) < 1e-5);
                assert_true(fabs(p[c] - mean[c]) < 1e-5);
            }
            assert_int_equal(rudd_session_set_views(session, 0, &err), RUDD_ARGUMENT);
            assert_int_equal(rudd_session_set_views(session, DATA_VIEWS + 1, &err), RUDD_ARGUMENT);
            rudd_session_destroy(session);
        }
    }
    nn_model_destroy(m);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_show_what_they_say),
        cmocka_unit_test(answers_are_means),
    };
    return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
