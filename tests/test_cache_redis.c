/* test_cache_redis.c - the cache's second level against a Redis made here, which can be honest, silent, slow, rude and absent: no question is lost
 * or kept waiting, none gets a wrong answer, and all is well again once the Redis is. The real one's turn is tests/parity. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/cache_redis.h"
#include "serve/clock.h"
#include "tests/serve_fish.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- a Redis ----------------------------------------------------------------------------------------------------------------
 */

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
    switch (redis.mode) {
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

/* ---- questions -------------------------------------------------------------------------------------------------------------- */

static const char model_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const float right[CLASSES] = {0.1f, 0.2f, 0.3f, 0.15f, 0.25f};

struct question {
    struct serve_redis_query query;
    float probabilities[CLASSES];
    atomic_int done;
};

static void answered(struct serve_redis_query *query)
{
    ((struct question *)query->user)->done++;
}

/* false: there is no Redis to ask. */
static int ask_redis(struct serve_redis *r, struct question *q, const char *picture_bytes)
{
    *q = (struct question){
        .query = {.bytes = picture_bytes, .length = strlen(picture_bytes), .count = CLASSES, .done = answered}};
    q->query.user = q;
    q->query.probabilities = q->probabilities;
    snprintf(q->query.scope, sizeof q->query.scope, "%s", model_hash);
    return serve_redis_ask(r, &q->query);
}

static void wait_done(struct question *q)
{
    for (int i = 0; !q->done; i++) {
        assert_true(i < 5000); /* far beyond any patience: lost */
        pause_ms(1);
    }
    assert_int_equal(q->done, 1);
}

static struct serve_redis *connect_redis(void)
{
    struct serve_redis *r = NULL;
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/3", redis.port);
    enum rudd_status status = serve_redis_create(&r, url, NULL, 3600, NULL, NULL);
    if (status) {
        redis_stop();
        skip(); /* built without hiredis */
    }
    return r;
}

/* Asks until it is found; 0 when that does not come. */
static int finds(struct serve_redis *r, struct question *q, const char *picture_bytes)
{
    for (int i = 0; i < 500; i++) {
        if (ask_redis(r, q, picture_bytes)) {
            wait_done(q);
            if (q->query.found) return 1;
        }
        pause_ms(20);
    }
    return 0;
}

/* Until a question gets through, found or not. */
static void wait_up(struct serve_redis *r)
{
    struct question q;
    for (int i = 0; !ask_redis(r, &q, "nothing"); i++) {
        assert_true(i < 500);
        pause_ms(20);
    }
    wait_done(&q);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------ */

/* What one keeps another finds, bit for bit, under the name that the interface promises. */
static void values_come_back(void **state)
{
    (void)state;
    redis_start(HONEST, NULL);
    struct serve_redis *r = connect_redis(), *other = connect_redis();
    struct question q;
    wait_up(r);
    assert_true(ask_redis(r, &q, "abc"));
    wait_done(&q);
    assert_false(q.query.found);
    /* SHA-256 of abc: FIPS 180-4 */
    assert_string_equal(q.query.name, "prediction:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:"
                                      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    serve_redis_keep(r, q.query.name, right, CLASSES);
    assert_true(finds(other, &q, "abc"));
    assert_memory_equal(q.probabilities, right, sizeof right);
    assert_true(ask_redis(other, &q, "abd"));
    wait_done(&q);
    assert_false(q.query.found);
    serve_redis_destroy(other);
    serve_redis_destroy(r);
    redis_stop();
}

/* However it misbehaves, each question that is taken is answered once with "not found", and when it is honest again, it is asked again. */
static void misbehaviour_is_a_miss(void **state)
{
    (void)state;
    for (int mode = CLOSED; mode < MODES; mode++) {
        redis_start(HONEST, NULL);
        struct serve_redis *r = connect_redis();
        struct question q[20];
        wait_up(r);
        assert_true(ask_redis(r, &q[0], "abc"));
        wait_done(&q[0]);
        serve_redis_keep(r, q[0].query.name, right, CLASSES);
        assert_true(finds(r, &q[0], "abc"));
        redis.mode = mode;
        int asked = 0;
        for (int i = 0; i < 20; i++) {
            int taken = ask_redis(r, &q[i], "abc");
            if (i % 4 == 3) serve_redis_keep(r, "prediction:x:y", right, CLASSES);
            if (taken) wait_done(&q[i]);
            if (taken) assert_false(q[i].query.found);
            asked += taken;
        }
        assert_true(asked >= 1);
        redis.mode = HONEST;
        assert_true(finds(r, &q[0], "abc"));
        assert_memory_equal(q[0].probabilities, right, sizeof right);
        serve_redis_destroy(r);
        redis_stop();
    }
}

/* Many at once each get their own answer; what waits when it stops is answered, and nothing is taken afterwards. */
static void stops_with_questions(void **state)
{
    (void)state;
    enum { MANY = 600 };
    static struct question q[MANY];
    static char bytes[MANY][16];
    for (int mode = HONEST; mode <= SILENT; mode++) {
        redis_start(HONEST, NULL);
        struct serve_redis *r = connect_redis();
        int taken[MANY], found = 0, count = 0;
        wait_up(r);
        redis.mode = mode;
        for (int i = 0; i < MANY; i++) {
            snprintf(bytes[i], sizeof bytes[i], "picture %d", i);
            taken[i] = ask_redis(r, &q[i], bytes[i]);
            count += taken[i];
        }
        serve_redis_stop(r);
        for (int i = 0; i < MANY; i++) {
            if (!taken[i]) continue;
            assert_int_equal(q[i].done, 1);
            found += q[i].query.found;
        }
        assert_true(count > 0);
        assert_int_equal(found, 0);
        assert_false(ask_redis(r, &q[0], "abc"));
        serve_redis_destroy(r);
        redis_stop();
    }
}

/* An address with nobody there, or nobody that ever answers, is no reason not to start, and never asked. */
static void absent_redis(void **state)
{
    (void)state;
    redis_start(DEAF, NULL);
    struct serve_redis *r = connect_redis();
    struct question q;
    for (int i = 0; i < 20; i++) {
        assert_false(ask_redis(r, &q, "abc"));
        serve_redis_keep(r, "prediction:a:b", right, CLASSES);
        pause_ms(10);
    }
    serve_redis_destroy(r);
    redis_stop();
}

static void addresses_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *user;
        int port, db;
    } good[] = {{"redis://localhost", "localhost", "", 6379, 0},
                {"redis://10.0.0.1:7000/5", "10.0.0.1", "", 7000, 5},
                {"redis://[::1]:1/", "::1", "", 1, 0},
                {"redis://rudd@cache.example/15", "cache.example", "rudd", 6379, 15},
                {"redis://[2001:db8::2]", "2001:db8::2", "", 6379, 0}};
    static const char *const bad[] = {"",
                                      "redis://",
                                      "http://localhost",
                                      "redis://:1",
                                      "redis://a:0",
                                      "redis://a:65536",
                                      "redis://a:x",
                                      "redis://a:",
                                      "redis://a/x",
                                      "redis://a/-1",
                                      "redis://a/9999999",
                                      "redis://[::1",
                                      "redis://[::1]x",
                                      "redis://@a",
                                      "redis://a:1/2/3",
                                      "rediss://a"};
    struct serve_redis_address a;
    struct rudd_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(serve_redis_url_parse(&a, good[i].url, &err), RUDD_OK);
        assert_string_equal(a.host, good[i].host);
        assert_string_equal(a.user, good[i].user);
        assert_int_equal(a.port, good[i].port);
        assert_int_equal(a.db, good[i].db);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(serve_redis_url_parse(&a, bad[i], &err), RUDD_ARGUMENT);
    assert_int_equal(serve_redis_url_parse(&a, "redis://:open-sesame@a", &err), RUDD_ARGUMENT);
    assert_null(strstr(err.message, "sesame"));
}

/* Only whole distributions of the right length are predictions. */
static void values_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[0.5,0.5]",
                                      "{\"probabilities\":0.5}",
                                      "{\"probabilities\":[]}",
                                      "{\"probabilities\":[1]}",
                                      "{\"probabilities\":[0.5,0.5,0]}",
                                      "{\"probabilities\":[0.5,0.6]}",
                                      "{\"probabilities\":[1.5,-0.5]}",
                                      "{\"probabilities\":[\"0.5\",0.5]}",
                                      "{\"probabilities\":[0.5,0.5]",
                                      "{\"probabilities\":[0,0]}"};
    static const char good[] = "{\"probabilities\":[0.25,0.75]}";
    float p[2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(serve_redis_value_parse(p, 2, bad[i], strlen(bad[i])));
    assert_true(serve_redis_value_parse(p, 2, good, strlen(good)));
    assert_true(p[0] == 0.25f && p[1] == 0.75f);
}

