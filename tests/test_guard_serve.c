/* test_guard_serve.c - who may ask rudd-serve, as clients of a child process see it: keys, roles, rates, pages of other sites, headers, TLS, and what
 * is no safe start. The parts by themselves: test_guard.c. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/keys.h"
#include "tests/serve_fish.h"

#define KEY "correct-horse-battery"

enum { PREDICT, OBSERVE, ADMIN, PEOPLE };
static const char *const names[PEOPLE] = {"phone", "grafana", "boss"}, *const roles[PEOPLE] = {"predict", "observe", "admin"};
static char key_of[PEOPLE][SERVE_KEY_MAX], line_of[PEOPLE][SERVE_KEY_LINE];

static char keys_path[256];
static struct text *const picture = &pictures[1];

static int make_all(void **state)
{
    (void)state;
    make_fish("guard");
    snprintf(keys_path, sizeof keys_path, "%s/keys", folder);
    for (int i = 0; i < PEOPLE; i++) {
        char who[128];
        snprintf(who, sizeof who, "%s:%s", names[i], roles[i]);
        assert_int_equal(serve_keys_draw(key_of[i], NULL), RUDD_OK);
        assert_int_equal(serve_keys_line(line_of[i], who, key_of[i], NULL), RUDD_OK);
    }
    return 0;
}

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
    return ask(port, predict ? "POST" : "GET", path, headers, predict ? picture->data : NULL, predict ? picture->length : 0);
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

    a = ask(s.port, "POST", "/predict", good, picture->data, picture->length);
    assert_int_equal(a.code, 200);
    assert_true(has_header(&a, "Access-Control-Allow-Origin: https://fish.example\r\n"));
    answer_free(&a);
    a = ask(s.port, "GET", "/model_info", evil, NULL, 0); /* the browser will not show it to the page */
    assert_int_equal(a.code, 200);
    assert_false(has_header(&a, "Access-Control-Allow-Origin"));
    answer_free(&a);
    assert_problem(ask(s.port, "POST", "/predict", evil, picture->data, picture->length), 403, "origin_not_allowed");
    assert_problem(ask(s.port, "POST", "/predict", "Origin: null\r\n", picture->data, picture->length), 403,
                   "origin_not_allowed");
    snprintf(own, sizeof own, "Origin: http://test\r\n"); /* the client's Host header says test */
    assert_int_equal(code_of(ask(s.port, "POST", "/predict", own, picture->data, picture->length)), 200);
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
                               post(s.port, "/predict", "image/png", picture->data, picture->length),
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

/* A password that its URL is not written well enough for is in no message, nor is a piece of it. */
static void broken_urls_are_not_shown(void **state)
{
    (void)state;
    static const char *const urls[] = {"postgresql://u:open%zzsesame@127.0.0.1:1/d", "postgresql://u:x@sesame@127.0.0.1:1/d",
                                       "postgresql://u:sesame/x@127.0.0.1:1/d", "postgresql://u:sesame@127.0.0.1:1/d?nothing=1",
                                       "postgresql://u:sesame@[::1/d"};
    char path[128], tail[600];
    snprintf(path, sizeof path, "%s/url", folder);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct text out;
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%s\n", urls[i]);
        assert_int_equal(fclose(f), 0);
        snprintf(tail, sizeof tail, "--model %s --listen :0 --store-file %s", model_path, path);
        assert_int_equal(run_to_end(&out, "", tail), 2);
        assert_non_null(strstr(out.data, "--store"));
        assert_null(strstr(out.data, "sesame"));
        free(out.data);
    }
}

/* The roles of a key in a file of this one line; name: the key's. */
static unsigned roles_in(const char *line, const char *key, char *name)
{
    struct serve_keys *keys = NULL;
    assert_int_equal(serve_keys_parse(&keys, line, strlen(line), "keys", NULL), RUDD_OK);
    unsigned found = serve_keys_check(keys, key, strlen(key), name);
    serve_keys_free(keys);
    return found;
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
    assert_int_equal(roles_in(line, key, name), SERVE_PREDICT);
    assert_string_equal(name, "phone");
    free(out.data);
    assert_int_equal(run_to_end(&out, "echo " KEY " | ", "--hash-key me:admin"), 0);
    assert_null(strstr(out.data, KEY));
    assert_int_equal(roles_in(out.data, KEY, name), SERVE_ADMIN);
    free(out.data);
    assert_int_equal(run_to_end(&out, "echo short | ", "--hash-key me:admin"), 2);
    free(out.data);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------------------ */

static char certificate_path[256], key_path[256]; /* that the server reads */

/* A new pair for 127.0.0.1 into DIR/<name>.cert and .key; 0: there is no openssl program here. */
static int make_pair(const char *name)
{
    char command[2048];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=IP:127.0.0.1 -keyout %s/%s.key -out %s/%s.cert >/dev/null 2>&1",
             folder, name, folder, name);
    return system(command) == 0;
}

