/* test_observe.c - what requests leave behind: ids and traces, Server-Timing, the access log, the metrics. */
#define _GNU_SOURCE /* strcasestr */
#include "tests/serve_fish.h"
#include "nn/rudd.h"
#include "serve/access_log.h"
#include "serve/trace_context.h"
#include <fcntl.h>
#include <sys/stat.h>

static char log_path[256], old_path[256];
static struct text *const picture = &pictures[1];

static int make_all(void **state)
{
    (void)state;
    start_shared("observe");
    snprintf(log_path, sizeof log_path, "%s/access.log", folder);
    snprintf(old_path, sizeof old_path, "%s/access.log.1", folder);
    return 0;
}

/* ---- ids ------------------------------------------------------------------------------------------------------------------------ */

static void request_ids(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "a b", "a\"b", "a\nb", "\xc3\xa4", "a/b", "12345678901234567890123456789012345678901234567890123456789012345"};
    char out[SERVE_REQUEST_ID];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(serve_request_id_parse(out, bad[i]));
    const char *longest = bad[7] + 1;
    assert_int_equal(strlen(longest), SERVE_REQUEST_ID - 1);
    assert_true(serve_request_id_parse(out, longest));
    assert_string_equal(out, longest);
    assert_true(serve_request_id_parse(out, "Az09._-"));
}

