/* test_cache_serve.c - the server's cache: its hash, the table in the process, and answers from it as clients see them. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/lru.h"
#include "serve/siphash.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

/* ---- the hash ---------------------------------------------------------------------------------------------------------------
 */

/* The authors' test vectors: key 00 01 .. 0f, input 00 01 .. n-1. */
static void siphash_is_siphash(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash[2];
    } vectors[] = {{0, {0xe6a825ba047f81a3, 0x930255c71472f66d}},
                   {1, {0x44af996bd8c187da, 0x45fc229b11597634}},
                   {18, {0x8548bf23e4e526a4, 0x23f7aefe81a44d29}}};
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t input[64];
    uint64_t hash[2];
    for (size_t i = 0; i < sizeof input; i++) input[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        serve_siphash(hash, input, vectors[i].n, key);
        assert_memory_equal(hash, vectors[i].hash, sizeof hash);
    }
}

/* Each byte, the length and each bit of the key count. */
static void siphash_sees_everything(void **state)
{
    (void)state;
    uint8_t input[40] = {0};
    uint64_t key[2] = {1, 2}, seen[40 + 41 + 128][2];
    size_t count = 0;
    for (size_t n = 0; n <= 40; n++) serve_siphash(seen[count++], input, n, key);
    for (size_t i = 0; i < 40; i++) {
        input[i] = 1;
        serve_siphash(seen[count++], input, 40, key);
        input[i] = 0;
    }
    for (int bit = 0; bit < 128; bit++) {
        key[bit / 64] ^= 1ull << bit % 64;
        serve_siphash(seen[count++], input, 40, key);
        key[bit / 64] ^= 1ull << bit % 64;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) assert_true(seen[i][0] != seen[j][0] && seen[i][1] != seen[j][1]);
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

/* An unremarkable key: spread as a hash would be. */
static const uint64_t *key_of(uint64_t i)
{
    static _Thread_local uint64_t key[2];
    const uint64_t secret[2] = {7, 11};
    serve_siphash(key, &i, sizeof i, secret);
    return key;
}

static struct serve_lru *make_lru(size_t entries, size_t bytes, double ttl_ms)
{
    struct serve_lru *lru = NULL;
    assert_int_equal(serve_lru_create(&lru, entries, bytes, ttl_ms, NULL), RUDD_OK);
    return lru;
}

static struct serve_lru_stats stats_of(struct serve_lru *lru)
{
    struct serve_lru_stats stats;
    serve_lru_stats(&stats, lru);
    return stats;
}

/* What is used stays; of the rest the oldest goes, one for one. */
static void least_recently_used_goes(void **state)
{
    (void)state;
    struct serve_lru *lru = make_lru(3, 1 << 20, 1e9);
    float row[2] = {0}, got[2];
    for (int i = 0; i < 3; i++) {
        row[0] = (float)i;
        serve_lru_put(lru, key_of((uint64_t)i), row, 2, 0);
    }
    assert_true(serve_lru_get(lru, key_of(0), got, 2, 0)); /* 1 is now the oldest */
    assert_true(got[0] == 0);
    row[0] = 3;
    serve_lru_put(lru, key_of(3), row, 2, 0);
    assert_false(serve_lru_get(lru, key_of(1), got, 2, 0));
    const int kept[] = {2, 0, 3};
    for (int i = 0; i < 3; i++) {
        assert_true(serve_lru_get(lru, key_of((uint64_t)kept[i]), got, 2, 0));
        assert_true(got[0] == (float)kept[i]);
    }
    assert_false(serve_lru_get(lru, key_of(0), got, 1, 0)); /* a row of another length is none */
    row[0] = 9;
    serve_lru_put(lru, key_of(2), row, 2, 0); /* replaces */
    assert_true(serve_lru_get(lru, key_of(2), got, 2, 0));
    assert_true(got[0] == 9);
    struct serve_lru_stats stats = stats_of(lru);
    assert_int_equal(stats.entries, 3);
    assert_int_equal(stats.evictions, 1);
    assert_int_equal(stats.hits, 5);
    assert_int_equal(stats.misses, 2);
    serve_lru_destroy(lru);
}

/* Entries end at their time, counted from when they were last put, not from when they were read. */
static void entries_expire(void **state)
{
    (void)state;
    struct serve_lru *lru = make_lru(10, 1 << 20, 100);
    float row = 1;
    serve_lru_put(lru, key_of(1), &row, 1, 1000);
    assert_true(serve_lru_get(lru, key_of(1), &row, 1, 1099));
    assert_false(serve_lru_get(lru, key_of(1), &row, 1, 1100));
    assert_int_equal(stats_of(lru).expirations, 1);
    assert_int_equal(stats_of(lru).entries, 0);
    assert_int_equal(stats_of(lru).bytes, 0);
    serve_lru_destroy(lru);
}

/* Whatever comes, neither bound is passed, with one shard or many; and the table is used, not merely bounded. */
static void bounds_hold(void **state)
{
    (void)state;
    static const struct {
        size_t entries, bytes;
    } cases[] = {{1, 1 << 20}, {100, 1 << 20}, {5000, 1 << 20}, {5000, 20000}, {10, 100}};
    float row[300] = {0};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct serve_lru *lru = make_lru(cases[c].entries, cases[c].bytes, 1e9);
        for (uint64_t i = 0; i < 20000; i++) {
            serve_lru_put(lru, key_of(i), row, (int)(i * 7 % 300), 0);
            if (i % 64) continue;
            struct serve_lru_stats stats = stats_of(lru);
            assert_true(stats.entries <= cases[c].entries && stats.bytes <= cases[c].bytes);
        }
        struct serve_lru_stats stats = stats_of(lru);
        if (cases[c].bytes > 100) assert_true(stats.entries * 2 > cases[c].entries || stats.bytes * 2 > cases[c].bytes);
        serve_lru_destroy(lru);
    }
}

