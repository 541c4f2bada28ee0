/* test_near.c - pictures of one photograph are found, others are not, and a crowd of equal frames
 * costs no more than it should. */
#include "data/image/resize.h"
#include "data/sets/check.h"
#include "data/sets/looks.h"
#include "nn/rng.h"
#include "tests/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { W = 96, H = 72 };

/* A smooth random scene: few random colours, enlarged. */
static struct data_image scene(int key)
{
    uint8_t grid[7 * 9 * 3];
    for (size_t i = 0; i < sizeof grid; i++) grid[i] = (uint8_t)nn_rng_u64(5, (uint64_t)key, i, 0);
    const struct data_image small = {9, 7, grid};
    struct data_image image = {W, H, rudd_alloc(W * H * 3)};
    const struct data_resize r = {NN_BICUBIC, 0, 0, 9, 7, W, H, 0, 0, W, H};
    assert_int_equal(data_resize(image.rgb, &small, &r, NULL), RUDD_OK);
    return image;
}

/* The scene without shares of its sides, in another size, mirrored or not. */
static struct data_image altered(const struct data_image *of, const float cut[4], int w, int h, bool mirror)
{
    struct data_image image = {w, h, rudd_alloc((size_t)w * (size_t)h * 3)};
    const struct data_resize r = {NN_BICUBIC, cut[0] * W, cut[2] * H, W - cut[1] * W, H - cut[3] * H, w, h, 0, 0, w, h};
    assert_int_equal(data_resize(image.rgb, of, &r, NULL), RUDD_OK);
    for (int y = 0; mirror && y < h; y++)
        for (int x = 0; x < w / 2; x++)
            for (int c = 0; c < 3; c++) {
                uint8_t *a = image.rgb + (y * w + x) * 3 + c, *b = image.rgb + (y * w + w - 1 - x) * 3 + c;
                const uint8_t kept = *a;
                *a = *b;
                *b = kept;
            }
    return image;
}

static struct data_near_look look_of(const struct data_image *image)
{
    struct data_near_look look;
    assert_int_equal(data_near_look(&look, image, NULL), RUDD_OK);
    return look;
}

/* 300 scenes; each tenth comes again, altered: every pair is found and nothing else. */
static void planted(void **state)
{
    (void)state;
    enum { SCENES = 300, EVERY = 10, COUNT = SCENES + SCENES / EVERY };
    struct data_near_look *looks = rudd_zalloc(COUNT, sizeof *looks);
    for (int i = 0; i < SCENES; i++) {
        struct data_image image = scene(i);
        looks[i] = look_of(&image);
        if (i % EVERY == 0) {
            float cut[4];
            for (int k = 0; k < 4; k++) cut[k] = 0.1f * (float)nn_rng_u64(6, (uint64_t)i, (uint64_t)k, 0) / 1.8447e19f;
            struct data_image other = altered(&image, cut, 50 + i % 70, 60, i / EVERY % 2);
            looks[SCENES + i / EVERY] = look_of(&other);
            data_image_free(&other);
        }
        data_image_free(&image);
    }
    struct data_near_found found;
    assert_int_equal(data_near_find(&found, looks, COUNT, NULL), RUDD_OK);
    int missed = 0;
    for (int i = 0; i < SCENES; i++) assert_int_equal(found.leader[i], i);
    for (int i = SCENES; i < COUNT; i++) {
        const int of = (i - SCENES) * EVERY;
        missed += found.leader[i] != of;
        assert_true(found.leader[i] == of || found.leader[i] == i);
        assert_true(data_near_likeness(&looks[i], &looks[of]) > 0.97);
        assert_true(data_near_likeness(&looks[i], &looks[of + 1]) < 0.9);
    }
    assert_int_equal(missed, 0);
    assert_int_equal(found.plain, 0);
    data_near_free(&found);
    rudd_free(looks);
}

