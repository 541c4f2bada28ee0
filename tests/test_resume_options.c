/* test_resume_options.c - what a run that goes on may be told, and what a finished one keeps.
 *
 * Every row of the table of settings is given another value: either the line that refuses it names
 * the way out and the run is untouched, or the run takes it on and comes to its end. */
#include "tests/training.h"
#include "nn/config.h"
#include "train/fit.h"
#include "weights/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* Something of everything that a checkpoint holds. */
#define OPTIONS "|--arch|rudd_nano|--freeze|1|--batch|5|--accumulate|2|--epochs|2|--ema|0.9|--drop-path|0.1"

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char line[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert_int_equal(system(line), 0);
}

static json_t *record_of(const char *run)
{
    return parse_json(file_of(run, "run.json"));
}

static const char *status_of(const json_t *record)
{
    return json_string_value(json_object_get(record, "status"));
}

/* ---- a run that was stopped ------------------------------------------------------------------ */

static void count_tick(void *user, const struct train_tick *tick)
{
    (void)tick;
    ++*(int *)user;
}

static bool is_time(void *user)
{
    return *(int *)user >= 3;
}

/* Begins a run, or with resumes goes on with it, and stops it behind its third batch. */
static void stop_run(const char *out, const char *more, bool resumes)
{
    char line[2000], *argv[128];
    int argc = 0, ticks = 0;
    struct train_settings s = train_settings_default;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    struct nn_options options = {.usage = "", .rows = rows, .count = train_settings_table(rows, &s)};
    struct train_events events = {.user = &ticks, .tick = count_tick, .stop = is_time};
    snprintf(line, sizeof line, TRAIN_BASE "%s", in_root("set"), in_root(out), more);
    for (char *word = strtok(line, "|"); word; word = strtok(NULL, "|")) argv[argc++] = word;
    must(nn_options_parse(&options, argc, argv, &err));
    if (resumes) s.resume = s.out;
    must(train_settings_resolve(&s, &err));
    assert_int_equal(train_fit(NULL, &s, &events, &err), RUDD_CANCELLED);
    nn_options_free(&options);
}

/* ---- every row ------------------------------------------------------------------------------- */

/* Values that a row's type does not give away; "" for options that are not for going on. */
static const char *const special[][2] = {
    {"data", "set_again"}, /* in the test's folder, as all paths here */
    {"weights", "stopped/last.safetensors"},
    {"arch", "efficientnet_b0"},
    {"out", "elsewhere"},
    {"resume", ""},
    {"labels", "labels.json"},
    {"config", ""},
    {"quiet", ""},
    {"find-lr", ""},
    {"split", "0.5,0.25,0.25"},
    {"optimizer", "sgd"},
    {"teacher", "teacher/model.safetensors"},
    {"freeze", "2"},
    {"cache-dir", "cached"},
    {"cache-max", "1000000000"},
    {"memory-limit", "0"},
    {"crop-max", "0.9"},
};

/* Another value than the row's, as words of the command line into out [400]; "": none. */
static void other_value(char *out, const struct nn_option *row, const char *name)
{
    char text[400], other[300];
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (strcmp(special[i][0], name) != 0) continue;
        const char *value = special[i][1];
        const bool path = row->type == NN_OPTION_STRING && strcmp(name, "freeze") && strcmp(name, "arch");
        out[0] = 0;
        if (*value) snprintf(out, 400, "|--%s|%s", name, path ? in_root(value) : value);
        return;
    }
    nn_option_print(text, sizeof text, row);
    switch (row->type) {
    case NN_OPTION_FLAG: snprintf(out, 400, "|--%s%s", *(bool *)row->target ? "no-" : "", name); return;
    case NN_OPTION_INT: snprintf(other, sizeof other, "%d", *(int *)row->target + 1); break;
    case NN_OPTION_DOUBLE: {
        const double x = *(double *)row->target, high = row->max < 1 ? row->max : 1;
        snprintf(other, sizeof other, "%g", x + (high - x) / 4 != x ? x + (high - x) / 4 : x / 2);
        break;
    }
    case NN_OPTION_CHOICE: {
        const char *word = row->value, *bar = strchr(word, '|');
        if (strncmp(word, text, strlen(text)) == 0 && bar) word = bar + 1;
        snprintf(other, sizeof other, "%.*s", (int)strcspn(word, "|"), word);
        break;
    }
    default: fail_msg("--%s: no value for its type", name);
    }
    snprintf(out, 400, "|--%s|%s", name, other);
}

