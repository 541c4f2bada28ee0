/* test_guard.c - who may ask rudd-serve: key files, token buckets and origins by themselves. As clients see them: test_guard_serve.c. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/cors.h"
#include "serve/keys.h"
#include "serve/limit.h"
#include "tests/serve_client.h"

/* ---- key files --------------------------------------------------------------------------------------------------------------
 */

#define KEY "correct-horse-battery"

static struct serve_keys *keys_of(const char *text)
{
    struct serve_keys *keys = NULL;
    struct rudd_error err;
    assert_int_equal(serve_keys_parse(&keys, text, strlen(text), "keys", &err), RUDD_OK);
    return keys;
}

static unsigned check(const struct serve_keys *keys, const char *key, char *name)
{
    return serve_keys_check(keys, key, strlen(key), name);
}

/* A plain line holds what `printf abc | sha256sum` prints, a salted one `printf abcdef01correct-horse-battery | sha256sum`. */
static void hashes_are_what_others_compute(void **state)
{
    (void)state;
    char name[SERVE_KEY_NAME];
    struct serve_keys *keys =
        keys_of("# comment\n\n  plain predict sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\r\n"
                "\tsalted observe,predict salted:abcdef01:"
                "aae2b0a1a51acfb33d3d0471b3a516e27955f81f5d07d3ee05635af05ba3f275\n");
    assert_int_equal(serve_keys_count(keys), 2);
    assert_int_equal(check(keys, "abc", name), SERVE_PREDICT);
    assert_string_equal(name, "plain");
    assert_int_equal(check(keys, KEY, name), SERVE_OBSERVE | SERVE_PREDICT);
    assert_string_equal(name, "salted");
    assert_int_equal(check(keys, "abd", name), 0);
    assert_string_equal(name, "");
    assert_int_equal(check(keys, "", name), 0);
    assert_int_equal(serve_keys_check(keys, "abcd", 3, name), SERVE_PREDICT); /* n bytes, wherever the text ends */
    serve_keys_free(keys);
}

/* A drawn key opens exactly its own line, with its roles and name; no two draws are alike, and the line does not hold the key. */
static void lines_open_to_their_keys(void **state)
{
    (void)state;
    enum { KEYS = 40 };
    char key[KEYS][SERVE_KEY_MAX], line[SERVE_KEY_LINE], who[64], expected[64], name[SERVE_KEY_NAME];
    struct text file = {0};
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(serve_keys_draw(key[i], NULL), RUDD_OK);
        assert_int_equal(strlen(key[i]), 48);
        snprintf(who, sizeof who, "key-%d:%s", i, i % 3 == 0 ? "predict" : i % 3 == 1 ? "observe,predict" : "admin");
        assert_int_equal(serve_keys_line(line, who, key[i], NULL), RUDD_OK);
        assert_null(strstr(line, key[i]));
        text_print(&file, "%s\n", line);
    }
    struct serve_keys *keys = keys_of(file.data);
    for (int i = 0; i < KEYS; i++) {
        snprintf(expected, sizeof expected, "key-%d", i);
        assert_int_equal(check(keys, key[i], name), i % 3 == 0   ? SERVE_PREDICT
                                                    : i % 3 == 1 ? SERVE_OBSERVE | SERVE_PREDICT
                                                                 : SERVE_ADMIN);
        assert_string_equal(name, expected);
        for (int j = 0; j < i; j++) assert_string_not_equal(key[i], key[j]);
        for (size_t at = 0; at < strlen(key[i]); at += 7) { /* any other key is none */
            key[i][at] ^= 1;
            assert_int_equal(check(keys, key[i], name), 0);
            key[i][at] ^= 1;
        }
    }
    serve_keys_free(keys);
    free(file.data);
    assert_int_equal(serve_keys_line(line, "a:predict", "fifteen-letters", NULL), RUDD_ARGUMENT);
    assert_int_equal(serve_keys_line(line, "a:predict", "with blanks is no key", NULL), RUDD_ARGUMENT);
    assert_int_equal(serve_keys_line(line, "a b:predict", KEY, NULL), RUDD_ARGUMENT);
    assert_int_equal(serve_keys_line(line, "a", KEY, NULL), RUDD_ARGUMENT);
    assert_int_equal(serve_keys_line(line, "a:", KEY, NULL), RUDD_ARGUMENT);
    assert_int_equal(serve_keys_line(line, "a:root", KEY, NULL), RUDD_ARGUMENT);
}

