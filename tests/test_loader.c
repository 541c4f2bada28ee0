/* test_loader.c - data sets and batches: fixed order, exact splits, the same bytes from any number of threads, bad pictures left out
 * and named; .npy files; what `rudd data check` finds. */
#include "data/sets/check.h"
#include "data/sets/loader.h"
#include "data/npy.h"
#include "tests/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 16, PIXELS = SIZE * SIZE * 3 };

static char folder[64];
static const struct data_check_options searching = {.near = true, .threads = 1};

static int make_folder(void **state)
{
    (void)state;
    folder_create(folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* `count` pictures for each of three classes, plus what must be overlooked. */
static void make_classes(const char *under, int count)
{
    static const char *const classes[3] = {"bream", "perch", "roach"};
    char name[128];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < count; i++) {
            snprintf(name, sizeof name, "%s%s/%02d.%s", under, classes[c], i, i % 3 == 0 ? "jpg" : i % 3 == 1 ? "JPEG" : "Jpg");
            picture_put(folder, name, 20 + i, 30, c * 100 + i);
        }
    snprintf(name, sizeof name, "%sperch/.hidden.jpg", under);
    picture_put(folder, name, 8, 8, 0);
    snprintf(name, sizeof name, "%sperch/notes.txt", under);
    file_write(in_folder(name), (struct bytes){(uint8_t *)"no picture", 10});
    snprintf(name, sizeof name, "%s.cache/x.jpg", under);
    picture_put(folder, name, 8, 8, 0);
}

static struct data_set scanned(const char *dir, char *const *names, int count)
{
    struct data_set set;
    struct rudd_error err;
    if (data_set_scan(&set, dir, names, count, &err)) fail_msg("%s", err.message);
    return set;
}

/* ---- data sets --------------------------------------------------------------------------------------------------------------- */

/* Classes and files are sorted, hidden and foreign files overlooked, a given class list keeps its order. */
static void scan_order(void **state)
{
    (void)state;
    make_classes("", 4);
    struct data_set set = scanned(folder, NULL, 0);
    assert_int_equal(set.class_count, 3);
    assert_int_equal(set.count, 12);
    assert_string_equal(set.class_names[0], "bream");
    assert_int_equal(set.left.count[DATA_LEFT_HIDDEN], 1);
    assert_int_equal(set.left.count[DATA_LEFT_OTHER], 1);
    for (int i = 0; i < 12; i++) assert_int_equal(set.items[i].label, i / 4);
    for (int i = 1; i < 12; i++) assert_true(strcmp(set.items[i - 1].path, set.items[i].path) < 0);
    data_set_free(&set);

    char *names[4] = {"roach", "pike", "bream", "perch"};
    set = scanned(folder, names, 4);
    assert_int_equal(set.count, 12);
    assert_int_equal(set.items[0].label, 0);
    assert_non_null(strstr(set.items[0].path, "/roach/00.jpg"));
    assert_int_equal(set.items[11].label, 3); /* pike has no folder and no picture */
    data_set_free(&set);

    struct rudd_error err;
    set = (struct data_set){.count = 77};
    assert_int_equal(data_set_scan(&set, folder, names, 2, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "bream, perch"));
    assert_int_equal(data_set_scan(&set, in_folder("perch"), NULL, 0, &err), RUDD_FORMAT);
    assert_int_equal(data_set_scan(&set, in_folder("nowhere"), NULL, 0, &err), RUDD_IO);
    assert_int_equal(set.count, 77);
}

static int count_label(const struct data_set *set, int label)
{
    int n = 0;
    for (int i = 0; i < set->count; i++) n += set->items[i].label == label;
    return n;
}

static bool has_path(const struct data_set *set, const char *path)
{
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->items[i].path, path) == 0) return true;
    return false;
}

