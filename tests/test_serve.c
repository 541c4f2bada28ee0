/* test_serve.c - rudd-serve as its clients see it: a child process with a small random model, real sockets, every route, every
 * refusal, many clients at once, and the end by SIGTERM. Answers are compared with a session in this process. */
#define _GNU_SOURCE /* strcasestr */
#include "tests/serve_client.h"
#include "tests/serve_fish.h"
#include <png.h>
#include <pthread.h>
#include <sys/stat.h>

enum { PICTURES = 4 };
static char folder[] = "/tmp/rudd-test-serve-XXXXXX", model_path[256];
static struct text pictures[PICTURES]; /* PNG files */
static struct text large;              /* one whose decoding takes a while */
static float expected[PICTURES][CLASSES];

/* ---- what the tests need ----------------------------------------------------------------------------------------------------
 */

static int make_all(void **state)
{
    (void)state;
    struct rudd_error err = {0};
    rudd_model *model = NULL;
    rudd_session *session = NULL;
    assert_non_null(mkdtemp(folder));
    snprintf(model_path, sizeof model_path, "%s/fish.safetensors", folder);
    make_model(model_path);
    large = make_png(2500, 2000, 1);
    assert_int_equal(rudd_model_open(&model, model_path, &err), RUDD_OK);
    assert_int_equal(rudd_session_create(&session, model, 1, &err), RUDD_OK);
    for (int i = 0; i < PICTURES; i++) {
        pictures[i] = make_png(90 + 20 * i, 80, i);
        assert_int_equal(rudd_predict_bytes(session, pictures[i].data, pictures[i].length, NULL, &err), RUDD_OK);
        memcpy(expected[i], rudd_session_probabilities(session), sizeof expected[i]);
        for (int j = 0; j < i; j++) assert_true(memcmp(expected[i], expected[j], sizeof expected[i]));
    }
    rudd_session_destroy(session);
    rudd_model_close(model);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++) free(pictures[i].data);
    free(large.data);
    unlink(model_path);
    return rmdir(folder);
}

static struct text make_form(const char *field, const struct text *file)
{
    struct text t = {0};
    text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n");
    text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
               field);
    text_add(&t, file->data, file->length);
    text_print(&t, "\r\n--XX--\r\n");
    return t;
}

static struct text make_json(const char *prefix, const struct text *file)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct text t = {0};
    text_print(&t, "{\"image\":\"%s", prefix);
    for (size_t i = 0; i < file->length; i += 3) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 3; j++) bits = bits << 8 | (j < file->length ? (uint8_t)file->data[j] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63], digits[bits & 63]};
        for (size_t j = file->length - i + 1; j < 4; j++) four[j] = '=';
        text_add(&t, four, 4);
    }
    text_print(&t, "\"}");
    return t;
}

/* Whether an answer holds exactly these probabilities. Runs in threads: no assertions. */
static int is_right(const struct answer *a, const float p[CLASSES])
{
    static const char *const names[CLASSES] = {"pike", "perch", "roach", "zander", "bream"};
    json_t *root = a->code == 200 ? json_loads(a->body, 0, NULL) : NULL, *all = json_object_get(root, "all_predictions");
    int right = all != NULL && json_object_size(all) == CLASSES;
    for (int i = 0; right && i < CLASSES; i++) right = (float)json_number_value(json_object_get(all, names[i])) == p[i];
    json_decref(root);
    return right;
}

/* The value of a metric's line that begins with `name`; -1 when there is none. */
static double metric(int port, const char *name)
{
    char start[256];
    double value = -1;
    struct answer a = get(port, "/metrics");
    snprintf(start, sizeof start, "\n%s ", name);
    const char *line = a.body ? strstr(a.body, start) : NULL;
    if (line) value = atof(line + strlen(start));
    answer_free(&a);
    return value;
}

/* ---- answers ----------------------------------------------------------------------------------------------------------------
 */

/* The same picture as a form, as it is, and as base64 gets the answer of a session in this process. */
static void three_ways_one_answer(void **state)
{
    struct server *s = *state;
    struct text form = make_form("file", &pictures[1]), plain = make_json("", &pictures[1]),
                url = make_json("data:image/png;base64,", &pictures[1]);
    struct answer answers[] = {
        post(s->port, "/predict", "multipart/form-data; boundary=XX", form.data, form.length),
        post(s->port, "/predict", "image/png", pictures[1].data, pictures[1].length),
        post(s->port, "/predict", "application/x-www-form-urlencoded", pictures[1].data, pictures[1].length),
        post(s->port, "/predict", "application/json", plain.data, plain.length),
        post(s->port, "/predict", "application/x-www-form-urlencoded", url.data, url.length),
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_true(is_right(&answers[i], expected[1]));
        answer_free(&answers[i]);
    }
    free(form.data);
    free(plain.data);
    free(url.data);
}