/* ---- through the server ----------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/rudd-test-redis-XXXXXX", model_path[256], secret_path[256];
static struct text picture;

/* A prediction of the picture: whether it was cached; its probabilities, as text. */
static int predict(int port, char all[512])
{
    struct answer a = post(port, "/predict", "image/png", picture.data, picture.length);
    assert_int_equal(a.code, 200);
    json_t *root = answer_json(&a);
    char *text = json_dumps(json_object_get(root, "all_predictions"), JSON_COMPACT);
    snprintf(all, 512, "%s", text);
    int cached = json_is_true(json_object_get(root, "cached"));
    free(text);
    json_decref(root);
    answer_free(&a);
    return cached;
}

static int has_metric(int port, const char *line)
{
    struct answer a = get(port, "/metrics");
    int has = a.body && strstr(a.body, line);
    answer_free(&a);
    return has;
}

static int becomes(int port, const char *line)
{
    for (int i = 0; i < 500; i++) {
        if (has_metric(port, line)) return 1;
        pause_ms(20);
    }
    return 0;
}

/* Servers that share a Redis share predictions, with a password from a file or the environment; one with a wrong password computes by itself.
 * The password shows nowhere. */
static void servers_share(void **state)
{
    (void)state;
    char url[64], first[512], second[512];
    redis_start(HONEST, "open-sesame");
    serve_redis_destroy(connect_redis()); /* or skips */
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/1", redis.port);
    FILE *f = fopen(secret_path, "w");
    fprintf(f, "open-sesame\n");
    fclose(f);
    struct server a = server_start(model_path, "--cache", url, "--cache-password-file", secret_path, NULL);
    setenv("RUDD_REDIS_PASSWORD", "open-sesame", 1);
    struct server b = server_start(model_path, "--cache", url, NULL);
    setenv("RUDD_REDIS_PASSWORD", "abracadabra", 1);
    struct server c = server_start(model_path, "--cache", url, NULL);
    unsetenv("RUDD_REDIS_PASSWORD");
    assert_true(becomes(a.port, "rudd_cache_up{tier=\"redis\"} 1\n"));
    assert_true(becomes(b.port, "rudd_cache_up{tier=\"redis\"} 1\n"));
    assert_true(becomes(c.port, "rudd_cache_up{tier=\"redis\"} 0\n"));
    assert_false(predict(a.port, first));
    assert_true(predict(a.port, second)); /* from its own memory */
    for (int i = 0;; i++) {               /* the value is on its way to Redis */
        pthread_mutex_lock(&redis.mutex);
        int entries = redis.entries;
        pthread_mutex_unlock(&redis.mutex);
        if (entries) break;
        assert_true(i < 500);
        pause_ms(20);
    }
    assert_true(predict(b.port, second)); /* from Redis */
    assert_string_equal(first, second);
    assert_true(has_metric(b.port, "rudd_cache_hits_total{tier=\"redis\"} 1\n"));
    assert_false(predict(c.port, second));
    assert_string_equal(first, second);
    assert_false(has_metric(a.port, "sesame"));
    server_stop(a);
    server_stop(b);
    server_stop(c);
    redis_stop();
    unlink(secret_path);
}

