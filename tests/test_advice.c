/* test_advice.c - advice behind a run and cautions before it: which facts give which sentences, up to the bounds.
 *
 * A case is a matrix of confusions, the epochs' figures and what kind of run it was; metrics and mistakes are computed from it by the
 * same functions as in a run. */
#include "tests/pictures.h"
#include "train/runs/advice.h"
#include "train/runs/caution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CLASSES = 3, PICTURES = 600, EPOCHS = 12 };

static char *const names[CLASSES] = {"bream", "roach", "rudd"};

struct scene {
    struct train_advice_facts facts;
    struct train_evaluation evaluation;
    struct train_mistakes mistakes;
    struct data_set train, judged;
    struct data_item train_items[CLASSES], judged_items[PICTURES];
    char train_paths[CLASSES][80], judged_paths[PICTURES][80];
    int counts[CLASSES];
    struct train_epoch epochs[EPOCHS];
};

/* Rows: what a picture is; columns: what it was taken for. wrong: how sure wrong answers are; right ones are 0.95. */
static void answer(struct scene *s, const int matrix[CLASSES][CLASSES], double wrong)
{
    struct train_measure *measure;
    struct train_evaluation *e = &s->evaluation;
    int n = 0;
    e->labels = rudd_zalloc(PICTURES, sizeof *e->labels);
    e->items = rudd_zalloc(PICTURES, sizeof *e->items);
    e->results = rudd_zalloc(PICTURES, sizeof *e->results);
    assert_int_equal(train_measure_create(&measure, PICTURES, CLASSES, TRAIN_KEPT_BYTES, NULL), RUDD_OK);
    for (int label = 0; label < CLASSES; label++)
        for (int said = 0; said < CLASSES; said++)
            for (int i = 0; i < matrix[label][said]; i++) {
                float logits[CLASSES] = {0};
                const double sure = label == said ? 0.95 : wrong;
                logits[said] = (float)log(sure / (1 - sure) * (CLASSES - 1));
                assert_true(n < PICTURES);
                snprintf(s->judged_paths[n], sizeof s->judged_paths[n], "photos/test/%s/%d.jpg", names[label], i);
                s->judged_items[n] = (struct data_item){s->judged_paths[n], label, (int)strlen("photos/test/roach/")};
                e->labels[n] = label;
                e->items[n] = n;
                train_measure_add(measure, logits, label, &e->results[n++]);
            }
    e->count = n;
    assert_int_equal(train_measure_finish(&e->metrics, &e->kept, measure, NULL, NULL), RUDD_OK);
    train_measure_destroy(measure);
    assert_int_equal(train_mistakes_find(&s->mistakes, e, NULL), RUDD_OK);
}

/* A full fine-tuning of twelve epochs from pretrained weights that went well: 40 pictures of each class. */
static struct scene *scene_of(const int matrix[CLASSES][CLASSES], double wrong)
{
    struct scene *s = rudd_zalloc(1, sizeof *s);
    assert_non_null(s);
    answer(s, matrix, wrong);
    for (int k = 0; k < CLASSES; k++) {
        const int length = snprintf(s->train_paths[k], sizeof s->train_paths[k], "photos/train/%s/", names[k]);
        strcat(s->train_paths[k], "1.jpg");
        s->train_items[k] = (struct data_item){s->train_paths[k], k, length};
        s->counts[k] = 40;
    }
    s->train = (struct data_set){.class_names = (char **)names, CLASSES, s->train_items, CLASSES, {{0}, {0}, NULL}};
    s->train.count = CLASSES; /* of those that are listed here */
    s->judged =
        (struct data_set){.class_names = (char **)names, CLASSES, s->judged_items, s->evaluation.count, {{0}, {0}, NULL}};
    for (int i = 0; i < EPOCHS; i++)
        s->epochs[i] = (struct train_epoch){.epoch = i + 1,
                                            .train_loss = 1.1 - 0.05 * i,
                                            .train_accuracy = 0.5 + 0.03 * i,
                                            .val_loss = 0.6 - 0.001 * i,
                                            .val_accuracy = s->evaluation.metrics.top1,
                                            .val_top3 = 1,
                                            .val_macro_f1 = 0.9};
    s->facts = (struct train_advice_facts){.run = "runs/3",
                                           .data = "photos",
                                           .phase = "test",
                                           .epochs = s->epochs,
                                           .epoch_count = EPOCHS,
                                           .epochs_asked = EPOCHS,
                                           .best_epoch = 10,
                                           .train = &s->train,
                                           .judged = &s->judged,
                                           .train_counts = s->counts,
                                           .val_count = 120,
                                           .evaluation = &s->evaluation,
                                           .mistakes = &s->mistakes,
                                           .divided = true,
                                           .augment = true,
                                           .pretrained = true};
    return s;
}