/* A split takes each class's shares, loses nothing, doubles nothing, depends on the seed, and hardly on a new picture. */
static void split_is_stratified(void **state)
{
    (void)state;
    make_classes("", 20);
    struct data_splits a, b, c;
    struct data_set all = scanned(folder, NULL, 0);
    const double shares[3] = {0.6, 0.25, 0.15};
    assert_int_equal(data_splits_scan(&a, folder, shares, 1, NULL), RUDD_OK);
    assert_int_equal(data_splits_scan(&b, folder, shares, 2, NULL), RUDD_OK);
    for (int label = 0; label < 3; label++) {
        assert_int_equal(count_label(&a.train, label), 12);
        assert_int_equal(count_label(&a.val, label), 5);
        assert_int_equal(count_label(&a.test, label), 3);
    }
    for (int i = 0; i < all.count; i++)
        assert_int_equal(has_path(&a.train, all.items[i].path) + has_path(&a.val, all.items[i].path) +
                             has_path(&a.test, all.items[i].path),
                         1);
    int moved = 0;
    for (int i = 0; i < a.val.count; i++) moved += !has_path(&b.val, a.val.items[i].path);
    assert_true(moved > 3);
    assert_string_equal(a.test.class_names[2], "roach");

    picture_put(folder, "perch/zz.jpg", 9, 9, 0);
    assert_int_equal(data_splits_scan(&c, folder, shares, 1, NULL), RUDD_OK);
    moved = 0;
    for (int i = 0; i < a.val.count; i++) moved += !has_path(&c.val, a.val.items[i].path);
    assert_true(moved <= 2);

    char first[NN_SHA256_HEX], second[NN_SHA256_HEX];
    data_set_hash(first, &a.train);
    data_set_hash(second, &a.train);
    assert_string_equal(first, second);
    data_set_hash(second, &b.train);
    assert_string_not_equal(first, second);
    picture_put(folder, strrchr(a.train.items[0].path, '/') - 5, 31, 31, 99); /* other content, same name */
    data_set_hash(second, &a.train);
    assert_string_not_equal(first, second);

    data_set_free(&all);
    data_splits_free(&a);
    data_splits_free(&b);
    data_splits_free(&c);

    const double wrong[][3] = {{0.5, 0.5, 0.5}, {0, 0.5, 0.5}, {1.5, -0.5, 0}, {0.7, 0.3, 0.0 / 0.0}};
    for (int i = 0; i < 4; i++) assert_int_equal(data_splits_scan(&a, folder, wrong[i], 1, NULL), RUDD_ARGUMENT);
}

/* train/ val/ test/ share train's classes; a missing part is empty; a foreign class in one is a mismatch. */
static void split_folders(void **state)
{
    (void)state;
    struct data_splits s;
    struct rudd_error err;
    make_classes("train/", 3);
    picture_put(folder, "val/roach/a.jpg", 9, 9, 0);
    assert_int_equal(data_splits_scan(&s, folder, NULL, 0, &err), RUDD_OK);
    assert_int_equal(s.train.count, 9);
    assert_int_equal(s.val.count, 1);
    assert_int_equal(s.val.items[0].label, 2);
    assert_int_equal(s.test.count, 0);
    assert_int_equal(s.test.class_count, 3);
    data_splits_free(&s);
    picture_put(folder, "val/roack/a.jpg", 9, 9, 0);
    assert_int_equal(data_splits_scan(&s, folder, NULL, 0, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "roack"));
}

/* Tiny classes keep a training picture. */
static void split_tiny(void **state)
{
    (void)state;
    make_classes("", 1);
    const double shares[3] = {0.1, 0.45, 0.45};
    struct data_splits s;
    assert_int_equal(data_splits_scan(&s, folder, shares, 1, NULL), RUDD_OK);
    assert_int_equal(s.train.count, 3);
    assert_int_equal(s.val.count + s.test.count, 0);
    data_splits_free(&s);
}

/* ---- loader ------------------------------------------------------------------------------------------------------------------ */

static const struct data_loader_options basic = {
    .batch = 4,
    .image_size = SIZE,
    .shuffle = true,
    .seed = 5,
    .preprocess = {.mode = NN_RESIZE_SQUASH, .mean = {0.4f, 0.5f, 0.6f}, .std = {0.2f, 0.3f, 0.4f}},
};

static struct data_loader *loader_of(const struct data_set *set, struct data_loader_options o)
{
    struct data_loader *l;
    struct rudd_error err;
    if (data_loader_create(&l, set, &o, &err)) fail_msg("%s", err.message);
    return l;
}

/* An epoch's batches, one behind the other. */
struct tape {
    float x[64 * PIXELS];
    int labels[64], items[64], sizes[64], count, batches;
};

static void record(struct tape *t, struct data_loader *l, uint64_t epoch, int first)
{
    struct data_batch b;
    memset(t, 0, sizeof *t);
    data_loader_start(l, epoch, first);
    assert_int_equal(data_loader_position(l), first);
    while (data_loader_next(l, &b)) {
        assert_true(b.n > 0);
        memcpy(t->x + t->count * PIXELS, b.x, (size_t)b.n * PIXELS * sizeof *b.x);
        memcpy(t->labels + t->count, b.labels, (size_t)b.n * sizeof *b.labels);
        memcpy(t->items + t->count, b.items, (size_t)b.n * sizeof *b.items);
        t->sizes[t->batches++] = b.n;
        t->count += b.n;
    }
    assert_false(data_loader_next(l, &b)); /* the end stays the end */
    assert_int_equal(data_loader_position(l), data_loader_batches(l));
}