/* A file that is wrong anywhere is refused whole, by its line's number, and what stands in the line is not repeated. */
static void bad_key_files(void **state)
{
    (void)state;
    static const char hash[] = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char *const bad[] = {"x",
                                      "x predict",
                                      "x predict sha256:",
                                      "x predict my-secret-key",
                                      "x predict sha1:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                      "x predict sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
                                      "x predict sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015adad",
                                      "x predict sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                      "x predict salted:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                      "x predict salted:abc:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                      "x/y predict %s",
                                      "x predikt %s",
                                      "x predict,, %s",
                                      "x ,predict %s",
                                      "x predict, %s",
                                      "x predict %s more",
                                      "good predict %s"};
    char text[1024], line[512];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct serve_keys *keys = NULL;
        struct rudd_error err;
        snprintf(line, sizeof line, bad[i], hash);
        snprintf(text, sizeof text, "good predict %s\n%s\n", hash, line);
        assert_int_equal(serve_keys_parse(&keys, text, strlen(text), "the file", &err), RUDD_FORMAT);
        assert_non_null(strstr(err.message, "the file, line 2: "));
        assert_null(strstr(err.message, "secret"));
        assert_null(keys);
    }
    struct serve_keys *keys = NULL;
    assert_int_equal(serve_keys_parse(&keys, "# nobody\n", 9, "the file", NULL), RUDD_FORMAT);
    struct text many = {0};
    for (int i = 0; i <= SERVE_KEYS_MAX; i++) text_print(&many, "k%d predict %s\n", i, hash);
    assert_int_equal(serve_keys_parse(&keys, many.data, many.length, "the file", NULL), RUDD_FORMAT);
    free(many.data);
}

