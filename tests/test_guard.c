/* test_guard.c - who may ask rudd-serve: key files, token buckets and origins by themselves; then keys, roles, limits, pages of other sites and
 * TLS as clients of a child process see them. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/cors.h"
#include "serve/keys.h"
#include "serve/limit.h"
#include "tests/serve_fish.h"

static char folder[] = "/tmp/rudd-test-guard-XXXXXX", model_path[256], keys_path[256];
static struct text picture;

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

/* ---- as clients see it ------------------------------------------------------------------------------------------------------ */

enum { PREDICT, OBSERVE, ADMIN, PEOPLE };
static const char *const names[PEOPLE] = {"phone", "grafana", "boss"}, *const roles[PEOPLE] = {"predict", "observe", "admin"};
static char key_of[PEOPLE][SERVE_KEY_MAX], line_of[PEOPLE][SERVE_KEY_LINE];

/* The key file with the lines of these people, replaced at once as an editor would; then whatever extra says. */
static void write_keys(int first, int last, const char *extra)
{
    char temporary[300];
    snprintf(temporary, sizeof temporary, "%s.new", keys_path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    for (int i = first; i <= last; i++) fprintf(f, "%s\n", line_of[i]);
    fprintf(f, "%s\n", extra);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, keys_path), 0);
}

/* A request with a key (NULL: none), given by Authorization or, if api, by X-API-Key. */
static struct answer ask_with(int port, const char *path, const char *key, int api)
{
    char headers[512] = "";
    int predict = !strncmp(path, "/predict", 8);
    if (key) snprintf(headers, sizeof headers, api ? "X-API-Key: %s\r\n" : "Authorization: Bearer %s\r\n", key);
    return ask(port, predict ? "POST" : "GET", path, headers, predict ? picture.data : NULL, predict ? picture.length : 0);
}

static int code_of(struct answer a)
{
    int code = a.code;
    answer_free(&a);
    return code;
}

/* Each role opens its routes and no others, by either header; administrators open all; nobody needs a key for what is open. */
static void roles_open_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int codes[PEOPLE + 2]; /* by each person; by nobody; by a stranger */
    } cases[] = {{"/predict", {200, 403, 200, 401, 401}}, {"/model_info", {200, 200, 200, 401, 401}},
                 {"/metrics", {403, 200, 200, 401, 401}}, {"/", {200, 200, 200, 200, 200}},
                 {"/health", {200, 200, 200, 200, 200}},  {"/ready", {200, 200, 200, 200, 200}},
                 {"/nothing", {404, 404, 404, 404, 404}}};
    write_keys(0, PEOPLE - 1, "");
    struct server s = server_start(model_path, "--keys", keys_path, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int who = 0; who < PEOPLE + 2; who++)
            for (int api = 0; api < 2; api++) {
                const char *key = who < PEOPLE ? key_of[who] : who == PEOPLE ? NULL : "somebody-else-s-key";
                assert_int_equal(code_of(ask_with(s.port, cases[i].path, key, api)), cases[i].codes[who]);
            }
    struct answer a = ask_with(s.port, "/metrics", NULL, 0);
    assert_true(has_header(&a, "WWW-Authenticate: Bearer"));
    assert_problem(a, 401, "no_key");
    assert_problem(ask_with(s.port, "/metrics", "somebody-else-s-key", 0), 401, "wrong_key");
    assert_problem(ask_with(s.port, "/metrics", key_of[PREDICT], 0), 403, "forbidden");
    a = ask_with(s.port, "/metrics", key_of[OBSERVE], 0);
    assert_non_null(strstr(a.body, "\nrudd_keys 3\n"));
    assert_non_null(strstr(a.body, "rudd_keys_refused_total{reason=\"missing\"}"));
    for (int who = 0; who < PEOPLE; who++) assert_null(strstr(a.body, key_of[who]));
    answer_free(&a);
    server_stop(s);
}

/* Waits until a person's /model_info has this code; 0 if that does not come. */
static int becomes(int port, int who, int code)
{
    for (int i = 0; i < 600; i++) {
        if (code_of(ask_with(port, "/model_info", key_of[who], 0)) == code) return 1;
        pause_ms(50);
    }
    return 0;
}

