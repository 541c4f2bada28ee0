/* test_train.c - training from end to end, on pictures that the test draws. Every run here goes through train_cmd_train, the
 * function behind `rudd train`. Stopping, resuming and repeating: test_resume.c. */
#include "tests/training.h"
#include "tests/sanitized.h"
#include "nn/plan.h"
#include "train/evaluate.h"
#include "train/labels.h"
#include "train/settings.h"
#include "train/teacher.h"
#include "weights/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- claims ------------------------------------------------------------------------------------------------------ */

/* The loss falls, the pictures are told apart, and the folder holds everything INTERFACE promises, in the form it promises. */
static void learns_and_leaves_a_run(void **state)
{
    (void)state;
    char path[TRAIN_PATH];
    size_t length;
    /* At 32 pixels the last maps are one pixel: statistics over a batch of 8 are noise, so norms keep theirs. */
    enum { EPOCHS = SANITIZED ? 3 : 20 };
    if (SANITIZED) print_message("  left out under sanitizers: 17 of 20 epochs, and whether they teach\n");
    char options[100];
    snprintf(options, sizeof options, "|--epochs|%d|--freeze-bn|--head-lr|1e-3|--label-smoothing|0|--clip-norm|1", EPOCHS);
    must(train("learns", options));
    struct train_run_folder folder;
    must(train_run_folder_open(&folder, in_root("learns"), EPOCHS, &err));
    if (!SANITIZED) assert_true(folder.epochs[EPOCHS - 1].train_loss < 0.7 * folder.epochs[0].train_loss);
    assert_int_equal(folder.epochs[EPOCHS - 1].epoch, EPOCHS);
    train_run_folder_free(&folder);

    json_t *run = parse_json(train_run_path(path, in_root("learns"), "run.json"));
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    struct train_settings s = train_settings_default;
    size_t recorded = 0;
    for (int i = train_settings_table(rows, &s) - 1; i >= 0; i--) recorded += nn_option_holds_value(&rows[i]);
    assert_int_equal(json_object_size(json_object_get(run, "options")), recorded);
    assert_string_equal(json_string_value(json_object_get(run, "status")), "done");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(run, "dataset"), "train")), 24);
    json_t *test = json_object_get(json_object_get(run, "final"), "test");
    assert_true(json_number_value(json_object_get(test, "top1")) >= (SANITIZED ? 0 : 0.85));
    assert_int_equal(json_integer_value(json_object_get(test, "images")), 9);

    /* report.html: complete, self-contained, and no name breaks out of it. */
    char *html = read_all(train_run_path(path, in_root("learns"), "report.html"), &length);
    html = rudd_realloc(html, length + 1);
    html[length] = 0;
    assert_non_null(strstr(html, "</html>"));
    assert_non_null(strstr(html, "a&lt;b&amp;&quot;c"));
    assert_null(strstr(html, "a<b"));
    assert_null(strstr(html, "http"));
    assert_null(strstr(html, "<script"));
    assert_non_null(strstr(html, "<polyline"));
    rudd_free(html);

    /* The model says whose it is. */
    struct nn_model *model;
    must(weights_model_load(&model, train_run_path(path, in_root("learns"), "model.safetensors"), NULL, NULL, &err));
    assert_string_equal(model->run, json_string_value(json_object_get(run, "id")));
    assert_string_equal(model->classes[0].name, classes[0]);
    assert_int_equal(model->preprocess.image_size, 32);
    assert_non_null(strstr(model->metrics, "\"test\""));
    nn_model_destroy(model);
    json_decref(run);

    /* A run is not overwritten by another. */
    assert_int_equal(train("learns", ""), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--resume"));
}

/* One fit has no curves and no rate to draw; a class without test pictures is not the hardest. */
static void reports_what_there_is(void **state)
{
    (void)state;
    char line[700], path[TRAIN_PATH];
    size_t length;
    draw_set("untested");
    assert_int_equal(rename(in_root("untested/test/green"), in_root("untested_green")), 0);
    snprintf(line, sizeof line,
             "train|--quiet|--data|%s|--out|%s|--arch|rudd_nano|--image-size|32|--freeze|all|--optimizer|lbfgs",
             in_root("untested"), in_root("fitted"));
    must(command(train_cmd_train, line));
    char *html = read_all(train_run_path(path, in_root("fitted"), "report.html"), &length);
    html = rudd_realloc(html, length + 1);
    html[length] = 0;
    assert_null(strstr(html, "<h2>Learning"));
    const char *table = strstr(html, "<h2>Classes"), *absent = table ? strstr(table, "<td>green</td><td>-</td>") : NULL;
    const char *red = table ? strstr(table, "<td>red</td>") : NULL;
    assert_true(absent && red && red < absent);
    rudd_free(html);
}