static void scene_free(struct scene *s)
{
    train_mistakes_free(&s->mistakes);
    train_evaluation_free(&s->evaluation);
    rudd_free(s);
}

/* The three sentences begin so, word by word; twice the same. Each is one sentence, and names no path that is cut. */
static void advises(struct scene *s, const char *first, const char *second, const char *third)
{
    const char *const expected[TRAIN_ADVICE] = {first, second, third};
    struct train_advice advice, again;
    train_advise(&advice, &s->facts);
    train_advise(&again, &s->facts);
    assert_memory_equal(&advice, &again, sizeof advice);
    for (int i = 0; i < TRAIN_ADVICE; i++) {
        const char *text = advice.text[i];
        if (strncmp(text, expected[i], strlen(expected[i])) != 0)
            fail_msg("sentence %d\n  found:    %s\n  expected: %s", i + 1, text, expected[i]);
        assert_int_equal(text[strlen(text) - 1], '.');
        assert_null(strchr(text, '\n'));
    }
    scene_free(s);
}

static const int good[CLASSES][CLASSES] = {{98, 2, 0}, {0, 97, 3}, {1, 0, 99}};
static const int middling[CLASSES][CLASSES] = {{82, 9, 9}, {9, 82, 9}, {9, 9, 82}};
static const int chance[CLASSES][CLASSES] = {{40, 30, 30}, {33, 34, 33}, {30, 40, 30}};

/* ---- claims ------------------------------------------------------------------------------------------------------ */

/* The bounds are the shares from which the found one is just 1.96 deviations away: Wilson's definition. */
static void interval_is_wilsons(void **state)
{
    (void)state;
    static const int rows[][2] = {{8, 10}, {1, 3}, {207, 249}, {5000, 9000}};
    double low, high;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double n = rows[i][1], p = rows[i][0] / n;
        train_wilson(&low, &high, rows[i][0], rows[i][1]);
        assert_true(low < p && p < high);
        assert_true(fabs((p - low) / sqrt(low * (1 - low) / n) - 1.959963985) < 1e-9);
        assert_true(fabs((high - p) / sqrt(high * (1 - high) / n) - 1.959963985) < 1e-9);
    }
    train_wilson(&low, &high, 0, 10);
    assert_true(low == 0 && fabs(high - 0.2775328) < 1e-7);
    train_wilson(&low, &high, 10, 10);
    assert_true(fabs(low - 0.7224672) < 1e-7 && high == 1);
}

static void good_is_used(void **state)
{
    (void)state;
    advises(
        scene_of(good, 0.5),
        "Use it: rudd predict --model runs/3/model.safetensors PICTURE; 294 of 300 test pictures are right (98 %), so of new "
        "pictures like them expect 96 % to 99 % to be right.",
        "report.html in the run's folder shows the 6 mistakes, each beside a picture of the class that it was taken for.",
        "Pictures from other places, cameras and days make a model better with new ones.");
    /* A path with a blank and a quote is one word of the shell. */
    struct scene *s = scene_of(good, 0.5);
    s->facts.run = "my run's";
    advises(s, "Use it: rudd predict --model 'my run'\\''s/model.safetensors' PICTURE;", "report.html", "Pictures from");
    static const int perfect[CLASSES][CLASSES] = {{100, 0, 0}, {0, 100, 0}, {0, 0, 100}};
    advises(scene_of(perfect, 0.5), "Use it: ", "There is no mistake among the test pictures:", "Pictures from");
    /* 90 % is the bound; a class that is not recognised is no good model either. */
    static const int at[CLASSES][CLASSES] = {{90, 5, 5}, {5, 90, 5}, {5, 5, 90}};
    static const int below[CLASSES][CLASSES] = {{90, 5, 5}, {5, 90, 5}, {6, 5, 89}};
    static const int lost[CLASSES][CLASSES] = {{3, 7, 0}, {0, 290, 0}, {0, 0, 290}};
    advises(scene_of(at, 0.5), "Use it: ", "report.html", "Pictures from");
    advises(scene_of(below, 0.5), "269 of 300 test pictures are right", "Try it", "report.html");
    advises(scene_of(lost, 0.5), "7 of 10 test pictures of bream are taken for roach", "583 of 590", "Try it");
}

