/* test_runs.c - runs after training: made again from their record, listed, compared, promoted.
 *
 * Two short runs on pictures that the test draws; every command goes through the function behind `rudd`. */
#include "data/session.h"
#include "tests/pictures.h"
#include "train/command.h"
#include "train/run_folder.h"
#include "weights/model_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64];
static struct rudd_error err;

static const char *in_root(const char *name)
{
    static char paths[8][200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

/* Runs a command with words separated by '|'. */
static enum rudd_status command(train_command *run, const char *line)
{
    static char copy[4000]; /* what options point into */
    char *argv[64];
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

static void must(enum rudd_status status)
{
    if (status != RUDD_OK) fail_msg("%s", err.message);
}

/* A run with a setting of every type that is not the default. */
static enum rudd_status train(const char *out, const char *more)
{
    char line[2000];
    snprintf(
        line, sizeof line,
        "train|--quiet|--data|%s|--out|%s|--arch|rudd_nano|--image-size|32|--batch|8|--epochs|2|--lr|0.0123456789012|--ema|0.5|"
        "--split|0.333333333333,0.333333333333,0.333333333333|--optimizer|sgd|--jitter|0.123456789012%s",
        in_root("set"), in_root(out), more);
    return command(train_cmd_train, line);
}

static struct bytes read_all(const char *folder, const char *name)
{
    char path[TRAIN_PATH];
    struct bytes b;
    must(data_file_read(&b.at, &b.length, train_run_path(path, in_root(folder), name), 1u << 30, &err));
    return b;
}

static bool same_file(const char *a, const char *b, const char *name)
{
    struct bytes x = read_all(a, name), y = read_all(b, name);
    bool same = x.length == y.length && memcmp(x.at, y.at, x.length) == 0;
    rudd_free(x.at);
    rudd_free(y.at);
    return same;
}

static int begin(void **state)
{
    (void)state;
    folder_create(root);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 9; i++) {
            char name[40];
            snprintf(name, sizeof name, "set/%c/%d.jpg", 'a' + k, i);
            picture_put(root, name, 24 + 8 * k, 32, 100 * k + i);
        }
    must(train("first", ""));
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(root);
    return 0;
}

/* ---- claims ------------------------------------------------------------------------------------------------------ */

/* `--config RUN/run.json` makes the same run again, elsewhere: the same bytes of both models. Flags still win. */
static void a_record_repeats_its_run(void **state)
{
    (void)state;
    char line[1000];
    snprintf(line, sizeof line, "train|--config|%s/run.json|--out|%s", in_root("first"), in_root("again"));
    must(command(train_cmd_train, line));
    assert_true(same_file("first", "again", "model.safetensors"));
    assert_true(same_file("first", "again", "last.safetensors"));
    struct bytes texts[2] = {read_all("first", "run.json"), read_all("again", "run.json")};
    json_t *records[2], *options[2];
    for (int i = 0; i < 2; i++) { /* the merged whole is in the record, and differs in where it was written alone */
        records[i] = json_loadb((const char *)texts[i].at, texts[i].length, 0, NULL);
        options[i] = json_object_get(records[i], "options");
        assert_int_equal(json_object_del(options[i], "out"), 0);
        rudd_free(texts[i].at);
    }
    assert_true(json_equal(options[0], options[1]));
    assert_true(json_equal(json_object_get(records[0], "final"), json_object_get(records[1], "final")));
    for (int i = 0; i < 2; i++) json_decref(records[i]);

    snprintf(line, sizeof line, "train|--config|%s/run.json|--out|%s|--seed|1", in_root("first"), in_root("other"));
    must(command(train_cmd_train, line));
    assert_false(same_file("first", "other", "model.safetensors")); /* the comparison can tell */
}

/* Runs a command, and gives what it prints; good until the next call. */
static const char *text_of(train_command *run, const char *line, enum rudd_status wanted)
{
    static char text[200000];
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int own = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    enum rudd_status status = command(run, line);
    fflush(stdout);
    assert_true(dup2(own, STDOUT_FILENO) >= 0);
    close(own);
    if (status != wanted) fail_msg("%s gave %d: %s", line, status, err.message);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

/* The same, parsed. */
static json_t *json_of(train_command *run, const char *line)
{
    json_t *json = json_loads(text_of(run, line, RUDD_OK), 0, NULL);
    assert_non_null(json);
    return json;
}

static double number(const json_t *object, const char *a, const char *b)
{
    const json_t *value = json_object_get(object, a);
    if (b) value = json_object_get(value, b);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* A folder with a record, figures and all, but no model. */
static void put_record(const char *name, const char *text)
{
    char path[TRAIN_PATH];
    picture_put(root, name, 8, 8, 0); /* makes the folders of its name */
    snprintf(path, sizeof path, "%s", in_root(name));
    strcpy(strrchr(path, '/'), "/run.json");
    file_write(path, (struct bytes){(uint8_t *)text, strlen(text)});
}

/* All runs of a folder are listed, broken ones as such; the best is a finished one, by the figure asked for, whichever way is up. */
static void listed_and_chosen(void **state)
{
    (void)state;
    char line[600];
    put_record("many/a/x.jpg",
               "{\"id\":\"1\",\"status\":\"done\",\"final\":{\"val\":{\"top1\":0.8,\"loss\":0.5},\"test\":{\"top1\":0.9}}}");
    put_record("many/b/x.jpg",
               "{\"id\":\"2\",\"status\":\"done\",\"final\":{\"val\":{\"top1\":0.8,\"loss\":0.4},\"test\":{\"top1\":0.7}}}");
    put_record("many/c/x.jpg", "{\"id\":\"3\",\"status\":\"stopped\",\"final\":{\"val\":{\"top1\":0.99,\"loss\":0.1}}}");
    put_record("many/d/x.jpg", "{\"id\":");
    put_record("many/e/x.jpg", "{\"id\":\"5\",\"status\":\"running\"}");
    picture_put(root, "many/no_run/x.jpg", 8, 8, 0);
    snprintf(line, sizeof line, "runs|list|--json|%s|--sort|val.loss", in_root("many"));
    json_t *list = json_of(train_cmd_runs, line);
    assert_int_equal(json_array_size(list), 5);
    static const char *const ids[] = {"3", "2", "1"};
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, i), "id")), ids[i]);
    int broken = 0;
    for (size_t i = 3; i < 5; i++)
        broken += !strcmp(json_string_value(json_object_get(json_array_get(list, i), "status")), "unreadable");
    assert_int_equal(broken, 1);
    json_decref(list);

    static const char *const best[][2] = {{"val.top1", "2"}, {"test.top1", "1"}, {"val.loss", "2"}};
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "runs|best|--json|--by|%s|%s", best[i][0], in_root("many"));
        json_t *run = json_of(train_cmd_runs, line);
        assert_string_equal(json_string_value(json_object_get(run, "id")), best[i][1]);
        json_decref(run);
    }
    snprintf(line, sizeof line, "runs|best|--by|val.beauty|%s", in_root("many"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "val.beauty"));
    snprintf(line, sizeof line, "runs|show|--json|%s", in_root("first"));
    json_t *run = json_of(train_cmd_runs, line);
    assert_string_equal(json_string_value(json_object_get(run, "status")), "done");
    json_decref(run);
    assert_int_equal(command(train_cmd_runs, "runs|lst"), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "did you mean list"));
    assert_int_equal(command(train_cmd_runs, "runs|show"), RUDD_ARGUMENT);
    assert_int_equal(command(train_cmd_runs, "runs|list|/nowhere/at/all"), RUDD_IO);
}