/* Every field that clients rely on is there and agrees with the others; top_k sets the length of the list. */
static void prediction_is_the_superset(void **state)
{
    struct server *s = *state;
    for (int k = 0; k <= 7; k++) { /* 0: not given */
        char path[64];
        snprintf(path, sizeof path, k ? "/predict?top_k=%d" : "/predict", k);
        struct answer a = post(s->port, path, "image/png", pictures[2].data, pictures[2].length);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a), *top, *top3, *all;
        int id, cached, class;
        const char *name, *same, *label, *version, *key, *best;
        double confidence, ms, seconds, p, last = 2;
        assert_int_equal(json_unpack(root, "{s:i,s:s,s:s,s:f,s:i,s:s,s:o,s:o,s:f,s:f,s:s,s:b,s:s}", "species_id", &id,
                                     "species_name", &name, "class", &same, "confidence", &confidence, "predicted_class",
                                     &class, "predicted_label", &label, "top_3_predictions", &top3, "all_predictions", &all,
                                     "processing_time_ms", &ms, "prediction_time", &seconds, "model_version", &version,
                                     "cached", &cached, "prediction_id", &key),
                         0);
        assert_int_equal(json_array_size(top3), k == 0 ? 3 : k < CLASSES ? k : CLASSES);
        size_t i;
        json_array_foreach(top3, i, top)
        {
            assert_int_equal(json_unpack(top, "{s:i,s:s,s:f}", "class", &class, "label", &best, "probability", &p), 0);
            assert_true(p <= last && p == (double)expected[2][class] ? true : (float)p == expected[2][class]);
            last = p;
            if (i == 0) {
                assert_int_equal(class, id);
                assert_string_equal(best, name);
                assert_true((float)p == (float)confidence);
            }
        }
        assert_string_equal(name, same);
        assert_string_equal(name, label);
        assert_string_equal(version, "run-7");
        assert_int_equal(strlen(key), 32);
        assert_true(ms > 0 && seconds > 0 && seconds < ms && cached == (k > 0));
        json_decref(root);
        answer_free(&a);
    }
}

/* Probes, facts and the page answer on every alias, to GET and to HEAD. */
static void routes_answer(void **state)
{
    struct server *s = *state;
    const char *paths[] = {"/", "/health", "/healthcheck", "/livez", "/ready", "/readyz", "/model_info", "/metrics"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer full = get(s->port, paths[i]), head = ask(s->port, "HEAD", paths[i], "", NULL, 0);
        assert_int_equal(full.code, 200);
        assert_int_equal(head.code, 200);
        assert_true(strlen(full.body) > 5);
        assert_string_equal(head.body, "");
        answer_free(&full);
        answer_free(&head);
    }
    struct answer a = get(s->port, "/health");
    json_t *root = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(root, "status")), "healthy");
    assert_true(json_is_true(json_object_get(root, "model_loaded")));
    json_decref(root);
    answer_free(&a);
    a = get(s->port, "/ready");
    assert_string_equal(a.body, "{\"status\":\"ready\"}\n");
    answer_free(&a);
}

/* /model_info tells what the model file says. */
static void model_info_is_the_file(void **state)
{
    struct server *s = *state;
    struct answer a = get(s->port, "/model_info");
    json_t *root = answer_json(&a), *classes, *mean;
    const char *name, *version, *sha, *run, *latin, *resize;
    int size, inner;
    double top1;
    assert_int_equal(json_unpack(root, "{s:s,s:s,s:o,s:i,s:{s:i,s:s,s:o},s:s,s:s,s:{s:f},s:[{s:s}]}", "model_name", &name,
                                 "version", &version, "classes", &classes, "image_size", &size, "preprocess", "image_size",
                                 &inner, "resize", &resize, "mean", &mean, "sha256", &sha, "run", &run, "metrics", "top1",
                                 &top1, "labels", "latin", &latin),
                     0);
    assert_string_equal(name, "fish");
    assert_string_equal(version, "run-7");
    assert_string_equal(run, "run-7");
    assert_string_equal(latin, "Esox lucius");
    assert_int_equal(json_array_size(classes), CLASSES);
    assert_string_equal(json_string_value(json_array_get(classes, 3)), "zander");
    assert_int_equal(size, SIZE);
    assert_int_equal(inner, SIZE);
    assert_int_equal(json_array_size(mean), 3);
    assert_int_equal(strlen(sha), 64);
    assert_true(top1 == 0.5);
    json_decref(root);
    answer_free(&a);
}