static void headers_carry_keys(void **state)
{
    (void)state;
    static const struct {
        const char *authorization, *api_key, *key;
    } cases[] = {{NULL, NULL, NULL},
                 {"Bearer abc", NULL, "abc"},
                 {"bearer   abc  ", NULL, "abc"},
                 {"Bearer ", NULL, NULL},
                 {"Bearer", NULL, NULL},
                 {"Bearer a b", NULL, NULL},
                 {"Basic abc", NULL, NULL},
                 {NULL, "abc", "abc"},
                 {"Basic abc", "xyz", "xyz"},
                 {"Bearer abc", "xyz", "abc"},
                 {NULL, "", NULL},
                 {NULL, "a b", NULL},
                 {"Bearer a\x80", NULL, NULL},
                 {NULL, "abc\t", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = 0;
        const char *key = serve_key_parse(&n, cases[i].authorization, cases[i].api_key);
        if (!cases[i].key) {
            assert_null(key);
            continue;
        }
        assert_non_null(key);
        assert_int_equal(n, strlen(cases[i].key));
        assert_memory_equal(key, cases[i].key, n);
    }
}

/* ---- token buckets -------------------------------------------------------------------------------------------------------- */

/* Over any stretch of time a client gets its burst and its rate, no more; what it waited for is there when it was told. */
static void buckets_hold_the_rate(void **state)
{
    (void)state;
    struct serve_limit *limit = NULL;
    assert_int_equal(serve_limit_create(&limit, 10, 5, NULL), RUDD_OK);
    int taken = 0;
    for (double t = 0; t < 10000; t += 7) taken += serve_limit_take(limit, "a", 1, t) <= 0;
    double wait;
    while ((wait = serve_limit_take(limit, "a", 1, 10000)) <= 0) taken++;
    assert_in_range(taken, 104, 105); /* 5 at once and 10 a second; rounding may cost the last one */
    assert_true(wait > 0 && wait <= 100);
    assert_true(serve_limit_take(limit, "a", 1, 10000 + wait - 1) > 0);
    assert_true(serve_limit_take(limit, "a", 1, 10000 + wait + 0.001) <= 0);
    assert_true(serve_limit_take(limit, "b", 1, 10000) <= 0); /* another's is untouched */
    assert_true(serve_limit_take(limit, "", 0, 10000) <= 0);
    serve_limit_destroy(limit);
}

/* A million made-up clients neither grow the table nor cost anybody a token. */
static void floods_are_forgotten(void **state)
{
    (void)state;
    struct serve_limit *limit = NULL;
    assert_int_equal(serve_limit_create(&limit, 1, 3, NULL), RUDD_OK);
    for (int i = 0; i < 1000000; i++) assert_true(serve_limit_take(limit, &i, sizeof i, 0) <= 0);
    for (int i = 0; i < 3; i++) assert_true(serve_limit_take(limit, "honest", 6, 1) <= 0);
    serve_limit_destroy(limit);
}

/* Addresses are themselves, but an IPv6 network of 64 bits is one client, and IPv4 in IPv6 is IPv4. */
static void addresses_name_clients(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int same;
    } cases[] = {{"10.0.0.1", "10.0.0.1", 1},
                 {"10.0.0.1", "10.0.0.2", 0},
                 {"2001:db8::1", "2001:db8::ffff:1", 1},
                 {"2001:db8::1", "2001:db8:0:1::1", 0},
                 {"::ffff:10.0.0.1", "10.0.0.1", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char name[2][16];
        size_t n[2];
        const char *text[2] = {cases[i].a, cases[i].b};
        for (int j = 0; j < 2; j++) {
            struct sockaddr_in v4 = {.sin_family = AF_INET};
            struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
            if (inet_pton(AF_INET, text[j], &v4.sin_addr) == 1)
                n[j] = serve_limit_address(name[j], (struct sockaddr *)&v4);
            else {
                assert_int_equal(inet_pton(AF_INET6, text[j], &v6.sin6_addr), 1);
                n[j] = serve_limit_address(name[j], (struct sockaddr *)&v6);
            }
        }
        assert_int_equal(n[0] == n[1] && !memcmp(name[0], name[1], n[0]), cases[i].same);
    }
}

/* ---- origins -------------------------------------------------------------------------------------------------------------- */

static void origins_are_compared_whole(void **state)
{
    (void)state;
    static const char *const good[] = {"*", "https://fish.example", "http://localhost:3000,https://a.b", "http://[::1]:80",
                                       "app://x"};
    static const char *const bad[] = {"",           "fish.example",
                                      "https://",   "https://fish.example/",
                                      "HTTPS://a",  "https://a, https://b",
                                      "https://a,", "*,https://a",
                                      "https://a*", "null"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_int_equal(serve_cors_check(good[i], NULL), RUDD_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(serve_cors_check(bad[i], NULL), RUDD_ARGUMENT);
    const char *list = "https://fish.example,http://localhost:3000";
    static const char *const outside[] = {"https://fish.example.evil",
                                          "https://fish.exampl",
                                          "http://fish.example",
                                          "https://fish.example:444",
                                          "null",
                                          "",
                                          ",",
                                          "https://fish.example,http://localhost:3000"};
    assert_true(serve_cors_allows(list, "https://fish.example") && serve_cors_allows(list, "http://localhost:3000"));
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) assert_false(serve_cors_allows(list, outside[i]));
    assert_true(serve_cors_allows("*", "null"));
    assert_false(serve_cors_allows(NULL, "https://fish.example"));
    assert_true(serve_cors_is_own("http://127.0.0.1:8080", "127.0.0.1:8080"));
    assert_false(serve_cors_is_own("http://127.0.0.1:8080", "127.0.0.1:80"));
    assert_false(serve_cors_is_own("http://evil", NULL));
    assert_false(serve_cors_is_own("null", "null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hashes_are_what_others_compute),
                                       cmocka_unit_test(lines_open_to_their_keys),
                                       cmocka_unit_test(bad_key_files),
                                       cmocka_unit_test(headers_carry_keys),
                                       cmocka_unit_test(buckets_hold_the_rate),
                                       cmocka_unit_test(floods_are_forgotten),
                                       cmocka_unit_test(addresses_name_clients),
                                       cmocka_unit_test(origins_are_compared_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
