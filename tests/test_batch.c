/* test_batch.c - several pictures in one request: at once, as jobs, by URL, and through a server that is killed in the middle. */
#define _GNU_SOURCE /* strcasestr */
#include "tests/serve_fish.h"
#include "nn/rudd.h"
#include "serve/fetch.h"
#include <netdb.h>
#include <pthread.h>

static char store_path[256];
static float expected[PICTURES][CLASSES];

static int make_all(void **state)
{
    (void)state;
    make_fish("batch");
    snprintf(store_path, sizeof store_path, "%s/store.sqlite", folder);
    predict_fish(expected);
    return 0;
}

/* Which picture item i of a test's batch is; -1: one that is no picture. Neighbours differ. */
static int picture_of(int i)
{
    return i % 7 == 3 ? -1 : (i * 3) % PICTURES;
}

/* A form with count files, file i being picture_of(i); id may be NULL. */
static struct text make_form(int count, const char *id)
{
    struct text t = {0};
    for (int i = 0; i < count; i++) {
        int which = picture_of(i);
        text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p%d.png\"\r\n\r\n", i);
        text_add(&t, which < 0 ? "not a picture" : pictures[which].data, which < 0 ? 13 : pictures[which].length);
        text_print(&t, "\r\n");
    }
    if (id) text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"request_id\"\r\n\r\n%s\r\n", id);
    text_print(&t, "--XX--\r\n");
    return t;
}

static struct answer post_form(int port, int count, const char *id)
{
    struct text form = make_form(count, id);
    struct answer a = post(port, "/batch/predict", "multipart/form-data; boundary=XX", form.data, form.length);
    free(form.data);
    return a;
}

/* Item i of a batch has its own number, name and result. */
static void assert_item(const json_t *item, int i)
{
    static const char *const names[CLASSES] = {"pike", "perch", "roach", "zander", "bream"};
    char name[32];
    int which = picture_of(i);
    snprintf(name, sizeof name, "p%d.png", i);
    assert_int_equal(json_integer_value(json_object_get(item, "item")), i);
    assert_string_equal(json_string_value(json_object_get(item, "name")), name);
    if (which < 0) {
        assert_string_equal(json_string_value(json_object_get(item, "state")), "failed");
        assert_string_equal(json_string_value(json_object_get(item, "code")), "not_an_image");
        assert_null(json_object_get(item, "result"));
        return;
    }
    assert_string_equal(json_string_value(json_object_get(item, "state")), "done");
    json_t *all = json_object_get(json_object_get(item, "result"), "all_predictions");
    for (int c = 0; c < CLASSES; c++) {
        float p = (float)json_number_value(json_object_get(all, names[c]));
        assert_true(p > expected[which][c] - 1e-5f && p < expected[which][c] + 1e-5f);
    }
}

static void assert_whole(json_t *root, int count)
{
    json_t *results = json_object_get(root, "results"), *item;
    size_t i;
    int bad = 0;
    for (int k = 0; k < count; k++) bad += picture_of(k) < 0;
    assert_string_equal(json_string_value(json_object_get(root, "status")), "done");
    assert_int_equal(json_integer_value(json_object_get(root, "total")), count);
    assert_int_equal(json_integer_value(json_object_get(root, "failed")), bad);
    assert_int_equal(json_array_size(results), count);
    json_array_foreach(results, i, item) assert_item(item, (int)i);
}

/* The job's status once nothing of it waits any more. */
static json_t *wait_for(int port, const char *id)
{
    char path[128];
    snprintf(path, sizeof path, "/batch/status/%s", id);
    for (;;) {
        struct answer a = get(port, path);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a);
        answer_free(&a);
        const char *status = json_string_value(json_object_get(root, "status"));
        if (strcmp(status, "queued") && strcmp(status, "running")) return root;
        json_decref(root);
        pause_ms(20);
    }
}

/* ---- at once ------------------------------------------------------------------------------------------------------------------ */