/* The cell of a table whose columns are two blanks apart, in the row that begins with `row`. */
static const char *cell(const char *table, const char *row, const char *title)
{
    static char text[100];
    const char *head = strstr(table, title), *line = table;
    assert_non_null(head);
    const size_t end = (size_t)(head - table) + strlen(title);
    while (line && strncmp(line, row, strlen(row)) != 0) line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    assert_non_null(line);
    assert_true(strcspn(line, "\n") >= end);
    size_t from = end;
    while (from && line[from - 1] != ' ') from--;
    snprintf(text, sizeof text, "%.*s", (int)(end - from), line + from);
    return text;
}

static void put_run(const char *name, const char *status, const char *pictures, const char *final)
{
    char text[1000], file[200];
    snprintf(
        text, sizeof text,
        "{\"id\":\"%.12s\",\"status\":\"%s\",\"options\":{\"data\":\"%s\"},\"dataset\":{\"root_hash\":\"%s%s\"},\"final\":%s}",
        name, status, pictures, pictures, "0123456789abcdef", final);
    snprintf(file, sizeof file, "%s/x.jpg", name);
    put_record(file, text);
}

/* Figures of validation and of test pictures stand in columns of their own, and neither fills the other's. */
static void phases_stay_apart(void **state)
{
    (void)state;
    char line[600];
    put_run("apart/a", "done", "fish", "{\"val\":{\"top1\":0.81,\"loss\":0.5},\"test\":{\"top1\":0.92}}");
    put_run("apart/b", "done", "fish", "{\"val\":{\"top1\":0.83,\"top5\":0.97}}");
    put_run("apart/c", "done", "fish", "{\"test\":{\"top1\":0.84}}");
    snprintf(line, sizeof line, "runs|list|%s", in_root("apart"));
    const char *table = text_of(train_cmd_runs, line, RUDD_OK);
    assert_string_equal(cell(table, in_root("apart/a"), "val top-1"), "81.0%");
    assert_string_equal(cell(table, in_root("apart/a"), "test top-1"), "92.0%");
    assert_string_equal(cell(table, in_root("apart/b"), "val top-1"), "83.0%");
    assert_string_equal(cell(table, in_root("apart/b"), "test top-1"), "-");
    assert_string_equal(cell(table, in_root("apart/c"), "val top-1"), "-");
    assert_string_equal(cell(table, in_root("apart/c"), "test top-1"), "84.0%");
    assert_null(strstr(table, "pictures")); /* all have the same */

    /* The day and minute of the record, as the clock on the wall has it. */
    char path[TRAIN_PATH], when[32];
    struct stat st;
    struct tm tm;
    assert_int_equal(stat(train_run_path(path, in_root("apart/a"), "run.json"), &st), 0);
    assert_non_null(localtime_r(&st.st_mtim.tv_sec, &tm));
    assert_true(strftime(when, sizeof when, "  %Y-%m-%d %H:%M  ", &tm) > 0);
    assert_non_null(strstr(table, when));

    /* A figure alone is the validation pictures', in order and choice; one that only records know has a column, too. */
    snprintf(line, sizeof line, "runs|list|%s|--sort|top1", in_root("apart"));
    table = text_of(train_cmd_runs, line, RUDD_OK);
    assert_true(strstr(table, in_root("apart/b")) < strstr(table, in_root("apart/a")));
    assert_true(strstr(table, in_root("apart/a")) < strstr(table, in_root("apart/c")));
    snprintf(line, sizeof line, "runs|list|%s|--sort|val.top5", in_root("apart"));
    assert_string_equal(cell(text_of(train_cmd_runs, line, RUDD_OK), in_root("apart/b"), "val.top5"), "0.9700");
    snprintf(line, sizeof line, "runs|best|%s|--by|top1|--json", in_root("apart"));
    json_t *run = json_of(train_cmd_runs, line);
    assert_string_equal(json_string_value(json_object_get(run, "run")), in_root("apart/b"));
    json_decref(run);
}

