/* test_resume.c - a run is the same run however it is carried out: with any number of threads, loading ahead or not, stopped
 * between any two batches, failing at any write, begun again and again. Same means: the same bytes of model and checkpoint,
 * the same metrics but for their times.
 *
 * Processes that are really killed: test_kill.c. */
#include "nn/options.h"
#include "tests/training.h"
#include "train/evaluate.h"
#include "train/fit.h"
#include "weights/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Everything that has a state: batches of 5 of 24 pictures, steps of 3 batches, so that each epoch's last step is a short one. */
#define STATEFUL                                                                                                               \
    "|--arch|rudd_nano|--batch|5|--accumulate|3|--epochs|3|--ema|0.9|--dropout|0.3|--drop-path|0.2|--schedule|plateau"         \
    "|--clip-norm|1|--mixup|0.4|--cutmix|1|--focal|2|--unfreeze-epochs|1|--sampling|balanced|--lr|1e-2"
enum { BATCHES = 4, EPOCHS = 3 };

static json_t *record_of(const char *run)
{
    return parse_json(file_of(run, "run.json"));
}

static void assert_status(const char *run, const char *status)
{
    json_t *record = record_of(run);
    assert_string_equal(json_string_value(json_object_get(record, "status")), status);
    json_decref(record);
}

/* ---- a run that is stopped at will ------------------------------------------------------------------------------------- */

/* Asks to stop at the at-th tick whose phase is `phase` (NULL: any). */
struct stopper {
    const char *phase;
    int at, ticks;
};

static void count_tick(void *user, const struct train_tick *tick)
{
    struct stopper *s = user;
    if (!s->phase || strcmp(s->phase, tick->phase) == 0) s->ticks++;
}

static bool is_time(void *user)
{
    const struct stopper *s = user;
    return s->ticks >= s->at;
}

/* The run that train(out, more) makes, asked to stop; resumes: it is there already. */
static enum rudd_status fit(const char *out, const char *more, bool resumes, struct stopper *stopper)
{
    char line[2000], *argv[128];
    int argc = 0;
    struct train_settings s = train_settings_default;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    struct nn_options options = {.usage = "", .rows = rows, .count = train_settings_table(rows, &s)};
    struct train_events events = {.user = stopper, .tick = count_tick, .stop = is_time};
    snprintf(line, sizeof line, TRAIN_BASE "%s", in_root("set"), in_root(out), more);
    for (char *word = strtok(line, "|"); word; word = strtok(NULL, "|")) argv[argc++] = word;
    must(nn_options_parse(&options, argc, argv, &err));
    if (resumes) s.resume = s.out;
    must(train_settings_resolve(&s, &err));
    enum rudd_status status = train_fit(NULL, &s, &events, &err);
    nn_options_free(&options);
    return status;
}

/* ---- claims ------------------------------------------------------------------------------------------------------------ */

/* Any number of threads and of batches loaded ahead, none included, gives the same bits. */
static void threads_and_prefetch_change_nothing(void **state)
{
    (void)state;
    static const char *const ways[] = {"|--threads|1|--prefetch|0", "|--threads|2|--prefetch|0", "|--threads|2|--prefetch|1",
                                       "|--threads|4|--prefetch|7"};
    char options[300];
    must(train("straight", STATEFUL));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(options, sizeof options, STATEFUL "%s", ways[i]);
        must(train("way", options));
        assert_same_run("straight", "way");
        assert_same_metrics("straight", "way", EPOCHS);
        remove_run("way");
    }
    /* A network with the operations that rudd_nano lacks. */
    must(train("one", "|--threads|1|--prefetch|0|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1"));
    must(train("two", "|--threads|2|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1"));
    assert_same_run("one", "two");
    /* The comparison can tell. */
    must(train("other", "|--threads|2|--epochs|1|--max-steps|3|--drop-path|0.2|--clip-norm|1|--seed|1"));
    assert_values(file_of("two", "last.safetensors"), file_of("other", "last.safetensors"), false);
}