/* New keys open and removed ones close while the server runs; a broken or missing file changes nothing. */
static void keys_follow_their_file(void **state)
{
    (void)state;
    write_keys(PREDICT, PREDICT, "");
    struct server s = server_start(model_path, "--keys", keys_path, NULL);
    assert_int_equal(code_of(ask_with(s.port, "/model_info", key_of[ADMIN], 0)), 401);
    write_keys(PREDICT, ADMIN, "");
    assert_true(becomes(s.port, ADMIN, 200));
    write_keys(ADMIN, ADMIN, "");
    assert_true(becomes(s.port, PREDICT, 401));
    write_keys(PREDICT, ADMIN, "a broken line");
    for (int failures = 0, i = 0; !failures; i++) {
        struct answer a = ask_with(s.port, "/metrics", key_of[ADMIN], 0); /* still an administrator */
        assert_int_equal(a.code, 200);
        failures = strstr(a.body, "rudd_keys_loads_total{result=\"failed\"} 1\n") != NULL;
        answer_free(&a);
        assert_true(i < 600);
        pause_ms(50);
    }
    assert_int_equal(code_of(ask_with(s.port, "/model_info", key_of[PREDICT], 0)), 401);
    unlink(keys_path);
    pause_ms(1500);
    assert_int_equal(code_of(ask_with(s.port, "/model_info", key_of[ADMIN], 0)), 200);
    write_keys(PREDICT, PREDICT, "");
    assert_true(becomes(s.port, PREDICT, 200));
    server_stop(s);
}

/* Each key has its own bucket, which is that of all its connections; strangers share their address's; probes are free. */
static void rates_are_limited(void **state)
{
    (void)state;
    enum { BURST = 5 };
    write_keys(0, PEOPLE - 1, "");
    struct server s = server_start(model_path, "--keys", keys_path, "--rate-limit", "0.001", "--rate-burst", "5", NULL);
    for (int i = 0; i < BURST; i++) assert_int_equal(code_of(ask_with(s.port, "/model_info", key_of[PREDICT], i % 2)), 200);
    struct answer a = ask_with(s.port, "/model_info", key_of[PREDICT], 0);
    const char *after = strcasestr(a.all.data, "Retry-After: ");
    assert_true(after && atoi(after + 13) > 900 && atoi(after + 13) <= 1001);
    assert_problem(a, 429, "rate_limited");
    assert_problem(ask_with(s.port, "/predict", key_of[PREDICT], 0), 429, "rate_limited");
    for (int i = 0; i < BURST; i++) assert_int_equal(code_of(ask_with(s.port, "/model_info", "a guess number one", 0)), 401);
    assert_problem(ask_with(s.port, "/model_info", "a guess number two", 0), 429, "rate_limited");
    for (int i = 0; i < 3 * BURST; i++) assert_int_equal(code_of(ask_with(s.port, "/health", NULL, 0)), 200);
    a = ask_with(s.port, "/metrics", key_of[ADMIN], 0);
    assert_int_equal(a.code, 200);
    assert_non_null(strstr(a.body, "rudd_rate_limited_total{key=\"phone\"} 2\n"));
    assert_non_null(strstr(a.body, "rudd_rate_limited_total{key=\"\"} 1\n"));
    answer_free(&a);
    server_stop(s);
}