/* A teacher changes what is learned, by as much as it is told to; with another input than the student's it is refused. */
static void learns_from_a_teacher(void **state)
{
    (void)state;
    char options[600], teacher[300], x[TRAIN_PATH], y[TRAIN_PATH];
    snprintf(teacher, sizeof teacher, "%s", in_root("one/model.safetensors"));
    must(train("one", "|--epochs|1"));
    must(train("alone", "|--epochs|1|--freeze|all|--cache|off"));
    snprintf(options, sizeof options, "|--epochs|1|--freeze|all|--teacher|%s|--distill-weight|0", teacher);
    must(train("unheard", options));
    assert_values(train_run_path(x, in_root("alone"), "model.safetensors"),
                  train_run_path(y, in_root("unheard"), "model.safetensors"), true);
    snprintf(options, sizeof options, "|--epochs|1|--freeze|all|--teacher|%s|--distill-weight|0.5", teacher);
    must(train("taught", options));
    assert_values(train_run_path(x, in_root("alone"), "model.safetensors"),
                  train_run_path(y, in_root("taught"), "model.safetensors"), false);

    snprintf(options, sizeof options, "|--epochs|1|--freeze|all|--image-size|48|--teacher|%s", teacher);
    assert_int_equal(train("refused", options), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "--image-size 32"));
    snprintf(options, sizeof options, "eval|--quiet|--model|%s|--data|%s", teacher, in_root("set"));
    assert_int_equal(command(train_cmd_eval, options), RUDD_MISMATCH); /* all of a data set, not one split */
    assert_non_null(strstr(err.message, "give one of them"));
}

/* Pictures that cannot be read are named in the record and left out; the run goes on. */
static void bad_pictures_are_skipped(void **state)
{
    (void)state;
    char path[TRAIN_PATH], text[TRAIN_PATH];
    size_t length;
    draw_set("bad");
    snprintf(path, sizeof path, "%s/train/green/0.jpg", in_root("bad"));
    char *jpeg = read_all(path, &length);
    FILE *f = fopen(path, "wb");
    fwrite(jpeg, 1, length / 3, f);
    fclose(f);
    rudd_free(jpeg);
    snprintf(path, sizeof path, "%s/val/red/1.jpg", in_root("bad"));
    write_text(path, "this is no picture\n");
    write_text(in_root("bad/test/red/2.jpg"), "nor this\n");

    snprintf(text, sizeof text,
             "train|--quiet|--data|%s|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--epochs|1|--freeze|all",
             in_root("bad"), in_root("skips"));
    must(command(train_cmd_train, text));
    json_t *run = parse_json(train_run_path(path, in_root("skips"), "run.json"));
    const json_t *skipped = json_object_get(run, "skipped");
    assert_int_equal(json_array_size(skipped), 3);
    assert_non_null(strstr(json_string_value(json_array_get(skipped, 0)), "train/green/0.jpg"));
    assert_non_null(strstr(json_string_value(json_array_get(skipped, 1)), "val/red/1.jpg"));
    assert_non_null(strstr(json_string_value(json_array_get(skipped, 2)), "test/red/2.jpg"));
    json_decref(run);

    /* The pictures change: the run cannot be resumed on them. */
    write_text(in_root("bad/val/red/1.jpg"), "another text\n");
    assert_int_equal(resume("skips", "|--epochs|2"), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "changed"));
}

/* Training without validation pictures keeps the epoch of the lowest training loss, and reports on what there is. */
static void works_without_validation(void **state)
{
    (void)state;
    char line[1000], path[TRAIN_PATH];
    snprintf(line, sizeof line,
             "train|--quiet|--data|%s|--split|1,0,0|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--epochs|1",
             in_root("set/train"), in_root("noval"));
    must(command(train_cmd_train, line));
    json_t *run = parse_json(train_run_path(path, in_root("noval"), "run.json"));
    assert_non_null(json_object_get(json_object_get(run, "final"), "train"));
    json_decref(run);
}

