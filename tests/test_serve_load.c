/* test_serve_load.c - rudd-serve when much comes at once, slowly, or at the end: a child process, real sockets, a hundred clients, a full queue,
 * deadlines, SIGTERM, and starts that cannot be. */
#define _GNU_SOURCE /* strcasestr */
#include "tests/serve_fish.h"
#include <pthread.h>

static struct text large; /* a picture whose decoding takes a while */
static float expected[PICTURES][CLASSES];

static int make_all(void **state)
{
    (void)state;
    start_shared("serve-load");
    predict_fish(expected);
    large = make_png(2500, 2000, 1);
    return 0;
}

static int remove_all(void **state)
{
    free(large.data);
    return stop_shared(state);
}

/* ---- slowly ----------------------------------------------------------------------------------------------------------------- */

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
    /* Nor do headers that trickle hold a connection; one that has its answer is closed without a word. */
    int slow_head = client_connect(s.port), silent = client_connect(s.port), idle = client_connect(s.port);
    static const char head[] = "GET /health HTTP/1.1\r\nHost: x\r\n", line[] = "X: y\r\n";
    assert_true(client_send(idle, head, sizeof head - 1) && client_send(idle, "\r\n", 2));
    bool open = client_send(slow_head, head, sizeof head - 1);
    for (int i = 0; open && i < 100; i++) {
        pause_ms(50);
        open = client_send(slow_head, line, sizeof line - 1);
    }
    assert_false(open);
    assert_problem(client_read(slow_head), 408, "timeout");
    struct answer told = client_read(silent);
    assert_true(has_header(&told, "X-Request-Id: "));
    assert_problem(told, 408, "timeout");
    struct answer last = client_read(idle);
    assert_int_equal(last.code, 200);
    assert_null(strstr(last.body, "HTTP/1.1"));
    answer_free(&last);
    assert_true(metric(s.port, "rudd_http_requests_total{route=\"other\",code=\"408\"}") == 2);
    free(t.data);
    server_stop(s);
}

/* ---- many at once ----------------------------------------------------------------------------------------------------------- */

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
    struct server s = server_start(model_path, "--deadline-ms", "1", "--decoders", "1", "--cache-entries", "0", NULL);
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

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(slow_requests),
                                       cmocka_unit_test(hundred_clients),
                                       cmocka_unit_test(full_queue),
                                       cmocka_unit_test(deadlines),
                                       cmocka_unit_test(sigterm_finishes),
                                       cmocka_unit_test(drain_has_an_end),
                                       SHARED(bad_starts)};
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