/* Pages of listed origins may ask and read; others may do neither what changes something nor read; the server's own page may. */
static void pages_of_other_sites(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--cors", "https://fish.example,http://localhost:3000", NULL);
    static const char *const good = "Origin: https://fish.example\r\n", *const evil = "Origin: https://evil.example\r\n";
    static const char *const wants = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    char headers[256], own[64];
    snprintf(headers, sizeof headers, "%s%s", good, wants);
    struct answer a = ask(s.port, "OPTIONS", "/predict", headers, NULL, 0);
    assert_int_equal(a.code, 204);
    assert_true(has_header(&a, "Access-Control-Allow-Origin: https://fish.example\r\n"));
    assert_true(has_header(&a, "Access-Control-Allow-Methods: POST\r\n"));
    assert_true(has_header(&a, "Access-Control-Allow-Headers: Authorization,"));
    assert_true(has_header(&a, "Vary: Origin\r\n"));
    answer_free(&a);
    snprintf(headers, sizeof headers, "%s%s", evil, wants);
    a = ask(s.port, "OPTIONS", "/predict", headers, NULL, 0);
    assert_false(has_header(&a, "Access-Control-Allow-Origin"));
    assert_problem(a, 403, "origin_not_allowed");
    assert_problem(ask(s.port, "OPTIONS", "/predict", "", NULL, 0), 405, "method_not_allowed");

    a = ask(s.port, "POST", "/predict", good, picture.data, picture.length);
    assert_int_equal(a.code, 200);
    assert_true(has_header(&a, "Access-Control-Allow-Origin: https://fish.example\r\n"));
    answer_free(&a);
    a = ask(s.port, "GET", "/model_info", evil, NULL, 0); /* the browser will not show it to the page */
    assert_int_equal(a.code, 200);
    assert_false(has_header(&a, "Access-Control-Allow-Origin"));
    answer_free(&a);
    assert_problem(ask(s.port, "POST", "/predict", evil, picture.data, picture.length), 403, "origin_not_allowed");
    assert_problem(ask(s.port, "POST", "/predict", "Origin: null\r\n", picture.data, picture.length), 403,
                   "origin_not_allowed");
    snprintf(own, sizeof own, "Origin: http://test\r\n"); /* the client's Host header says test */
    assert_int_equal(code_of(ask(s.port, "POST", "/predict", own, picture.data, picture.length)), 200);
    server_stop(s);
}

/* Whatever the answer, it says what browsers must not do with it, once. */
static void every_answer_has_the_headers(void **state)
{
    (void)state;
    static const char *const always[] = {"X-Content-Type-Options: nosniff\r\n", "X-Frame-Options: DENY\r\n",
                                         "Referrer-Policy: no-referrer\r\n", "Content-Security-Policy: default-src 'none'"};
    struct server s = server_start(model_path, NULL);
    struct answer answers[] = {get(s.port, "/"),
                               get(s.port, "/health"),
                               get(s.port, "/metrics"),
                               get(s.port, "/nothing"),
                               get(s.port, "/predict"),
                               post(s.port, "/predict", "image/png", picture.data, picture.length),
                               post(s.port, "/predict", "image/png", "x", 1)};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (size_t h = 0; h < sizeof always / sizeof *always; h++) {
            const char *found = strcasestr(answers[i].all.data, always[h]);
            assert_true(found && found < answers[i].body);
            found = strcasestr(found + 1, always[h]);
            assert_true(!found || found > answers[i].body);
        }
        answer_free(&answers[i]);
    }
    server_stop(s);
}

/* ---- starting --------------------------------------------------------------------------------------------------------------- */

/* Runs rudd-serve with this tail of a command line; what it printed on both, and its exit status. */
static int run_to_end(struct text *out, const char *before, const char *tail)
{
    char binary[4096], command[6000], piece[1024];
    server_binary(binary, sizeof binary);
    snprintf(command, sizeof command, "%s%s %s 2>&1", before, binary, tail);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    *out = (struct text){0};
    while (fgets(piece, sizeof piece, f)) text_print(out, "%s", piece);
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A server that strangers could reach does not start by accident; what is wrong with keys, origins and certificates is said at the start. */
static void unsafe_starts(void **state)
{
    (void)state;
    static const struct {
        const char *tail;
        int status;
        const char *says;
    } cases[] = {{"--listen 0.0.0.0:0", 2, "--insecure-open"},
                 {"--listen [::]:0", 2, "--insecure-open"},
                 {"--keys /nowhere/keys", 1, "/nowhere/keys"},
                 {"--cors https://fish.example/", 2, "--cors"},
                 {"--tls-cert /nowhere/cert.pem", 2, "--tls-key"},
                 {"--tls-cert /nowhere/cert.pem --tls-key /nowhere/key.pem", 1, "/nowhere/cert.pem"},
                 {"--cache redis://user:open-sesame@localhost:1/0", 2, "RUDD_REDIS_PASSWORD"},
                 {"--cache http://localhost", 2, "redis://"}};
    char tail[600];
    struct text out;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(tail, sizeof tail, "--model %s --listen :0 %s", model_path, cases[i].tail);
        assert_int_equal(run_to_end(&out, "", tail), cases[i].status);
        assert_non_null(strstr(out.data, cases[i].says));
        assert_null(strstr(out.data, "open-sesame"));
        free(out.data);
    }
}

