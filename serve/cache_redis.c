/* cache_redis.c - see cache_redis.h.
 *
 * The connection is non-blocking and every step polls with what is left of the step's time, so that a Redis that trickles is cut off as one
 * that is silent. Names are looked up by the system's resolver, which may take its time: only this thread waits for it.
 *
 * Not here: TLS to Redis, clusters, sentinels. */
#include "serve/cache_redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_HIREDIS
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "nn/library.h"
#include "nn/sha256.h"
#include "serve/bytes.h"
#include "serve/clock.h"
#include "serve/libhiredis.h"

enum {
    ROUND = 64,         /* questions and values in one round trip */
    QUEUE = 512,        /* of them that may wait */
    CONNECT_MS = 1000,  /* for a connection and its first words */
    PAUSE_MIN_MS = 100, /* between attempts to connect */
    PAUSE_MAX_MS = 5000,
    REPLY_MAX = 64 << 20, /* bytes of one that is not whole yet; a prediction has a few kilobytes */
};

struct serve_redis {
    struct serve_redis_address address;
    char *password, ttl[16];
    struct serve_metrics *metrics;
    pthread_t thread;
    bool running;

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    bool stopping, up;
    struct serve_redis_query *first, **end; /* what waits; one without `done` is a value to be kept, the queue's own */
    int count;
};

/* ---- the connection --------------------------------------------------------------------------------------------------------- */

/* Whether the socket can be read, or written, before the deadline. */
static bool ready(const redisContext *c, short events, double deadline_ms)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    double left;
    while ((left = deadline_ms - serve_now_ms()) > 0)
        if (poll(&p, 1, (int)left + 1) > 0) return true;
    return false;
}

static bool flush(redisContext *c, double deadline_ms)
{
    for (int done = 0; !done;) {
        if (redisBufferWrite(c, &done) != REDIS_OK) return false;
        if (!done && !ready(c, POLLOUT, deadline_ms)) return false;
    }
    return true;
}

/* The next reply, to be freed; NULL: there is none in time, or the connection is broken. */
static redisReply *reply(redisContext *c, double deadline_ms)
{
    void *r = NULL;
    while (redisGetReplyFromReader(c, &r) == REDIS_OK && !r)
        if (c->reader->len > REPLY_MAX || !ready(c, POLLIN, deadline_ms) || redisBufferRead(c) != REDIS_OK) return NULL;
    return r;
}

/* One command whose reply must be a status. */
static bool say(redisContext *c, double deadline_ms, int count, const char **words)
{
    if (redisAppendCommandArgv(c, count, words, NULL) != REDIS_OK || !flush(c, deadline_ms)) return false;
    redisReply *r = reply(c, deadline_ms);
    bool fine = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    return fine;
}

/* Connected, known, in the right database, and answering; NULL: not. */
static redisContext *open_connection(const struct serve_redis *r)
{
    double deadline_ms = serve_now_ms() + CONNECT_MS;
    char db[16];
    snprintf(db, sizeof db, "%d", r->address.db);
    const char *ping[] = {"PING"}, *choose[] = {"SELECT", db};
    const char *auth[3] = {"AUTH"};
    int words = 1;
    if (r->address.user[0]) auth[words++] = r->address.user;
    auth[words++] = r->password;
    redisContext *c = redisConnectNonBlock(r->address.host, r->address.port);
    if (!c) return NULL;
    int failed = 0;
    socklen_t size = sizeof failed;
    bool fine = !c->err && ready(c, POLLOUT, deadline_ms) && !getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &size) &&
                !failed && (!r->password || say(c, deadline_ms, words, auth)) &&
                (!r->address.db || say(c, deadline_ms, 2, choose)) && say(c, deadline_ms, 1, ping);
    if (fine) {
        redisEnableKeepAlive(c);
        return c;
    }
    redisFree(c);
    return NULL;
}

/* ---- one round trip --------------------------------------------------------------------------------------------------------- */

static void name_query(struct serve_redis_query *q)
{
    char hex[NN_SHA256_HEX];
    struct nn_sha256 s;
    nn_sha256_init(&s);
    nn_sha256_update(&s, q->bytes, q->length);
    nn_sha256_hex(hex, &s);
    snprintf(q->name, sizeof q->name, "prediction:%s:%s", hex, q->scope);
}

/* The first `most` that wait, no longer in the queue. */
static struct serve_redis_query *cut(struct serve_redis *r, int most)
{
    struct serve_redis_query *list = r->first, **end = &list;
    for (; *end && most; most--, r->count--) end = &(*end)->next;
    r->first = *end;
    *end = NULL;
    if (!r->first) r->end = &r->first;
    return list;
}

enum result { HIT, MISS, FAILED };