/* Without memory nothing is kept, what was kept stays, and a table that cannot be made says so. */
static int allowed;
static int allow(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    return allowed-- > 0;
}

static void survives_without_memory(void **state)
{
    (void)state;
    struct serve_lru *lru = NULL;
    struct rudd_error err;
    float row = 1;
    int failures = 0;
    rudd_set_alloc_hook(allow, NULL);
    for (allowed = 0; serve_lru_create(&lru, 5000, 1 << 20, 1e9, &err); allowed = ++failures)
        assert_int_equal(err.status, RUDD_NO_MEMORY);
    assert_true(failures > 2);
    allowed = 1;
    serve_lru_put(lru, key_of(1), &row, 1, 0);
    serve_lru_put(lru, key_of(2), &row, 1, 0);
    rudd_set_alloc_hook(NULL, NULL);
    assert_true(serve_lru_get(lru, key_of(1), &row, 1, 0));
    assert_false(serve_lru_get(lru, key_of(2), &row, 1, 0));
    serve_lru_destroy(lru);
}

/* Threads that put and get the same keys find whole rows under their own keys, nothing else. */
enum { THREADS = 4, KEYS = 300, ROW = 50 };

static void *hammer(void *arg)
{
    struct serve_lru *lru = arg;
    float row[ROW];
    for (uint64_t i = 0, x = (uint64_t)(uintptr_t)&row; i < 20000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t k = (x >> 33) % KEYS;
        if (i % 3 == 0) {
            for (int j = 0; j < ROW; j++) row[j] = (float)k;
            serve_lru_put(lru, key_of(k), row, ROW, 0);
        } else if (serve_lru_get(lru, key_of(k), row, ROW, 0)) {
            for (int j = 0; j < ROW; j++)
                if (row[j] != (float)k) return "torn";
        }
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    struct serve_lru *lru = make_lru(KEYS / 2, 1 << 20, 1e9);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hammer, lru), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_true(stats_of(lru).hits > 0 && stats_of(lru).evictions > 0);
    serve_lru_destroy(lru);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(siphash_is_siphash),
                                       cmocka_unit_test(siphash_sees_everything),
                                       cmocka_unit_test(least_recently_used_goes),
                                       cmocka_unit_test(entries_expire),
                                       cmocka_unit_test(bounds_hold),
                                       cmocka_unit_test(survives_without_memory),
                                       cmocka_unit_test(threads_share_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