/* Browsers get the page, whole and under a policy without 'unsafe-'; JSON clients get facts. */
static void root_has_two_faces(void **state)
{
    struct server *s = *state;
    struct answer page = ask(s->port, "GET", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", NULL, 0),
                  facts = ask(s->port, "GET", "/", "Accept: application/json\r\n", NULL, 0);
    assert_true(has_header(&page, "Content-Type: text/html"));
    assert_true(has_header(&page, "Content-Security-Policy: default-src 'none'"));
    assert_false(has_header(&page, "unsafe-"));
    assert_true(has_header(&page, "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(page.body, "</html>"));
    assert_null(strstr(page.body, "http://")); /* nothing from elsewhere */
    assert_null(strstr(page.body, "https://"));
    json_t *root = answer_json(&facts);
    assert_string_equal(json_string_value(json_object_get(root, "service")), "rudd-serve");
    json_decref(root);
    answer_free(&page);
    answer_free(&facts);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------------------
 */

static void wrong_paths_and_methods(void **state)
{
    struct server *s = *state;
    assert_problem(get(s->port, "/nothing"), 404, "not_found");
    assert_problem(get(s->port, "/predict/"), 404, "not_found");
    assert_problem(post(s->port, "/nothing", "image/png", large.data, large.length), 404, "not_found");
    struct answer a = get(s->port, "/predict");
    assert_true(has_header(&a, "Allow: POST\r\n"));
    assert_problem(a, 405, "method_not_allowed");
    a = post(s->port, "/health", "text/plain", "x", 1);
    assert_true(has_header(&a, "Allow: GET, HEAD\r\n"));
    assert_problem(a, 405, "method_not_allowed");
    assert_problem(ask(s->port, "DELETE", "/predict", "", NULL, 0), 405, "method_not_allowed");
}

static void malformed_bodies(void **state)
{
    struct server *s = *state;
    struct text form = make_form("picture", &pictures[0]), two = make_form("file", &pictures[0]);
    const char *multipart = "multipart/form-data; boundary=XX", *json = "application/json";
    assert_problem(post(s->port, "/predict", multipart, form.data, form.length), 400, "no_image");
    assert_problem(post(s->port, "/predict", multipart, two.data, two.length - 12), 400, "bad_multipart");
    assert_problem(post(s->port, "/predict", "multipart/form-data", two.data, two.length), 400, "bad_multipart");
    two.length -= strlen("--XX--\r\n");
    struct text again = make_form("file", &pictures[0]);
    text_add(&two, again.data, again.length);
    assert_problem(post(s->port, "/predict", multipart, two.data, two.length), 400, "several_images");
    assert_problem(post(s->port, "/predict", json, "{\"image\":", 9), 400, "bad_json");
    assert_problem(post(s->port, "/predict", json, "[1]", 3), 400, "no_image");
    assert_problem(post(s->port, "/predict", json, "{\"image\":7}", 11), 400, "no_image");
    assert_problem(post(s->port, "/predict", json, "{\"image\":\"*\"}", 13), 400, "bad_base64");
    assert_problem(post(s->port, "/predict", json, "{\"image\":\"\"}", 12), 415, "not_an_image");
    assert_problem(post(s->port, "/predict", "image/png", "", 0), 400, "empty_body");
    const char *bad[] = {"0", "-1", "x", "", "1.5", "3x", "00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[64];
        snprintf(path, sizeof path, "/predict?top_k=%s", bad[i]);
        assert_problem(post(s->port, path, "image/png", pictures[0].data, pictures[0].length), 400, "bad_top_k");
    }
    free(form.data);
    free(two.data);
    free(again.data);
}

/* What is no picture is 415, what is a broken one 422, at every length of truncation. */
static void broken_pictures(void **state)
{
    struct server *s = *state;
    assert_problem(post(s->port, "/predict", "image/png", "GIF89a..........", 16), 415, "not_an_image");
    assert_problem(post(s->port, "/predict", "image/jpeg", "\xff\xd8\xff\xe0 and no more", 16), 422, "broken_image");
    for (size_t n = 8; n < pictures[0].length - 12; n += pictures[0].length / 9)
        assert_problem(post(s->port, "/predict", "image/png", pictures[0].data, n), 422, "broken_image");
}

/* Limits hold for bodies with a length, for bodies without, and for small files with many pixels. */
static void limits(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--max-body", "64K", "--max-megapixels", "0.02", NULL);
    struct text chunked = {0};
    char *zeros = calloc(1, 100000);
    assert_problem(post(s.port, "/predict", "image/png", zeros, 100000), 413, "body_too_large");
    text_print(&chunked, "POST /predict HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
               100000);
    text_add(&chunked, zeros, 100000);
    text_print(&chunked, "\r\n0\r\n\r\n");
    assert_problem(exchange(s.port, chunked), 413, "body_too_large");
    /* Far too large: answered without the body. */
    assert_problem(ask(s.port, "POST", "/predict", "Content-Length: 99999999999\r\n", NULL, 0), 413, "body_too_large");
    assert_problem(ask(s.port, "POST", "/predict", "Content-Length: 100000\r\nExpect: 100-continue\r\n", NULL, 0), 413,
                   "body_too_large");
    struct text blank = {0}; /* 20,100 pixels */
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 201, .height = 100, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    blank.data = malloc(size);
    assert_true(png_image_write_to_memory(&image, blank.data, &size, 0, zeros, 0, NULL));
    assert_problem(post(s.port, "/predict", "image/png", blank.data, size), 413, "too_many_pixels");
    struct answer fine = post(s.port, "/predict", "image/png", pictures[0].data, pictures[0].length);
    assert_int_equal(fine.code, 200);
    answer_free(&fine);
    free(blank.data);
    free(zeros);
    server_stop(s);
}

/* A request that trickles, and one that stops, are answered 408 when their time is over. */
static void slow_requests(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--timeout", "1", NULL);
    struct text t = request("POST", "/predict", "", pictures[0].data, pictures[0].length);
    int trickling = client_connect(s.port), stopped = client_connect(s.port);
    assert_true(client_send(stopped, t.data, 200));
    for (size_t i = 0; i < t.length - 1 && client_send(trickling, t.data + i, i ? 1 : 200); i += i ? 1 : 200) pause_ms(50);
    assert_problem(client_read(trickling), 408, "timeout");
    assert_problem(client_read(stopped), 408, "timeout");
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"/predict\",code=\"408\"}") == 2);
    free(t.data);
    server_stop(s);
}

/* ---- many at once -----------------------------------------------------------------------------------------------------------
 */

struct client {
    pthread_t thread;
    int port, index, code, right, retry_after;
};

static void *client_run(void *arg)
{
    struct client *c = arg;
    int i = c->index % PICTURES;
    struct answer a = post(c->port, "/predict", "image/png", pictures[i].data, pictures[i].length);
    c->code = a.code;
    c->right = is_right(&a, expected[i]);
    answer_free(&a);
    return NULL;
}

/* A hundred clients at once each get the answer to their own picture, and the counters count them. */
static void hundred_clients(void **state)
{
    enum { CLIENTS = 100 };
    (void)state;
    struct server s = server_start(model_path, "--queue", "128", "--workers", "2", "--cache-entries", "0", NULL);
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = s.port, .index = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].code, 200);
        assert_true(clients[i].right);
    }
    assert_problem(get(s.port, "/nothing"), 404, "not_found");
    assert_problem(post(s.port, "/predict", "image/png", "x", 1), 415, "not_an_image");
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"/predict\",code=\"200\"}") == CLIENTS);
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"/predict\",code=\"415\"}") == 1);
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"other\",code=\"404\"}") == 1);
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"/metrics\",code=\"200\"}") == 3);
    assert_true(metric(s.port, "prediction_latency_seconds_count") == CLIENTS);
    assert_true(metric(s.port, "prediction_latency_seconds_bucket{le=\"+Inf\"}") == CLIENTS);
    assert_true(metric(s.port, "rudd_stage_seconds_count{stage=\"infer\"}") == CLIENTS);
    assert_true(metric(s.port, "rudd_queue_depth") == 0);
    assert_true(metric(s.port, "process_resident_memory_bytes") > 1e6);
    struct answer a = get(s.port, "/metrics");
    double total = 0;
    for (const char *line = a.body; (line = strstr(line, "\npredictions_total{"));) total += atof(strstr(++line, "} ") + 2);
    assert_true(total == CLIENTS);
    answer_free(&a);
    server_stop(s);
}