/* Batches are the same bytes for any number of threads and any depth; epochs differ; each picture comes once; one may start in the middle. */
static void threads_change_nothing(void **state)
{
    (void)state;
    static struct tape want, got;
    make_classes("", 6);
    struct data_set set = scanned(folder, NULL, 0);
    for (int augmented = 0; augmented < 2; augmented++) {
        struct data_loader_options o = basic;
        o.augment = augmented ? &data_augment_default : NULL;
        o.threads = 1;
        o.depth = 1;
        struct data_loader *l = loader_of(&set, o);
        assert_int_equal(data_loader_batches(l), 5);
        record(&want, l, 3, 0);
        assert_int_equal(want.count, 18);
        assert_int_equal(want.batches, 5);
        assert_int_equal(want.sizes[4], 2);
        int seen[18] = {0};
        for (int i = 0; i < 18; i++) {
            seen[want.items[i]]++;
            assert_int_equal(want.labels[i], set.items[want.items[i]].label);
        }
        for (int i = 0; i < 18; i++) assert_int_equal(seen[i], 1);
        record(&got, l, 4, 0);
        assert_memory_not_equal(want.items, got.items, sizeof got.items);
        record(&got, l, 3, 2);
        assert_int_equal(got.count, 10);
        assert_memory_equal(got.x, want.x + 8 * PIXELS, 10 * PIXELS * sizeof *got.x);
        data_loader_destroy(l);

        for (int threads = 2; threads <= 8; threads *= 2) {
            o.threads = threads;
            o.depth = threads == 8 ? -1 : threads / 2; /* ahead, and not at all */
            l = loader_of(&set, o);
            for (int again = 0; again < 3; again++) {
                record(&got, l, 3, 0);
                assert_memory_equal(&got, &want, sizeof got);
            }
            data_loader_start(l, 9, 0); /* left in the middle */
            data_loader_destroy(l);
        }
    }
    data_set_free(&set);
}

/* Without shuffling the order is the set's; drop_last leaves the rest out; pixels are those of the one path. */
static void plain_order(void **state)
{
    (void)state;
    static struct tape got;
    make_classes("", 3);
    struct data_set set = scanned(folder, NULL, 0);
    struct data_loader_options o = basic;
    o.shuffle = false;
    o.drop_last = true;
    struct data_loader *l = loader_of(&set, o);
    record(&got, l, 0, 0);
    assert_int_equal(got.count, 8);
    for (int i = 0; i < 8; i++) {
        uint8_t square[PIXELS];
        float x[PIXELS];
        struct data_image image;
        assert_int_equal(got.items[i], i);
        assert_int_equal(data_image_read(&image, set.items[i].path, NULL, NULL), RUDD_OK);
        assert_int_equal(data_preprocess(square, &image, &o.preprocess, SIZE, NULL), RUDD_OK);
        data_normalise(x, square, SIZE * SIZE, &o.preprocess);
        assert_memory_equal(got.x + i * PIXELS, x, sizeof x);
        data_image_free(&image);
    }
    data_loader_destroy(l);
    data_set_free(&set);
}

/* Bad pictures are named once, counted, and left out; a batch of nothing but bad ones is never handed out. */
static void bad_pictures(void **state)
{
    (void)state;
    static struct tape got;
    make_classes("", 4);
    struct data_set set = scanned(folder, NULL, 0);
    static const int bad[] = {0, 1, 2, 3, 6, 11};
    for (int i = 0; i < 6; i++) file_write(set.items[bad[i]].path, (struct bytes){(uint8_t *)"no picture", 10});
    unlink(set.items[11].path);
    struct data_loader_options o = basic;
    o.shuffle = false;
    o.threads = 3;
    struct data_loader *l = loader_of(&set, o);
    for (int epoch = 0; epoch < 3; epoch++) {
        record(&got, l, (uint64_t)epoch, 0);
        assert_int_equal(got.batches, 2);
        assert_int_equal(got.sizes[0], 3);
        assert_int_equal(got.sizes[1], 3);
        assert_int_equal(got.items[2], 7);
        assert_int_equal(got.labels[0], 1);
        assert_int_equal(data_loader_bad_count(l), 6);
        assert_non_null(strstr(data_loader_bad(l, 0), "bream/00.jpg: text, not a picture"));
        assert_non_null(strstr(data_loader_bad(l, 5), "roach/03.jpg: there is no such file"));
        assert_null(data_loader_bad(l, 6));
    }
    data_loader_destroy(l);

    for (int i = 0; i < set.count; i++) unlink(set.items[i].path); /* and nothing at all */
    l = loader_of(&set, o);
    record(&got, l, 0, 0);
    assert_int_equal(got.count, 0);
    assert_int_equal(data_loader_bad_count(l), 12);
    data_loader_destroy(l);
    data_set_free(&set);
}

