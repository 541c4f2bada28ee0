/* test_cache.c - activations on disk: whatever happens to the file, what is found is what was written; and a run over a frozen network
 * is the same run however its cache came about, killed processes included. */
#include "nn/half.h"
#include "tests/training.h"
#include "train/cache.h"
#include "train/learn/cache_folder.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- the file ------------------------------------------------------------------------------------------------------ */

enum { NUMBERS = 5, RECORDS = 4, HEADER = 64, HEAD = TRAIN_CACHE_HASH + 4 };

static void key_of(uint8_t key[TRAIN_CACHE_HASH], int i)
{
    for (int j = 0; j < TRAIN_CACHE_HASH; j++) key[j] = (uint8_t)(i * 31 + j);
}

/* Halves hold these exactly. */
static void numbers_of(float x[NUMBERS], int i)
{
    for (int j = 0; j < NUMBERS; j++) x[j] = (float)(i - 2) * 0.25f + (float)j;
}

static struct train_cache *opened(const char *name, int bytes, uint8_t recipe)
{
    struct train_cache_form form = {.recipe = {recipe}, .numbers = NUMBERS, .bytes = bytes};
    struct train_cache *c;
    must(train_cache_open(&c, in_root(name), &form, &err));
    return c;
}

static void append(struct train_cache *c, int i)
{
    uint8_t key[TRAIN_CACHE_HASH];
    float x[NUMBERS];
    key_of(key, i);
    numbers_of(x, i);
    must(train_cache_append(c, key, x, &err));
}

/* Records 0 .. count-1 are there with their numbers, and no other. */
static void assert_holds(const struct train_cache *c, int count)
{
    assert_int_equal(train_cache_count(c), count);
    for (int i = 0; i < RECORDS; i++) {
        uint8_t key[TRAIN_CACHE_HASH];
        float x[NUMBERS], expected[NUMBERS];
        key_of(key, i);
        numbers_of(expected, i);
        long record = train_cache_find(c, key);
        assert_int_equal(record, i < count ? i : -1);
        if (record < 0) continue;
        must(train_cache_read(x, c, record, &err));
        assert_memory_equal(x, expected, sizeof x);
    }
}

static void fill(const char *name, int bytes)
{
    struct train_cache *c = opened(name, bytes, 1);
    for (int i = train_cache_count(c) > 0 ? (int)train_cache_count(c) : 0; i < RECORDS; i++) append(c, i);
    append(c, 1); /* a second time: stays as it is */
    assert_holds(c, RECORDS);
    train_cache_close(c);
}

/* Cut off anywhere, the file opens with the records that are whole, and once filled again it is the file it was. */
static void survives_any_cut(void **state)
{
    (void)state;
    for (int bytes = 2; bytes <= 4; bytes += 2) {
        const int record = HEAD + NUMBERS * bytes;
        fill("whole", bytes);
        size_t length;
        char *whole = read_all(in_root("whole"), &length);
        assert_int_equal(length, HEADER + RECORDS * record);
        for (size_t cut = 0; cut <= length; cut++) {
            fill("torn", bytes);
            assert_int_equal(truncate(in_root("torn"), (off_t)cut), 0);
            struct train_cache *c = opened("torn", bytes, 1);
            assert_holds(c, cut < HEADER ? 0 : (int)(cut - HEADER) / record);
            train_cache_close(c);
            fill("torn", bytes);
            assert_files_equal(in_root("torn"), in_root("whole"));
        }
        rudd_free(whole);
        unlink(in_root("whole"));
        unlink(in_root("torn"));
    }
}

static void flip(const char *name, size_t at)
{
    FILE *f = fopen(in_root(name), "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)at, SEEK_SET);
    fputc(c ^ 4, f);
    fclose(f);
}

/* No changed byte goes unnoticed: neither when the file is opened nor, in a record, when that is read. */
static void sees_every_flipped_byte(void **state)
{
    (void)state;
    const size_t record = HEAD + NUMBERS * 2;
    for (size_t at = 0; at < HEADER + RECORDS * record; at++) {
        fill("flipped", 2);
        flip("flipped", at);
        struct train_cache *c = opened("flipped", 2, 1);
        assert_holds(c, at < HEADER ? 0 : (int)((at - HEADER) / record));
        train_cache_close(c);
        if (at < HEADER) continue;
        fill("flipped", 2);
        c = opened("flipped", 2, 1);
        flip("flipped", at);
        float x[NUMBERS];
        assert_int_equal(train_cache_read(x, c, (long)((at - HEADER) / record), &err), RUDD_FORMAT);
        train_cache_close(c);
        unlink(in_root("flipped"));
    }
}

/* Of another recipe or form, a file says nothing and is begun anew; folders and nonsense are refused. */
static void other_forms(void **state)
{
    (void)state;
    fill("form", 2);
    struct train_cache *c = opened("form", 2, 9);
    assert_holds(c, 0);
    train_cache_close(c);
    fill("form", 2);
    c = opened("form", 4, 1);
    assert_holds(c, 0);
    train_cache_close(c);
    struct train_cache_form form = {.numbers = NUMBERS, .bytes = 3};
    assert_int_equal(train_cache_open(&c, in_root("form"), &form, &err), RUDD_ARGUMENT);
    form.bytes = 2;
    assert_int_equal(train_cache_open(&c, in_root("set"), &form, &err), RUDD_IO);
}

/* Every half goes to float32 and back unchanged; between two halves the nearer one is taken, of equally near ones the even. */
static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = nn_f32_from_f16((uint16_t)h);
        if (isfinite(x)) assert_int_equal(nn_f16_from_f32(x), h);
        uint32_t next = h + 1;
        if ((h & 0x7fff) >= 0x7bff) continue;
        float y = nn_f32_from_f16((uint16_t)next), middle = x + (y - x) / 2;
        assert_int_equal(nn_f16_from_f32(middle), h & 1 ? next : h);
        assert_int_equal(nn_f16_from_f32(nextafterf(middle, x)), h);
        assert_int_equal(nn_f16_from_f32(nextafterf(middle, y)), next);
    }
    assert_true(nn_f32_from_f16(nn_f16_from_f32(1e9f)) == 65504);
    assert_true(nn_f32_from_f16(nn_f16_from_f32(-INFINITY)) == -65504);
    assert_true(isnan(nn_f32_from_f16(nn_f16_from_f32(NAN))));
}