static void by_heart(void **state)
{
    (void)state;
    struct scene *s = scene_of(middling, 0.5);
    for (int i = 0; i < EPOCHS; i++) {
        s->epochs[i].train_accuracy = 0.6 + 0.035 * i;
        s->epochs[i].val_loss = i < 4 ? 0.8 - 0.05 * i : 0.65 + 0.05 * (i - 3);
        s->epochs[i].val_accuracy = 0.82;
    }
    advises(
        s,
        "The network has learned its pictures by heart: in the last epoch it named 98 % of the training pictures rightly, but "
        "82 % of the validation pictures, whose loss has risen from 0.65 in epoch 4 to 1.05; more pictures help most, then "
        "rudd "
        "train --config runs/3/run.json --randaugment 9, which alters them more.",
        "246 of 300 test pictures are right (82 %), so of new pictures like them expect 77 % to 86 % to be right.", "Try it");
    /* The remedy follows what was tried already. */
    static const struct {
        bool pretrained, head_only, augment, randaugment;
        const char *end;
    } remedies[] = {{true, false, true, true, "--freeze all, under which only the last layer learns."},
                    {true, false, true, false, "--randaugment 9, which alters them more."},
                    {true, false, false, false, "--augment, which alters them in every epoch."},
                    {true, true, false, false, "--mixup 0.2, which blends them in pairs."},
                    {false, false, true, false,
                     "for photographs, pretrained weights help, too (rudd fetch timm/tf_efficientnetv2_b0.in1k)."}};
    for (size_t k = 0; k < sizeof remedies / sizeof *remedies; k++) {
        struct train_advice advice;
        s = scene_of(middling, 0.5);
        s->epochs[EPOCHS - 1].train_accuracy = 1;
        s->epochs[EPOCHS - 1].val_loss = 0.7;
        s->facts.pretrained = remedies[k].pretrained;
        s->facts.head_only = remedies[k].head_only;
        s->facts.augment = remedies[k].augment;
        s->facts.randaugment = remedies[k].randaugment;
        train_advise(&advice, &s->facts);
        if (!strstr(advice.text[0], remedies[k].end)) fail_msg("found: %s", advice.text[0]);
        scene_free(s);
    }
    /* A small gap, a gap that chance explains, a loss that has hardly risen: none of it. */
    for (int k = 0; k < 3; k++) {
        s = scene_of(middling, 0.5);
        struct train_epoch *last = &s->epochs[EPOCHS - 1];
        last->train_accuracy = k == 0 ? 0.91 : 0.95;
        last->val_loss = k == 2 ? 0.61 : 0.7;
        s->facts.val_count = k == 1 ? 12 : 120;
        advises(s, "246 of 300", "Try it", "report.html");
    }
    /* Everything is known by heart, far above validation: no loss has to rise for that. */
    s = scene_of(middling, 0.5);
    s->epochs[EPOCHS - 1].train_accuracy = 0.97;
    s->epochs[EPOCHS - 1].val_accuracy = 0.7;
    advises(
        s,
        "The network has learned its pictures by heart: in the last epoch it named 97 % of the training pictures rightly, but "
        "70 % of the validation pictures; more",
        "246 of 300", "Try it");
    /* Without validation, by the test pictures. */
    s = scene_of(middling, 0.5);
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].val_loss = s->epochs[i].val_accuracy = NAN;
    s->facts.val_count = 0;
    s->epochs[EPOCHS - 1].train_accuracy = 1.0;
    advises(s, "246 of 300", "Try it", "report.html"); /* 18 points */
}