/* Options without a meaning are refused before anything starts. */
static void bad_options(void **state)
{
    (void)state;
    struct data_set empty = {0};
    struct data_loader *l = NULL;
    struct data_loader_options o = basic;
    struct data_augment a = {.flip = 2};
    struct data_batch b;
    o.batch = 0;
    assert_int_equal(data_loader_create(&l, &empty, &o, NULL), RUDD_ARGUMENT);
    o = basic;
    o.image_size = 0;
    assert_int_equal(data_loader_create(&l, &empty, &o, NULL), RUDD_ARGUMENT);
    o = basic;
    o.augment = &a;
    assert_int_equal(data_loader_create(&l, &empty, &o, NULL), RUDD_ARGUMENT);
    assert_null(l);
    l = loader_of(&empty, basic); /* nothing to load is no mistake */
    assert_false(data_loader_next(l, &b));
    data_loader_start(l, 0, 0);
    assert_false(data_loader_next(l, &b));
    data_loader_destroy(l);
    data_loader_destroy(NULL);
}

/* The n-th allocation fails, for every n, while scanning, splitting, checking, creating a loader and loading an epoch: a refusal, or
 * an epoch that ends with it; never a crash, a leak or a picture that is left out. */
static void no_memory(void **state)
{
    (void)state;
    make_classes("", 2);
    long n = 1, refusals = 0, while_loading = 0;
    for (;; n++) {
        struct data_splits s = {0};
        struct data_loader *l = NULL;
        struct data_report report = {0};
        struct data_batch b;
        struct data_loader_options o = basic;
        o.threads = 1; /* so that the n-th is always the same one */
        fail_allocation(n);
        enum rudd_status status = data_splits_scan(&s, folder, (const double[]){0.5, 0.5, 0}, 1, NULL);
        if (!status) status = data_check(&report, folder, &searching, NULL);
        if (!status) status = data_loader_create(&l, &s.train, &o, NULL);
        if (!status) {
            int loaded = 0;
            data_loader_start(l, 0, 0);
            for (; data_loader_next(l, &b); loaded += b.n) assert_true(b.n > 0);
            assert_int_equal(data_loader_bad_count(l), 0); /* no picture is left out for it */
            status = data_loader_status(l, NULL);
            if (status) while_loading++;
            assert_true(status || loaded == s.train.count);
        }
        if (status) {
            assert_int_equal(status, RUDD_NO_MEMORY);
            refusals++;
        }
        bool reached = allocations() >= n;
        rudd_set_alloc_hook(NULL, NULL);
        data_loader_destroy(l);
        data_report_free(&report);
        data_splits_free(&s);
        if (!reached) break;
    }
    assert_true(refusals > 50 && while_loading > 3);
}

/* ---- check ------------------------------------------------------------------------------------------------------------------- */

static int faults(const struct data_report *r, enum data_fault_kind kind, const char *words)
{
    int n = 0;
    for (int i = 0; i < r->count; i++) n += r->faults[i].kind == kind && strstr(r->faults[i].text, words);
    return n;
}

/* A damaged picture that can be read is in its batch, and its note is told once, in any number of
 * epochs; with and without augmentation. */