/* count connections that have sent a prediction of the large picture but for its last byte. */
static void hold(int *fds, int count, int port)
{
    struct text t = request("POST", "/predict", "", large.data, large.length);
    for (int i = 0; i < count; i++) {
        fds[i] = client_connect(port);
        assert_true(fds[i] >= 0 && client_send(fds[i], t.data, t.length - 1));
    }
    free(t.data);
    while (metric(port, "rudd_requests_in_flight") < count + 1) pause_ms(5); /* the one that asks is one more */
}

/* More than the queue holds: some are answered, the rest hear 503 with Retry-After, none is lost. */
static void full_queue(void **state)
{
    enum { CLIENTS = 20 };
    (void)state;
    struct server s = server_start(model_path, "--queue", "1", "--cache-entries", "0", NULL);
    int fds[CLIENTS], done = 0, refused = 0;
    hold(fds, CLIENTS, s.port);
    for (int i = 0; i < CLIENTS; i++) assert_true(client_send(fds[i], &large.data[large.length - 1], 1));
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = client_read(fds[i]);
        if (a.code == 200) {
            done++;
            answer_free(&a);
        } else {
            assert_true(has_header(&a, "Retry-After: "));
            assert_problem(a, 503, "overloaded");
            refused++;
        }
    }
    assert_true(done >= 2 && refused >= 1);
    assert_int_equal(done + refused, CLIENTS);
    server_stop(s);
}

