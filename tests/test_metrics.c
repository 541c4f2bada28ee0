/* test_metrics.c - the measures of a classifier against scikit-learn's, and where nothing is to be divided.
 *
 * The expected values were printed by this, with scikit-learn 1.x:
 *
 *     z = np.array([[((7*i+11*k+i*k)%23)/5.0-2 for k in range(4)] for i in range(12)], dtype=np.float32)
 *     y = [0,1,0,2,1,2,2,0,2,0,0,0]; p = softmax(z.astype(float64)); pred = z.argmax(1)
 *     accuracy_score(y,pred), top_k_accuracy_score(y,p,k=3,labels=range(4)), confusion_matrix(y,pred,labels=range(4)),
 *     precision_recall_fscore_support(y,pred,labels=range(4),zero_division=0), f1_score(y,pred,average='macro' | 'weighted'),
 *     balanced_accuracy_score(y,pred),
 *     log_loss(y,p,labels=range(4)), mean of roc_auc_score(y==k,p[:,k]) over the classes 0..2 that occur
 * and ece by its formula in numpy. */
#include "nn/rng.h"
#include "train/compare.h"
#include "train/evaluate.h"
#include "train/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 12, C = 4 };
static const int labels[N] = {0, 1, 0, 2, 1, 2, 2, 0, 2, 0, 0, 0};

static void make_logits(float z[N * C])
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < C; k++) z[i * C + k] = (float)(((7 * i + 11 * k + i * k) % 23) / 5.0 - 2);
}

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-7)) fail_msg("found %.12g, expected %.12g", found, expected);
}

/* Every figure equals scikit-learn's, also with a class that never occurs but is predicted. */
static void equals_scikit_learn(void **state)
{
    (void)state;
    static const double precision[C] = {0.5, 1 / 3.0, 1 / 3.0, 0}, recall[C] = {1 / 3.0, 0.5, 0.25, 0};
    static const double f1[C] = {0.4, 0.4, 0.285714285714, 0};
    static const int confusion[C * C] = {2, 2, 2, 0, 0, 1, 0, 1, 2, 0, 1, 1, 0, 0, 0, 0}, support[C] = {6, 2, 4, 0};
    float z[N * C];
    struct train_metrics m;
    make_logits(z);
    assert_int_equal(train_metrics_compute(&m, z, labels, N, C, NULL), RUDD_OK);
    assert_int_equal(m.images, N);
    near(m.top1, 0.3333333333333333);
    near(m.top3, 0.5833333333333334);
    near(m.top5, 1);
    near(m.balanced_accuracy, 0.3611111111111111);
    near(m.macro_f1, 0.27142857142857146);
    near(m.weighted_f1, 0.36190476190476195);
    near(m.loss, 2.406912188399248);
    near(m.roc_auc, 0.49444444444444446);
    near(m.ece, 0.43826205689445);
    for (int k = 0; k < C * C; k++) assert_int_equal(train_metrics_confused(&m, k / C, k % C), confusion[k]);
    for (int k = 0; k < C; k++) {
        near(m.per_class[k].precision, precision[k]);
        near(m.per_class[k].recall, recall[k]);
        near(m.per_class[k].f1, f1[k]);
        assert_int_equal(m.per_class[k].support, support[k]);
    }
    train_metrics_free(&m);
}