static void still_learning(void **state)
{
    (void)state;
    struct scene *s = scene_of(middling, 0.5);
    struct train_epoch *last = &s->epochs[EPOCHS - 1];
    s->facts.best_epoch = EPOCHS;
    last[-1].val_loss = 0.7;
    last[-1].val_accuracy = 0.8;
    last->val_loss = 0.65;
    last->val_accuracy = 0.84;
    advises(s,
            "Validation was still getting better in the last epoch (80 % to 84 %): train longer with rudd train --config "
            "runs/3/run.json --epochs 24.",
            "246 of 300", "Try it");
    for (int k = 0; k < 4; k++) { /* not the best, hardly better, no more right, cut short by --max-steps */
        s = scene_of(middling, 0.5);
        last = &s->epochs[EPOCHS - 1];
        s->facts.best_epoch = k == 0 ? EPOCHS - 1 : EPOCHS;
        last->train_accuracy = 0.88;
        last[-1].val_loss = 0.7;
        last[-1].val_accuracy = 0.8;
        last->val_loss = k == 1 ? 0.69 : 0.65;
        last->val_accuracy = k == 2 ? 0.8 : 0.84;
        s->facts.epochs_asked = k == 3 ? EPOCHS + 1 : EPOCHS;
        advises(s, "246 of 300", "Try it", "report.html");
    }
    /* Neither kind of picture is known well, and it is not a matter of the last epoch alone. */
    for (int k = 0; k < 5; k++) {
        s = scene_of(middling, 0.5);
        last = &s->epochs[EPOCHS - 1];
        s->facts.best_epoch = k == 1 ? 10 : 11;
        last->train_accuracy = k == 2 ? 0.85 : k == 3 ? 0.84 : 0.8;
        last->val_accuracy = k == 3 ? 0.78 : k == 4 ? 0.85 : 0.82;
        if (k)
            advises(s, "246 of 300", "Try it", "report.html");
        else
            advises(
                s,
                "The training pictures themselves are not learned yet, with 80 % right in the last epoch: train longer with "
                "rudd train --config runs/3/run.json --epochs 24.",
                "246 of 300", "Try it");
    }
}

static void nothing_learned(void **state)
{
    (void)state;
    struct scene *s = scene_of(chance, 0.5);
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].train_accuracy = 0.35;
    advises(
        s,
        "The network has learned next to nothing: 35 % of the test pictures are right, and naming bream every time would give "
        "33 %; rudd train --config runs/3/run.json --epochs 48 trains longer.",
        "104 of 300 test pictures are right",
        "See that each folder of photos holds pictures of what its name says, and that rudd data check photos finds no fault.");
    s = scene_of(chance, 0.5);
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].train_accuracy = 0.35, s->epochs[i].train_loss = 1.1;
    advises(
        s,
        "The network has learned next to nothing: 35 % of the test pictures are right, and naming bream every time would give "
        "33 %; rudd train --config runs/3/run.json --find-lr suggests a better learning rate.",
        "104", "See that");
    s = scene_of(chance, 0.5);
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].train_accuracy = 0.35;
    s->facts.pretrained = false;
    advises(
        s,
        "The network has learned next to nothing: 35 % of the test pictures are right, and naming bream every time would give "
        "33 %; photographs need pretrained weights",
        "104", "See that");
    /* What is known by heart has been learned. */
    s = scene_of(chance, 0.5);
    s->epochs[EPOCHS - 1].train_accuracy = 1;
    advises(s, "The network has learned its pictures by heart", "The hardest class is rudd, with 30 of 100", "104 of 300");
    /* A class that is nearly all: naming it every time is no skill. */
    static const int uneven[CLASSES][CLASSES] = {{270, 0, 0}, {15, 0, 0}, {15, 0, 0}};
    s = scene_of(uneven, 0.5);
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].train_accuracy = 0.9;
    advises(
        s,
        "The network has learned next to nothing: 90 % of the test pictures are right, and naming bream every time would give "
        "90 %",
        "270 of 300", "See that");
}