static void damaged_pictures(void **state)
{
    (void)state;
    static struct tape got;
    struct data_augment flip = {.flip = 0.5};
    make_classes("", 4);
    struct data_set set = scanned(folder, NULL, 0);
    struct bytes jpeg = picture_jpeg(&(struct picture){.w = 40, .h = 30});
    struct bytes longer = {malloc(jpeg.length + 100), jpeg.length + 100};
    memcpy(longer.at, jpeg.at, jpeg.length - 2); /* zeros before the end marker */
    memset(longer.at + jpeg.length - 2, 0, 100);
    memcpy(longer.at + longer.length - 2, "\xff\xd9", 2);
    file_write(set.items[5].path, longer);
    file_write(set.items[7].path, longer);
    for (int augmented = 0; augmented < 2; augmented++) {
        struct data_loader_options o = basic;
        o.augment = augmented ? &flip : NULL;
        struct data_loader *l = loader_of(&set, o);
        for (int epoch = 0; epoch < 3; epoch++) {
            record(&got, l, (uint64_t)epoch, 0);
            assert_int_equal(got.count, set.count);
        }
        assert_int_equal(data_loader_bad_count(l), 0);
        assert_int_equal(data_loader_note_count(l), 2);
        for (int i = 0; i < 2; i++)
            if (!strstr(data_loader_note(l, i), ": damaged, but read: ")) fail_msg("%s", data_loader_note(l, i));
        assert_null(data_loader_note(l, 2));
        data_loader_destroy(l);
    }
    struct data_report r;
    assert_int_equal(data_check(&r, folder, &searching, NULL), RUDD_OK);
    assert_int_equal(faults(&r, DATA_DAMAGED, "extraneous bytes"), 2);
    assert_int_equal(r.faulty, 1); /* the second is the same file */
    data_report_free(&r);
    data_set_free(&set);
    free(longer.at);
    free(jpeg.at);
}

/* A sound folder has no faults; each fault that is put in is found, and only it. */
static void check_finds(void **state)
{
    (void)state;
    struct data_report r;
    make_classes("train/", 4);
    for (int c = 0; c < 3; c++) {
        char name[64];
        snprintf(name, sizeof name, "val/%s/v.jpg", c == 0 ? "bream" : c == 1 ? "perch" : "roach");
        picture_put(folder, name, 40, 40, 50 + c);
    }
    assert_int_equal(data_check(&r, folder, &searching, NULL), RUDD_OK);
    assert_int_equal(r.faulty, 0);
    assert_int_equal(r.pictures, 15);
    assert_int_equal(r.classes, 3);
    data_report_free(&r);

    picture_put(folder, "train/bream/copy.jpg", 20, 30, 0);   /* duplicate of bream/00 */
    picture_put(folder, "train/roach/copy.jpg", 21, 30, 1);   /* conflict with bream/01 */
    picture_put(folder, "val/bream/leak.jpg", 22, 30, 2);     /* leak of bream/02 */
    picture_put(folder, "val/bream/alike.jpg", 90, 120, 103); /* perch/03, in another size */
    picture_put(folder, "train/perch/03.jpg", 180, 240, 103);
    picture_put(folder, "val/roch/x.jpg", 20, 20, 7);
    mkdir(in_folder("train/pike"), 0777);
    file_write(in_folder("train/perch/broken.png"), (struct bytes){(uint8_t *)"\x89PNG\r\n\x1a\n", 8});
    assert_int_equal(data_check(&r, folder, &searching, NULL), RUDD_OK);
    assert_int_equal(faults(&r, DATA_DUPLICATE, "bream/copy.jpg: the same file as"), 1);
    assert_int_equal(faults(&r, DATA_CONFLICT, "roach/copy.jpg: the same file as"), 1);
    assert_int_equal(faults(&r, DATA_LEAK, "val/bream/leak.jpg: the same file as"), 1);
    assert_int_equal(faults(&r, DATA_CORRUPT, "perch/broken.png: truncated PNG: the data end early"), 1);
    assert_int_equal(faults(&r, DATA_EMPTY_CLASS, "train/pike: no pictures"), 1);
    assert_int_equal(faults(&r, DATA_CLASS_MISMATCH, "class roch is in val but not in train; is it the same as roach?"), 1);
    assert_int_equal(faults(&r, DATA_CLASS_MISMATCH, "class roach is in train but not in val"), 0); /* it is there */
    assert_int_equal(faults(&r, DATA_CLASS_MISMATCH, "class pike is in train but not in val"), 1);
    assert_int_equal(r.faulty, 7);
    data_report_free(&r);
    struct rudd_error err;
    assert_int_equal(data_check(&r, in_folder("nowhere"), &searching, &err), RUDD_IO);
}