/* The end of a question, or of a value. */
static void finish(struct serve_redis *r, struct serve_redis_query *q, enum result result)
{
    if (result == FAILED) serve_metrics_add(r->metrics, SERVE_M_CACHE_ERRORS, 1, "redis");
    if (!q->done) {
        rudd_free((void *)(uintptr_t)q->bytes);
        rudd_free(q);
        return;
    }
    if (result == HIT)
        serve_metrics_add(r->metrics, SERVE_M_CACHE_HITS, 1, "redis");
    else
        serve_metrics_add(r->metrics, SERVE_M_CACHE_MISSES, 1, "redis");
    q->found = result == HIT;
    q->done(q);
}

/* Writes the command of q into c's buffer. A question that waited too long already is not asked: its name stays empty. */
static bool append(const struct serve_redis *r, redisContext *c, struct serve_redis_query *q)
{
    const char *words[] = {q->done ? "GET" : "SET", q->name, q->bytes, "EX", r->ttl};
    size_t lengths[] = {3, 0, q->length, 2, strlen(r->ttl)};
    if (q->done && serve_now_ms() > q->asked_ms + SERVE_REDIS_PATIENCE_MS) return true;
    if (q->done) name_query(q);
    lengths[1] = strlen(q->name);
    return redisAppendCommandArgv(c, q->done ? 2 : 5, words, lengths) == REDIS_OK;
}

static enum result understand(struct serve_redis_query *q, const redisReply *got)
{
    if (!got || got->type == REDIS_REPLY_ERROR) return FAILED; /* also: full, read-only, ... */
    if (!q->done || got->type == REDIS_REPLY_NIL) return MISS;
    return got->type == REDIS_REPLY_STRING && serve_redis_value_parse(q->probabilities, q->count, got->str, (size_t)got->len)
               ? HIT
               : FAILED;
}

/* Sends all, then reads all; each of the list ends here. false: the connection is no good any more. */
static bool round_trip(struct serve_redis *r, redisContext *c, struct serve_redis_query *list)
{
    bool fine = true;
    for (struct serve_redis_query *q = list; q && fine; q = q->next) fine = append(r, c, q);
    double deadline_ms = serve_now_ms() + SERVE_REDIS_PATIENCE_MS;
    fine = fine && flush(c, deadline_ms);
    for (struct serve_redis_query *q = list, *next; q; q = next) {
        bool asked = q->name[0] != 0;
        redisReply *got = fine && asked ? reply(c, deadline_ms) : NULL;
        fine = fine && (got || !asked);
        next = q->next;
        enum result result = understand(q, got);
        if (got) freeReplyObject(got);
        finish(r, q, result);
    }
    return fine;
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------- */

/* Opens or closes the breaker; when it opens, what waits ends. Called without the lock. */
static void set_up(struct serve_redis *r, bool up)
{
    pthread_mutex_lock(&r->mutex);
    r->up = up;
    struct serve_redis_query *list = up ? NULL : cut(r, QUEUE);
    pthread_mutex_unlock(&r->mutex);
    serve_metrics_set(r->metrics, SERVE_M_CACHE_UP, up, "redis");
    for (struct serve_redis_query *next; list; list = next) {
        next = list->next;
        finish(r, list, FAILED);
    }
}

static bool sleep_ms(struct serve_redis *r, double ms)
{
    struct timespec t = serve_timespec(serve_now_ms() + ms);
    pthread_mutex_lock(&r->mutex);
    while (!r->stopping && pthread_cond_timedwait(&r->changed, &r->mutex, &t) != ETIMEDOUT) continue;
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->mutex);
    return !stopping;
}

/* Round trips until one fails or the server stops. Whether one succeeded. */
static bool converse(struct serve_redis *r, redisContext *c)
{
    for (bool any = false;; any = true) {
        pthread_mutex_lock(&r->mutex);
        while (!r->stopping && !r->first) pthread_cond_wait(&r->changed, &r->mutex);
        struct serve_redis_query *list = r->stopping ? NULL : cut(r, ROUND);
        pthread_mutex_unlock(&r->mutex);
        if (!list || !round_trip(r, c, list)) return any;
    }
}

static void *serve_redis_run(void *arg)
{
    struct serve_redis *r = arg;
    double pause_ms = 0;
    do {
        bool spoke = false;
        redisContext *c = open_connection(r);
        if (c) {
            set_up(r, true);
            spoke = converse(r, c);
            redisFree(c);
        }
        set_up(r, false);
        pause_ms = spoke || !pause_ms ? PAUSE_MIN_MS : pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    } while (sleep_ms(r, pause_ms));
    return NULL;
}

/* ---- from outside ----------------------------------------------------------------------------------------------------------- */