/* Stopped at any moment (after each batch of learning, validating and testing) and resumed: the same run. */
static void stops_anywhere(void **state)
{
    (void)state;
    int stops = 0;
    for (int at = 1;; at++) {
        struct stopper stopper = {.at = at};
        enum rudd_status status = fit("stopped", STATEFUL, false, &stopper);
        if (status == RUDD_OK) break;
        assert_int_equal(status, RUDD_CANCELLED);
        assert_non_null(strstr(err.message, "--resume"));
        assert_status("stopped", "stopped");
        assert_int_equal(access(file_of("stopped", "last.safetensors"), F_OK), 0);
        stops++;
        must(resume("stopped", at % 2 ? "|--threads|1" : "|--prefetch|0"));
        assert_same_run("straight", "stopped");
        assert_same_metrics("straight", "stopped", EPOCHS);
        assert_status("stopped", "done");
        remove_run("stopped");
    }
    assert_int_equal(stops, EPOCHS * (BATCHES + 3) + 2);
}

/* A new process for every single batch: the same run. */
static void crawls(void **state)
{
    (void)state;
    struct stopper stopper = {.phase = "train", .at = 1};
    enum rudd_status status = fit("crawls", STATEFUL, false, &stopper);
    int processes = 1;
    for (; status == RUDD_CANCELLED; processes++) {
        stopper.ticks = 0;
        status = fit("crawls", STATEFUL, true, &stopper);
    }
    must(status);
    assert_true(processes > EPOCHS * BATCHES);
    assert_same_run("straight", "crawls");
    assert_same_metrics("straight", "crawls", EPOCHS);
}

/* An epoch that --max-steps cuts is validated, also when the run is stopped before that. */
static void stops_behind_the_last_step(void **state)
{
    (void)state;
    must(train("cut", STATEFUL "|--max-steps|3"));
    struct stopper stopper = {.phase = "val", .at = 4}; /* within the second epoch's validation */
    assert_int_equal(fit("cut_stopped", STATEFUL "|--max-steps|3", false, &stopper), RUDD_CANCELLED);
    must(resume("cut_stopped", ""));
    assert_same_run("cut", "cut_stopped");
    assert_same_metrics("cut", "cut_stopped", 2);
}

static void assert_five_files(const char *run)
{
    char line[400];
    snprintf(line, sizeof line, "ls '%s' | wc -l | grep -qx 5", in_root(run));
    assert_int_equal(system(line), 0); /* and no left-overs */
}

static int count_lines(const char *path)
{
    size_t length;
    char *text = read_all(path, &length);
    int lines = 0;
    for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
    assert_true(length > 0 && text[length - 1] == '\n'); /* no half line */
    rudd_free(text);
    return lines;
}

/* Goes on with a run that has died, with other times between checkpoints, and compares. */
static void assert_survives(const char *run, const char *options, int epochs)
{
    /* Without run.json nothing had begun: the same command starts it. Else it goes on. */
    bool begun = access(file_of(run, "run.json"), F_OK) == 0;
    must(begun ? resume(run, "") : train(run, options));
    assert_same_run("whole", run);
    assert_same_metrics("whole", run, epochs);
    assert_int_equal(count_lines(file_of(run, "metrics.jsonl")), epochs);
    assert_five_files(run);
    remove_run(run);
}

/* When checkpoints follow epochs: each one; the last one alone, unless the run is stopped. */
static const char *const paces[] = {"|--checkpoint-seconds|0", "|--checkpoint-seconds|1e6"};

/* A run that dies at any file it replaces and is started again ends with the same bytes as one that
 * never died. */