/* Counts, sizes, means and deviations of what was written. */
static void statistics(void **state)
{
    (void)state;
    struct data_stats s;
    struct picture p = {.w = 10, .h = 4, .channels = 1, .depth = 1};
    mkdir(in_folder("a"), 0777);
    struct bytes png = picture_png(&p);
    file_write(in_folder("a/x.png"), png);
    free(png.at);
    file_write(in_folder("a/y.png"), (struct bytes){(uint8_t *)"no", 2});
    struct data_set set = scanned(folder, NULL, 0);
    data_stats(&s, &set, NULL);
    int ones = 0;
    for (int i = 0; i < 40; i++) ones += picture_sample(i % 10, i / 10, 0) >= 128;
    double mean = ones / 40.0;
    assert_int_equal(s.pictures, 1);
    assert_int_equal(s.bad, 1);
    assert_true(s.w_min == 10 && s.w_max == 10 && s.h_mean == 4);
    for (int c = 0; c < 3; c++) {
        double variance = s.std[c] * s.std[c], want = mean * (1 - mean);
        assert_true(s.mean[c] > mean - 1e-9 && s.mean[c] < mean + 1e-9 && variance > want - 1e-9 && variance < want + 1e-9);
    }
    data_set_free(&set);
}

/* ---- .npy -------------------------------------------------------------------------------------------------------------------- */

static struct bytes npy(int version, const char *header, size_t values)
{
    size_t start = version == 1 ? 10 : 12, n = strlen(header);
    struct bytes b = {calloc(start + n + values, 1), start + n + values};
    memcpy(b.at, "\x93NUMPY", 6);
    b.at[6] = (uint8_t)version;
    b.at[8] = (uint8_t)n;
    memcpy(b.at + start, header, n);
    for (size_t i = 0; i < values / 4; i++) memcpy(b.at + start + n + 4 * i, &(float){(float)i}, 4);
    return b;
}

/* Every version and order of keys is read; everything else is refused with its reason, also when cut anywhere. */
static void npy_files(void **state)
{
    (void)state;
    static const struct {
        const char *header, *why;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5), }   \n", NULL},
        {"{\"shape\":(2,3,4,5,),\"fortran_order\":False,\"descr\":\"<f4\"}", NULL},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3, 4, 5), }", "not float32"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 4, 5), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (120,), }", "1 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 6), }", "asks for 576 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3, 4, 5), }", "empty"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824, 1073741824, 4, 4), }", "more than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1, 1, 1), }", "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3, 4, 5), }", "header is not"},
        {"{'descr': '<f4', 'fortran_order': False}", "header is not"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5)}", "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5)} x", "header is not"},
        {"", "header is not"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int version = 1; version <= 3; version++) {
            struct bytes b = npy(version, rows[i].header, 480);
            const uint8_t *values = NULL;
            int64_t shape[4] = {0};
            struct rudd_error err = {0};
            enum rudd_status status = data_npy_parse(&values, shape, b.at, b.length, "x.npy", &err);
            if (rows[i].why) {
                assert_int_not_equal(status, RUDD_OK);
                if (!strstr(err.message, rows[i].why)) fail_msg("\"%s\" does not say \"%s\"", err.message, rows[i].why);
            } else {
                assert_int_equal(status, RUDD_OK);
                assert_true(shape[0] == 2 && shape[1] == 3 && shape[2] == 4 && shape[3] == 5);
                assert_int_equal(b.at + b.length - values, 480);
                for (size_t n = 0; n < b.length; n++) {
                    uint8_t *cut = malloc(n + 1);
                    memcpy(cut, b.at, n);
                    assert_int_not_equal(data_npy_parse(&values, shape, cut, n, "x.npy", NULL), RUDD_OK);
                    free(cut);
                }
                float *out;
                file_write(in_folder("x.npy"), b);
                assert_int_equal(data_npy_read(&out, shape, in_folder("x.npy"), &err), RUDD_OK);
                assert_true(out[0] == 0 && out[119] == 119);
                rudd_free(out);
            }
            free(b.at);
        }
    struct bytes b = npy(4, rows[0].header, 480);
    assert_int_equal(data_npy_parse(&(const uint8_t *){0}, (int64_t[4]){0}, b.at, b.length, "x", NULL), RUDD_FORMAT);
    free(b.at);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(scan_order),
        IN_FOLDER(split_is_stratified),
        IN_FOLDER(split_folders),
        IN_FOLDER(split_tiny),
        IN_FOLDER(threads_change_nothing),
        IN_FOLDER(plain_order),
        IN_FOLDER(bad_pictures),
        IN_FOLDER(damaged_pictures),
        cmocka_unit_test(bad_options),
        IN_FOLDER(no_memory),
        IN_FOLDER(check_finds),
        IN_FOLDER(statistics),
        IN_FOLDER(npy_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