static enum rudd_status read_password(char **password, const char *path, struct rudd_error *err)
{
    char line[1024] = "";
    const char *given = getenv("RUDD_REDIS_PASSWORD");
    if (path) {
        FILE *f = fopen(path, "r");
        if (!f) return rudd_fail(err, RUDD_IO, "--cache-password-file %.500s: %s", path, strerror(errno));
        setbuf(f, NULL);
        if (!fgets(line, sizeof line, f)) line[0] = 0;
        fclose(f);
        line[strcspn(line, "\r\n")] = 0;
        given = line;
    }
    if (path && !*line) return rudd_fail(err, RUDD_FORMAT, "--cache-password-file %.500s: its first line is empty", path);
    if (given && *given) *password = rudd_strdup(given);
    explicit_bzero(line, sizeof line);
    return given && *given && !*password ? rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --cache") : RUDD_OK;
}

enum rudd_status serve_redis_create(struct serve_redis **redis, const char *url, const char *password_file, int ttl_s,
                                    struct serve_metrics *metrics, struct rudd_error *err)
{
    enum rudd_status status = nn_library_load(&serve_libhiredis_library, err, "--cache: it is to be kept in Redis");
    if (status) return status;
    struct serve_redis *r = rudd_zalloc(1, sizeof *r);
    if (!r) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --cache");
    r->metrics = metrics;
    r->end = &r->first;
    snprintf(r->ttl, sizeof r->ttl, "%d", ttl_s);
    pthread_mutex_init(&r->mutex, NULL);
    serve_cond_init(&r->changed);
    status = serve_redis_url_parse(&r->address, url, err);
    if (!status) status = read_password(&r->password, password_file, err);
    if (!status && r->address.user[0] && !r->password)
        status = rudd_fail(err, RUDD_ARGUMENT,
                           "--cache: a user needs a password; put it in the environment's RUDD_REDIS_PASSWORD or in "
                           "--cache-password-file");
    if (!status && pthread_create(&r->thread, NULL, serve_redis_run, r))
        status = rudd_fail(err, RUDD_IO, "--cache: the system starts no more threads");
    r->running = !status;
    if (status)
        serve_redis_destroy(r);
    else
        *redis = r;
    return status;
}

void serve_redis_stop(struct serve_redis *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    if (r->running) pthread_join(r->thread, NULL);
    r->running = false;
}

void serve_redis_destroy(struct serve_redis *r)
{
    if (!r) return;
    serve_redis_stop(r);
    if (r->password) explicit_bzero(r->password, strlen(r->password));
    rudd_free(r->password);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    rudd_free(r);
}

/* Whether q is now in the queue. */
static bool enter(struct serve_redis *r, struct serve_redis_query *q)
{
    pthread_mutex_lock(&r->mutex);
    bool room = r->up && !r->stopping && r->count < QUEUE;
    if (room) {
        q->next = NULL;
        *r->end = q;
        r->end = &q->next;
        r->count++;
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->mutex);
    return room;
}

bool serve_redis_ask(struct serve_redis *r, struct serve_redis_query *q)
{
    q->asked_ms = serve_now_ms();
    q->found = false;
    q->name[0] = 0;
    return enter(r, q);
}

void serve_redis_keep(struct serve_redis *r, const char *name, const float *probabilities, int count)
{
    struct serve_bytes text = {0};
    struct serve_redis_query *q = name[0] ? rudd_zalloc(1, sizeof *q) : NULL;
    if (!q) return;
    serve_bytes_print(&text, "{\"probabilities\":[");
    for (int i = 0; i < count; i++) serve_bytes_print(&text, i ? ",%.9g" : "%.9g", (double)probabilities[i]);
    serve_bytes_print(&text, "]}");
    snprintf(q->name, sizeof q->name, "%s", name);
    q->bytes = text.data;
    q->length = text.length;
    if (!text.lost && enter(r, q)) return;
    rudd_free(text.data);
    rudd_free(q);
}

#else

struct serve_redis {
    char nothing;
};

enum rudd_status serve_redis_create(struct serve_redis **redis, const char *url, const char *password_file, int ttl_s,
                                    struct serve_metrics *metrics, struct rudd_error *err)
{
    (void)redis, (void)url, (void)password_file, (void)ttl_s, (void)metrics;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "--cache: this rudd-serve was built without hiredis; install libhiredis-dev and build it again");
}

void serve_redis_stop(struct serve_redis *r)
{
    (void)r;
}

void serve_redis_destroy(struct serve_redis *r)
{
    (void)r;
}

bool serve_redis_ask(struct serve_redis *r, struct serve_redis_query *q)
{
    (void)r, (void)q;
    return false;
}

void serve_redis_keep(struct serve_redis *r, const char *name, const float *probabilities, int count)
{
    (void)r, (void)name, (void)probabilities, (void)count;
}
#endif