static void survives_every_rename(void **state)
{
    (void)state;
    static const int least[] = {10, 8};
    for (int pace = 0; pace < 2; pace++) {
        char options[300];
        int deaths = 0;
        snprintf(options, sizeof options, "|--arch|rudd_nano|--epochs|2|--warmup-epochs|0|--checkpoint-steps|2%s", paces[pace]);
        if (pace == 0) must(train("whole", options));
        for (int fatal = 0;; fatal++) {
            renames_left = fatal;
            enum rudd_status status = train("dies", options);
            renames_left = -1;
            if (status == RUDD_OK) break;
            assert_int_equal(status, RUDD_IO);
            deaths++;
            assert_survives("dies", options, 2);
        }
        assert_true(deaths >= least[pace]);
        assert_survives("dies", options, 2);
    }
    remove_run("whole");
}

/* The same of the lines that are appended to metrics.jsonl. A line that is cut short is taken back. */
static void survives_every_append(void **state)
{
    (void)state;
    enum { MANY = 5 };
    for (int pace = 0; pace < 2; pace++) {
        char options[300];
        int deaths = 0;
        snprintf(options, sizeof options, "|--arch|rudd_nano|--epochs|%d|--warmup-epochs|0%s", MANY, paces[pace]);
        if (pace == 0) must(train("whole", options));
        for (int fatal = 0;; fatal++) {
            appends_left = fatal;
            enum rudd_status status = train("dies", options);
            appends_left = -1;
            if (status == RUDD_OK) break;
            assert_int_equal(status, RUDD_IO);
            assert_non_null(strstr(err.message, "metrics.jsonl: cannot write: "));
            assert_int_equal(count_lines(file_of("dies", "metrics.jsonl")), 1 + fatal);
            assert_int_equal(access(file_of("dies", "last.safetensors"), F_OK) == 0, pace == 0);
            deaths++;
            assert_survives("dies", options, MANY);
        }
        assert_int_equal(deaths, MANY - 1); /* the first line comes with the file */
        assert_survives("dies", options, MANY);
    }
    remove_run("whole");
}

/* What a run of so many epochs does to the disk. */
static struct disk_work work_of(int epochs, const char *more)
{
    char options[300];
    snprintf(options, sizeof options, "|--arch|rudd_nano|--freeze|all|--epochs|%d%s", epochs, more);
    disk_work = (struct disk_work){0};
    must(train("work", options));
    assert_int_equal(count_lines(file_of("work", "metrics.jsonl")), epochs);
    remove_run("work");
    return disk_work;
}

/* An epoch behind which no checkpoint is due appends one line, syncs nothing and replaces no file. */
static void epochs_cost_a_line(void **state)
{
    (void)state;
    const struct disk_work few = work_of(3, paces[1]), many = work_of(40, paces[1]);
    assert_int_equal(many.appends - few.appends, 37);
    assert_int_equal(many.renames, few.renames);
    assert_int_equal(many.syncs, few.syncs);
    assert_true(few.renames >= 6 && few.syncs >= 2 * few.renames); /* they are counted */

    /* Where each is due, it costs a checkpoint: the metrics' sync, and for a file two. */
    const struct disk_work two = work_of(2, paces[0]), five = work_of(5, paces[0]);
    const int files = five.renames - two.renames;
    assert_int_equal(five.appends - two.appends, 3);
    assert_true(files >= 3 && files <= 6); /* model.safetensors, where it is a better one */
    assert_int_equal(five.syncs - two.syncs, 3 + 2 * files);
}

/* Values that wait for a checkpoint are those of the best epoch, whatever came behind it. */
static void the_best_waits(void **state)
{
    (void)state;
    static const char *const recipes[] = {"|--lr|0.1|--head-lr|0.1", "|--lr|0.1|--head-lr|0.1|--ema|0.5",
                                          "|--freeze|all|--head-lr|1", "|--freeze|3|--lr|0.1|--head-lr|0.1"};
    int behind = 0;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        char options[300];
        for (int pace = 0; pace < 2; pace++) {
            snprintf(options, sizeof options, "|--arch|rudd_nano|--epochs|12%s%s", recipes[i], paces[pace]);
            must(train(pace ? "later" : "now", options));
        }
        assert_same_run("now", "later");
        json_t *record = record_of("now");
        behind += json_integer_value(json_object_get(json_object_get(record, "final"), "epoch")) < 12;
        json_decref(record);
        remove_run("now");
        remove_run("later");
    }
    assert_true(behind > 0); /* the last epoch's values would not do */
}

