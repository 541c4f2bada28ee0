/* test_train.c - training from end to end, on pictures that the test draws: three colours that even a small, random network at
 * 32 pixels tells apart after a few steps.
 *
 * Every run here goes through train_cmd_train, the function behind `rudd train`. */
#include "data/jpeg_write.h"
#include "nn/rng.h"
#include "tests/sanitized.h"
#include "train/command.h"
#include "train/evaluate.h"
#include "train/fit.h"
#include "train/labels.h"
#include "train/run_folder.h"
#include "weights/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a disk that dies -------------------------------------------------------------------------------------------- */

static int renames_left = -1; /* -1: never dies */
static int rename_count;

/* Takes libc's place in this program. Every file of a run arrives by one rename; from the fatal one on, all fail. */
int rename(const char *from, const char *to)
{
    rename_count++;
    if (renames_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (renames_left > 0) renames_left--;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- pictures and runs ------------------------------------------------------------------------------------------- */

static char root[] = "/tmp/rudd_train_XXXXXX";
static struct rudd_error err;
/* The first name has all that HTML and JSON care about. */
static const char *const classes[] = {"a<b&\"c", "green", "red"};

static const char *in_root(const char *name)
{
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void draw(const char *path, int colour, uint64_t key)
{
    enum { SIDE = 40 };
    uint8_t rgb[SIDE * SIDE * 3], *jpeg;
    struct data_image image = {SIDE, SIDE, rgb};
    struct nn_rng rng;
    size_t length;
    nn_rng_init(&rng, 1, key, (uint64_t)colour);
    int base = 120 + (int)nn_rng_below(&rng, 100);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = (uint8_t)((c == 2 - colour ? base : 20) + (int)nn_rng_below(&rng, 30));
    assert_int_equal(data_jpeg_write(&jpeg, &length, &image, 90, NULL), RUDD_OK);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(jpeg, 1, length, f), length);
    fclose(f);
    rudd_free(jpeg);
}

static void draw_set(const char *name)
{
    static const struct {
        const char *split;
        int count;
    } splits[] = {{"train", 8}, {"val", 4}, {"test", 3}};
    char path[600];
    mkdir(in_root(name), 0777);
    for (int s = 0; s < 3; s++) {
        snprintf(path, sizeof path, "%s/%s", in_root(name), splits[s].split);
        mkdir(path, 0777);
        for (int k = 0; k < 3; k++) {
            snprintf(path, sizeof path, "%s/%s/%s", in_root(name), splits[s].split, classes[k]);
            mkdir(path, 0777);
            for (int i = 0; i < splits[s].count; i++) {
                snprintf(path, sizeof path, "%s/%s/%s/%d.jpg", in_root(name), splits[s].split, classes[k], i);
                draw(path, k, (uint64_t)(100 * s + i));
            }
        }
    }
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static char *read_all(const char *path, size_t *length)
{
    uint8_t *bytes;
    if (data_file_read(&bytes, length, path, 1u << 30, &err) != RUDD_OK) fail_msg("%s", err.message);
    return (char *)bytes;
}

static void assert_files_equal(const char *a, const char *b)
{
    size_t m, n;
    char *x = read_all(a, &m), *y = read_all(b, &n);
    if (m != n || memcmp(x, y, m) != 0) fail_msg("%s and %s differ", a, b);
    rudd_free(x);
    rudd_free(y);
}

static json_t *parse_json(const char *path)
{
    size_t n;
    char *text = read_all(path, &n);
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    rudd_free(text);
    assert_non_null(json);
    return json;
}

/* Runs a command with words separated by '|'. */
static enum rudd_status command(train_command *run, const char *line)
{
    char copy[TRAIN_PATH + 1000], *argv[64];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    argv[argc++] = copy;
    for (char *bar = strchr(copy, '|'); bar; bar = strchr(bar, '|')) {
        *bar++ = 0;
        argv[argc++] = bar;
    }
    err.message[0] = 0;
    return run(argc, argv, &err);
}

/* A short run of the small network: out names the folder, more adds options. */
static enum rudd_status train(const char *out, const char *more)
{
    char line[2000];
    snprintf(line, sizeof line,
             "train|--quiet|--data|%s|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--lr|1e-3|--bn-momentum|0.5%s",
             in_root("set"), in_root(out), more);
    return command(train_cmd_train, line);
}

static enum rudd_status resume(const char *out, const char *more)
{
    char line[1000];
    snprintf(line, sizeof line, "train|--quiet|--resume|%s%s", in_root(out), more);
    return command(train_cmd_train, line);
}

static void must(enum rudd_status status)
{
    if (status != RUDD_OK) fail_msg("%s", err.message);
}

static void assert_same_run(const char *a, const char *b)
{
    static const char *const files[] = {"model.safetensors", "last.safetensors"};
    char x[TRAIN_PATH], y[TRAIN_PATH];
    for (int i = 0; i < 2; i++)
        assert_files_equal(train_run_path(x, in_root(a), files[i]), train_run_path(y, in_root(b), files[i]));
}

/* Whether two model files hold the same values, whatever their metadata says. */
static void assert_values(const char *a, const char *b, bool equal)
{
    struct nn_model *x, *y;
    must(weights_model_load(&x, a, NULL, NULL, &err));
    must(weights_model_load(&y, b, NULL, NULL, &err));
    assert_int_equal(x->value_count, y->value_count);
    assert_int_equal(memcmp(x->values, y->values, x->value_count * sizeof *x->values) == 0, equal);
    nn_model_destroy(x);
    nn_model_destroy(y);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    draw_set("set");
    return 0;
}

static int end(void **state)
{
    (void)state;
    char line[400];
    snprintf(line, sizeof line, "rm -rf '%s'", root);
    return system(line);
}

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
    int count = train_settings_table(rows, &s);
    assert_int_equal(json_object_size(json_object_get(run, "options")), count - 1); /* all but --config */
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

/* Any number of threads gives the same bits. */
static void threads_change_nothing(void **state)
{
    (void)state;
    must(train("one", "|--threads|1|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1"));
    must(train("two", "|--threads|2|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1"));
    assert_same_run("one", "two");
    must(train("other", "|--threads|2|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1|--seed|1"));
    size_t m, n;
    char path[TRAIN_PATH];
    char *x = read_all(train_run_path(path, in_root("two"), "last.safetensors"), &m);
    char *y = read_all(train_run_path(path, in_root("other"), "last.safetensors"), &n);
    assert_true(m != n || memcmp(x, y, m) != 0); /* the comparison can tell */
    rudd_free(x);
    rudd_free(y);
}

static void stop_after_first(void *user, const struct train_epoch *epoch, int epochs, bool best)
{
    (void)epoch;
    (void)epochs;
    (void)best;
    *(bool *)user = true;
}

static bool stopped(void *user)
{
    return *(bool *)user;
}

/* Stopped within the second epoch and resumed: the same bytes as without the stop, with everything that has a state. */
#define STATEFUL                                                                                                               \
    "|--epochs|3|--ema|0.9|--dropout|0.3|--drop-path|0.2|--schedule|plateau|--accumulate|2|--mixup|0.4|--cutmix|1|--focal|2|--sampling|balanced"
static void resumes_exactly(void **state)
{
    (void)state;
    struct train_settings s = train_settings_default;
    bool stop = false;
    struct train_events events = {.user = &stop, .epoch = stop_after_first, .stop = stopped};
    must(train("straight", STATEFUL));

    s.data = in_root("set");
    s.out = in_root("resumed");
    s.arch = "efficientnet_b0";
    s.image_size = 32;
    s.batch = 8;
    s.lr = 1e-3;
    s.bn_momentum = 0.5;
    s.epochs = 3;
    s.ema = 0.9;
    s.dropout = 0.3;
    s.drop_path = 0.2;
    s.schedule = TRAIN_PLATEAU;
    s.accumulate = 2;
    s.mixup = 0.4;
    s.cutmix = 1;
    s.focal = 2;
    s.sampling = DATA_BALANCED;
    must(train_settings_resolve(&s, &err));
    assert_int_equal(train_fit(NULL, &s, &events, &err), RUDD_CANCELLED);
    char path[TRAIN_PATH];
    json_t *run = parse_json(train_run_path(path, in_root("resumed"), "run.json"));
    assert_string_equal(json_string_value(json_object_get(run, "status")), "stopped");
    json_decref(run);
    must(resume("resumed", ""));
    assert_same_run("straight", "resumed");
}

/* A teacher changes what is learned, by as much as it is told to; with another input than the student's it is refused. */
static void learns_from_a_teacher(void **state)
{
    (void)state;
    char options[600], teacher[300], x[TRAIN_PATH], y[TRAIN_PATH];
    snprintf(teacher, sizeof teacher, "%s", in_root("one/model.safetensors"));
    must(train("alone", "|--epochs|1|--freeze|all"));
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
}

/* A run that dies at any file it writes and is started again ends with the same bytes as one that never died. */
static void survives_every_write(void **state)
{
    (void)state;
    static const char options[] = "|--epochs|2|--freeze|all|--warmup-epochs|0";
    char path[TRAIN_PATH];
    must(train("whole", options));
    int deaths = 0;
    for (int fatal = 0;; fatal++) {
        renames_left = fatal;
        enum rudd_status status = train("dies", options);
        renames_left = -1;
        if (status == RUDD_OK) break;
        assert_int_equal(status, RUDD_IO);
        deaths++;
        /* Without run.json nothing had begun: the same command starts it. Else it goes on. */
        bool begun = access(train_run_path(path, in_root("dies"), "run.json"), F_OK) == 0;
        must(begun ? resume("dies", "") : train("dies", options));
        assert_same_run("whole", "dies");
        char line[400];
        snprintf(line, sizeof line, "ls '%s' | wc -l | grep -qx 5 && rm -r '%s'", in_root("dies"), in_root("dies"));
        assert_int_equal(system(line), 0); /* the five files and no left-overs */
    }
    assert_true(deaths >= 8);
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

    snprintf(text, sizeof text,
             "train|--quiet|--data|%s|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--epochs|1|--freeze|all",
             in_root("bad"), in_root("skips"));
    must(command(train_cmd_train, text));
    json_t *run = parse_json(train_run_path(path, in_root("skips"), "run.json"));
    const json_t *skipped = json_object_get(run, "skipped");
    assert_int_equal(json_array_size(skipped), 2);
    assert_non_null(strstr(json_string_value(json_array_get(skipped, 0)), "train/green/0.jpg"));
    assert_non_null(strstr(json_string_value(json_array_get(skipped, 1)), "val/red/1.jpg"));
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
        {"|--memory-limit|1K", "limit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum rudd_status status = train("refused", cases[i].more);
        if (status == RUDD_OK || !strstr(err.message, cases[i].said)) fail_msg("%s gave: %s", cases[i].more, err.message);
        assert_int_not_equal(access(in_root("refused"), F_OK), 0);
    }
    char line[600];
    snprintf(line, sizeof line, "train|--quiet|--data|%s|--arch|efficientnet_b99", in_root("set"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    snprintf(line, sizeof line, "train|--quiet|--data|%s", in_root("set"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--weights"));
    assert_int_equal(resume("never_made", ""), RUDD_IO);
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
    struct data_splits splits = {.train = {names, 3, items, 4}, .val = {none, 3, NULL, 0}, .test = {none, 0, NULL, 0}};
    assert_true(train_labels_follow(&splits, &model));
    assert_int_equal(items[0].label, 1);
    assert_int_equal(items[1].label, 2);
    assert_int_equal(items[2].label, 0);
    assert_int_equal(items[3].label, 2);
    for (int k = 0; k < 3; k++) {
        assert_string_equal(names[k], of_model[k].name);
        assert_string_equal(none[k], of_model[k].name);
    }
    names[0] = d;
    assert_false(train_labels_follow(&splits, &model));
    assert_int_equal(items[0].label, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_follow_the_model),
        cmocka_unit_test(label_map),
        cmocka_unit_test(refusals),
        cmocka_unit_test(learns_and_leaves_a_run),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(resumes_exactly),
        cmocka_unit_test(learns_from_a_teacher),
        cmocka_unit_test(survives_every_write),
        cmocka_unit_test(bad_pictures_are_skipped),
        cmocka_unit_test(works_without_validation),
    };
    return cmocka_run_group_tests_name("train", tests, begin, end);
}
