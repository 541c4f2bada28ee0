/* test_share.c - work that can fail, in lanes: all of it is done, or the lowest failure is told. */
#include "kernels/kern.h"
#include "nn/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <cmocka.h>

enum { ITEMS = 300, LANES = 4 };

struct work {
    atomic_int done[ITEMS], inside[LANES];
    atomic_int wrong;   /* items that met another one in their lane */
    int fails, spacing; /* items fails, fails + spacing, ... fail; fails < 0: none */
};

static enum rudd_status work_on(void *user, int item, int lane, struct rudd_error *err)
{
    struct work *w = user;
    if (atomic_fetch_add(&w->inside[lane], 1)) atomic_fetch_add(&w->wrong, 1);
    atomic_fetch_add(&w->done[item], 1);
    for (volatile int i = 0; i < 1000 * (item % 7); i++) continue; /* later items overtake earlier ones */
    atomic_fetch_sub(&w->inside[lane], 1);
    if (w->fails < 0 || item < w->fails || (item - w->fails) % w->spacing) return RUDD_OK;
    return rudd_fail(err, item % 2 ? RUDD_IO : RUDD_FORMAT, "item %d", item);
}

static void all_items_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads *= 2) {
        struct rudd_error err = {RUDD_OK, "untouched"};
        struct work w = {.fails = -1};
        kern_set_threads(threads);
        assert_int_equal(nn_share(ITEMS, LANES, work_on, &w, &err), RUDD_OK);
        assert_string_equal(err.message, "untouched");
        assert_int_equal(w.wrong, 0);
        for (int i = 0; i < ITEMS; i++) assert_int_equal(w.done[i], 1);
        assert_int_equal(nn_share(0, LANES, work_on, &w, &err), RUDD_OK);
    }
    kern_set_threads(0);
}

/* Many items fail, in any order: the lowest is told, with its own status and words. */
static void the_lowest_failure_is_told(void **state)
{
    (void)state;
    kern_set_threads(4);
    for (int round = 0; round < 200; round++) {
        struct rudd_error err;
        struct work w = {.fails = round, .spacing = 1};
        assert_int_equal(nn_share(ITEMS, LANES, work_on, &w, &err), round % 2 ? RUDD_IO : RUDD_FORMAT);
        char expected[32];
        snprintf(expected, sizeof expected, "item %d", round);
        assert_string_equal(err.message, expected);
        assert_int_equal(nn_share(ITEMS, LANES, work_on, &w, NULL), round % 2 ? RUDD_IO : RUDD_FORMAT);
        for (int i = 0; i <= round; i++) assert_int_equal(w.done[i], 2); /* once each time */
        int begun = 0;
        for (int i = round + 1; i < ITEMS; i++) begun += w.done[i] > 0;
        assert_true(begun < 2 * LANES); /* a lane ends with its first failure */
    }
    kern_set_threads(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_items_once),
        cmocka_unit_test(the_lowest_failure_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