static void refused(const char *name, const char *words)
{
    char option[80];
    size_t before, after;
    char *was = read_all(file_of("copy", "run.json"), &before);
    assert_int_equal(resume("copy", words), RUDD_ARGUMENT);
    snprintf(option, sizeof option, "--%s: found ", name);
    if (strncmp(err.message, option, strlen(option)) != 0) fail_msg("%s: %s", words, err.message);
    snprintf(option, sizeof option, "leave --%s out", name);
    if (!strstr(err.message, option)) fail_msg("%s: %s", words, err.message);
    if (strcmp(name, "out") != 0 && !strstr(err.message, "/run.json --")) fail_msg("%s: %s", words, err.message);
    char *is = read_all(file_of("copy", "run.json"), &after);
    assert_int_equal(before, after);
    assert_memory_equal(was, is, before);
    rudd_free(was);
    rudd_free(is);
}

static void every_option_is_refused_or_taken(void **state)
{
    (void)state;
    struct train_settings s = train_settings_default, own;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    int kept = 0, taken = 0;
    char words[400];
    draw_set("set_again");
    must(train("teacher", "|--arch|rudd_nano|--epochs|1"));
    write_text(in_root("labels.json"), "[{\"name\":\"green\"},{\"name\":\"red\"},{\"name\":\"a<b&\\\"c\"}]");
    stop_run("stopped", OPTIONS, false);
    json_t *record = record_of("stopped");
    assert_string_equal(status_of(record), "stopped");
    own = s;
    const struct nn_options table = {.rows = rows, .count = train_settings_table(rows, &own)};
    must(nn_config_apply_json(&table, json_object_get(record, "options"), "", &err));
    for (int i = 0; i < table.count; i++) {
        char name[64];
        nn_option_name(name, sizeof name, &rows[i]);
        if (!*name) continue;
        other_value(words, &rows[i], name);
        if (!*words) continue;
        shell("rm -rf '%s' && cp -r '%s' '%s'", in_root("copy"), in_root("stopped"), in_root("copy"));
        if (train_settings_kept(name)) {
            refused(name, words);
            kept++;
        } else {
            if (resume("copy", words) != RUDD_OK) fail_msg("%s: %s", words, err.message);
            json_t *ended = record_of("copy");
            assert_string_equal(status_of(ended), "done");
            json_decref(ended);
            taken++;
        }
    }
    json_decref(record);
    print_message("  %d options are kept, %d may change\n", kept, taken);
    assert_true(kept >= 15 && taken >= 40);
}

/* The run's own values are no change, whoever gives them: flags, a file, the same bytes elsewhere. */
static void the_same_values_are_taken(void **state)
{
    (void)state;
    char words[1500];
    must(train("seed", "|--arch|rudd_nano|--epochs|1"));
    snprintf(words, sizeof words, OPTIONS "|--weights|%s", file_of("seed", "model.safetensors"));
    stop_run("same", words, false);
    shell("cp '%s' '%s'", file_of("seed", "model.safetensors"), in_root("moved.safetensors"));
    snprintf(words, sizeof words, OPTIONS "|--weights|%s|--image-size|32|--seed|0|--out|%s/|--data|%s",
             in_root("moved.safetensors"), in_root("same"), in_root("set_again"));
    must(resume("same", words));

    stop_run("file", OPTIONS, false);
    write_text(in_root("same.toml"), "image-size = 32\nbatch = 5\n");
    write_text(in_root("other.toml"), "image-size = 48\n");
    snprintf(words, sizeof words, "|--config|%s", in_root("other.toml"));
    assert_int_equal(resume("file", words), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "--image-size: found 48"));
    snprintf(words, sizeof words, "|--config|%s", in_root("same.toml"));
    must(resume("file", words));
}