/* An order or figure that nobody has is refused, and the known ones are named. */
static void unknown_figures_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"list|--sort", "val.top_1"}, {"list|--sort", "date"}, {"best|--by", "tst.top1"}, {"best|--by", "val."}};
    char line[600];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(line, sizeof line, "runs|%s|%s|%s", wrong[i][0], wrong[i][1], in_root("apart"));
        assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
        assert_non_null(strstr(err.message, wrong[i][1]));
        assert_non_null(strstr(err.message, "top1, top3, balanced_accuracy, macro_f1, roc_auc, loss, ece"));
    }
    snprintf(line, sizeof line, "runs|list|--sort|val.top_1|%s", in_root("apart"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "did you mean val.top1?"));
}

/* A run whose record says that it runs is dead, unless a process has it. */
static void dead_runs_are_called_dead(void **state)
{
    (void)state;
    char line[600], wanted[300];
    int claim = -1;
    put_run("dead/a", "running", "fish", "null");
    put_run("dead/b", "running", "fish", "null");
    must(train_run_claim(&claim, in_root("dead/b"), &err));
    snprintf(line, sizeof line, "runs|list|%s|--json", in_root("dead"));
    json_t *list = json_of(train_cmd_runs, line);
    int seen = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *run = json_array_get(list, i);
        const char *status = json_string_value(json_object_get(run, "status"));
        const char *resume = json_string_value(json_object_get(run, "resume"));
        if (strcmp(json_string_value(json_object_get(run, "run")), in_root("dead/a")) == 0) {
            snprintf(wanted, sizeof wanted, "rudd train --resume %s", in_root("dead/a"));
            assert_string_equal(status, "dead");
            assert_string_equal(resume, wanted);
            seen++;
        } else {
            assert_string_equal(status, "running");
            assert_null(resume);
            seen++;
        }
    }
    assert_int_equal(seen, 2);
    json_decref(list);
    snprintf(line, sizeof line, "runs|list|%s", in_root("dead"));
    const char *table = text_of(train_cmd_runs, line, RUDD_OK);
    assert_non_null(strstr(table, wanted));
    assert_null(strstr(strstr(table, wanted) + strlen(wanted), "--resume"));
    train_run_release(claim);
    snprintf(line, sizeof line, "runs|show|%s", in_root("dead/b"));
    assert_non_null(strstr(text_of(train_cmd_runs, line, RUDD_OK), "--resume"));
    snprintf(line, sizeof line, "runs|promote|%s|fish|--to|%s", in_root("dead/a"), in_root("models"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "\"dead\""));
}

