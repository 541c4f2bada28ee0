/* fake_redis.h - a Redis for tests, on a free port, that misbehaves on command: redis_start, redis.mode = ..., redis_stop. One at a time.
 *
 * It knows AUTH, SELECT, PING, GET and SET, with a thread for each connection. */
#ifndef TESTS_FAKE_REDIS_H
#define TESTS_FAKE_REDIS_H

#include "tests/serve_client.h"
#include <pthread.h>
#include <stdatomic.h>

enum mode {
    HONEST,
    CLOSED,      /* takes no connection */
    DEAF,        /* takes them and says nothing */
    SILENT,      /* greets, then says nothing */
    TRICKLING,   /* a byte every few milliseconds, never a whole reply in time */
    HANGING_UP,  /* greets, then closes */
    RUDE,        /* speaks HTTP */
    BOASTING,    /* announces a reply of 100 GB */
    FAILING,     /* -ERR to all but greetings */
    WRONG_COUNT, /* values that are no predictions of this model */
    WRONG_VALUE,
    WRONG_TEXT,
    MODES
};

enum { ENTRIES = 64, CONNECTIONS = 256 };
static struct {
    int listener, port, connected[CONNECTIONS];
    pthread_t acceptor, threads[CONNECTIONS];
    atomic_int mode, count;
    const char *password; /* NULL: none is asked for */
    pthread_mutex_t mutex;
    int entries;
    char *names[ENTRIES], *values[ENTRIES];
} redis = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void redis_say(int fd, const char *text)
{
    send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* A line or `want` bytes from the stream. */
static int redis_read(FILE *f, char *out, size_t size, size_t want)
{
    if (!want) return fgets(out, (int)size, f) != NULL;
    out[want] = 0;
    return want < size && fread(out, 1, want, f) == want;
}

/* words[0..]: one command; 0: the connection is over. */
static int redis_command(FILE *f, char words[5][8192])
{
    char line[64];
    int count, n;
    if (!redis_read(f, line, sizeof line, 0) || sscanf(line, "*%d", &count) != 1 || count > 5) return 0;
    for (int i = 0; i < count; i++) {
        if (!redis_read(f, line, sizeof line, 0) || sscanf(line, "$%d", &n) != 1 || n >= 8192) return 0;
        if (n && !redis_read(f, words[i], 8192, (size_t)n)) return 0;
        if (!redis_read(f, line, sizeof line, 0)) return 0;
    }
    return count;
}

static void redis_get(int fd, const char *name)
{
    char reply[8300];
    const char *value = NULL;
    int mode = redis.mode;
    pthread_mutex_lock(&redis.mutex);
    for (int i = 0; i < redis.entries; i++)
        if (!strcmp(redis.names[i], name)) value = redis.values[i];
    pthread_mutex_unlock(&redis.mutex);
    if (mode == WRONG_COUNT) value = "{\"probabilities\":[0.5,0.5]}";
    if (mode == WRONG_VALUE) value = "{\"probabilities\":[0.5,0.5,7,-7,0]}";
    if (mode == WRONG_TEXT) value = "not JSON";
    if (!value) {
        redis_say(fd, "$-1\r\n");
        return;
    }
    /* At once: in pieces, the second would wait for the first one's acknowledgement. */
    snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(value), value);
    redis_say(fd, reply);
}

static void redis_set(const char *name, const char *value)
{
    pthread_mutex_lock(&redis.mutex);
    if (redis.entries < ENTRIES) {
        redis.names[redis.entries] = strdup(name);
        redis.values[redis.entries++] = strdup(value);
    }
    pthread_mutex_unlock(&redis.mutex);
}

/* What the mode makes of a GET or SET; false: the connection ends. */
static int redis_answer(int fd, char words[5][8192])
{
    switch ((enum mode)atomic_load(&redis.mode)) {
    case DEAF:
    case SILENT: return 1;
    case CLOSED:
    case HANGING_UP: return 0;
    case TRICKLING:
        for (const char *p = "$100\r\n{\"probabilities\":[0.2,0.2"; *p; p++) {
            char one[2] = {*p, 0};
            redis_say(fd, one);
            pause_ms(5);
        }
        return 1;
    case RUDE: redis_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n"); return 1;
    case BOASTING: redis_say(fd, "$99999999999\r\n"); return 1;
    case FAILING: redis_say(fd, "-OOM command not allowed when used memory > 'maxmemory'.\r\n"); return 1;
    default: break;
    }
    if (!strcmp(words[0], "GET")) {
        redis_get(fd, words[1]);
    } else {
        redis_set(words[1], words[2]);
        redis_say(fd, "+OK\r\n");
    }
    return 1;
}

static void *redis_connection(void *arg)
{
    static _Thread_local char words[5][8192];
    int fd = *(int *)arg, known = !redis.password, count;
    FILE *f = fdopen(dup(fd), "r");
    while ((count = redis_command(f, words)) > 0) {
        if (redis.mode == DEAF) continue;
        if (!strcmp(words[0], "AUTH")) {
            known = redis.password && !strcmp(words[count - 1], redis.password);
            redis_say(fd, known ? "+OK\r\n" : "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
        } else if (!known) {
            redis_say(fd, "-NOAUTH Authentication required.\r\n");
        } else if (!strcmp(words[0], "PING") || !strcmp(words[0], "SELECT")) {
            redis_say(fd, "+OK\r\n");
        } else if (!redis_answer(fd, words)) {
            break;
        }
    }
    shutdown(fd, SHUT_RDWR);
    fclose(f);
    return NULL;
}

static void *redis_accept(void *arg)
{
    (void)arg;
    for (int fd; redis.count < CONNECTIONS && (fd = accept(redis.listener, NULL, NULL)) >= 0;) {
        int i = redis.count;
        if (redis.mode == CLOSED) {
            close(fd);
            continue;
        }
        redis.connected[i] = fd;
        pthread_create(&redis.threads[i], NULL, redis_connection, &redis.connected[i]);
        redis.count++;
    }
    return NULL;
}

static void redis_start(enum mode mode, const char *password)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    redis.mode = mode;
    redis.password = password;
    redis.count = redis.entries = 0;
    redis.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(redis.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(redis.listener, 16), 0);
    assert_int_equal(getsockname(redis.listener, (struct sockaddr *)&at, &size), 0);
    redis.port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&redis.acceptor, NULL, redis_accept, NULL), 0);
}

static void redis_stop(void)
{
    shutdown(redis.listener, SHUT_RDWR);
    pthread_join(redis.acceptor, NULL);
    close(redis.listener);
    for (int i = 0; i < redis.count; i++) {
        shutdown(redis.connected[i], SHUT_RDWR);
        pthread_join(redis.threads[i], NULL);
        close(redis.connected[i]);
    }
    for (int i = 0; i < redis.entries; i++) {
        free(redis.names[i]);
        free(redis.values[i]);
    }
}

#endif