/* Wrong usage is told as such, and leaves no folder behind. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *more, *said;
    } cases[] = {
        {"|--freeze|everything", "--freeze"}, {"|--crop-min|0.9|--crop-max|0.5", "--crop-min"},
        {"|--split|0.9,0.9,0.9", "--split"},  {"|--labels|/nowhere.json", "/nowhere.json"},
        {"|--memory-limit|1K", "limit"},      {"|--freeze|all|--memory-limit|1M", "raise it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum rudd_status status = train("refused", cases[i].more);
        if (status == RUDD_OK || !strstr(err.message, cases[i].said)) fail_msg("%s gave: %s", cases[i].more, err.message);
        assert_int_not_equal(access(in_root("refused"), F_OK), 0);
    }
    char line[600];
    assert_int_equal(mkdir(in_root("lone"), 0777) | mkdir(in_root("lone/perch"), 0777), 0);
    assert_int_equal(link(in_root("set/train/green/0.jpg"), in_root("lone/perch/0.jpg")), 0);
    snprintf(line, sizeof line, "train|--quiet|--data|%s|--split|1,0,0|--arch|rudd_nano", in_root("lone"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "one class, perch"));
    snprintf(line, sizeof line, "train|--quiet|--data|%s|--arch|efficientnet_b99", in_root("set"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    snprintf(line, sizeof line, "train|--quiet|--data|%s", in_root("set"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--weights"));
    assert_int_equal(resume("never_made", ""), RUDD_IO);
}

/* A folder that holds anything is no place for a new run, least of all that of --weights. What a dead
 * writer left there does no harm. */
static void nothing_of_the_users_is_replaced(void **state)
{
    (void)state;
    char more[1200];
    must(train("origin", "|--max-steps|1"));
    assert_int_equal(mkdir(in_root("mine"), 0777), 0);
    assert_int_equal(link(in_root("origin/model.safetensors"), in_root("mine/model.safetensors")), 0);
    snprintf(more, sizeof more, "|--max-steps|1|--weights|%s", in_root("mine/model.safetensors"));
    assert_int_equal(train("mine", more), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "model.safetensors already"));
    struct stat origin, mine;
    assert_int_equal(stat(in_root("origin/model.safetensors"), &origin) | stat(in_root("mine/model.safetensors"), &mine), 0);
    assert_true(origin.st_ino == mine.st_ino);

    assert_int_equal(mkdir(in_root("died"), 0777), 0);
    assert_int_equal(symlink("nowhere", in_root("died/run.json.123-4.tmp")), 0);
    must(train("died", "|--max-steps|1"));
}

/* Under a limit the plan keeps to it: by recomputing, then by smaller batches, several to a step. */
static void keeps_to_a_limit(void **state)
{
    (void)state;
    double bytes = 0;
    for (int part = 1; part <= 3; part++) {
        char more[100], path[TRAIN_PATH];
        const double limit = bytes / part;
        if (part == 1)
            snprintf(more, sizeof more, "|--image-size|96|--max-steps|1");
        else
            snprintf(more, sizeof more, "|--image-size|96|--max-steps|1|--memory-limit|%.0f", limit);
        snprintf(path, sizeof path, "limit%d", part);
        must(train(path, more));
        strcat(path, "/run.json");
        json_t *run = parse_json(in_root(path));
        const double took = json_number_value(json_object_get(json_object_get(run, "model"), "plan_bytes"));
        assert_true(took > 0 && (part == 1 || took <= limit));
        if (part == 1) bytes = took;
        json_decref(run);
    }
}

/* A teacher's activations are within the limit, and what it says does not depend on how many pictures it sees at a time. */
static void a_teacher_keeps_to_the_limit(void **state)
{
    (void)state;
    char common[400], more[1000], teacher[300], x[TRAIN_PATH], y[TRAIN_PATH];
    draw_set("unchecked"); /* all of the limit is for learning */
    assert_int_equal(rename(in_root("unchecked/val"), in_root("unchecked_val")), 0);
    snprintf(common, sizeof common, "|--data|%s|--arch|rudd_nano|--image-size|96|--max-steps|1", in_root("unchecked"));
    must(train("nano", common));
    snprintf(teacher, sizeof teacher, "%s", in_root("nano/model.safetensors"));
    snprintf(more, sizeof more, "%s|--teacher|%s", common, teacher);
    must(train("nano_free", more));
    json_t *run = parse_json(in_root("nano_free/run.json"));
    const size_t limit = (size_t)json_integer_value(json_object_get(json_object_get(run, "model"), "plan_bytes"));
    json_decref(run);

    snprintf(more, sizeof more, "%s|--teacher|%s|--memory-limit|%zu", common, teacher, limit);
    must(train("nano_tight", more));
    run = parse_json(in_root("nano_tight/run.json"));
    const size_t took = (size_t)json_integer_value(json_object_get(json_object_get(run, "model"), "plan_bytes"));
    json_decref(run);
    struct nn_model *model;
    struct train_teacher *t;
    must(weights_model_load(&model, teacher, NULL, NULL, &err));
    must(train_teacher_open(&t, teacher, model, 8, limit, &err));
    assert_true(train_teacher_bytes(t) > 0 && took + train_teacher_bytes(t) <= limit);
    train_teacher_close(t);
    nn_model_destroy(model);
    assert_values(train_run_path(x, in_root("nano_free"), "model.safetensors"),
                  train_run_path(y, in_root("nano_tight"), "model.safetensors"), true);
}