/* ---- runs ---------------------------------------------------------------------------------------------------------- */

#define FROZEN "|--freeze|3|--no-augment|--epochs|2"

/* Threads, a kept cache, and a cache that is there already change no bit; nor, but for rounding, does caching itself. */
static void cached_runs_are_the_run(void **state)
{
    (void)state;
    char options[600];
    must(train("pixels", FROZEN "|--cache|off"));
    must(train("cached", FROZEN "|--cache|float32|--threads|1"));
    for (int i = 0; i < 2; i++) {
        snprintf(options, sizeof options, FROZEN "|--cache|float32|--threads|2|--cache-dir|%s", in_root("caches/new"));
        must(train("kept", options)); /* which makes the folder the first time */
        assert_same_run("cached", "kept");
        remove_run("kept");
    }
    json_t *a = parse_json(file_of("pixels", "run.json")), *b = parse_json(file_of("cached", "run.json"));
    const char *path[] = {"final", "test", "loss"};
    const json_t *x = a, *y = b;
    for (int i = 0; i < 3; i++) {
        x = json_object_get(x, path[i]);
        y = json_object_get(y, path[i]);
    }
    assert_true(fabs(json_number_value(x) - json_number_value(y)) < 1e-2);
    json_decref(a);
    json_decref(b);
    /* The run's own cache is gone: five files remain. */
    DIR *folder = opendir(in_root("cached"));
    int files = 0;
    for (struct dirent *e; (e = readdir(folder));) files += e->d_name[0] != '.';
    closedir(folder);
    assert_int_equal(files, 5);
}

/* Names of the cache files below XDG_CACHE_HOME, most recently used first. */
static int shared_files(struct train_cache_file **files)
{
    char folder[TRAIN_PATH];
    int count;
    assert_true(train_cache_folder_path(folder));
    must(train_cache_folder_list(files, &count, folder, &err));
    return count;
}

/* Unasked, a run leaves its cache for the next one, which is the same run and adds nothing to the file.
 * Where the user's folder cannot hold it, or --cache-dir - asks for that, it lies in the run's. */
static void kept_for_the_next_run(void **state)
{
    (void)state;
    struct train_cache_file *first, *second;
    setenv("XDG_CACHE_HOME", in_root("xdg"), 1);
    must(train("first try", "|--freeze|all|--epochs|1"));
    assert_int_equal(shared_files(&first), 1);
    must(train("second try", "|--freeze|all|--epochs|1"));
    assert_int_equal(shared_files(&second), 1);
    assert_string_equal(first->name, second->name);
    assert_int_equal(first->bytes, second->bytes);
    assert_true(second->used >= first->used);
    assert_same_run("first try", "second try");
    rudd_free(first);
    rudd_free(second);

    must(train("own", "|--freeze|all|--epochs|1|--cache-dir|-|--batch|4"));
    must(train("too small", "|--freeze|3|--no-augment|--epochs|1|--cache|float32|--cache-max|1K"));
    assert_int_equal(shared_files(&first), 1); /* neither left a file there, or took one away */
    rudd_free(first);
    must(train("other", "|--freeze|3|--no-augment|--epochs|1|--cache|float32"));
    assert_int_equal(shared_files(&first), 2);
    assert_true(first[0].used >= first[1].used);
    char most[80];
    snprintf(most, sizeof most, "|--freeze|3|--no-augment|--epochs|1|--cache|float32|--cache-max|%llu",
             (unsigned long long)(first[0].bytes + first[1].bytes - 1));
    must(train("other again", most)); /* the file that was used longer ago goes */
    assert_int_equal(shared_files(&second), 1);
    assert_string_equal(first[0].name, second[0].name);
    rudd_free(first);
    rudd_free(second);

    char name[TRAIN_PATH];
    snprintf(name, sizeof name, "%s", in_root("xdg/rudd/notes.txt"));
    write_text(name, "not a cache");
    must(command(train_cmd_data, "data|cache|--clear"));
    assert_int_equal(shared_files(&first), 0);
    rudd_free(first);
    assert_int_equal(access(name, F_OK), 0);
    assert_int_equal(command(train_cmd_data, "data|cache|--clear|nonsense"), RUDD_ARGUMENT);
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
}