/* The temperature is the minimiser that SciPy finds, the figures behind it are those of the divided logits, and the answers stay. */
static void temperature_is_the_minimiser(void **state)
{
    (void)state;
    float z[N * C], divided[N * C];
    struct train_metrics m, direct;
    make_logits(z);
    for (int i = 0; i < N; i++) z[i * C + labels[i]] += 2;
    const struct train_kept kept = {z, (int *)labels, N, C, true};
    double t = train_temperature(&kept, NULL);
    assert_true(fabs(t - 1.7046734) < 1e-5);
    assert_int_equal(train_metrics_compute(&m, z, labels, N, C, NULL), RUDD_OK);
    train_metrics_calibrate(&m, t, &kept);
    near(m.loss, 1.0738026790224955);
    assert_true(fabs(m.ece - 0.25152239) < 1e-5);
    assert_true(m.loss < m.loss_raw);
    for (int i = 0; i < N * C; i++) divided[i] = (float)(z[i] / t);
    assert_int_equal(train_metrics_compute(&direct, divided, labels, N, C, NULL), RUDD_OK);
    assert_true(fabs(direct.loss - m.loss) < 1e-6 && fabs(direct.ece - m.ece) < 1e-6);
    near(direct.top1, m.top1);
    int answers = 0;
    for (int b = 0; b < TRAIN_BINS; b++) answers += m.bins_raw[b].count;
    assert_int_equal(answers, N);

    /* The same from one pass that knows the temperature, the area under the ROC curve too. */
    struct train_measure *measure;
    struct train_metrics pass;
    struct train_result result;
    assert_int_equal(train_measure_create(&measure, N, C, TRAIN_KEPT_BYTES, NULL), RUDD_OK);
    train_measure_set_temperature(measure, t);
    for (int i = 0; i < N; i++) train_measure_add(measure, z + i * C, labels[i], &result);
    assert_int_equal(train_measure_finish(&pass, NULL, measure, NULL, NULL), RUDD_OK);
    near(pass.loss, m.loss);
    near(pass.ece, m.ece);
    near(pass.loss_raw, m.loss_raw);
    near(pass.ece_raw, m.ece_raw);
    near(pass.temperature, t);
    assert_true(fabs(pass.roc_auc - direct.roc_auc) < 1e-12);
    const double p = exp(-(double)result.surprise), norm = train_log_softmax(NULL, divided + (N - 1) * C, C);
    assert_true(fabs(p - exp(divided[(N - 1) * C + labels[N - 1]] - norm)) < 1e-6);
    train_measure_destroy(measure);
    train_metrics_free(&pass);
    train_metrics_free(&m);
    train_metrics_free(&direct);
}

/* Where no temperature is best, there is none: answers that are no better than chance, and answers that are all right. */
static void no_temperature(void **state)
{
    (void)state;
    float z[N * C] = {0};
    const struct train_kept kept = {z, (int *)labels, N, C, true};
    make_logits(z);
    assert_float_equal(train_temperature(&kept, NULL), 1, 0); /* SciPy runs into the bound, too */
    for (int i = 0; i < N; i++) z[i * C + labels[i]] += 9;
    assert_float_equal(train_temperature(&kept, NULL), 1, 0);
    memset(z, 0, sizeof z);
    assert_float_equal(train_temperature(&kept, NULL), 1, 0);
}

/* McNemar's test on the numbers of textbooks: exact for few disagreements, Edwards' chi-square for many; the direction is B's. */
static void mcnemar(void **state)
{
    (void)state;
    static const struct {
        int both, only_a, only_b, neither;
        double p, statistic;
    } cases[] = {
        {101, 121, 59, 33, 5.4502e-06,
         20.67222222222222}, /* P. Armitage's; statsmodels: mcnemar(exact=False, correction=True) */
        {10, 0, 0, 10, 1, 0},
        {10, 5, 5, 10, 1, 0},
        {10, 8, 2, 0, 0.109375, 0}, /* (1 + 10 + 45) * 2 / 1024 */
        {0, 0, 6, 0, 0.03125, 0},
        {3, 12, 12, 3, 1, 0},
        {3, 0, 24, 3, 1.1920928955078125e-07, 0},
        {3, 12, 13, 3, 1, 0}, /* the 25th disagreement: the correction leaves nothing */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char a[400], b[400];
        const int counts[] = {cases[i].both, cases[i].only_a, cases[i].only_b, cases[i].neither, 7};
        static const unsigned char kinds[][2] = {{TRAIN_RIGHT, TRAIN_RIGHT},
                                                 {TRAIN_RIGHT, TRAIN_WRONG},
                                                 {TRAIN_WRONG, TRAIN_RIGHT},
                                                 {TRAIN_WRONG, TRAIN_WRONG},
                                                 {TRAIN_UNREAD, TRAIN_RIGHT}};
        int n = 0;
        for (int kind = 0; kind < 5; kind++)
            for (int j = 0; j < counts[kind]; j++, n++) {
                a[n] = kinds[kind][0];
                b[n] = kinds[kind][1];
            }
        struct train_comparison c;
        train_compare(&c, a, b, n);
        assert_int_equal(c.images, n - 7);
        assert_int_equal(c.only_a, cases[i].only_a);
        assert_int_equal(c.only_b, cases[i].only_b);
        assert_int_equal(c.exact, c.only_a + c.only_b < 25);
        if (!(fabs(c.p / cases[i].p - 1) < 1e-4)) fail_msg("case %zu: p %.9g, expected %.9g", i, c.p, cases[i].p);
        if (!c.exact) near(c.statistic, cases[i].statistic);
        near(c.difference, (double)(c.only_b - c.only_a) / c.images);
        assert_true(c.low <= c.difference && c.difference <= c.high);
    }
}

