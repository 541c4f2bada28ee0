/* test_recipes.c - recipes of training from end to end: every optimiser and schedule, gradual unfreezing, the learning-rate finder.
 *
 * Whether a step and a factor are right is test_optim.c's affair; here it is whether runs made of them hold what all runs promise.
 * Unfreezing stopped at every batch: test_resume.c. */
#include "tests/training.h"
#include "train/lr_find.h"
#include "train/settings.h"
#include "weights/model_file.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* What is not given follows the optimiser; what is given stays, a decay of 0 too. */
static void defaults_follow_the_optimiser(void **state)
{
    (void)state;
    static const double expected[][3] = {{3e-4, 3e-3, 0.02}, {1e-2, 1e-1, 0.02}, {3e-4, 3e-3, 1e-5}, {6e-5, 6e-4, 0.1}};
    for (int kind = TRAIN_ADAMW; kind <= TRAIN_LION; kind++) {
        struct train_settings s = train_settings_default;
        s.data = s.arch = "x";
        s.optimizer = kind;
        must(train_settings_resolve(&s, &err));
        assert_true(s.lr == expected[kind][0] && s.head_lr == expected[kind][1] && s.weight_decay == expected[kind][2]);
        s.lr = 0.5;
        s.weight_decay = 0;
        must(train_settings_resolve(&s, &err));
        assert_true(s.lr == 0.5 && s.weight_decay == 0);
    }
}

/* A record holds what was really used. What nobody gave follows again once its reason changes, and what was given stays. */
static void what_was_not_given_follows_again(void **state)
{
    (void)state;
    struct train_settings s = train_settings_default, same;
    s.data = s.arch = "x";
    must(train_settings_resolve(&s, &err));
    same = s;
    train_settings_loosen(&same);
    must(train_settings_resolve(&same, &err));
    assert_memory_equal(&same, &s, sizeof s);

    train_settings_loosen(&s);
    s.lr = 1e-5;
    s.view.randaugment = 9;
    must(train_settings_resolve(&s, &err));
    assert_true(s.head_lr == 1e-4 && s.view.contrast == 0 && s.weight_decay == 0.02);
    train_settings_loosen(&s);
    s.optimizer = TRAIN_LION;
    must(train_settings_resolve(&s, &err));
    assert_true(s.lr == 1e-5 && s.weight_decay == 0.1); /* one was given, the other not */

    s.head_lr = 7e-4;
    train_settings_loosen(&s);
    s.lr = 2e-5;
    must(train_settings_resolve(&s, &err));
    assert_true(s.head_lr == 7e-4);

    s = train_settings_default;
    s.data = s.arch = "x";
    s.freeze = "all";
    s.optimizer = TRAIN_LBFGS;
    must(train_settings_resolve(&s, &err));
    assert_true(s.epochs == 1 && s.cache == TRAIN_CACHE_FLOAT16 && !s.augment);
    train_settings_loosen(&s);
    s.freeze = "none";
    s.optimizer = TRAIN_ADAMW;
    must(train_settings_resolve(&s, &err));
    assert_true(s.epochs == 8 && s.schedule == TRAIN_COSINE && s.cache == TRAIN_CACHE_OFF && s.augment);
}

/* Each optimiser with a schedule: the same bits for one thread and two, and for a run that died within its second epoch. */
static void every_optimiser_is_exact(void **state)
{
    (void)state;
    static const char *const recipes[] = {
        "|--optimizer|adamw|--schedule|one-cycle|--layer-decay|0.8",
        "|--optimizer|sgd|--schedule|step|--decay-epochs|0.5|--lr|1e-2",
        "|--optimizer|rmsprop|--schedule|step|--decay-epochs|1|--layer-decay|0.5",
        "|--optimizer|lion|--schedule|one-cycle|--layer-decay|0.7|--accumulate|2",
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        char options[200], name[3][20];
        for (int k = 0; k < 3; k++) snprintf(name[k], sizeof name[k], "exact%zu%c", i, "abc"[k]);
        for (int k = 0; k < 2; k++) {
            snprintf(options, sizeof options, "|--arch|rudd_nano|--epochs|2|--checkpoint-steps|1|--threads|%d%s", k + 1,
                     recipes[i]);
            must(train(name[k], options));
        }
        assert_same_run(name[0], name[1]);
        renames_left = 8; /* run.json, two or three steps, model, metrics, the epoch's checkpoint, and a step or two more */
        enum rudd_status status = train(name[2], options);
        renames_left = -1;
        assert_int_equal(status, RUDD_IO);
        must(resume(name[2], ""));
        assert_same_run(name[0], name[2]);
    }
}

/* Whether parameters of stages [from, to) are those the run started with. */
static void assert_fresh(const char *file, int from, int to, bool fresh)
{
    struct nn_model *now, *then;
    must(weights_model_load(&now, in_root(file), NULL, NULL, &err));
    must(nn_model_create(&then, "efficientnet_b0", 3, &err));
    nn_model_init_params(then, 0, NULL);
    assert_int_equal(now->value_count, then->value_count);
    for (int i = 0; i < now->param_count; i++) {
        const struct nn_param *p = &now->params[i];
        if (p->stage < from || p->stage >= to) continue;
        bool same = memcmp(now->values + p->offset, then->values + p->offset, p->count * sizeof(float)) == 0;
        if (same != fresh) fail_msg("%s: %s of stage %d has %schanged", file, p->name, p->stage, same ? "not " : "");
    }
    nn_model_destroy(now);
    nn_model_destroy(then);
}