/* Runs of other pictures do not compete: the choice is the user's. Unfinished ones do not count. */
static void data_sets_do_not_compete(void **state)
{
    (void)state;
    char line[900];
    put_run("mixed/a", "done", "fish", "{\"val\":{\"top1\":0.8}}");
    put_run("mixed/b", "done", "wine", "{\"val\":{\"top1\":0.99}}");
    put_run("mixed/c", "done", "fish", "{\"val\":{\"top1\":0.9}}");
    put_run("mixed/d", "stopped", "birds", "{\"val\":{\"top1\":1}}");
    snprintf(line, sizeof line, "runs|best|%s", in_root("mixed"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "2 sets of pictures"));
    assert_non_null(strstr(err.message, "fish (2 runs, such as "));
    assert_non_null(strstr(err.message, "wine (1 run, such as "));
    assert_null(strstr(err.message, "birds"));
    static const char *const likes[][2] = {{"mixed/a", "mixed/c"}, {"mixed/b", "mixed/b"}};
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "runs|best|%s|--json|--like|%s", in_root("mixed"), in_root(likes[i][0]));
        json_t *run = json_of(train_cmd_runs, line);
        assert_string_equal(json_string_value(json_object_get(run, "run")), in_root(likes[i][1]));
        json_decref(run);
    }
    snprintf(line, sizeof line, "runs|best|%s|--like|%s", in_root("mixed"), in_root("mixed/d"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_MISMATCH);
    snprintf(line, sizeof line, "runs|list|%s", in_root("mixed"));
    const char *table = text_of(train_cmd_runs, line, RUDD_OK);
    assert_non_null(strstr(table, "  pictures  "));
    assert_non_null(strstr(table, "  fish0123  "));
}