static void classes_and_files(void **state)
{
    (void)state;
    /* Most mistakes are of one pair: first of all. */
    static const int pair[CLASSES][CLASSES] = {{38, 1, 1}, {0, 17, 23}, {0, 1, 39}};
    advises(scene_of(pair, 0.5),
            "23 of 40 test pictures of roach are taken for rudd: look for wrong labels in photos/train/roach and "
            "photos/train/rudd, "
            "and add pictures of roach.",
            "94 of 120", "Try it");
    /* A fifth of the class and three pictures are the bounds. */
    static const int fifth[CLASSES][CLASSES] = {{80, 20, 0}, {0, 85, 15}, {15, 0, 85}};
    static const int less[CLASSES][CLASSES] = {{81, 19, 0}, {0, 85, 15}, {15, 0, 85}};
    static const int two[CLASSES][CLASSES] = {{130, 30, 0}, {0, 6, 2}, {30, 0, 130}};
    advises(scene_of(fifth, 0.5), "20 of 100 test pictures of bream are taken for roach", "250 of 300", "Try it");
    advises(scene_of(less, 0.5), "251 of 300", "Try it", "report.html");
    advises(scene_of(two, 0.5),
            "The hardest class is roach, with 6 of 8 test pictures right: more and other pictures in "
            "photos/train/roach help most.",
            "266 of 328", "Try it");

    /* Few pictures and a low recall. */
    static const int small[CLASSES][CLASSES] = {{1, 1, 1}, {10, 83, 10}, {10, 10, 83}};
    struct scene *s = scene_of(small, 0.5);
    s->counts[0] = 6;
    s->train.count = 300; /* in all; those that are listed come first */
    struct data_item *items = rudd_zalloc(300, sizeof *items);
    for (int i = 0; i < 300; i++) items[i] = s->train_items[i < CLASSES ? i : 2];
    s->train.items = items;
    advises(s, "bream has 6 training pictures, and 1 of its 3 test pictures were recognised: add some to photos/train/bream.",
            "167 of 209", "Try it");
    rudd_free(items);

    /* Answers above 90 % can be relied on, so the wrong ones among them are suspicious. */
    static const int labels[CLASSES][CLASSES] = {{88, 1, 1}, {1, 88, 1}, {1, 1, 88}};
    advises(scene_of(labels, 0.91), "Use it",
            "Look whether these have wrong labels, since the model is more than 90 % sure of another class: "
            "photos/test/bream/0.jpg "
            "(roach?), photos/test/bream/0.jpg (rudd?), photos/test/roach/0.jpg (bream?) and 3 more.",
            "report.html");
    advises(scene_of(labels, 0.89), "Use it", "report.html", "Pictures");
    advises(scene_of(middling, 0.95), "246 of 300", "Try it", "report.html"); /* sure answers are wrong too often */

    /* Those of the pair that is confused most are no surprise. */
    static const int mixed[CLASSES][CLASSES] = {{15, 5, 0}, {0, 60, 0}, {1, 0, 60}};
    advises(
        scene_of(mixed, 0.91), "5 of 20 test pictures of bream are taken for roach", "Use it",
        "Look whether these have wrong labels, since the model is more than 90 % sure of another class: photos/test/rudd/0.jpg "
        "(bream?).");
    /* Where less than three in five pictures of a class are recognised, nobody is told to use it. */
    static const int behind[CLASSES][CLASSES] = {{11, 9, 0}, {0, 60, 0}, {0, 0, 60}};
    static const int ahead[CLASSES][CLASSES] = {{12, 8, 0}, {0, 60, 0}, {0, 0, 60}};
    advises(scene_of(behind, 0.5), "9 of 20 test pictures of bream", "131 of 140", "Try it");
    advises(scene_of(ahead, 0.5), "8 of 20 test pictures of bream", "Use it", "report.html");

    /* Only the last layer learned. */
    s = scene_of(middling, 0.5);
    s->facts.head_only = s->facts.whole_fit = true;
    s->facts.epoch_count = s->facts.epochs_asked = s->facts.best_epoch = 1;
    advises(s,
            "Only the last layer of the network was trained; training all of it takes longer and is usually better: rudd train "
            "--config runs/3/run.json --freeze none --optimizer adamw.",
            "246 of 300", "Try it");
}

