/* fuzz_cache.c - a cache file of any bytes: what is found can be read, what is appended is there after opening again, and a sound file
 * that was damaged somewhere gives only records that were written. */
#define _GNU_SOURCE /* memfd_create */
#include "train/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { NUMBERS = 3 };

static struct train_cache *opened(const char *path, int bytes)
{
    struct train_cache_form form = {.recipe = {1, 2, 3}, .numbers = NUMBERS, .bytes = bytes};
    struct rudd_error err;
    struct train_cache *c;
    if (train_cache_open(&c, path, &form, &err)) abort();
    return c;
}

static void key_of(uint8_t key[TRAIN_CACHE_HASH], int i)
{
    memset(key, i, TRAIN_CACHE_HASH);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 4) return 0;
    const int form = bytes[0] & 1 ? 2 : 4, records = bytes[0] >> 1 & 7;
    const size_t at = bytes[1] | (size_t)bytes[2] << 8;
    uint8_t key[TRAIN_CACHE_HASH];
    struct rudd_error err;
    char path[64];
    int fd = memfd_create("cache", 0);
    if (fd < 0) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);

    struct train_cache *c = opened(path, form);
    for (int i = 0; i < records; i++) {
        float numbers[NUMBERS] = {(float)i, 0.5f, -2};
        key_of(key, i);
        if (train_cache_append(c, key, numbers, &err)) abort();
    }
    train_cache_close(c);
    if (pwrite(fd, bytes + 3, length - 3, (off_t)at) < 0) abort();

    c = opened(path, form);
    for (int i = 0; i < records; i++) {
        float numbers[NUMBERS];
        key_of(key, i);
        long record = train_cache_find(c, key);
        if (record < 0) continue;
        if (train_cache_read(numbers, c, record, &err)) abort();
    }
    const float last[NUMBERS] = {7, 8, 9};
    key_of(key, 200);
    if (train_cache_append(c, key, last, &err)) abort();
    const long count = train_cache_count(c);
    train_cache_close(c);

    c = opened(path, form);
    float numbers[NUMBERS];
    long record = train_cache_find(c, key);
    if (train_cache_count(c) != count || record < 0 || train_cache_read(numbers, c, record, &err)) abort();
    train_cache_close(c);
    close(fd);
    return 0;
}