/* Two runs of different pictures are compared on pictures that somebody names, and on no others. */
static void other_pictures_are_not_compared(void **state)
{
    (void)state;
    char line[1500];
    snprintf(line, sizeof line,
             "train|--quiet|--data|%s|--out|%s|--arch|rudd_nano|--image-size|32|--batch|8|--epochs|1|--split|0.5,0.25,0.25",
             in_root("set"), in_root("divided"));
    must(command(train_cmd_train, line));
    snprintf(line, sizeof line, "runs|compare|%s|%s", in_root("first"), in_root("divided"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "different pictures"));
    assert_non_null(strstr(err.message, "--data DIR"));
    snprintf(line, sizeof line, "runs|compare|--json|%s|%s|--data|%s", in_root("first"), in_root("divided"), in_root("set"));
    json_decref(json_of(train_cmd_runs, line));
}

/* Nothing there yet is no mistake, a name that is not there is; the wrong level is told from the right one. */
static void missing_runs_and_wrong_levels(void **state)
{
    (void)state;
    char line[900], here[TRAIN_PATH];
    assert_non_null(getcwd(here, sizeof here));
    picture_put(root, "empty/x.jpg", 8, 8, 0);
    assert_int_equal(chdir(in_root("empty")), 0);
    assert_string_equal(text_of(train_cmd_runs, "runs|list", RUDD_OK), "no runs yet in runs/: rudd train makes one\n");
    json_t *none = json_of(train_cmd_runs, "runs|list|--json");
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
    assert_int_equal(command(train_cmd_runs, "runs|best"), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "rudd train"));
    assert_int_equal(command(train_cmd_runs, "runs|list|runs"), RUDD_IO);
    assert_int_equal(chdir(root), 0);
    assert_non_null(strstr(text_of(train_cmd_runs, "runs|list|empty", RUDD_OK), "no runs in empty"));

    static const struct {
        const char *line, *says;
        enum rudd_status status;
    } cases[] = {
        {"runs|show|many", "give one of them, such as many/", RUDD_ARGUMENT},
        {"runs|show|many/a/run.json", "give the run's folder, many/a", RUDD_ARGUMENT},
        {"runs|show|empty", "holds no run.json", RUDD_IO},
        {"runs|show|nowhere", "no such run", RUDD_IO},
        {"runs|list|many/a", "rudd runs show many/a", RUDD_ARGUMENT},
        {"runs|promote|many|fish", "give one of them, such as many/", RUDD_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(command(train_cmd_runs, cases[i].line), cases[i].status);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s: %s", cases[i].line, err.message);
    }
    put_run("runs/7", "done", "fish", "null");
    assert_int_equal(command(train_cmd_runs, "runs|show|7"), RUDD_IO);
    assert_non_null(strstr(err.message, "did you mean runs/7?"));
    snprintf(line, sizeof line, "train|--resume|%s", in_root("many"));
    assert_int_equal(command(train_cmd_train, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "holds runs, and is none itself"));
    assert_int_equal(chdir(here), 0);
}