/* A logit offset common to a picture, however large, moves no figure: probabilities do not depend on it. */
static void offsets_cancel(void **state)
{
    (void)state;
    float z[N * C];
    struct train_metrics a, b;
    make_logits(z);
    assert_int_equal(train_metrics_compute(&a, z, labels, N, C, NULL), RUDD_OK);
    for (int i = 0; i < N * C; i++) z[i] += (float)(512 * (i / C) - 2048); /* powers of 2: the sums stay nearly exact */
    assert_int_equal(train_metrics_compute(&b, z, labels, N, C, NULL), RUDD_OK);
    assert_true(fabs(a.loss - b.loss) < 1e-3 && fabs(a.ece - b.ece) < 1e-3);
    near(b.top1, a.top1);
    near(b.macro_f1, a.macro_f1);
    train_metrics_free(&a);
    train_metrics_free(&b);
}

/* One class, one picture, no second kind: defined everywhere, and the area is said to be undefined. */
static void degenerate(void **state)
{
    (void)state;
    const float z[] = {3};
    const int label[] = {0};
    struct train_metrics m;
    assert_int_equal(train_metrics_compute(&m, z, label, 1, 1, NULL), RUDD_OK);
    near(m.top1, 1);
    near(m.top3, 1);
    near(m.loss, 0);
    near(m.ece, 0);
    near(m.macro_f1, 1);
    assert_true(isnan(m.roc_auc));
    train_metrics_free(&m);
}