/* Other pictures are no way to go on. */
static void other_pictures_are_refused(void **state)
{
    (void)state;
    char words[1500];
    draw_set("other_set");
    shell("rm '%s'/train/red/0.jpg", in_root("other_set"));
    stop_run("pictures", OPTIONS, false);
    snprintf(words, sizeof words, "|--data|%s", in_root("other_set"));
    assert_int_equal(resume("pictures", words), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "not those that this run began with"));
    assert_non_null(strstr(err.message, "rudd train --config"));
}

/* ---- a finished run -------------------------------------------------------------------------- */

/* Resumed for no longer than it was, a finished run is done: no file of it changes. */
static void a_finished_run_stays(void **state)
{
    (void)state;
    static const char *const files[] = {"run.json", "metrics.jsonl", "model.safetensors", "last.safetensors", "report.html"};
    static const char *const ways[] = {"", "|--epochs|3", "|--epochs|1", "|--lr|1e-2", "|--threads|1"};
    struct stat before[5], after;
    must(train("finished", "|--arch|rudd_nano|--epochs|3"));
    for (int i = 0; i < 5; i++) assert_int_equal(stat(file_of("finished", files[i]), &before[i]), 0);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        must(resume("finished", ways[w]));
        for (int i = 0; i < 5; i++) {
            assert_int_equal(stat(file_of("finished", files[i]), &after), 0);
            assert_int_equal(after.st_ino, before[i].st_ino); /* replaced, it would be another */
            assert_int_equal(after.st_mtim.tv_nsec, before[i].st_mtim.tv_nsec);
        }
    }
    /* Its pictures may be gone by then. */
    draw_set("gone_set");
    char line[1500];
    snprintf(line, sizeof line, TRAIN_BASE "|--epochs|1", in_root("gone_set"), in_root("orphan"));
    must(command(train_cmd_train, line));
    shell("rm -r '%s'", in_root("gone_set"));
    must(resume("orphan", ""));
}

/* The figures that the record holds: all pictures of both phases. */
static void assert_figures(const json_t *record)
{
    const json_t *final = json_object_get(record, "final");
    assert_true(json_is_number(json_object_get(json_object_get(final, "test"), "top1")));
    assert_true(json_is_number(json_object_get(json_object_get(final, "val"), "top1")));
}

/* Going on for longer, it dies at every file in turn, or is stopped: its figures are there at every
 * moment, the old ones until the new ones are. */
static void figures_are_never_lost(void **state)
{
    (void)state;
    int deaths = 0;
    must(train("judged", "|--arch|rudd_nano|--epochs|1"));
    json_t *first = record_of("judged");
    for (int fatal = 0;; fatal++) {
        shell("rm -rf '%s' && cp -r '%s' '%s'", in_root("longer"), in_root("judged"), in_root("longer"));
        renames_left = fatal;
        enum rudd_status status = resume("longer", "|--epochs|3|--checkpoint-seconds|0");
        renames_left = -1;
        json_t *record = record_of("longer");
        assert_figures(record);
        if (status == RUDD_OK) {
            assert_string_equal(status_of(record), "done");
            json_decref(record);
            break;
        }
        assert_true(json_equal(json_object_get(record, "final"), json_object_get(first, "final")));
        json_decref(record);
        deaths++;
        must(resume("longer", "|--epochs|3"));
    }
    assert_true(deaths >= 5);

    shell("rm -rf '%s' && cp -r '%s' '%s'", in_root("longer"), in_root("judged"), in_root("longer"));
    stop_run("longer", "|--arch|rudd_nano|--epochs|9", true);
    json_t *record = record_of("longer");
    assert_string_equal(status_of(record), "stopped");
    assert_true(json_equal(json_object_get(record, "final"), json_object_get(first, "final")));
    json_decref(record);
    must(resume("longer", ""));
    record = record_of("longer");
    assert_string_equal(status_of(record), "done");
    assert_figures(record);
    json_decref(record);
    json_decref(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_refused_or_taken),
        cmocka_unit_test(the_same_values_are_taken), /* uses the set drawn above */
        cmocka_unit_test(other_pictures_are_refused),
        cmocka_unit_test(a_finished_run_stays),
        cmocka_unit_test(figures_are_never_lost),
    };
    return cmocka_run_group_tests_name("resume_options", tests, begin_runs, end_runs);
}