/* Who waits longer than --deadline-ms hears so; what waited less is answered, and nobody is forgotten. */
static void deadlines(void **state)
{
    enum { CLIENTS = 12 };
    (void)state;
    struct server s = server_start(model_path, "--deadline-ms", "1", "--decoders", "1", NULL);
    int fds[CLIENTS], late = 0;
    hold(fds, CLIENTS, s.port);
    for (int i = 0; i < CLIENTS; i++) assert_true(client_send(fds[i], &large.data[large.length - 1], 1));
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = client_read(fds[i]);
        if (a.code == 200) {
            answer_free(&a);
            continue;
        }
        assert_true(has_header(&a, "Retry-After: "));
        assert_problem(a, 503, "deadline");
        late++;
    }
    assert_true(late >= 1); /* one decoder takes tens of milliseconds for each */
    server_stop(s);
}

/* ---- the end ----------------------------------------------------------------------------------------------------------------
 */

/* SIGTERM: what began is answered, /ready and new predictions say 503, /health stays, the exit status is 0. */
static void sigterm_finishes(void **state)
{
    enum { CLIENTS = 8 };
    (void)state;
    struct server s =
        server_start(model_path, "--drain-seconds", "300", "--cache-entries", "0", NULL); /* however busy the machine */
    int fds[CLIENTS], code = 200;
    hold(fds, CLIENTS, s.port);
    kill(s.pid, SIGTERM);
    while (code == 200) {
        struct answer a = get(s.port, "/ready");
        code = a.code;
        if (code != 200) assert_string_equal(a.body, "{\"status\":\"draining\"}\n");
        answer_free(&a);
    }
    assert_int_equal(code, 503);
    assert_problem(post(s.port, "/predict", "image/png", pictures[0].data, pictures[0].length), 503, "draining");
    struct answer health = get(s.port, "/health");
    assert_int_equal(health.code, 200);
    answer_free(&health);
    for (int i = 0; i < CLIENTS; i++) assert_true(client_send(fds[i], &large.data[large.length - 1], 1));
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = client_read(fds[i]);
        assert_int_equal(a.code, 200);
        answer_free(&a);
    }
    assert_int_equal(server_wait(s), 0);
}

/* A client that never finishes cannot keep the server alive. */
static void drain_has_an_end(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--drain-seconds", "0.2", NULL);
    int fd;
    hold(&fd, 1, s.port);
    server_stop(s);
    close(fd);
}

/* ---- starting --------------------------------------------------------------------------------------------------------------- */

