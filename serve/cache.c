/* cache.c - see cache.h.
 *
 * A key in the process is a keyed hash of the whole picture, so no client can make a picture that gets another's answer. */
#include "serve/cache.h"
#include "serve/clock.h"
#include "serve/siphash.h"
#include <stdio.h>
#include <sys/random.h>

struct serve_cache {
    struct serve_lru *lru; /* NULL: --cache-entries 0 */
    uint64_t secret[2];
    struct serve_redis *redis; /* NULL: none */
};

enum rudd_status serve_cache_create(struct serve_cache **cache, const struct serve_cache_options *o,
                                    struct serve_metrics *metrics, struct rudd_error *err)
{
    struct serve_cache *c = rudd_zalloc(1, sizeof *c);
    enum rudd_status status = RUDD_OK;
    if (!c) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the cache");
    if (getrandom(c->secret, sizeof c->secret, 0) != sizeof c->secret)
        status = rudd_fail(err, RUDD_IO, "the system gives no random bytes for the cache's key");
    if (!status && o->entries) status = serve_lru_create(&c->lru, (size_t)o->entries, o->bytes, o->ttl_s * 1e3, err);
    if (!status && o->redis) status = serve_redis_create(&c->redis, o->redis, o->password_file, o->ttl_s, metrics, err);
    if (status)
        serve_cache_destroy(c);
    else
        *cache = c;
    return status;
}

void serve_cache_destroy(struct serve_cache *c)
{
    if (!c) return;
    serve_redis_destroy(c->redis);
    serve_lru_destroy(c->lru);
    rudd_free(c);
}

void serve_cache_stop(struct serve_cache *c)
{
    if (c->redis) serve_redis_stop(c->redis);
}

static void keep_here(const struct serve_cache_query *q, const float *probabilities, int count)
{
    if (q->cache->lru) serve_lru_put(q->cache->lru, q->key, probabilities, count, serve_now_ms());
}

/* Redis' answer; what others computed is from now on here, too. */
static void asked(struct serve_redis_query *redis)
{
    struct serve_cache_query *q = redis->user;
    if (redis->found) keep_here(q, redis->probabilities, redis->count);
    q->done(q, redis->found);
}

bool serve_cache_find(struct serve_cache *c, struct serve_cache_query *q, const void *bytes, size_t n, const char *scope,
                      float *probabilities, int count)
{
    char text[256];
    uint64_t picture[2];
    *q = (struct serve_cache_query){
        .cache = c,
        .redis = {.bytes = bytes, .length = n, .probabilities = probabilities, .count = count, .done = asked, .user = q}};
    snprintf(q->redis.scope, sizeof q->redis.scope, "%s", scope);
    serve_siphash(picture, bytes, n, c->secret);
    int length =
        snprintf(text, sizeof text, "%016llx%016llx %s", (unsigned long long)picture[0], (unsigned long long)picture[1], scope);
    if (length >= (int)sizeof text) length = sizeof text - 1; /* a scope is much shorter */
    serve_siphash(q->key, text, (size_t)length, c->secret);
    return c->lru && serve_lru_get(c->lru, q->key, probabilities, count, serve_now_ms());
}

bool serve_cache_has_memory(const struct serve_cache *c)
{
    return c->lru != NULL;
}

bool serve_cache_find_again(struct serve_cache *c, struct serve_cache_query *q)
{
    return c->lru && serve_lru_get_again(c->lru, q->key, q->redis.probabilities, q->redis.count, serve_now_ms());
}

bool serve_cache_ask(struct serve_cache *c, struct serve_cache_query *q)
{
    return c->redis && q->cache && serve_redis_ask(c->redis, &q->redis);
}

void serve_cache_keep(struct serve_cache *c, const struct serve_cache_query *q, const float *probabilities, int count)
{
    if (!q->cache) return; /* it was never looked for */
    keep_here(q, probabilities, count);
    if (c->redis) serve_redis_keep(c->redis, q->redis.name, probabilities, count);
}

void serve_cache_stats(struct serve_lru_stats *stats, struct serve_cache *c)
{
    *stats = (struct serve_lru_stats){0};
    if (c->lru) serve_lru_stats(stats, c->lru);
}