static void how_well_it_is_known(void **state)
{
    (void)state;
    /* Few pictures: no praise. */
    static const int few[CLASSES][CLASSES] = {{3, 0, 0}, {0, 3, 0}, {0, 0, 3}};
    advises(scene_of(few, 0.5),
            "The 9 test pictures are too few for a judgement: 9 were right, so that of new pictures 70 % to 100 % may be "
            "right; 200 "
            "would tell.",
            "Try it", "There is no mistake among the test pictures");
    /* The bound: an interval of 15 points. 73 right answers speak for 95 % or more, 20 do not. */
    static const int enough[CLASSES][CLASSES] = {{25, 0, 0}, {0, 25, 0}, {0, 0, 25}};
    advises(scene_of(enough, 0.5), "Use it", "There is no", "Pictures");

    struct scene *s = scene_of(good, 0.5);
    s->facts.phase = "train";
    s->facts.val_count = 0;
    for (int i = 0; i < EPOCHS; i++) s->epochs[i].val_loss = s->epochs[i].val_accuracy = NAN;
    advises(
        s,
        "How good the model is with new pictures is not known, since it was judged by the pictures that it learned from: move "
        "some pictures of each class into photos/val and photos/test.",
        "Try it", "report.html");
    s = scene_of(good, 0.5);
    s->facts.phase = "train";
    s->facts.divided = false;
    advises(
        s,
        "How good the model is with new pictures is not known, since it was judged by the pictures that it learned from: keep "
        "some back with --split 0.7,0.15,0.15.",
        "Try it", "report.html");
    s = scene_of(good, 0.5);
    s->facts.phase = "val";
    advises(s, "Use it: rudd predict --model runs/3/model.safetensors PICTURE; 294 of 300 validation", "report.html",
            "Pictures");

    s = scene_of(middling, 0.5);
    s->epochs[9].val_accuracy = 0.97;
    advises(
        s,
        "The model is much better on the validation pictures (97 % right) than on the test pictures (82 %), so the two differ "
        "in kind, or validation pictures are like training pictures: rudd data check photos lists those.",
        "Try it", "report.html");
    for (int k = 0; k < 2; k++) { /* nine points, and what chance explains */
        s = scene_of(middling, 0.5);
        s->epochs[9].val_accuracy = k ? 0.97 : 0.909;
        s->facts.val_count = k ? 10 : 120;
        advises(s, "246 of 300", "Try it", "report.html");
    }

    s = scene_of(good, 0.5);
    s->facts.diverged = true;
    advises(
        s,
        "Learning broke off, since the loss became infinite; the best model before that was kept: train again with a tenth of "
        "the learning rate, or let rudd train --config runs/3/run.json --find-lr suggest one.",
        "294 of 300", "report.html");
}

/* A path that no sentence can hold takes its sentence away, and there are three all the same. */
static void long_paths(void **state)
{
    (void)state;
    char path[4000];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    struct scene *s = scene_of(good, 0.5);
    s->facts.run = path;
    advises(s, "294 of 300", "report.html", "Pictures");
}

/* Mistakes come in the order of their surprise; examples are the surest right answers; no allocation may fail unnoticed. */
static void mistakes_are_found(void **state)
{
    (void)state;
    static const int matrix[CLASSES][CLASSES] = {{2, 1, 0}, {0, 0, 2}, {0, 0, 3}};
    struct scene *s = scene_of(matrix, 0.8);
    struct train_evaluation *e = &s->evaluation;
    assert_int_equal(s->mistakes.count, 3);
    assert_int_equal(s->mistakes.list[0].row, 2);
    assert_int_equal(s->mistakes.list[2].row, 4);
    assert_true(fabs(s->mistakes.list[0].sure - 0.8) < 1e-6);
    assert_int_equal(s->mistakes.example[0], 0);
    assert_int_equal(s->mistakes.example[1], -1);
    assert_int_equal(s->mistakes.example[2], 5);
    assert_int_equal(s->mistakes.sure_count, 5);
    assert_int_equal(s->mistakes.sure_right, 5);
    /* A temperature above 1 makes them less sure: 0.8 of three is 8 to 1 to 1; its root 2.83 to 1 to 1. */
    train_metrics_calibrate(&e->metrics, 2, &e->kept);
    assert_true(fabs(train_answer_sure(e, 2) - sqrt(8) / (sqrt(8) + 2)) < 1e-6);

    struct rudd_error err;
    struct train_mistakes found;
    fail_allocation(0);
    assert_int_equal(train_mistakes_find(&found, e, &err), RUDD_OK);
    const long count = allocations();
    train_mistakes_free(&found);
    assert_true(count >= 3);
    for (long n = 1; n <= count; n++) {
        fail_allocation(n);
        assert_int_equal(train_mistakes_find(&found, e, &err), RUDD_NO_MEMORY);
    }
    fail_allocation(0);
    scene_free(s);
}