/* Puts a file of the folder in the place of one that the server reads, at once. */
static void put(const char *name, const char *path)
{
    char command[1024];
    snprintf(command, sizeof command, "cp %s/%s %s/new && mv %s/new %s", folder, name, folder, folder, path);
    assert_int_equal(system(command), 0);
}

/* GET path by a client that trusts this certificate of the folder alone; NULL data: it did not come to an answer. */
static struct text get_tls(int port, const char *path, const char *trusted, const char *options)
{
    char command[2048], piece[1024];
    struct text out = {0};
    snprintf(command, sizeof command,
             "printf 'GET %s HTTP/1.1\\r\\nHost: t\\r\\nConnection: close\\r\\n\\r\\n' | "
             "openssl s_client -quiet %s -verify_return_error -CAfile %s/%s -connect 127.0.0.1:%d 2>/dev/null",
             path, options, folder, trusted, port);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    while (fgets(piece, sizeof piece, f)) text_print(&out, "%s", piece);
    pclose(f);
    return out;
}

static int speaks(int port, const char *trusted, const char *options)
{
    struct text out = get_tls(port, "/health", trusted, options);
    int good = out.data && strstr(out.data, "HTTP/1.1 200") && strstr(out.data, "\"healthy\"");
    free(out.data);
    return good;
}

static int says(int port, const char *trusted, const char *line)
{
    struct text out = get_tls(port, "/metrics", trusted, "");
    int found = out.data && strstr(out.data, line);
    free(out.data);
    return found;
}

static struct server start_tls(void)
{
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    put("a.cert", certificate_path);
    put("a.key", key_path);
    return server_start(model_path, "--tls-cert", certificate_path, "--tls-key", key_path, NULL);
}

/* With a certificate the server speaks TLS, not older than 1.2, and nothing else; a key that is not the certificate's is no start. */
static void tls_is_spoken(void **state)
{
    (void)state;
    char tail[1024];
    if (!make_pair("a") || !make_pair("b")) skip();
    struct server s = start_tls();
    assert_true(speaks(s.port, "a.cert", ""));
    assert_true(speaks(s.port, "a.cert", "-tls1_2"));
    assert_false(speaks(s.port, "a.cert", "-tls1_1 -cipher DEFAULT@SECLEVEL=0"));
    assert_false(speaks(s.port, "b.cert", ""));
    struct answer plain = get(s.port, "/health");
    assert_int_equal(plain.code, 0);
    answer_free(&plain);
    server_stop(s);
    struct text out;
    snprintf(tail, sizeof tail, "--model %s --listen :0 --tls-cert %s --tls-key %s", model_path, certificate_path, model_path);
    assert_int_equal(run_to_end(&out, "", tail), 1);
    assert_non_null(strstr(out.data, "PEM"));
    free(out.data);
    snprintf(tail, sizeof tail, "--model %s --listen :0 --tls-cert %s --tls-key %s/b.key", model_path, certificate_path,
             folder);
    assert_int_equal(run_to_end(&out, "", tail), 1);
    assert_non_null(strstr(out.data, "--tls-key"));
    free(out.data);
}

/* A renewed pair is what new connections get, whichever file comes first; what does not fit or is no certificate changes nothing. */
static void tls_is_renewed(void **state)
{
    (void)state;
    if (!make_pair("a") || !make_pair("b")) skip();
    struct server s = start_tls();
    assert_true(speaks(s.port, "a.cert", ""));
    put("b.cert", certificate_path); /* with the old key */
    for (int i = 0; !says(s.port, "a.cert", "rudd_tls_loads_total{result=\"failed\"} 1\n"); i++) {
        assert_true(i < 100);
        pause_ms(100);
    }
    put("b.key", key_path);
    for (int i = 0; !speaks(s.port, "b.cert", ""); i++) {
        assert_true(i < 100);
        pause_ms(100);
    }
    assert_false(speaks(s.port, "a.cert", ""));
    assert_true(says(s.port, "b.cert", "rudd_tls_loads_total{result=\"ok\"} 1\n"));
    put("fish.safetensors", certificate_path);
    for (int i = 0; !says(s.port, "b.cert", "rudd_tls_loads_total{result=\"failed\"} 2\n"); i++) {
        assert_true(i < 100);
        pause_ms(100);
    }
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(roles_open_routes),
                                       cmocka_unit_test(keys_follow_their_file),
                                       cmocka_unit_test(rates_are_limited),
                                       cmocka_unit_test(pages_of_other_sites),
                                       cmocka_unit_test(every_answer_has_the_headers),
                                       cmocka_unit_test(unsafe_starts),
                                       cmocka_unit_test(broken_urls_are_not_shown),
                                       cmocka_unit_test(keys_are_made),
                                       cmocka_unit_test(tls_is_spoken),
                                       cmocka_unit_test(tls_is_renewed)};
    return cmocka_run_group_tests(tests, make_all, remove_fish);
}
