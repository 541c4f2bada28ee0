/* test_runs.c - runs after training: made again from their record, listed, compared, promoted.
 *
 * Two short runs on pictures that the test draws; every command goes through the function behind `rudd`. */
#include "tests/pictures.h"
#include "train/command.h"
#include "train/run_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    snprintf(line, sizeof line, "train|--config|%s/run.json|--out|%s|--seed|1", in_root("first"), in_root("other"));
    must(command(train_cmd_train, line));
    assert_false(same_file("first", "other", "model.safetensors")); /* the comparison can tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_repeats_its_run),
    };
    return cmocka_run_group_tests_name("runs", tests, begin, end);
}