/* Random views are cached as such: two of them teach something else than one plain one, and the same every time. L-BFGS takes both. */
static void views(void **state)
{
    (void)state;
    must(train("plain", "|--freeze|all|--epochs|2"));
    must(train("views", "|--freeze|all|--epochs|2|--cache-views|2|--threads|1"));
    must(train("views again", "|--freeze|all|--epochs|2|--cache-views|2|--threads|2"));
    assert_same_run("views", "views again");
    assert_values(file_of("plain", "model.safetensors"), file_of("views", "model.safetensors"), false);
    must(train("fit", "|--freeze|all|--optimizer|lbfgs|--threads|1"));
    must(train("fit again", "|--freeze|all|--optimizer|lbfgs|--threads|2"));
    assert_same_run("fit", "fit again");
    must(train("fit views", "|--freeze|all|--optimizer|lbfgs|--cache-views|2"));
    assert_values(file_of("fit", "model.safetensors"), file_of("fit views", "model.safetensors"), false);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"|--cache|float16", "--freeze none"},
                                           {"|--freeze|all|--cache-views|2|--no-augment", "--no-augment"},
                                           {"|--freeze|all|--cache|float32|--mixup|0.2", "--mixup"},
                                           {"|--freeze|2|--optimizer|lbfgs", "--freeze all"},
                                           {"|--freeze|all|--optimizer|lbfgs|--cache|off", "cached"},
                                           {"|--freeze|all|--optimizer|lbfgs|--ema|0.9", "--ema"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(train("refused", cases[i][0]), RUDD_ARGUMENT);
        if (!strstr(err.message, cases[i][1])) fail_msg("%s gave: %s", cases[i][0], err.message);
        assert_int_not_equal(access(in_root("refused"), F_OK), 0);
    }
}

/* The largest *.cache of a run: bytes so far; 0: none. */
static off_t cache_bytes(const char *run)
{
    char path[PATH_MAX];
    struct stat st;
    off_t bytes = 0;
    DIR *folder = opendir(in_root(run));
    for (struct dirent *e; folder && (e = readdir(folder));) {
        snprintf(path, sizeof path, "%.1000s/%.200s", in_root(run), e->d_name);
        if (strstr(e->d_name, ".cache") && stat(path, &st) == 0 && st.st_size > bytes) bytes = st.st_size;
    }
    if (folder) closedir(folder);
    return bytes;
}

static pid_t start_rudd(char *const argv[])
{
    char binary[PATH_MAX + 16];
    ssize_t n = readlink("/proc/self/exe", binary, PATH_MAX - 1);
    assert_true(n > 0);
    binary[n] = 0;
    strcpy(strrchr(binary, '/'), "/../rudd");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execv(binary, argv);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

/* Killed whenever the cache has grown, the run goes on with what is there, and ends as one that nobody killed. */
static void killed_while_caching(void **state)
{
    (void)state;
    char data[300], out[300], resumed[300];
    snprintf(data, sizeof data, "%s", in_root("set"));
    snprintf(out, sizeof out, "%s", in_root("killed"));
    snprintf(resumed, sizeof resumed, "%s", in_root("killed"));
    must(train("straight", "|--freeze|all|--epochs|1"));
    char *begin[] = {"rudd",   "train",           "--quiet",      "--data",   data,      "--out",    out,
                     "--arch", "efficientnet_b0", "--image-size", "32",       "--batch", "8",        "--lr",
                     "1e-3",   "--bn-momentum",   "0.5",          "--freeze", "all",     "--epochs", "1",
                     NULL};
    char *again[] = {"rudd", "train", "--quiet", "--resume", resumed, NULL};
    int kills = 0, status;
    off_t before = 0;
    for (;;) {
        pid_t pid = start_rudd(access(file_of("killed", "run.json"), F_OK) == 0 ? again : begin);
        bool ended = false;
        while (!ended && !(kills < 3 && cache_bytes("killed") > before)) {
            struct timespec moment = {0, 100000};
            nanosleep(&moment, NULL);
            ended = waitpid(pid, &status, WNOHANG) == pid;
        }
        if (ended) break;
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        off_t now = cache_bytes("killed");
        assert_true(now >= before); /* nothing that was whole is lost */
        before = now;
        kills++;
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(kills > 0);
    assert_same_run("straight", "killed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_any_cut),
        cmocka_unit_test(sees_every_flipped_byte),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(halves),
        cmocka_unit_test(refusals),
        cmocka_unit_test(views),
        cmocka_unit_test(cached_runs_are_the_run),
        cmocka_unit_test(kept_for_the_next_run),
        cmocka_unit_test(killed_while_caching),
    };
    return cmocka_run_group_tests_name("cache", tests, begin_runs, end_runs);
}
