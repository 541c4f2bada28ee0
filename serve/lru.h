/* lru.h - answers kept in the process: a table of rows of numbers under 128-bit keys, bounded in entries and in bytes.
 *
 *     key -- high bits --> shard: lock, buckets -> entry, entries in order of use (the least recently used goes first)
 *
 * Keys must be unforgeable hashes (siphash.h): they choose shard and bucket as they are. All functions are thread-safe; each takes one
 * shard's lock for as long as it takes to copy a row. */
#ifndef SERVE_LRU_H
#define SERVE_LRU_H

#include <stdbool.h>
#include "nn/rudd.h"

struct serve_lru;

/* entries >= 1; bytes: of rows and their overhead, without the buckets. Entries live for ttl_ms. */
enum rudd_status serve_lru_create(struct serve_lru **lru, size_t entries, size_t bytes, double ttl_ms, struct rudd_error *err);
void serve_lru_destroy(struct serve_lru *lru); /* NULL is fine */

/* The row under key, if it has exactly count numbers and its time is not over. now_ms: serve_now_ms(). */
bool serve_lru_get(struct serve_lru *lru, const uint64_t key[2], float *values, int count, double now_ms);
/* The same for one who missed a moment ago: a hit takes the place of that miss in the statistics, another miss is none. */
bool serve_lru_get_again(struct serve_lru *lru, const uint64_t key[2], float *values, int count, double now_ms);
/* Keeps a copy of values [count] under key, in place of what is there; without memory, nothing. */
void serve_lru_put(struct serve_lru *lru, const uint64_t key[2], const float *values, int count, double now_ms);

struct serve_lru_stats {
    uint64_t hits, misses, evictions, expirations; /* since the start */
    size_t entries, bytes;                         /* now */
};
void serve_lru_stats(struct serve_lru_stats *stats, struct serve_lru *lru);

#endif
