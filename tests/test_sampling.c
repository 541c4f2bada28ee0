/* test_sampling.c - what an epoch shows: balance, keys, appearances. */
#include "data/sets/sampling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Four classes of 1, 0, 30 and 6 pictures, not in the order of the classes. */
enum { COUNT = 37, CLASSES = 4 };
static struct data_item items[COUNT];
static char *names[CLASSES];
static const struct data_set set = {.class_names = names, .class_count = CLASSES, .items = items, .count = COUNT};

static int label_set(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) items[i].label = i < 30 ? 2 : i < 36 ? 3 : 0;
    return 0;
}

/* Every class that has pictures is drawn equally often (to one), and so is every picture within a class; no draw comes twice. */
static void balanced_is_balanced(void **state)
{
    (void)state;
    struct data_sampler s;
    int favoured[CLASSES] = {0}, rare[30] = {0};
    assert_int_equal(data_sampler_init(&s, &set, DATA_BALANCED, false, 1, NULL), RUDD_OK);
    assert_int_equal(s.length, COUNT);
    for (uint64_t epoch = 0; epoch < 60; epoch++) {
        int by_class[CLASSES] = {0}, by_item[COUNT] = {0}, appearances[COUNT] = {0};
        data_sampler_draw(&s, 5, epoch);
        for (int i = 0; i < COUNT; i++) {
            int item = data_draw_item(&s, s.draws[i]), appearance = data_draw_appearance(&s, s.draws[i]);
            assert_in_range(item, 0, COUNT - 1);
            by_class[items[item].label]++;
            by_item[item]++;
            assert_true(appearance < 31 && !(appearances[item] >> appearance & 1)); /* a new view of it each time */
            appearances[item] |= 1 << appearance;
            if (item < 30) rare[item]++;
        }
        assert_int_equal(by_class[1], 0);
        for (int k = 0; k < CLASSES; k++) {
            if (k == 1) continue;
            assert_in_range(by_class[k], COUNT / 3, COUNT / 3 + 1);
            favoured[k] += by_class[k] > COUNT / 3;
        }
        for (int i = 0; i < COUNT; i++) {
            int share = by_class[items[i].label] / (items[i].label == 0 ? 1 : items[i].label == 2 ? 30 : 6);
            assert_in_range(by_item[i], share, share + 1);
            assert_int_equal(appearances[i], (1 << by_item[i]) - 1); /* numbered from 0, without a gap */
        }
    }
    /* Nobody is favoured for ever, and a picture of the large class has its turn. */
    for (int k = 0; k < CLASSES; k++) assert_true(k == 1 || (favoured[k] > 5 && favoured[k] < 40));
    for (int i = 0; i < 30; i++) assert_true(rare[i] > 8);
    data_sampler_free(&s);
}

/* The list is a function of (seed, epoch), and of both. */
static void key_decides(void **state)
{
    (void)state;
    for (int sampling = DATA_NATURAL; sampling <= DATA_BALANCED; sampling++) {
        struct data_sampler s;
        uint64_t first[COUNT];
        static const uint64_t keys[][2] = {{1, 2}, {1, 3}, {2, 2}, {1, 2}};
        assert_int_equal(data_sampler_init(&s, &set, (enum data_sampling)sampling, true, 1, NULL), RUDD_OK);
        for (int k = 0; k < 4; k++) {
            data_sampler_draw(&s, keys[k][0], keys[k][1]);
            if (k == 0) memcpy(first, s.draws, sizeof first);
            assert_int_equal(memcmp(first, s.draws, sizeof first) == 0, k == 0 || k == 3);
        }
        data_sampler_free(&s);
    }
}

/* Natural: each picture once, in order unless shuffled; with views, each so often in a row, numbered. */
static void natural_and_views(void **state)
{
    (void)state;
    struct data_sampler s;
    int seen[COUNT] = {0};
    assert_int_equal(data_sampler_init(&s, &set, DATA_NATURAL, true, 0, NULL), RUDD_OK);
    data_sampler_draw(&s, 1, 1);
    for (int i = 0; i < COUNT; i++) seen[s.draws[i]]++;
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    data_sampler_free(&s);

    assert_int_equal(data_sampler_init(&s, &set, DATA_NATURAL, false, 3, NULL), RUDD_OK);
    assert_int_equal(s.length, 3 * COUNT);
    data_sampler_draw(&s, 1, 1);
    for (int i = 0; i < 3 * COUNT; i++) {
        assert_int_equal(data_draw_item(&s, s.draws[i]), i / 3);
        assert_int_equal(data_draw_appearance(&s, s.draws[i]), i % 3);
    }
    data_sampler_free(&s);
}

static int allocations_left;
static int allow(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- > 0;
}

/* Every allocation may fail: an error, and nothing is kept. An empty set gives an empty list. */
static void failing_memory(void **state)
{
    (void)state;
    struct data_sampler s;
    struct rudd_error err;
    int failures = 0;
    for (;; failures++) {
        allocations_left = failures;
        rudd_set_alloc_hook(allow, NULL);
        enum rudd_status status = data_sampler_init(&s, &set, DATA_BALANCED, true, 1, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (status == RUDD_OK) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
    }
    assert_int_equal(failures, 5);
    data_sampler_free(&s);
    const struct data_set empty = {.class_names = names, .class_count = CLASSES};
    assert_int_equal(data_sampler_init(&s, &empty, DATA_BALANCED, true, 1, NULL), RUDD_OK);
    data_sampler_draw(&s, 1, 1);
    assert_int_equal(s.length, 0);
    data_sampler_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balanced_is_balanced),
        cmocka_unit_test(key_decides),
        cmocka_unit_test(natural_and_views),
        cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests_name("sampling", tests, label_set, NULL);
}