/* Each file gets its own answer in its own place, a broken one included; with no store at all. */
static void files_are_answered_in_order(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--queue", "2", NULL); /* fewer than the batch: it waits, and is not refused */
    struct answer a = post_form(s.port, 20, NULL);
    assert_int_equal(a.code, 200);
    json_t *root = answer_json(&a);
    assert_whole(root, 20);
    json_decref(root);
    answer_free(&a);
    assert_problem(post_form(s.port, 2, "needs-a-store"), 503, "no_store");
    server_stop(s);
}

static void malformed_batches(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--store", store_path, NULL);
    static const struct {
        const char *body, *code;
        int http;
    } cases[] = {{"", "empty_body", 400},
                 {"{", "bad_json", 400},
                 {"[]", "no_image", 400},
                 {"{\"image_urls\":[]}", "no_image", 400},
                 {"{\"image_urls\":\"x\"}", "no_image", 400},
                 {"{\"image_urls\":[7]}", "bad_url", 400},
                 {"{\"image_urls\":[\"\"]}", "bad_url", 400},
                 {"{\"image_urls\":[\"http://a\\u0000b/\"]}", "bad_json", 400},
                 {"{\"image_urls\":[\"http://a/\"],\"request_id\":\"a b\"}", "bad_request_id", 400},
                 {"{\"image_urls\":[\"http://a/\"],\"request_id\":7}", "bad_request_id", 400},
                 {"{\"image_urls\":[\"http://a/\"]}", "fetch_off", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_problem(post(s.port, "/batch/predict", "application/json", cases[i].body, strlen(cases[i].body)), cases[i].http,
                       cases[i].code);
    assert_problem(post(s.port, "/batch/predict", "multipart/form-data; boundary=XX", "--XX--\r\n", 8), 400, "no_image");
    assert_problem(post(s.port, "/batch/predict", "multipart/form-data", "--XX--\r\n", 8), 400, "bad_multipart");
    assert_problem(post_form(s.port, 2, "../x"), 400, "bad_request_id");
    assert_problem(get(s.port, "/batch/status/unknown"), 404, "unknown_batch");
    assert_problem(get(s.port, "/batch/status/"), 404, "unknown_batch");
    assert_problem(get(s.port, "/batch/status/a/b"), 404, "unknown_batch");
    server_stop(s);
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------------- */

/* A job is acknowledged with where to look, and asking again with the same id gets the same job, computed once. */
static void a_job_is_done_once(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--store", store_path, NULL);
    for (int again = 0; again < 2; again++) {
        struct answer a = post_form(s.port, 9, "twice");
        assert_int_equal(a.code, 202);
        json_t *root = answer_json(&a);
        assert_string_equal(json_string_value(json_object_get(root, "request_id")), "twice");
        assert_string_equal(json_string_value(json_object_get(root, "status_url")), "/batch/status/twice");
        json_decref(root);
        answer_free(&a);
        root = wait_for(s.port, "twice");
        assert_whole(root, 9);
        json_decref(root);
    }
    struct answer a = get(s.port, "/metrics");
    assert_non_null(strstr(a.body, "\nrudd_batch_jobs_total 1\n"));
    assert_non_null(strstr(a.body, "\nrudd_batch_items_total{result=\"not_an_image\"} 1\n"));
    answer_free(&a);
    server_stop(s);
}

/* Killed at any moment and started again: every item of every acknowledged job ends with exactly its own result. */
static void killed_and_finished(void **state)
{
    enum { KILLS = 4, ITEMS = 60 };
    (void)state;
    char id[32];
    int begun = 0;
    for (int k = 0; k < KILLS; k++) {
        struct server s = server_start(model_path, "--store", store_path, "--threads", "1", "--cache-entries", "0", NULL);
        snprintf(id, sizeof id, "kill-%d", k);
        struct answer a = post_form(s.port, ITEMS, id);
        assert_int_equal(a.code, 202);
        answer_free(&a);
        pause_ms(30 + 70 * k);
        kill(s.pid, SIGKILL);
        assert_int_equal(server_wait(s), -1);
        begun++;
    }
    struct server s = server_start(model_path, "--store", store_path, NULL);
    for (int k = 0; k < begun; k++) {
        snprintf(id, sizeof id, "kill-%d", k);
        json_t *root = wait_for(s.port, id);
        assert_whole(root, ITEMS);
        json_decref(root);
    }
    struct answer a = get(s.port, "/metrics");
    const char *left = strstr(a.body, "\nrudd_batch_items_total{result=\"ok\"} ");
    assert_non_null(left); /* the last server did find work: the test tests something */
    answer_free(&a);
    server_stop(s);
}

/* SIGTERM in the middle gives back what was claimed; the next server finishes at once, not after a lease. */
static void stopped_and_finished(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--store", store_path, "--threads", "1", "--cache-entries", "0", NULL);
    struct answer a = post_form(s.port, 60, "stop");
    assert_int_equal(a.code, 202);
    answer_free(&a);
    server_stop(s);
    s = server_start(model_path, "--store", store_path, NULL);
    json_t *root = wait_for(s.port, "stop");
    assert_whole(root, 60);
    json_decref(root);
    server_stop(s);
}

/* ---- by URL ----------------------------------------------------------------------------------------------------------------- */

/* Addresses that a stranger must not reach through us, in every family, and those next to them. */
static void only_public_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int public;
    } cases[] = {{"127.0.0.1", 0},
                 {"127.255.255.255", 0},
                 {"128.0.0.1", 1},
                 {"0.0.0.0", 0},
                 {"10.1.2.3", 0},
                 {"11.0.0.1", 1},
                 {"172.15.255.255", 1},
                 {"172.16.0.1", 0},
                 {"172.31.255.255", 0},
                 {"172.32.0.1", 1},
                 {"192.168.1.1", 0},
                 {"192.169.0.1", 1},
                 {"169.254.169.254", 0},
                 {"100.64.0.1", 0},
                 {"100.128.0.1", 1},
                 {"224.0.0.1", 0},
                 {"255.255.255.255", 0},
                 {"8.8.8.8", 1},
                 {"198.18.0.1", 0},
                 {"::1", 0},
                 {"::", 0},
                 {"::ffff:127.0.0.1", 0},
                 {"::ffff:8.8.8.8", 0},
                 {"fe80::1", 0},
                 {"fd00::1", 0},
                 {"ff02::1", 0},
                 {"64:ff9b::7f00:1", 0},
                 {"2002:7f00:1::", 0},
                 {"2001:0:1::", 0},
                 {"2001:db8::1", 0},
                 {"2606:4700::1111", 1},
                 {"2a00:1450::1", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *found = NULL;
        assert_int_equal(getaddrinfo(cases[i].text, NULL, &hints, &found), 0);
        assert_int_equal(serve_fetch_is_public(found->ai_addr), cases[i].public);
        freeaddrinfo(found);
    }
}

/* A web server of this test: /N is picture N, /to?URL redirects there, /long never ends, all else is 404. */
static void *serve_web(void *arg)
{
    int listening = *(int *)arg, fd;
    while ((fd = accept(listening, NULL, NULL)) >= 0) {
        char line[4096] = "", head[4200], target[2048];
        ssize_t n = recv(fd, line, sizeof line - 1, 0);
        int which = -1;
        line[n > 0 ? n : 0] = 0;
        if (sscanf(line, "GET /to?%2047s", target) == 1) {
            snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                     target);
            client_send(fd, head, strlen(head));
        } else if (!strncmp(line, "GET /long", 9)) {
            static char block[65536];
            client_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 38);
            while (client_send(fd, block, sizeof block)) continue;
        } else if (sscanf(line, "GET /%d", &which) == 1 && which < PICTURES) {
            snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     pictures[which].length);
            client_send(fd, head, strlen(head));
            client_send(fd, pictures[which].data, pictures[which].length);
        } else {
            client_send(fd, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 57);
        }
        close(fd);
    }
    return NULL;
}