/* ---- cautions ---------------------------------------------------------------------------------------------------- */

static char heard[8][1000];
static int heard_count;

static void hear(void *user, const char *line)
{
    (void)user;
    assert_true(heard_count < 8);
    snprintf(heard[heard_count++], sizeof heard[0], "%s", line);
}

static const struct train_events listener = {.note = hear};

/* What is told of classes with so many training pictures. */
static void caution(const int *counts, int classes, const char *weights, const char *arch, int val, bool divided, bool balanced)
{
    static char class_names[12][16];
    char *list[12];
    struct data_item items[2500];
    struct train_settings settings = train_settings_default;
    struct data_splits splits = {.divided = divided};
    int n = 0;
    for (int k = 0; k < classes; k++) {
        snprintf(class_names[k], sizeof class_names[k], "c%d", k);
        list[k] = class_names[k];
        for (int i = 0; i < counts[k]; i++) items[n++] = (struct data_item){NULL, k, 0};
    }
    splits.train.class_names = list;
    splits.train.class_count = classes;
    splits.train.items = items;
    splits.train.count = n;
    splits.val.count = val;
    settings.data = "photos";
    settings.weights = weights;
    settings.class_weights = balanced ? TRAIN_WEIGHTS_BALANCED : TRAIN_WEIGHTS_NONE;
    heard_count = 0;
    const struct train_caution_facts facts = {&settings, &splits, arch};
    assert_int_equal(train_caution(&facts, &listener, NULL), RUDD_OK);
}

static void cautions_before(void **state)
{
    (void)state;
    static const int even[] = {100, 100}, factor[] = {40, 10}, nearly[] = {39, 10};
    static const int tiny[] = {2, 1, 2, 2, 2, 1, 3, 2, 0};
    static const int many[] = {1000, 1000};
    caution(even, 2, "w", "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 0);

    caution(even, 2, "w", "efficientnet_b0", 0, true, false);
    assert_int_equal(heard_count, 1);
    assert_string_equal(heard[0],
                        "Caution: there are no validation pictures, so the best epoch is chosen by the training loss, "
                        "which also falls when pictures are learned by heart; move some pictures of each class from "
                        "photos/train to photos/val.");
    caution(even, 2, "w", "efficientnet_b0", 0, false, false);
    assert_non_null(strstr(heard[0], "keep some back with --split 0.7,0.15,0.15."));

    caution(factor, 2, "w", "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 1);
    assert_string_equal(heard[0],
                        "Caution: c0 has 40 training pictures and c1 only 10, so the network will favour c0; add pictures of "
                        "small classes, or try --class-weights balanced.");
    caution(factor, 2, "w", "efficientnet_b0", 10, true, true);
    assert_int_equal(heard_count, 0);
    caution(nearly, 2, "w", "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 0);

    caution(tiny, 9, "w", "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 1);
    assert_string_equal(heard[0],
                        "Caution: 7 of 9 classes have 2 training pictures or fewer, too few to learn from: c0 (2), c1 (1), "
                        "c2 (2), c3 (2), c4 (2) and 2 more; add pictures until each has 10.");

    caution(even, 2, NULL, "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 1);
    assert_non_null(strstr(heard[0], "Caution: the network starts from random weights, and 100 pictures a class are few"));
    assert_non_null(strstr(heard[0], "rudd fetch timm/tf_efficientnetv2_b0.in1k"));
    caution(even, 2, NULL, "rudd_nano", 10, true, false);
    assert_int_equal(heard_count, 0);
    caution(many, 2, NULL, "efficientnet_b0", 10, true, false);
    assert_int_equal(heard_count, 0);

    fail_allocation(1);
    const struct data_splits none = {.divided = true};
    const struct train_caution_facts facts = {&train_settings_default, &none, "rudd_nano"};
    assert_int_equal(train_caution(&facts, &listener, NULL), RUDD_NO_MEMORY);
    fail_allocation(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interval_is_wilsons),  cmocka_unit_test(good_is_used),    cmocka_unit_test(by_heart),
        cmocka_unit_test(still_learning),       cmocka_unit_test(nothing_learned), cmocka_unit_test(classes_and_files),
        cmocka_unit_test(how_well_it_is_known), cmocka_unit_test(long_paths),      cmocka_unit_test(mistakes_are_found),
        cmocka_unit_test(cautions_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