/* Runs rudd-serve with this tail of a command line to its end; its first line on stderr and its exit status. */
static int run_to_end(char line[1024], const char *tail)
{
    char binary[4096], command[6000];
    server_binary(binary, sizeof binary);
    snprintf(command, sizeof command, "%s %s 2>&1 >/dev/null", binary, tail);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    if (!fgets(line, 1024, f)) line[0] = 0;
    assert_int_equal(fgetc(f), EOF); /* one line is all */
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What cannot start says why in one line: status 2 for wrong usage, 1 for a model or an address that cannot be had. */
static void bad_starts(void **state)
{
    struct server *s = *state;
    char line[1024], tail[600];
    static const char *const usage[] = {"",
                                        "--model",
                                        "--model x --queue 0",
                                        "--modle x",
                                        "--model x --listen a:b:1",
                                        "--model x --max-body 1T",
                                        "--model x --max-megapixels nan"};
    for (size_t i = 0; i < sizeof usage / sizeof *usage; i++) {
        assert_int_equal(run_to_end(line, usage[i]), 2);
        assert_memory_equal(line, "rudd: ", 6);
    }
    snprintf(tail, sizeof tail, "--model %s/absent --listen :0", folder);
    assert_int_equal(run_to_end(line, tail), 1);
    assert_non_null(strstr(line, "/absent"));
    snprintf(tail, sizeof tail, "--model %s --listen :%d", model_path, s->port);
    assert_int_equal(run_to_end(line, tail), 1);
    assert_non_null(strstr(line, "--listen"));
    assert_int_equal(run_to_end(line, "--help"), 0);
    assert_string_equal(line, "");
}

/* ---- real photographs -------------------------------------------------------------------------------------------------------
 */

static struct text read_file(const char *path)
{
    struct text t = {0};
    char piece[65536];
    FILE *f = fopen(path, "rb");
    if (!f) return t;
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, piece, n);
    fclose(f);
    return t;
}

/* With real weights, each photograph's best class is the one that the table beside them names. */
static void photographs(void **state)
{
    (void)state;
    const char *weights = "../shared/weights/tf_efficientnetv2_b0.imagenet.safetensors";
    struct text table = read_file("../shared/photos/expected.tsv");
    if (!table.data || access(weights, R_OK)) {
        free(table.data);
        skip();
    }
    struct server s = server_start(weights, NULL);
    int count = 0;
    for (char *line = strchr(table.data, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        char name[128], path[256];
        int best = -1, index = -2;
        assert_int_equal(sscanf(line + 1, "%127[^\t]\t%d", name, &index), 2);
        snprintf(path, sizeof path, "../shared/photos/%s", name);
        struct text photo = read_file(path);
        struct answer a = post(s.port, "/predict", "application/octet-stream", photo.data, photo.length);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a);
        assert_int_equal(json_unpack(root, "{s:i}", "predicted_class", &best), 0);
        assert_int_equal(best, index);
        json_decref(root);
        answer_free(&a);
        free(photo.data);
        count++;
    }
    assert_int_equal(count, 8);
    free(table.data);
    server_stop(s);
}

/* ------------------------------------------------------------------------------------------------------------------------------
 */

static struct server shared_server;

static int start_shared(void **state)
{
    make_all(state);
    shared_server = server_start(model_path, NULL);
    return 0;
}

static int stop_shared(void **state)
{
    server_stop(shared_server);
    return remove_all(state);
}

#define SHARED(test) cmocka_unit_test_prestate(test, &shared_server)

int main(void)
{
    const struct CMUnitTest tests[] = {SHARED(three_ways_one_answer),
                                       SHARED(prediction_is_the_superset),
                                       SHARED(routes_answer),
                                       SHARED(model_info_is_the_file),
                                       SHARED(root_has_two_faces),
                                       SHARED(wrong_paths_and_methods),
                                       SHARED(malformed_bodies),
                                       SHARED(broken_pictures),
                                       cmocka_unit_test(limits),
                                       cmocka_unit_test(slow_requests),
                                       cmocka_unit_test(hundred_clients),
                                       cmocka_unit_test(full_queue),
                                       cmocka_unit_test(deadlines),
                                       cmocka_unit_test(sigterm_finishes),
                                       cmocka_unit_test(drain_has_an_end),
                                       SHARED(bad_starts),
                                       cmocka_unit_test(photographs)};
    return cmocka_run_group_tests(tests, start_shared, stop_shared);
}