/* 3,000 frames of a camera are one group; plain pictures are none, whatever their colour. */
static void crowd(void **state)
{
    (void)state;
    enum { FRAMES = 3000, PLAIN = 100, COUNT = FRAMES + PLAIN };
    struct data_near_look *looks = rudd_zalloc(COUNT, sizeof *looks);
    struct data_image image = scene(1);
    const struct data_near_look first = look_of(&image);
    data_image_free(&image);
    for (int i = 0; i < COUNT; i++) {
        looks[i] = first;
        for (int k = 0; k < DATA_NEAR_SIDE * DATA_NEAR_SIDE; k++) {
            const int noise = (int)(nn_rng_u64(7, (uint64_t)i, (uint64_t)k, 0) % 5) - 2;
            const int v = (i < FRAMES ? first.luma[k] : 20 + 2 * (i - FRAMES)) + noise;
            looks[i].luma[k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    struct data_near_found found;
    assert_int_equal(data_near_find(&found, looks, COUNT, NULL), RUDD_OK);
    for (int i = 0; i < FRAMES; i++) assert_int_equal(found.leader[i], 0);
    for (int i = FRAMES; i < COUNT; i++) assert_int_equal(found.leader[i], i);
    assert_int_equal(found.plain, PLAIN);
    data_near_free(&found);
    rudd_free(looks);
}

/* ---- folders ---------------------------------------------------------------------------------- */

static char folder[64];

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

static struct data_report checked(int threads)
{
    struct data_report report;
    struct rudd_error err;
    const struct data_check_options options = {.near = true, .threads = threads};
    if (data_check(&report, folder, &options, &err)) fail_msg("%s", err.message);
    return report;
}

/* Groups are told by weight: across splits, across classes, the rest; equal files alone are no
 * group; threads change nothing. */
static void groups(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        char name[60];
        snprintf(name, sizeof name, "train/%s/%d.jpg", i % 2 ? "perch" : "bream", i);
        picture_put(folder, name, 80, 60, 100 * i);
    }
    picture_put(folder, "train/bream/4b.jpg", 160, 120, 400); /* 4 in another size? the pattern differs */
    picture_put(folder, "val/bream/equal.jpg", 80, 60, 0);    /* equal to 0 */
    picture_put(folder, "val/perch/other.jpg", 80, 60, 777);
    struct data_report one = checked(1), four = checked(4);
    assert_int_equal(one.counts[DATA_LEAK], 1);
    assert_int_equal(one.count, four.count);
    for (int i = 0; i < one.count; i++) assert_string_equal(one.faults[i].text, four.faults[i].text);
    for (int i = 0; i < one.alike_count; i++) {
        assert_true(one.alike[i].pictures > 1 && one.alike[i].path_count == one.alike[i].pictures);
        if (i) assert_true((one.alike[i - 1].splits > 1) >= (one.alike[i].splits > 1));
    }
    data_report_free(&one);
    data_report_free(&four);
}

/* Texts stay bounded and counts whole. */
static void many_faults(void **state)
{
    (void)state;
    enum { EQUAL = DATA_FAULT_TEXTS + 50 };
    char name[60];
    for (int i = 0; i < EQUAL; i++) {
        snprintf(name, sizeof name, "a/%04d.jpg", i);
        picture_put(folder, name, 16, 12, 3);
    }
    picture_put(folder, "b/0.jpg", 16, 12, 999);
    struct data_report r = checked(2);
    assert_int_equal(r.counts[DATA_DUPLICATE], EQUAL - 1);
    assert_int_equal(r.faulty, EQUAL - 1);
    assert_int_equal(r.count, DATA_FAULT_TEXTS);
    assert_int_equal(r.counts[DATA_NEAR], 0); /* equal files are told as such */
    data_report_free(&r);
}

/* A group goes into one split; without groups the split is the usual one. */
static void split_keeps_groups(void **state)
{
    (void)state;
    char name[60];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%s/%02d.jpg", i % 2 ? "perch" : "bream", i);
        picture_put(folder, name, 16, 12, i);
    }
    const double shares[3] = {0.5, 0.25, 0.25};
    struct data_set a, b;
    struct data_splits with = {0}, without = {0};
    assert_int_equal(data_set_scan(&a, folder, NULL, 0, NULL), RUDD_OK);
    assert_int_equal(data_set_scan(&b, folder, NULL, 0, NULL), RUDD_OK);
    int leader[40];
    for (int i = 0; i < 40; i++) leader[i] = i;
    assert_int_equal(data_splits_make(&with, &a, leader, shares, 3, NULL), RUDD_OK);
    assert_int_equal(data_splits_make(&without, &b, NULL, shares, 3, NULL), RUDD_OK);
    for (int i = 0; i < with.test.count; i++) assert_string_equal(with.test.items[i].path, without.test.items[i].path);
    assert_int_equal(with.test.count, 10);
    data_splits_free(&with);
    data_splits_free(&without);
    data_set_free(&a);
    data_set_free(&b);

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct data_splits s = {0};
        for (int i = 0; i < 40; i++) leader[i] = i % 20 < 4 ? i / 20 * 20 : i; /* two groups of four */
        leader[39] = 0;                                                        /* and one of another class */
        assert_int_equal(data_set_scan(&a, folder, NULL, 0, NULL), RUDD_OK);
        char *paths[40];
        for (int i = 0; i < 40; i++) paths[i] = rudd_strdup(a.items[i].path);
        assert_int_equal(data_splits_make(&s, &a, leader, shares, seed, NULL), RUDD_OK);
        int part[40], counts[3] = {0};
        const struct data_set *sets[3] = {&s.train, &s.val, &s.test};
        for (int i = 0; i < 40; i++) {
            part[i] = -1;
            for (int k = 0; k < 3; k++)
                for (int j = 0; j < sets[k]->count; j++)
                    if (strcmp(sets[k]->items[j].path, paths[i]) == 0) part[i] = k;
            assert_true(part[i] >= 0);
            counts[part[i]]++;
            rudd_free(paths[i]);
        }
        for (int i = 0; i < 40; i++) assert_int_equal(part[i], part[leader[i]]);
        assert_in_range(counts[0], 18, 24);
        data_splits_free(&s);
        data_set_free(&a);
    }
}

/* The n-th allocation fails, for every n. */
static void no_memory(void **state)
{
    (void)state;
    picture_put(folder, "train/a/0.jpg", 16, 12, 1);
    picture_put(folder, "train/b/1.jpg", 32, 24, 2);
    picture_put(folder, "val/a/0.jpg", 16, 12, 1);
    const struct data_check_options options = {.near = true, .threads = 1};
    for (long n = 1;; n++) {
        struct data_report report;
        fail_allocation(n);
        enum rudd_status status = data_check(&report, folder, &options, NULL);
        const bool reached = allocations() >= n;
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) data_report_free(&report);
        if (reached && status) assert_int_equal(status, RUDD_NO_MEMORY);
        if (!reached) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted),
        cmocka_unit_test(crowd),
        cmocka_unit_test_setup_teardown(groups, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(many_faults, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(split_keeps_groups, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(no_memory, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