/* Checkpoints by steps and by minutes are written when they are due, and no others. */
static void writes_checkpoints_when_due(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        int files; /* more than without any, in 6 steps */
    } cases[] = {{"|--checkpoint-minutes|0", 0}, {"|--checkpoint-steps|2", 3}, {"|--checkpoint-minutes|1e-9", 6}};
    int without = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char options[200];
        enum { MANY = 1000 };
        snprintf(options, sizeof options, "|--arch|rudd_nano|--epochs|2|--checkpoint-seconds|0%s", cases[i].options);
        renames_left = MANY;
        must(train("due", options));
        int files = MANY - renames_left;
        renames_left = -1;
        if (i == 0) without = files;
        assert_int_equal(files - without, cases[i].files);
        remove_run("due");
    }
}

/* Ended early for want of progress, or by learning that diverges in a late epoch: model.safetensors is the best epoch's model,
 * judged like that of any other run. After a divergence the run can go on, with a lower rate. */
static void any_end_leaves_the_best(void **state)
{
    (void)state;
    must(train("patient", "|--arch|rudd_nano|--epochs|50|--patience|1|--lr|0.1|--head-lr|0.1"));
    json_t *record = record_of("patient"), *final = json_object_get(record, "final");
    int best = (int)json_integer_value(json_object_get(final, "epoch"));
    struct train_run_folder folder;
    must(train_run_folder_open(&folder, in_root("patient"), best + 1, &err)); /* one worse epoch behind it */
    assert_true(train_run_folder_open(&folder, in_root("patient"), best + 2, &err) != RUDD_OK);
    for (int i = 0; i <= best; i++) assert_true(folder.epochs[i].val_accuracy <= folder.epochs[best - 1].val_accuracy);
    assert_true(json_number_value(json_object_get(json_object_get(final, "val"), "top1")) ==
                folder.epochs[best - 1].val_accuracy);
    assert_non_null(json_object_get(final, "test"));
    train_run_folder_free(&folder);
    json_decref(record);

    static const char options[] = "|--arch|rudd_nano|--epochs|3|--optimizer|sgd";
    must(train("tame", options));
    struct stopper stopper = {.phase = "train", .at = 4}; /* the second epoch's first batch */
    assert_int_equal(fit("wild", options, false, &stopper), RUDD_CANCELLED);
    record = record_of("wild");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(record, "final"), "epoch")), 1);
    json_decref(record);
    assert_int_equal(resume("wild", "|--lr|100|--head-lr|1000|--warmup-epochs|0"), RUDD_LIMIT);
    record = record_of("wild");
    assert_string_equal(json_string_value(json_object_get(record, "status")), "failed");
    assert_non_null(json_object_get(json_object_get(record, "final"), "test"));
    json_decref(record);
    assert_int_equal(access(file_of("wild", "report.html"), F_OK), 0);
    struct nn_model *model;
    must(weights_model_load(&model, file_of("wild", "model.safetensors"), NULL, NULL, &err));
    assert_non_null(strstr(model->metrics, "\"test\""));
    nn_model_destroy(model);
    must(resume("wild", "|--lr|1e-3|--head-lr|1e-2|--warmup-epochs|0.5"));
    assert_same_run("tame", "wild");
}

