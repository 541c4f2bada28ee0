/* cache_redis.h - predictions in a Redis that several servers may share: the cache's second level.
 *
 *     GET prediction:<SHA-256 of the picture>:<SHA-256 of the model>[:calibrated]     {"probabilities":[0.953,...]}     SET ... EX ttl
 *
 *     I/O threads --ask, keep--> | bounded queues | --> one thread: all that waits in one round trip --> query->done
 *
 * Robust by construction: nobody asks a Redis that is not connected (the breaker); a round trip that takes longer than SERVE_REDIS_PATIENCE_MS
 * is given up and ends the connection; connecting again goes on beside, with pauses that grow. A question therefore costs a request at most two
 * patiences, once per failure, and never its answer.
 *
 * Built without hiredis, creating one fails with a line that says so. */
#ifndef SERVE_CACHE_REDIS_H
#define SERVE_CACHE_REDIS_H

#include "serve/metrics.h"

enum { SERVE_REDIS_PATIENCE_MS = 20, SERVE_CACHE_SCOPE = 96, SERVE_CACHE_NAME = 192 };

/* A question; the asker's memory until done. */
struct serve_redis_query {
    const void *bytes; /* the picture */
    size_t length;
    char scope[SERVE_CACHE_SCOPE]; /* <SHA-256 of the model>[:calibrated] */
    float *probabilities;          /* [count]; filled when found */
    int count;
    bool found;
    void (*done)(struct serve_redis_query *query); /* on the cache's thread, its last touch of the query; must not wait */
    void *user;

    char name[SERVE_CACHE_NAME]; /* the key; "" until it was computed */
    double asked_ms;
    struct serve_redis_query *next;
};

/* Where a Redis is: redis://[user@]host[:port][/db]. */
struct serve_redis_address {
    char host[256], user[64];
    int port, db;
};
/* Pure. A password in it is refused: command lines are public. */
enum rudd_status serve_redis_url_parse(struct serve_redis_address *address, const char *url, struct rudd_error *err);
/* {"probabilities":[...]} of exactly count numbers of 0..1 that add up to 1. Pure. */
bool serve_redis_value_parse(float *probabilities, int count, const char *text, size_t n);

struct serve_redis;
/* Starts the thread, which connects. The password is the environment's RUDD_REDIS_PASSWORD or the first line of password_file (NULL: none). */
enum rudd_status serve_redis_create(struct serve_redis **redis, const char *url, const char *password_file, int ttl_s,
                                    struct serve_metrics *metrics, struct rudd_error *err);
/* Ends every waiting question with "not found" and joins the thread; later questions are refused. Again is fine. */
void serve_redis_stop(struct serve_redis *redis);
void serve_redis_destroy(struct serve_redis *redis); /* NULL is fine */

/* false: not connected, or too many wait; done will not be called. Thread-safe. */
bool serve_redis_ask(struct serve_redis *redis, struct serve_redis_query *query);
/* Keeps probabilities under the name that a question got; drops them when that is not possible at once. Thread-safe. */
void serve_redis_keep(struct serve_redis *redis, const char *name, const float *probabilities, int count);

#endif