/* labels.json gives classes their names, follows them by name, and must be well formed. */
static void label_map(void **state)
{
    (void)state;
    char *names[] = {"green", "red"};
    struct data_set set = {.class_names = names, .class_count = 2};
    struct nn_model *model;
    must(nn_model_describe(&model, "efficientnet_b0", 2, &err));
    write_text(in_root("l.json"),
               "[{\"name\":\"red\",\"latin\":\"Rutilus\",\"ru\":\"\xd0\xbf\"},{\"name\":\"blue\",\"en\":\"x\"}]");
    must(train_labels_apply(model, &set, in_root("l.json"), &err));
    assert_string_equal(model->classes[0].name, "green");
    assert_null(model->classes[0].latin);
    assert_string_equal(model->classes[1].latin, "Rutilus");
    assert_string_equal(model->classes[1].ru, "\xd0\xbf");
    static const char *const broken[] = {"{\"name\":\"red\"}", "[1]", "[{\"latin\":\"x\"}]",
                                         "[{\"name\":\"a\"},{\"name\":\"a\"}]", "["};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_text(in_root("l.json"), broken[i]);
        assert_int_equal(train_labels_apply(model, &set, in_root("l.json"), &err), RUDD_FORMAT);
        assert_string_equal(model->classes[1].latin, "Rutilus");
    }
    nn_model_destroy(model);
}

/* A set whose classes are the model's in another order is renumbered to the model's; other classes leave it alone. */
static void labels_follow_the_model(void **state)
{
    (void)state;
    struct nn_class of_model[] = {{.name = "c"}, {.name = "a"}, {.name = "b"}};
    struct nn_model model = {.classes = of_model, .class_count = 3};
    char a[] = "a", b[] = "b", c[] = "c", d[] = "d";
    char *names[] = {a, b, c}, *none[] = {a, b, c};
    struct data_item items[] = {{.label = 0}, {.label = 1}, {.label = 2}, {.label = 1}};
    struct data_splits splits = {.train = {.class_names = names, .class_count = 3, .items = items, .count = 4},
                                 .val = {.class_names = none, .class_count = 3},
                                 .test = {.class_names = none}};
    bool followed;
    assert_int_equal(train_labels_follow(&followed, &splits, &model, NULL), RUDD_OK);
    assert_true(followed);
    assert_int_equal(items[0].label, 1);
    assert_int_equal(items[1].label, 2);
    assert_int_equal(items[2].label, 0);
    assert_int_equal(items[3].label, 2);
    for (int k = 0; k < 3; k++) {
        assert_string_equal(names[k], of_model[k].name);
        assert_string_equal(none[k], of_model[k].name);
    }
    names[0] = d;
    assert_int_equal(train_labels_follow(&followed, &splits, &model, NULL), RUDD_OK);
    assert_false(followed);
    assert_int_equal(items[0].label, 1);
}

/* B0 makes one pixel of 32: a batch norm there sees as many values as the batch has pictures. */
static void norms_see_values(void **state)
{
    (void)state;
    static const struct {
        struct nn_plan_options options;
        int values;
    } cases[] = {
        {{.batch = 1, .image_size = 32, .train = true}, 1},
        {{.batch = 3, .image_size = 32, .train = true}, 3},
        {{.batch = 3, .image_size = 64, .train = true}, 12},
        {{.batch = 1, .image_size = 32, .train = true, .freeze_bn = true}, 0},
        {{.batch = 1, .image_size = 32}, 0},
    };
    struct nn_model *model;
    assert_int_equal(nn_model_create(&model, "efficientnet_b0", 3, NULL), RUDD_OK);
    nn_model_init_params(model, 1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nn_plan *plan;
        assert_int_equal(nn_plan_create(&plan, model, &cases[i].options, NULL), RUDD_OK);
        assert_int_equal(nn_plan_norm_values(plan), cases[i].values);
        nn_plan_destroy(plan);
    }
    nn_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_follow_the_model),
        cmocka_unit_test(label_map),
        cmocka_unit_test(refusals),
        cmocka_unit_test(nothing_of_the_users_is_replaced),
        cmocka_unit_test(keeps_to_a_limit),
        cmocka_unit_test(a_teacher_keeps_to_the_limit),
        cmocka_unit_test(learns_and_leaves_a_run),
        cmocka_unit_test(reports_what_there_is),
        cmocka_unit_test(learns_from_a_teacher),
        cmocka_unit_test(bad_pictures_are_skipped),
        cmocka_unit_test(works_without_validation),
        cmocka_unit_test(norms_see_values),
    };
    return cmocka_run_group_tests_name("train", tests, begin_runs, end_runs);
}
