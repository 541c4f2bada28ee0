/* cache.h - predictions made before: in the process, and in a Redis that several servers may share.
 *
 *     picture's bytes, model, options --key--> serve_cache_find: in the process --------------------hit--> probabilities, at once
 *                                        miss: serve_cache_ask: Redis, on its own thread, a few ms --hit--> query->done(true)
 *                                        miss: the engine computes --> serve_cache_keep: both
 *
 * Only probabilities are kept; the answer is written anew for each request. A cache never fails a request: what goes wrong is a miss. */
#ifndef SERVE_CACHE_H
#define SERVE_CACHE_H

#include "serve/cache_redis.h"
#include "serve/lru.h"

struct serve_cache_options {
    int entries;  /* 0: nothing is kept in the process */
    size_t bytes; /* of entries in the process */
    int ttl_s;
    const char *redis;         /* redis://...; NULL: none */
    const char *password_file; /* of the Redis (cache_redis.h); NULL: none */
};

/* One picture's way through the cache; lives in its request. */
struct serve_cache_query {
    uint64_t key[2];
    struct serve_cache *cache;
    struct serve_redis_query redis;
    void (*done)(struct serve_cache_query *query,
                 bool found); /* on the cache's thread, its last touch of the query; must not wait */
    void *user;
};

struct serve_cache;
enum rudd_status serve_cache_create(struct serve_cache **cache, const struct serve_cache_options *options,
                                    struct serve_metrics *metrics, struct rudd_error *err);
/* Ends questions that wait for Redis with "not found", and the thread that asks; again is fine. Before the engine stops. */
void serve_cache_stop(struct serve_cache *cache);
void serve_cache_destroy(struct serve_cache *cache); /* NULL is fine */

/* Whether the probabilities [count] of these bytes are in the process; scope names what else they depend on: the model's hash and the
 * options that change them. Fills query, also on a miss. Thread-safe. */
bool serve_cache_find(struct serve_cache *cache, struct serve_cache_query *query, const void *bytes, size_t n,
                      const char *scope, float *probabilities, int count);
bool serve_cache_has_memory(const struct serve_cache *cache); /* false: --cache-entries 0 */
/* The same once more after a miss, which a hit undoes in the statistics. Thread-safe. */
bool serve_cache_find_again(struct serve_cache *cache, struct serve_cache_query *query);
/* After a miss: asks Redis. false: there is none that answers now, and done will not be called. bytes and probabilities of serve_cache_find
 * must stay until done; it finds the latter filled if found. Thread-safe. */
bool serve_cache_ask(struct serve_cache *cache, struct serve_cache_query *query);
/* Keeps what the engine found for query. Thread-safe. */
void serve_cache_keep(struct serve_cache *cache, const struct serve_cache_query *query, const float *probabilities, int count);

void serve_cache_stats(struct serve_lru_stats *stats, struct serve_cache *cache);

#endif