/* The W3C's own examples and rules: what is malformed is as if it were not there. */
static void traceparents(void **state)
{
    (void)state;
    static const struct {
        const char *text, *flags; /* NULL: refused */
    } cases[] = {{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01"},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "00"},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", "ff"},
                 {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", "01"},
                 {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02-what-comes-later", "00"},
                 {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", NULL},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", NULL},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", NULL},
                 {"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", NULL},
                 {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", NULL},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", NULL},
                 {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", NULL},
                 {"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", NULL},
                 {"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", NULL},
                 {" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct serve_trace trace = {.trace_id = "kept"}, next;
        char text[SERVE_TRACEPARENT];
        bool taken = serve_traceparent_parse(&trace, cases[i].text);
        assert_int_equal(taken, cases[i].flags != NULL);
        assert_string_equal(trace.trace_id, taken ? "4bf92f3577b34da6a3ce929d0e0e4736" : "kept");
        if (taken) assert_string_equal(trace.flags, cases[i].flags);
        /* Whatever came, what goes out is well-formed, with a span of our own. */
        serve_trace_begin(&trace, NULL, cases[i].text);
        serve_traceparent_print(text, &trace);
        assert_true(serve_traceparent_parse(&next, text));
        assert_string_equal(next.trace_id, trace.trace_id);
        assert_string_not_equal(trace.span_id, "00f067aa0ba902b7");
    }
}

/* A client's ids come back with the answer; without them there are new ones each time. */
static void ids_come_back(void **state)
{
    struct server *s = *state;
    struct answer a =
        ask(s->port, "GET", "/health",
            "X-Request-Id: mine-1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", NULL, 0);
    assert_true(has_header(&a, "X-Request-Id: mine-1\r\n"));
    assert_true(has_header(&a, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_false(has_header(&a, "00f067aa0ba902b7"));
    answer_free(&a);
    char ids[2][33];
    for (int i = 0; i < 2; i++) {
        a = ask(s->port, "GET", "/health", "X-Request-Id: not well formed\r\n", NULL, 0);
        const char *line = strcasestr(a.all.data, "X-Request-Id: ");
        assert_non_null(line);
        assert_int_equal(sscanf(line + 14, "%32[0-9a-f]", ids[i]), 1);
        assert_int_equal(strlen(ids[i]), 32);
        assert_false(has_header(&a, "traceparent:"));
        answer_free(&a);
    }
    assert_string_not_equal(ids[0], ids[1]);
    /* Refusals have them, too. */
    a = ask(s->port, "GET", "/nothing", "X-Request-Id: mine-2\r\n", NULL, 0);
    assert_true(has_header(&a, "X-Request-Id: mine-2\r\n"));
    assert_false(has_header(&a, "Server-Timing"));
    answer_free(&a);
}

/* A prediction's stages are in its header, and add up to no more than its whole time. */
static void stages_are_told(void **state)
{
    struct server *s = *state;
    for (int again = 0; again < 2; again++) {
        struct answer a = post(s->port, "/predict", "image/png", picture->data, picture->length);
        assert_int_equal(a.code, 200);
        const char *line = strcasestr(a.all.data, "Server-Timing: ");
        double queue, decode, resize, infer, total;
        assert_non_null(line);
        if (again) {
            assert_int_equal(sscanf(line, "%*s cache;desc=hit, total;dur=%lf", &total), 1);
            assert_true(total > 0);
        } else {
            assert_int_equal(sscanf(line, "%*s queue;dur=%lf, decode;dur=%lf, resize;dur=%lf, infer;dur=%lf, total;dur=%lf",
                                    &queue, &decode, &resize, &infer, &total),
                             5);
            assert_true(queue >= 0 && decode > 0 && resize >= 0 && infer > 0 &&
                        queue + decode + resize + infer <= total + 0.01);
        }
        answer_free(&a);
    }
}

/* ---- the access log -------------------------------------------------------------------------------------------------------------- */

/* The lines of a file, each an object of JSON; the caller drops the array. */
static json_t *read_log(const char *path)
{
    json_t *lines = json_array();
    char line[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        json_t *entry = json_loads(line, 0, NULL);
        assert_non_null(entry);
        assert_null(strstr(line, "SECRET"));
        json_array_append_new(lines, entry);
    }
    fclose(f);
    return lines;
}

static int count_lines(const char *path)
{
    int lines = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) lines += c == '\n';
    fclose(f);
    return lines;
}

static const char *field(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text ? text : "";
}

/* Every request is one line, also those that are refused; nothing of queries and keys is in it; a renamed file is let go of. */
static void every_request_is_a_line(void **state)
{
    enum { EACH = 20 };
    (void)state;
    struct server s = server_start(model_path, "--access-log", log_path, NULL);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < EACH; i++) {
            struct answer a = ask(s.port, "POST", "/predict?top_k=2&token=SECRET",
                                  "Content-Type: image/png\r\nAuthorization: Bearer SECRET\r\nX-Request-Id: r-1\r\n",
                                  picture->data, picture->length);
            assert_int_equal(a.code, 200);
            answer_free(&a);
            a = get(s.port, "/SECRET?SECRET");
            assert_int_equal(a.code, 404);
            answer_free(&a);
        }
        struct stat now;
        while (stat(log_path, &now) || count_lines(log_path) < 2 * EACH) pause_ms(10); /* written behind the answers */
        assert_int_equal(rename(log_path, old_path), 0);
        kill(s.pid, SIGHUP);
        while (stat(log_path, &now)) pause_ms(10);
        json_t *lines = read_log(old_path), *entry;
        size_t i, answers = 0;
        json_array_foreach(lines, i, entry)
        {
            bool predicted = !strcmp(field(entry, "route"), "/predict");
            assert_int_equal(json_integer_value(json_object_get(entry, "status")), predicted ? 200 : 404);
            assert_string_equal(field(entry, "method"), predicted ? "POST" : "GET");
            assert_string_equal(field(entry, "code"), predicted ? "" : "not_found");
            assert_int_equal(strlen(field(entry, "trace_id")), 32);
            assert_true(json_number_value(json_object_get(entry, "ms")) > 0);
            assert_true(json_integer_value(json_object_get(entry, "bytes")) > 0);
            assert_int_equal(strlen(field(entry, "time")), strlen("2026-11-21T10:00:00.123Z"));
            if (!predicted) continue;
            answers++;
            assert_string_equal(field(entry, "request_id"), "r-1");
            assert_string_equal(field(entry, "model_version"), "run-7");
            assert_true(*field(entry, "class") != 0);
        }
        assert_int_equal(json_array_size(lines), 2 * EACH);
        assert_int_equal(answers, EACH);
        json_decref(lines);
    }
    struct answer a = get(s.port, "/metrics");
    assert_non_null(strstr(a.body, "\nrudd_access_log_lines_total 80\n"));
    assert_non_null(strstr(a.body, "\nrudd_access_log_dropped_total 0\n"));
    answer_free(&a);
    server_stop(s);
}

/* Value of a metric without labels, from the text. */
static double value_of(struct serve_metrics *m, const char *name)
{
    struct serve_bytes out = {0};
    char start[128];
    assert_int_equal(serve_metrics_print(&out, m), RUDD_OK);
    assert_int_equal(serve_bytes_add(&out, "", 1, SIZE_MAX), RUDD_OK);
    snprintf(start, sizeof start, "\n%s ", name);
    const char *line = strstr((const char *)out.data, start);
    assert_non_null(line);
    double value = atof(line + strlen(start));
    rudd_free(out.data);
    return value;
}

/* A reader who has stopped reading holds up nobody, and what he did not get is counted. */
static void a_stuck_log_holds_up_nobody(void **state)
{
    enum { LINES = 40000 };
    (void)state;
    struct rudd_error err;
    struct serve_metrics *m = NULL;
    struct serve_log *log = NULL;
    struct serve_bytes line = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDWR | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(serve_metrics_create(&m, &err), RUDD_OK);
    assert_int_equal(serve_log_open(&log, path, m, &err), RUDD_OK);
    serve_bytes_print(&line, "%099d\n", 1);
    for (int i = 0; i < LINES; i++) serve_log_line(log, &line); /* 4 MB; a pipe takes 64 KiB, the log keeps 1 MiB */
    serve_log_close(log);
    double taken = value_of(m, "rudd_access_log_lines_total"), dropped = value_of(m, "rudd_access_log_dropped_total");
    char piece[4096];
    long got = 0;
    for (ssize_t n; (n = read(reader, piece, sizeof piece)) > 0;)
        for (ssize_t i = 0; i < n; i++) got += piece[i] == '\n';
    assert_true(got > 0 && dropped > LINES / 2);
    /* Lines that were taken and then lost are in both counts; the rest of one may be cut by the end. */
    assert_true(got + (long)dropped == LINES);
    assert_true(taken < LINES);
    rudd_free(line.data);
    serve_metrics_destroy(m);
    close(reader);
    unlink(path);
}

/* Any bytes become a string that a JSON reader takes. */
static void any_text_is_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {{"pike", "\"pike\""},
                 {"a\"b\\c", "\"a\\\"b\\\\c\""},
                 {"\n\t\x01", "\"\\u000a\\u0009\\u0001\""},
                 {"\xd1\x89\xd1\x83\xd0\xba\xd0\xb0", "\"\xd1\x89\xd1\x83\xd0\xba\xd0\xb0\""},
                 {"\xf0\x9f\x90\x9f", "\"\xf0\x9f\x90\x9f\""},
                 {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
                 {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
                 {"\xe2\x82", "\"\\ufffd\\ufffd\""},
                 {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct serve_bytes out = {0};
        serve_log_string(&out, cases[i].text);
        assert_int_equal(out.length, strlen(cases[i].json));
        assert_memory_equal(out.data, cases[i].json, out.length);
        json_t *value = json_loadb((const char *)out.data, out.length, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        json_decref(value);
        rudd_free(out.data);
    }
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------------------ */

/* Counts are exact, whatever the labels hold; a histogram's buckets grow to its count. */
static void metrics_are_exact(void **state)
{
    (void)state;
    struct rudd_error err;
    struct serve_metrics *m = NULL;
    struct serve_bytes out = {0};
    assert_int_equal(serve_metrics_create(&m, &err), RUDD_OK);
    for (int i = 0; i < 1000; i++) serve_metrics_prediction(m, i % 10 ? "a\"b\\\n" : "pike", i / 1000.0, i / 100.0);
    serve_metrics_set(m, SERVE_M_MODEL_INFO, 1, "one", "b0", "1", NULL);
    serve_metrics_set(m, SERVE_M_MODEL_INFO, 1, "two", "b0", "2", "");
    serve_metrics_set(m, SERVE_M_MODEL_INFO, 0, "one", "b0", "1", "");
    serve_metrics_add(NULL, SERVE_M_STORE_ERRORS, 1);
    assert_int_equal(serve_metrics_print(&out, m), RUDD_OK);
    assert_int_equal(serve_bytes_add(&out, "", 1, SIZE_MAX), RUDD_OK);
    static const char *const lines[] = {"\npredictions_total{class=\"pike\",confidence_bucket=\"0.0-0.5\"} 50\n",
                                        "\npredictions_total{class=\"pike\",confidence_bucket=\"0.9-1.0\"} 10\n",
                                        "\npredictions_total{class=\"a\\\"b\\\\\\n\",confidence_bucket=\"0.5-0.7\"} 180\n",
                                        "\nprediction_latency_seconds_bucket{le=\"0.01\"} 2\n",
                                        "\nprediction_latency_seconds_bucket{le=\"1\"} 101\n",
                                        "\nprediction_latency_seconds_bucket{le=\"+Inf\"} 1000\n",
                                        "\nprediction_latency_seconds_count 1000\n",
                                        "\nprediction_latency_seconds_sum 4995\n",
                                        "\nrudd_model_info{name=\"two\",arch=\"b0\",version=\"2\",sha256=\"\"} 1\n",
                                        "\nrudd_store_errors_total 0\n",
                                        "\nrudd_model_loads_total{result=\"ok\"} 0\n",
                                        "\nrudd_model_loads_total{result=\"failed\"} 0\n",
                                        "\nrudd_keys_refused_total{reason=\"role\"} 0\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr((const char *)out.data, lines[i])) fail_msg("no line %s", lines[i]);
    assert_null(strstr((const char *)out.data, "name=\"one\""));
    /* Every family is announced once. */
    for (int id = 0; id < SERVE_METRICS; id++) {
        char head[128];
        snprintf(head, sizeof head, "\n# TYPE %s ", serve_metric_name(id));
        const char *first = strstr((const char *)out.data, head);
        assert_non_null(first);
        assert_null(strstr(first + 1, head));
    }
    rudd_free(out.data);
    serve_metrics_destroy(m);
}

/* A server's counters are its clients' own counts. */
static void counters_agree(void **state)
{
    (void)state;
    struct server s = server_start(model_path, NULL);
    for (int i = 0; i < 30; i++) {
        struct answer a =
            i % 3 ? get(s.port, "/health") : post(s.port, "/predict", "image/png", picture->data, picture->length);
        assert_int_equal(a.code, 200);
        answer_free(&a);
    }
    struct answer a = get(s.port, "/metrics");
    assert_non_null(strstr(a.body, "\nrudd_http_requests_total{route=\"/predict\",code=\"200\"} 10\n"));
    assert_non_null(strstr(a.body, "\nrudd_http_requests_total{route=\"/health\",code=\"200\"} 20\n"));
    assert_non_null(strstr(a.body, "\nrudd_http_request_seconds_count{route=\"/health\"} 20\n"));
    assert_non_null(strstr(a.body, "\nprediction_latency_seconds_count 10\n"));
    assert_non_null(strstr(a.body, "\nrudd_stage_seconds_count{stage=\"infer\"} 1\n")); /* nine came from the cache */
    assert_non_null(strstr(a.body, "\nrudd_cache_hits_total{tier=\"memory\"} 9\n"));
    assert_non_null(strstr(a.body, "\nrudd_batch_size_count 1\n"));
    assert_non_null(strstr(a.body, "\nrudd_ready 1\n"));
    answer_free(&a);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(request_ids),
                                       cmocka_unit_test(traceparents),
                                       SHARED(ids_come_back),
                                       SHARED(stages_are_told),
                                       cmocka_unit_test(every_request_is_a_line),
                                       cmocka_unit_test(a_stuck_log_holds_up_nobody),
                                       cmocka_unit_test(any_text_is_json),
                                       cmocka_unit_test(metrics_are_exact),
                                       cmocka_unit_test(counters_agree)};
    return cmocka_run_group_tests_name("observe", tests, make_all, stop_shared);
}