/* A model does not differ from itself; of two, the counts add up to the pictures and to the difference of their accuracies. */
static void compared(void **state)
{
    (void)state;
    char line[900];
    snprintf(line, sizeof line, "runs|compare|--json|%s|%s/model.safetensors", in_root("first"), in_root("first"));
    json_t *same = json_of(train_cmd_runs, line);
    assert_int_equal(number(same, "images", NULL), 9); /* a third of 27 */
    assert_int_equal(number(same, "only_a", NULL) + number(same, "only_b", NULL), 0);
    assert_float_equal(number(same, "p", NULL), 1, 0);
    json_decref(same);

    snprintf(line, sizeof line, "runs|compare|--json|%s|%s|--data|%s", in_root("first"), in_root("other"), in_root("set"));
    json_t *two = json_of(train_cmd_runs, line);
    double n = number(two, "images", NULL), both = number(two, "both", NULL), a = number(two, "only_a", NULL),
           b = number(two, "only_b", NULL);
    assert_int_equal(n, 27);
    assert_int_equal(both + a + b + number(two, "neither", NULL), 27);
    assert_float_equal(number(json_object_get(two, "a"), "metrics", "top1"), (both + a) / n, 1e-8);
    assert_float_equal(number(json_object_get(two, "b"), "metrics", "top1"), (both + b) / n, 1e-8);
    assert_float_equal(number(two, "difference", NULL), (b - a) / n, 1e-8);
    json_decref(two);

    snprintf(line, sizeof line, "runs|compare|%s/model.safetensors|%s/model.safetensors", in_root("first"), in_root("first"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--data"));
}

/* A model whose classes stand in another order answers the same: pictures and models meet by name. */
static void compared_by_name(void **state)
{
    (void)state;
    char line[900], path[TRAIN_PATH];
    struct nn_model *model;
    must(weights_model_load(&model, train_run_path(path, in_root("first"), "model.safetensors"), NULL, NULL, &err));
    int weight = nn_model_find(model, "classifier.weight"), bias = nn_model_find(model, "classifier.bias");
    assert_true(weight >= 0 && bias >= 0);
    const struct nn_param *w = &model->params[weight], *b = &model->params[bias];
    const int last = model->class_count - 1, width = w->shape[1];
    float *x = model->values + w->offset, *y = x + last * width, *c = model->values + b->offset, kept = c[0];
    for (int i = 0; i < width; i++) {
        float swap = x[i];
        x[i] = y[i];
        y[i] = swap;
    }
    c[0] = c[last];
    c[last] = kept;
    struct nn_class swap = model->classes[0];
    model->classes[0] = model->classes[last];
    model->classes[last] = swap;
    must(weights_model_save(in_root("turned.safetensors"), model, NULL, WEIGHTS_TIMM, &err));
    nn_model_destroy(model);
    snprintf(line, sizeof line, "runs|compare|--json|%s|%s|--data|%s", in_root("first"), in_root("turned.safetensors"),
             in_root("set"));
    json_t *same = json_of(train_cmd_runs, line);
    assert_int_equal(number(same, "only_a", NULL) + number(same, "only_b", NULL), 0);
    assert_float_equal(number(json_object_get(same, "a"), "metrics", "loss"),
                       number(json_object_get(same, "b"), "metrics", "loss"), 1e-6);
    json_decref(same);
}

/* Promoting copies the model whole and remembers every time; unfinished runs and names with folders in them are refused. */
static void promoted(void **state)
{
    (void)state;
    char line[900];
    static const char *const from[] = {"first", "other", "first"};
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "runs|promote|%s|fish|--to|%s", in_root(from[i]), in_root("models"));
        must(command(train_cmd_runs, line));
        struct bytes model = read_all(from[i], "model.safetensors"), copy = read_all("models", "fish.safetensors");
        assert_int_equal(model.length, copy.length);
        assert_memory_equal(model.at, copy.at, copy.length);
        rudd_free(model.at);
        rudd_free(copy.at);
    }
    struct bytes history = read_all("models", "fish.history.jsonl");
    int lines = 0;
    for (size_t i = 0; i < history.length; i++) lines += history.at[i] == '\n';
    assert_int_equal(lines, 3);
    json_t *entry = json_loadb((const char *)history.at, history.length, JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(entry, "run")), in_root("first"));
    assert_int_equal(strlen(json_string_value(json_object_get(entry, "sha256"))), 64);
    json_decref(entry);
    rudd_free(history.at);

    static const char *const names[] = {"../fish", ".fish", "a/b"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "runs|promote|%s|%s|--to|%s", in_root("first"), names[i], in_root("models"));
        assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    }
    put_record("unfinished/x.jpg", "{\"id\":\"9\",\"status\":\"stopped\"}");
    snprintf(line, sizeof line, "runs|promote|%s|fish|--to|%s", in_root("unfinished"), in_root("models"));
    assert_int_equal(command(train_cmd_runs, line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "stopped"));
}