/* The classifier learns first, then a stage more every N epochs, down to what --freeze leaves; the rest is untouched, statistics
 * too. B0 has stages 0 (stem), 1..7, 8 (head convolution) and 9 (classifier). */
static void unfreezes_from_the_top(void **state)
{
    (void)state;
    char a[TRAIN_PATH], b[TRAIN_PATH];
    must(train("top1", "|--epochs|2|--unfreeze-epochs|2|--schedule|constant"));
    must(train("top1frozen", "|--epochs|2|--freeze|all|--cache|off|--schedule|constant"));
    assert_values(train_run_path(a, in_root("top1"), "last.safetensors"),
                  train_run_path(b, in_root("top1frozen"), "last.safetensors"), true);
    must(train("top3", "|--epochs|3|--unfreeze-epochs|1"));
    assert_fresh("top3/last.safetensors", 0, 7, true);
    assert_fresh("top3/last.safetensors", 7, 10, false);
    must(train("top2", "|--epochs|3|--unfreeze-epochs|1|--freeze|7"));
    assert_fresh("top2/last.safetensors", 0, 8, true);
    assert_fresh("top2/last.safetensors", 8, 10, false);
}

/* Suggestions equal those of fastai 2.5's steep and valley for the same curve, whole and cut short. */
static void suggestions_equal_fastai(void **state)
{
    (void)state;
    static const struct {
        int count, valley, steepest;
    } cases[] = {{100, 55, 53}, {92, 55, 53}, {40, 27, 31}};
    struct train_lr_sweep sweep;
    for (int i = 0; i < TRAIN_LR_STEPS; i++) {
        sweep.rate[i] = 1e-7 * pow(1e8, i / 99.0);
        sweep.smooth[i] =
            2.7 - 2 / (1 + exp(-(i - 55) / 6.0)) + (i > 75 ? (i - 75) * (i - 75) / 64.0 : 0) + 0.05 * sin(1.7 * i);
    }
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sweep.count = cases[k].count;
        train_lr_sweep_suggest(&sweep);
        assert_true(sweep.valley == sweep.rate[cases[k].valley]);
        assert_true(sweep.steepest == sweep.rate[cases[k].steepest]);
    }
    /* Falling all the way, rising all the way, too short. */
    for (int i = 0; i < TRAIN_LR_STEPS; i++) sweep.smooth[i] = -i;
    sweep.count = 100;
    train_lr_sweep_suggest(&sweep);
    assert_true(sweep.valley == sweep.rate[10 - 1 + 28 + 14]); /* of 85 steps: a third, and half a third */
    for (int i = 0; i < TRAIN_LR_STEPS; i++) sweep.smooth[i] = i;
    train_lr_sweep_suggest(&sweep);
    assert_true(sweep.valley == sweep.rate[10]);
    sweep.count = 16;
    train_lr_sweep_suggest(&sweep);
    assert_true(isnan(sweep.valley) && isnan(sweep.steepest));
}

static double number(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

/* The sweep goes up by equal factors, smooths as it says, ends when the loss is four times its best, and leaves one file, the same
 * for any number of threads; the run that follows in its folder is as if nothing had been. */
static void finds_a_rate(void **state)
{
    (void)state;
    must(train("found", "|--arch|rudd_nano|--find-lr|--threads|1|--accumulate|2|--max-steps|3"));
    must(train("found2", "|--arch|rudd_nano|--find-lr|--threads|2|--accumulate|2"));
    assert_files_equal(in_root("found/lr_finder.json"), in_root("found2/lr_finder.json"));
    DIR *folder = opendir(in_root("found"));
    int files = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) files += entry->d_name[0] != '.';
    closedir(folder);
    assert_int_equal(files, 1);

    json_t *json = parse_json(in_root("found/lr_finder.json")), *steps = json_object_get(json, "steps");
    const int count = (int)json_array_size(steps);
    double sum = 0, best = INFINITY, last = 0;
    assert_in_range(count, 20, TRAIN_LR_STEPS);
    for (int i = 0; i < count; i++) {
        const json_t *step = json_array_get(steps, (size_t)i);
        double smooth = number(step, "smoothed_loss");
        assert_true(fabs(number(step, "learning_rate") / (1e-7 * pow(1e8, i / 99.0)) - 1) < 1e-6);
        sum = 0.98 * sum + 0.02 * number(step, "loss");
        assert_true(fabs(smooth - sum / (1 - pow(0.98, i + 1))) < 1e-6 * smooth);
        assert_true(i == 0 || last <= 4 * best);
        if (smooth < best) best = smooth;
        last = smooth;
    }
    assert_int_equal(json_is_true(json_object_get(json, "diverged")), count < TRAIN_LR_STEPS || last > 4 * best);
    assert_true(number(json, "valley") > 1e-7 && number(json, "steepest") > 1e-7);
    json_decref(json);

    must(train("found", "|--epochs|1"));
    must(train("unswept", "|--epochs|1"));
    assert_same_run("found", "unswept");
    assert_int_equal(train("found", "|--find-lr"), RUDD_ARGUMENT); /* a run is there now */
    assert_int_equal(resume("found", "|--find-lr"), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--find-lr"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_follow_the_optimiser), cmocka_unit_test(what_was_not_given_follows_again),
        cmocka_unit_test(every_optimiser_is_exact),      cmocka_unit_test(unfreezes_from_the_top),
        cmocka_unit_test(suggestions_equal_fastai),      cmocka_unit_test(finds_a_rate),
    };
    return cmocka_run_group_tests_name("recipes", tests, begin_runs, end_runs);
}