/* Learning diverges with its best epochs still in memory: they are judged as if on the disk. */
static void divergence_keeps_what_waits(void **state)
{
    (void)state;
    static const char *const names[] = {"now", "later"};
    for (int pace = 0; pace < 2; pace++) {
        char options[300];
        snprintf(options, sizeof options,
                 "|--arch|rudd_nano|--epochs|60|--optimizer|sgd|--lr|100|--head-lr|1000|--warmup-epochs|60%s", paces[pace]);
        assert_int_equal(train(names[pace], options), RUDD_LIMIT);
        assert_non_null(strstr(err.message, "finite"));
        assert_int_equal(access(file_of(names[pace], "last.safetensors"), F_OK) == 0, pace == 0);
        assert_status(names[pace], "failed");
    }
    const int lines = count_lines(file_of("now", "metrics.jsonl"));
    assert_true(lines >= 2);
    assert_int_equal(count_lines(file_of("later", "metrics.jsonl")), lines);
    assert_files_equal(file_of("now", "model.safetensors"), file_of("later", "model.safetensors"));
    /* Both go on, the one from its last epoch, the other from the start. */
    for (int pace = 0; pace < 2; pace++) {
        must(resume(names[pace], "|--lr|1e-3|--head-lr|1e-2|--warmup-epochs|0|--max-steps|20"));
        assert_status(names[pace], "done");
        remove_run(names[pace]);
    }
}

/* One process at a time; what a killed one left half written goes, what is the user's stays. */
static void a_run_has_one_owner(void **state)
{
    (void)state;
    int claim = -1;
    must(train("owned", "|--arch|rudd_nano|--epochs|1"));
    write_text(file_of("owned", "last.safetensors.77-0.tmp"), "half");
    write_text(file_of("owned", "notes.77-0.tmp"), "mine");
    must(train_run_claim(&claim, in_root("owned"), &err));
    assert_int_not_equal(access(file_of("owned", "last.safetensors.77-0.tmp"), F_OK), 0);
    assert_int_equal(access(file_of("owned", "notes.77-0.tmp"), F_OK), 0);
    assert_int_equal(resume("owned", "|--epochs|2"), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "another process"));
    train_run_release(claim);
    must(resume("owned", "|--epochs|2"));
}

/* In place: both are of one length. */
static void replace_text(const char *path, const char *from, const char *to)
{
    size_t length, at = 0, n = strlen(from);
    char *bytes = read_all(path, &length);
    while (at + n <= length && memcmp(bytes + at, from, n) != 0) at++;
    assert_true(at + n <= length);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(to, 1, n, f), n);
    fclose(f);
    rudd_free(bytes);
}

/* Counters of a damaged checkpoint are refused before anything is built on them. */
static void damaged_counters(void **state)
{
    (void)state;
    static const char *const damage[][2] = {{"\\\"pictures\\\":20", "\\\"pictures\\\":-1"},
                                            {"\\\"pictures\\\":20", "\\\"picturez\\\":20"},
                                            {"\\\"optim_steps\\\":1", "\\\"optim_steps\\\":x"},
                                            {"\\\"stale\\\":0", "\\\"stale\\\":\\"}};
    struct stopper stopper = {.at = BATCHES};
    assert_int_equal(fit("damaged", STATEFUL, false, &stopper), RUDD_CANCELLED);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        replace_text(file_of("damaged", "last.safetensors"), damage[i][0], damage[i][1]);
        assert_int_equal(resume("damaged", ""), RUDD_FORMAT);
        replace_text(file_of("damaged", "last.safetensors"), damage[i][1], damage[i][0]);
    }
    must(resume("damaged", ""));
    assert_same_run("straight", "damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_prefetch_change_nothing),
        cmocka_unit_test(stops_anywhere),
        cmocka_unit_test(crawls),
        cmocka_unit_test(stops_behind_the_last_step),
        cmocka_unit_test(survives_every_rename),
        cmocka_unit_test(survives_every_append),
        cmocka_unit_test(epochs_cost_a_line),
        cmocka_unit_test(the_best_waits),
        cmocka_unit_test(writes_checkpoints_when_due),
        cmocka_unit_test(any_end_leaves_the_best),
        cmocka_unit_test(divergence_keeps_what_waits),
        cmocka_unit_test(a_run_has_one_owner),
        cmocka_unit_test(damaged_counters),
    };
    return cmocka_run_group_tests_name("resume", tests, begin_runs, end_runs);
}
