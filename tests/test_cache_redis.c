/* test_cache_redis.c - the cache's second level against a Redis made here, which can be honest, silent, slow, rude and absent: no question is lost
 * or kept waiting, none gets a wrong answer, and all is well again once the Redis is. At the end the real one, where its program is
 * installed, which dies again and again. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/cache_redis.h"
#include "serve/clock.h"
#include "tests/fake_redis.h"
#include "tests/real_redis.h"
#include "tests/serve_fish.h"

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
    static char bytes[MANY][32];
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

static char secret_path[256];
static struct text *const picture = &pictures[1];

/* A prediction of the picture: whether it was cached; its probabilities, as text. */
static int predict(int port, char all[512])
{
    struct answer a = post(port, "/predict", "image/png", picture->data, picture->length);
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

/* The real Redis under a server that keeps nothing itself: found again after each kill -9, and no answer fails or differs meanwhile. */
static void real_redis_dies(void **state)
{
    (void)state;
    char url[64], first[512], all[512];
    redis_start(CLOSED, NULL); /* for a port that was free a moment ago */
    serve_redis_destroy(connect_redis());
    int port = redis.port;
    redis_stop();
    pid_t pid = real_redis_start(port, "open-sesame");
    if (!pid) skip();
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/4", port);
    setenv("RUDD_REDIS_PASSWORD", "open-sesame", 1);
    struct server s = server_start(model_path, "--cache", url, "--cache-entries", "0", "--store", "none", NULL);
    unsetenv("RUDD_REDIS_PASSWORD");
    assert_true(becomes(s.port, "rudd_cache_up{tier=\"redis\"} 1\n"));
    assert_false(predict(s.port, first));
    for (int death = 0; death < 5; death++) {
        for (int i = 0; !predict(s.port, all); i++) { /* until Redis has it (again) */
            assert_string_equal(all, first);
            assert_true(i < 1000);
            pause_ms(10);
        }
        assert_string_equal(all, first);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        for (int i = 0; i < 5; i++) {
            assert_false(predict(s.port, all));
            assert_string_equal(all, first);
        }
        pid = real_redis_start(port, "open-sesame");
        assert_true(pid > 0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    server_stop(s);
}

static int make_all(void **state)
{
    (void)state;
    make_fish("redis");
    snprintf(secret_path, sizeof secret_path, "%s/password", folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back), cmocka_unit_test(misbehaviour_is_a_miss), cmocka_unit_test(stops_with_questions),
        cmocka_unit_test(absent_redis),     cmocka_unit_test(addresses_are_parsed),   cmocka_unit_test(values_are_checked),
        cmocka_unit_test(servers_share),    cmocka_unit_test(no_answer_is_lost),      cmocka_unit_test(real_redis_dies)};
    return cmocka_run_group_tests(tests, make_all, remove_fish);
}
