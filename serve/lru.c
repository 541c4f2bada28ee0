/* lru.c - see lru.h. Each entry is one block of memory: links, key, expiry, row.
 *
 * A shard holds its part of the limits; a small table has fewer shards, so that its bound in entries is kept to the entry. */
#include "serve/lru.h"
#include <pthread.h>
#include <string.h>

enum { MAX_SHARDS = 16, SHARD_ENTRIES = 64 }; /* entries that make a shard of its own worth while */

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* in the order of use; a ring through shard->ring */
    uint64_t key[2];
    double expires_ms;
    int count; /* of the floats behind it */
};

/* Not a flexible array: the ring below is an entry inside another structure, where C has no room for one. */
static float *values_of(struct entry *e)
{
    return (float *)(e + 1);
}

struct shard {
    pthread_mutex_t mutex;
    struct entry **buckets; /* mask + 1 */
    size_t mask;
    struct entry ring; /* .older: the most recently used; .newer: the least */
    struct serve_lru_stats stats;
};

struct serve_lru {
    size_t entries, bytes; /* each shard's limits */
    double ttl_ms;
    int shard_count; /* a power of two */
    struct shard shards[MAX_SHARDS];
};

enum rudd_status serve_lru_create(struct serve_lru **lru, size_t entries, size_t bytes, double ttl_ms, struct rudd_error *err)
{
    struct serve_lru *l = rudd_zalloc(1, sizeof *l);
    if (!l) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the cache");
    l->shard_count = 1;
    while (l->shard_count < MAX_SHARDS && entries / (size_t)l->shard_count / 2 >= SHARD_ENTRIES) l->shard_count *= 2;
    l->entries = entries / (size_t)l->shard_count;
    l->bytes = bytes / (size_t)l->shard_count;
    l->ttl_ms = ttl_ms;
    size_t buckets = 1;
    while (buckets < l->entries) buckets *= 2;
    bool whole = true;
    for (int i = 0; i < l->shard_count; i++) {
        struct shard *s = &l->shards[i];
        pthread_mutex_init(&s->mutex, NULL);
        s->ring.newer = s->ring.older = &s->ring;
        s->mask = buckets - 1;
        s->buckets = rudd_zalloc(buckets, sizeof *s->buckets);
        whole = whole && s->buckets;
    }
    if (!whole) {
        serve_lru_destroy(l);
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a cache of %zu entries; lower --cache-entries", entries);
    }
    *lru = l;
    return RUDD_OK;
}

void serve_lru_destroy(struct serve_lru *l)
{
    if (!l) return;
    for (int i = 0; i < l->shard_count; i++) {
        struct shard *s = &l->shards[i];
        for (struct entry *e = s->ring.older, *older; e != &s->ring; e = older) {
            older = e->older;
            rudd_free(e);
        }
        rudd_free(s->buckets);
        pthread_mutex_destroy(&s->mutex);
    }
    rudd_free(l);
}

/* The shard of a key, locked. The second word chooses it, the first the bucket. */
static struct shard *lock(struct serve_lru *l, const uint64_t key[2])
{
    struct shard *s = &l->shards[key[1] & (uint64_t)(l->shard_count - 1)];
    pthread_mutex_lock(&s->mutex);
    return s;
}

static size_t size_of(const struct entry *e)
{
    return sizeof *e + sizeof(float) * (size_t)e->count;
}

static struct entry *find(struct shard *s, const uint64_t key[2])
{
    struct entry *e = s->buckets[key[0] & s->mask];
    while (e && (e->key[0] != key[0] || e->key[1] != key[1])) e = e->next;
    return e;
}

static void leave_ring(struct entry *e)
{
    e->newer->older = e->older;
    e->older->newer = e->newer;
}

static void enter_ring(struct shard *s, struct entry *e)
{
    e->newer = &s->ring;
    e->older = s->ring.older;
    e->newer->older = e->older->newer = e;
}

static void drop(struct shard *s, struct entry *e)
{
    struct entry **link = &s->buckets[e->key[0] & s->mask];
    while (*link != e) link = &(*link)->next;
    *link = e->next;
    leave_ring(e);
    s->stats.entries--;
    s->stats.bytes -= size_of(e);
    rudd_free(e);
}

static bool get(struct serve_lru *l, const uint64_t key[2], float *values, int count, double now_ms, bool again)
{
    struct shard *s = lock(l, key);
    struct entry *e = find(s, key);
    if (e && e->expires_ms <= now_ms) {
        drop(s, e);
        s->stats.expirations++;
        e = NULL;
    }
    bool hit = e && e->count == count;
    if (hit) {
        memcpy(values, values_of(e), sizeof *values * (size_t)count);
        leave_ring(e);
        enter_ring(s, e);
        s->stats.hits++;
        s->stats.misses -= again;
    } else {
        s->stats.misses += !again;
    }
    pthread_mutex_unlock(&s->mutex);
    return hit;
}

bool serve_lru_get(struct serve_lru *l, const uint64_t key[2], float *values, int count, double now_ms)
{
    return get(l, key, values, count, now_ms, false);
}

bool serve_lru_get_again(struct serve_lru *l, const uint64_t key[2], float *values, int count, double now_ms)
{
    return get(l, key, values, count, now_ms, true);
}

void serve_lru_put(struct serve_lru *l, const uint64_t key[2], const float *values, int count, double now_ms)
{
    struct entry *e = rudd_alloc(sizeof *e + sizeof *values * (size_t)count);
    if (!e) return;
    *e = (struct entry){.key = {key[0], key[1]}, .expires_ms = now_ms + l->ttl_ms, .count = count};
    memcpy(values_of(e), values, sizeof *values * (size_t)count);
    if (size_of(e) > l->bytes) {
        rudd_free(e);
        return;
    }
    struct shard *s = lock(l, key);
    struct entry *same = find(s, key);
    if (same) drop(s, same);
    while (s->stats.entries >= l->entries || s->stats.bytes > l->bytes - size_of(e)) {
        drop(s, s->ring.newer);
        s->stats.evictions++;
    }
    e->next = s->buckets[key[0] & s->mask];
    s->buckets[key[0] & s->mask] = e;
    enter_ring(s, e);
    s->stats.entries++;
    s->stats.bytes += size_of(e);
    pthread_mutex_unlock(&s->mutex);
}

void serve_lru_stats(struct serve_lru_stats *stats, struct serve_lru *l)
{
    *stats = (struct serve_lru_stats){0};
    for (int i = 0; i < l->shard_count; i++) {
        struct shard *s = &l->shards[i];
        pthread_mutex_lock(&s->mutex);
        stats->hits += s->stats.hits;
        stats->misses += s->stats.misses;
        stats->evictions += s->stats.evictions;
        stats->expirations += s->stats.expirations;
        stats->entries += s->stats.entries;
        stats->bytes += s->stats.bytes;
        pthread_mutex_unlock(&s->mutex);
    }
}