/* Ties: the lower index is the answer, and equal scores share their ranks, so that a constant classifier has an area of 1/2. */
static void ties(void **state)
{
    (void)state;
    const float z[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const int label[] = {0, 1, 1, 0};
    struct train_metrics m;
    assert_int_equal(train_argmax(z, 4), 0);
    assert_int_equal(train_rank(z, 4, 2), 2);
    assert_int_equal(train_metrics_compute(&m, z, label, 4, 2, NULL), RUDD_OK);
    near(m.top1, 0.5);
    near(m.roc_auc, 0.5);
    train_metrics_free(&m);
}

/* 300 classes, with logits kept and without: the same figures but for the area, which is off by no more than it says, and the
 * temperature, which is that of evenly spaced pictures. */
static void many_classes(void **state)
{
    (void)state;
    enum { PICTURES = 900, CLASSES = 300 };
    float *z = rudd_alloc(PICTURES * CLASSES * sizeof *z);
    struct nn_class *names = rudd_zalloc(CLASSES, sizeof *names);
    struct train_metrics m[2];
    struct train_kept kept[2];
    struct train_result result[PICTURES];
    for (int way = 0; way < 2; way++) {
        struct train_measure *measure;
        const size_t keep = way ? 20 * CLASSES * sizeof *z * 4 : TRAIN_KEPT_BYTES;
        assert_int_equal(train_measure_create(&measure, PICTURES, CLASSES, keep, NULL), RUDD_OK);
        for (uint64_t i = 0; i < PICTURES; i++) {
            const int label = (int)(i * 7 % 250); /* 50 classes have no picture */
            for (uint64_t k = 0; k < CLASSES; k++)
                z[i * CLASSES + k] =
                    6 * (float)((double)nn_rng_u64(1, i, k, 0) / 18446744073709551616.0) + (k == (uint64_t)label ? 3 : 0);
            train_measure_add(measure, z + i * CLASSES, label, &result[i]);
            assert_true(result[i].confidence > 0 && result[i].surprise > 0);
        }
        assert_int_equal(train_measure_finish(&m[way], &kept[way], measure, NULL, NULL), RUDD_OK);
        train_measure_destroy(measure);
    }
    assert_true(kept[0].all && kept[0].count == PICTURES);
    assert_true(!kept[1].all && kept[1].count >= 19 && kept[1].count <= 21);
    for (int i = 0; i < kept[1].count; i++) {
        int at = 0;
        while (memcmp(z + (size_t)at * CLASSES, kept[1].logits + (size_t)i * CLASSES, CLASSES * sizeof *z) != 0) at++;
        assert_true(abs(at - i * 45) <= 45);
    }
    near(m[0].loss, m[1].loss);
    near(m[0].top5, m[1].top5);
    near(m[0].macro_f1, m[1].macro_f1);
    near(m[0].ece, m[1].ece);
    assert_true(m[0].roc_auc > 0.8 && m[0].roc_auc_error == 0);
    assert_true(m[1].roc_auc_error > 0 && m[1].roc_auc_error < 0.01);
    assert_true(fabs(m[0].roc_auc - m[1].roc_auc) <= m[1].roc_auc_error);

    char name[8] = "x";
    for (int k = 0; k < CLASSES; k++) names[k].name = name;
    json_t *json = train_metrics_json(&m[1], names, true);
    const json_t *pairs = json_object_get(json, "confusion_pairs");
    int pictures = 0, right = 0;
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        const int count = (int)json_integer_value(json_array_get(pair, 2));
        pictures += count;
        if (json_equal(json_array_get(pair, 0), json_array_get(pair, 1))) right += count;
    }
    assert_int_equal(pictures, PICTURES);
    near((double)right / PICTURES, m[1].top1);
    assert_null(json_object_get(json, "confusion"));
    json_decref(json);
    for (int way = 0; way < 2; way++) {
        train_metrics_free(&m[way]);
        train_kept_free(&kept[way]);
    }
    rudd_free(names);
    rudd_free(z);
}

static int refuse_at(void *user, size_t bytes)
{
    (void)bytes;
    return --*(int *)user != 0;
}

/* Any allocation may fail: the status says so and the result is untouched. */
static void no_memory(void **state)
{
    (void)state;
    float z[N * C];
    struct train_metrics m, before;
    int failures = 0;
    make_logits(z);
    memset(&m, 7, sizeof m);
    before = m;
    for (int fatal = 1;; fatal++) {
        int countdown = fatal;
        rudd_set_alloc_hook(refuse_at, &countdown);
        enum rudd_status status = train_metrics_compute(&m, z, labels, N, C, NULL);
        rudd_set_alloc_hook(NULL, NULL);
        if (status == RUDD_OK) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
        assert_memory_equal(&m, &before, sizeof m);
        failures++;
    }
    assert_true(failures >= 3);
    train_metrics_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scikit_learn),
        cmocka_unit_test(offsets_cancel),
        cmocka_unit_test(degenerate),
        cmocka_unit_test(ties),
        cmocka_unit_test(many_classes),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(temperature_is_the_minimiser),
        cmocka_unit_test(no_temperature),
        cmocka_unit_test(mcnemar),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