/* A run's model carries the temperature that its record tells of. A session uses it unless it is raw, with several views too. */
static void calibrated_unless_raw(void **state)
{
    (void)state;
    char path[TRAIN_PATH];
    rudd_model *model;
    rudd_session *plain, *calibrated;
    must(rudd_model_open(&model, train_run_path(path, in_root("first"), "model.safetensors"), &err));
    json_t *metrics = json_loads(model->metrics, 0, NULL);
    assert_float_equal(number(metrics, "val", "temperature"), model->temperature, 1e-8);
    assert_float_equal(number(metrics, "test", "temperature"), model->temperature, 1e-8);
    assert_true(number(metrics, "val", "loss") <= number(metrics, "val", "loss_raw"));
    json_decref(metrics);
    model->temperature = 2.5; /* whatever was fitted on 9 pictures, this one shows */
    must(rudd_session_create(&plain, model, 1, &err));
    must(rudd_session_create(&calibrated, model, 1, &err));
    rudd_session_set_raw(plain, 1);
    must(rudd_predict_file(plain, in_root("set/a/0.jpg"), NULL, &err));
    must(rudd_predict_file(calibrated, in_root("set/a/0.jpg"), NULL, &err));
    const float *x = rudd_session_logits(plain), *p = rudd_session_probabilities(plain);
    const float *q = rudd_session_probabilities(calibrated);
    double sum = 0, total = 0;
    for (int k = 0; k < 3; k++) sum += exp(x[k] / 2.5);
    for (int k = 0; k < 3; k++) assert_float_equal(q[k], exp(x[k] / 2.5) / sum, 1e-6);
    for (int k = 0; k < 3; k++) total += exp(x[k]);
    for (int k = 0; k < 3; k++) assert_float_equal(p[k], exp(x[k]) / total, 1e-6);
    must(rudd_session_set_views(calibrated, 6, &err));
    must(rudd_predict_file(calibrated, in_root("set/a/0.jpg"), NULL, &err));
    const float *mean = rudd_session_logits(calibrated); /* logarithms of the mean of plain probabilities */
    double whole = 0;
    sum = 0;
    for (int k = 0; k < 3; k++) whole += exp(mean[k]), sum += exp(mean[k] / 2.5);
    assert_float_equal(whole, 1, 1e-6);
    for (int k = 0; k < 3; k++) assert_float_equal(q[k], exp(mean[k] / 2.5) / sum, 1e-6);
    must(data_calibration_check(model, "m", false, true, &err));
    assert_int_equal(data_calibration_check(model, "m", true, true, &err), RUDD_ARGUMENT);
    model->temperature = 0;
    assert_int_equal(data_calibration_check(model, "m", false, true, &err), RUDD_MISMATCH);
    must(data_calibration_check(model, "m", true, false, &err));
    rudd_session_destroy(plain);
    rudd_session_destroy(calibrated);
    rudd_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_repeats_its_run), /* makes the run "other", too */
        cmocka_unit_test(listed_and_chosen),
        cmocka_unit_test(compared),
        cmocka_unit_test(compared_by_name),
        cmocka_unit_test(promoted),
        cmocka_unit_test(calibrated_unless_raw),
        cmocka_unit_test(phases_stay_apart),
        cmocka_unit_test(unknown_figures_are_refused),
        cmocka_unit_test(dead_runs_are_called_dead),
        cmocka_unit_test(data_sets_do_not_compete),
        cmocka_unit_test(other_pictures_are_not_compared),
        cmocka_unit_test(missing_runs_and_wrong_levels),
    };
    return cmocka_run_group_tests_name("runs", tests, begin, end);
}