/* A Redis that misbehaves under a running server costs no answer. */
static void no_answer_is_lost(void **state)
{
    (void)state;
    char url[64], first[512], all[512];
    redis_start(HONEST, NULL);
    serve_redis_destroy(connect_redis());
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", redis.port);
    struct server s = server_start(model_path, "--cache", url, "--cache-entries", "0", NULL); /* nothing is kept but there */
    assert_true(becomes(s.port, "rudd_cache_up{tier=\"redis\"} 1\n"));
    predict(s.port, first);
    for (int mode = 0; mode < MODES; mode++) {
        redis.mode = mode;
        for (int i = 0; i < 3; i++) {
            predict(s.port, all);
            assert_string_equal(all, first);
        }
    }
    redis.mode = SILENT; /* the end comes while it does not answer */
    server_stop(s);
    redis_stop();
}

static int make_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(model_path, sizeof model_path, "%s/fish.safetensors", folder);
    snprintf(secret_path, sizeof secret_path, "%s/password", folder);
    make_model(model_path);
    picture = make_png(90, 80, 1);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    free(picture.data);
    unlink(model_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_come_back),     cmocka_unit_test(misbehaviour_is_a_miss),
                                       cmocka_unit_test(stops_with_questions), cmocka_unit_test(absent_redis),
                                       cmocka_unit_test(addresses_are_parsed), cmocka_unit_test(values_are_checked),
                                       cmocka_unit_test(servers_share),        cmocka_unit_test(no_answer_is_lost)};
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