/* URLs are fetched from what is listed and from nowhere else, by whatever way they lead there. */
static void urls_stay_on_the_list(void **state)
{
    (void)state;
#ifndef HAVE_LIBCURL
    skip();
#endif
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t web;
    assert_int_equal(bind(listening, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(listening, 16), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&here, &size), 0);
    assert_int_equal(pthread_create(&web, NULL, serve_web, &listening), 0);
    int port = ntohs(here.sin_port);
    char allow[128];
    snprintf(allow, sizeof allow, "127.0.0.1:%d,localhost:%d,.example.org", port, port);
    struct server s = server_start(model_path, "--store", store_path, "--fetch-allow", allow, "--max-body", "200K", NULL);

    static const struct {
        const char *before, *after; /* the port goes between them, unless after is NULL */
        const char *code;           /* NULL: picture 2 */
    } cases[] = {{"http://127.0.0.1:", "/2", NULL},
                 {"http://127.0.0.1:", "/none", "fetch_failed"},
                 {"http://127.0.0.1:", "/to?/2", NULL},
                 {"http://127.0.0.1:", "/to?/to?/to?/2", NULL},
                 {"http://127.0.0.1:", "/to?/to?/to?/to?/2", "fetch_failed"},
                 {"http://127.0.0.1:", "/to?http://127.0.0.1:1/", "url_refused"},
                 {"http://127.0.0.1:", "/to?file:///etc/passwd", "url_refused"},
                 {"http://127.0.0.1:", "/long", "fetch_too_large"},
                 {"http://localhost:", "/2", "url_refused"}, /* on the list, but a name for an address that is not public */
                 {"http://user@127.0.0.1:", "/2", "url_refused"},
                 {"http://127.0.0.1/2", NULL, "url_refused"},
                 {"http://example.org/2", NULL, "url_refused"},
                 {"file:///etc/passwd", NULL, "url_refused"},
                 {"nonsense", NULL, "url_refused"}};
    enum { CASES = sizeof cases / sizeof *cases };
    struct text body = {0};
    text_print(&body, "{\"request_id\":\"urls\",\"image_urls\":[");
    for (int i = 0; i < CASES; i++) {
        text_print(&body, "%s\"%s", i ? "," : "", cases[i].before);
        if (cases[i].after) text_print(&body, "%d%s", port, cases[i].after);
        text_print(&body, "\"");
    }
    text_print(&body, "]}");
    struct answer a = post(s.port, "/batch/predict", "application/json", body.data, body.length);
    assert_int_equal(a.code, 202);
    answer_free(&a);
    json_t *root = wait_for(s.port, "urls"), *results = json_object_get(root, "results");
    assert_int_equal(json_array_size(results), CASES);
    for (int i = 0; i < CASES; i++) {
        const json_t *item = json_array_get(results, (size_t)i);
        const char *code = json_string_value(json_object_get(item, "code"));
        if (cases[i].code) {
            assert_non_null(code);
            assert_string_equal(code, cases[i].code);
        } else {
            json_t *all = json_object_get(json_object_get(item, "result"), "all_predictions");
            assert_non_null(all);
            assert_true((float)json_number_value(json_object_get(all, "perch")) > expected[2][1] - 1e-5f &&
                        (float)json_number_value(json_object_get(all, "perch")) < expected[2][1] + 1e-5f);
        }
    }
    json_decref(root);
    free(body.data);
    server_stop(s);
    shutdown(listening, SHUT_RDWR);
    pthread_join(web, NULL);
    close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_are_answered_in_order), cmocka_unit_test(malformed_batches),
                                       cmocka_unit_test(a_job_is_done_once),          cmocka_unit_test(killed_and_finished),
                                       cmocka_unit_test(stopped_and_finished),        cmocka_unit_test(only_public_addresses),
                                       cmocka_unit_test(urls_stay_on_the_list)};
    return cmocka_run_group_tests_name("batch", tests, make_all, remove_fish);
}
