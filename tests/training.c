/* training.c - what tests of training share: see training.h. */
#include "tests/training.h"

#include "data/image/jpeg_write.h"
#include "nn/rng.h"
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

int renames_left = -1, appends_left = -1;
struct disk_work disk_work;

/* These take libc's place in this program. Every file of a run arrives by one rename; from the
 * fatal one on, all fail. */
int rename(const char *from, const char *to)
{
    disk_work.renames++;
    if (renames_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (renames_left > 0) renames_left--;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* Appended to are the files that are opened so. */
ssize_t write(int fd, const void *bytes, size_t length)
{
    static bool full;
    if (!(fcntl(fd, F_GETFL) & O_APPEND) || fd <= 2) return syscall(SYS_write, fd, bytes, length);
    disk_work.appends++;
    if (appends_left > 0)
        appends_left--;
    else if (appends_left == 0 && full) {
        full = false;
        errno = ENOSPC;
        return -1;
    } else if (appends_left == 0) {
        full = true;
        length /= 2;
    }
    return syscall(SYS_write, fd, bytes, length);
}

int fsync(int fd)
{
    disk_work.syncs++;
    return (int)syscall(SYS_fsync, fd);
}

/* ---- pictures and runs ------------------------------------------------------------------------------------------- */

static char root[] = "/tmp/rudd_train_XXXXXX";
struct rudd_error err;
const char *const classes[3] = {"a<b&\"c", "green", "red"};

const char *in_root(const char *name)
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

void draw_set(const char *name)
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

void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

char *read_all(const char *path, size_t *length)
{
    uint8_t *bytes;
    if (data_file_read(&bytes, length, path, 1u << 30, &err) != RUDD_OK) fail_msg("%s", err.message);
    return (char *)bytes;
}

void assert_files_equal(const char *a, const char *b)
{
    size_t m, n;
    char *x = read_all(a, &m), *y = read_all(b, &n);
    if (m != n || memcmp(x, y, m) != 0) fail_msg("%s and %s differ", a, b);
    rudd_free(x);
    rudd_free(y);
}

json_t *parse_json(const char *path)
{
    size_t n;
    char *text = read_all(path, &n);
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    rudd_free(text);
    assert_non_null(json);
    return json;
}

enum rudd_status command(train_command *run, const char *line)
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

enum rudd_status train(const char *out, const char *more)
{
    char line[2000];
    snprintf(line, sizeof line, TRAIN_BASE "%s", in_root("set"), in_root(out), more);
    return command(train_cmd_train, line);
}

enum rudd_status resume(const char *out, const char *more)
{
    char line[1000];
    snprintf(line, sizeof line, "train|--quiet|--resume|%s%s", in_root(out), more);
    return command(train_cmd_train, line);
}

void must(enum rudd_status status)
{
    if (status != RUDD_OK) fail_msg("%s", err.message);
}

void assert_same_run(const char *a, const char *b)
{
    static const char *const files[] = {"model.safetensors", "last.safetensors"};
    char x[TRAIN_PATH], y[TRAIN_PATH];
    for (int i = 0; i < 2; i++)
        assert_files_equal(train_run_path(x, in_root(a), files[i]), train_run_path(y, in_root(b), files[i]));
}

void assert_values(const char *a, const char *b, bool equal)
{
    struct nn_model *x, *y;
    must(weights_model_load(&x, a, NULL, NULL, &err));
    must(weights_model_load(&y, b, NULL, NULL, &err));
    assert_int_equal(x->value_count, y->value_count);
    assert_int_equal(memcmp(x->values, y->values, x->value_count * sizeof *x->values) == 0, equal);
    nn_model_destroy(x);
    nn_model_destroy(y);
}

const char *file_of(const char *run, const char *name)
{
    static char paths[4][TRAIN_PATH];
    static int next;
    return train_run_path(paths[next++ % 4], in_root(run), name);
}

void assert_same_metrics(const char *a, const char *b, int epochs)
{
    struct train_run_folder x, y;
    must(train_run_folder_open(&x, in_root(a), epochs, &err));
    must(train_run_folder_open(&y, in_root(b), epochs, &err));
    for (int i = 0; i < epochs; i++) {
        x.epochs[i].seconds = y.epochs[i].seconds = 0;
        x.epochs[i].images_per_second = y.epochs[i].images_per_second = 0;
    }
    assert_memory_equal(x.epochs, y.epochs, sizeof *x.epochs * (size_t)epochs);
    train_run_folder_free(&x);
    train_run_folder_free(&y);
}

void remove_run(const char *name)
{
    char line[400];
    snprintf(line, sizeof line, "rm -rf '%s'", in_root(name));
    assert_int_equal(system(line), 0);
}

int begin_runs(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    setenv("XDG_CACHE_HOME", "/dev/null", 1); /* caches lie in the run's folder, unless a test says where */
    draw_set("set");
    return 0;
}

int end_runs(void **state)
{
    (void)state;
    char line[400];
    snprintf(line, sizeof line, "rm -rf '%s'", root);
    return system(line);
}