/* The program makes lines that its own key files take; a key from stdin is not repeated. */
static void keys_are_made(void **state)
{
    (void)state;
    struct text out;
    char line[SERVE_KEY_LINE], key[SERVE_KEY_MAX], name[SERVE_KEY_NAME];
    assert_int_equal(run_to_end(&out, "", "--new-key phone:predict"), 0);
    assert_true(strlen(out.data) < sizeof line);
    const char *first = strchr(out.data, '\n') + 1; /* two lines, in either order: the key has no blank */
    int key_first = !memchr(out.data, ' ', (size_t)(first - out.data));
    assert_int_equal(sscanf(key_first ? out.data : first, "%255s", key), 1);
    assert_int_equal(sscanf(key_first ? first : out.data, "%319[^\n]", line), 1);
    struct serve_keys *keys = keys_of(line);
    assert_int_equal(check(keys, key, name), SERVE_PREDICT);
    assert_string_equal(name, "phone");
    serve_keys_free(keys);
    free(out.data);
    assert_int_equal(run_to_end(&out, "echo " KEY " | ", "--hash-key me:admin"), 0);
    assert_null(strstr(out.data, KEY));
    keys = keys_of(out.data);
    assert_int_equal(check(keys, KEY, name), SERVE_ADMIN);
    serve_keys_free(keys);
    free(out.data);
    assert_int_equal(run_to_end(&out, "echo short | ", "--hash-key me:admin"), 2);
    free(out.data);
}

/* With a certificate the server speaks TLS, not older than 1.2, and nothing else. */
static void tls_is_spoken(void **state)
{
    (void)state;
    char command[2048], certificate[300], key[300], piece[1024];
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s >/dev/null 2>&1",
             key, certificate);
    if (system(command)) skip(); /* no openssl program here */
    struct server s = server_start(model_path, "--tls-cert", certificate, "--tls-key", key, NULL);
    for (int old = 0; old < 2; old++) {
        struct text out = {0};
        snprintf(command, sizeof command,
                 "printf 'GET /health HTTP/1.1\\r\\nHost: t\\r\\nConnection: close\\r\\n\\r\\n' | "
                 "openssl s_client -quiet %s -verify_return_error -CAfile %s -connect 127.0.0.1:%d 2>/dev/null",
                 old ? "-tls1_1 -cipher DEFAULT@SECLEVEL=0" : "", certificate, s.port);
        FILE *f = popen(command, "r");
        assert_non_null(f);
        while (fgets(piece, sizeof piece, f)) text_print(&out, "%s", piece);
        pclose(f);
        assert_int_equal(out.data && strstr(out.data, "HTTP/1.1 200"), !old);
        assert_int_equal(out.data && strstr(out.data, "\"healthy\""), !old);
        free(out.data);
    }
    struct answer plain = get(s.port, "/health");
    assert_int_equal(plain.code, 0);
    answer_free(&plain);
    server_stop(s);
    struct text out;
    snprintf(command, sizeof command, "--model %s --listen :0 --tls-cert %s --tls-key %s", model_path, certificate, model_path);
    assert_int_equal(run_to_end(&out, "", command), 1);
    assert_non_null(strstr(out.data, "PEM"));
    free(out.data);
    unlink(certificate);
    unlink(key);
}

static int make_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(model_path, sizeof model_path, "%s/fish.safetensors", folder);
    snprintf(keys_path, sizeof keys_path, "%s/keys", folder);
    make_model(model_path);
    picture = make_png(90, 80, 1);
    for (int i = 0; i < PEOPLE; i++) {
        char who[128];
        snprintf(who, sizeof who, "%s:%s", names[i], roles[i]);
        assert_int_equal(serve_keys_draw(key_of[i], NULL), RUDD_OK);
        assert_int_equal(serve_keys_line(line_of[i], who, key_of[i], NULL), RUDD_OK);
    }
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    free(picture.data);
    unlink(model_path);
    unlink(keys_path);
    return rmdir(folder);
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
                                       cmocka_unit_test(origins_are_compared_whole),
                                       cmocka_unit_test(roles_open_routes),
                                       cmocka_unit_test(keys_follow_their_file),
                                       cmocka_unit_test(rates_are_limited),
                                       cmocka_unit_test(pages_of_other_sites),
                                       cmocka_unit_test(every_answer_has_the_headers),
                                       cmocka_unit_test(unsafe_starts),
                                       cmocka_unit_test(keys_are_made),
                                       cmocka_unit_test(tls_is_spoken)};
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
