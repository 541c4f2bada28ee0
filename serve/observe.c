/* observe.c - what a request leaves behind: its ids in the answer's header, its stages in Server-Timing, its line in the access log.
 *
 *     {"time":"2026-11-21T10:00:00.123Z","request_id":"...","trace_id":"...","span_id":"...","method":"POST","route":"/predict","status":200,
 *      "bytes":812,"ms":41.803,"key":"phone","model_version":"run-7","class":"pike","cached":false,
 *      "queue_ms":0.035,"decode_ms":4.323,"resize_ms":2.261,"infer_ms":34.815}
 *
 * `code` names the problem of a refused request. The line holds no query, no header but the ids, and nothing of the picture. */
#include "serve/clock.h"
#include "serve/exchange.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

void serve_observe_begin(struct serve_exchange *x, const char *method)
{
    snprintf(x->method, sizeof x->method, "%s", method);
    serve_trace_begin(&x->trace, serve_header(x, "X-Request-Id"), serve_header(x, "traceparent"));
}

/* Whether this request is a prediction that was made. */
static bool is_predicted(const struct serve_exchange *x)
{
    return x->ask.job.probabilities && x->ask.job.status == RUDD_OK;
}

void serve_observe_headers(struct serve_exchange *x, struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Request-Id", x->trace.request_id);
    if (x->trace.continued) {
        char parent[SERVE_TRACEPARENT];
        serve_traceparent_print(parent, &x->trace);
        MHD_add_response_header(response, "traceparent", parent);
    }
    if (!is_predicted(x)) return;
    const struct serve_job *j = &x->ask.job;
    char timing[256];
    double total = serve_now_ms() - x->start_ms;
    if (j->cached)
        snprintf(timing, sizeof timing, "cache;desc=hit, total;dur=%.3f", total);
    else
        snprintf(timing, sizeof timing, "queue;dur=%.3f, decode;dur=%.3f, resize;dur=%.3f, infer;dur=%.3f, total;dur=%.3f",
                 j->queue_ms, j->decode_ms, j->resize_ms, j->infer_ms, total);
    MHD_add_response_header(response, "Server-Timing", timing);
}

static void print_field(struct serve_bytes *line, const char *name, const char *text)
{
    serve_bytes_print(line, ",\"%s\":", name);
    serve_log_string(line, text);
}

static void print_prediction(struct serve_bytes *line, const struct serve_exchange *x)
{
    const struct serve_job *j = &x->ask.job;
    struct rudd_top top;
    rudd_top_k(&top, 1, j->probabilities, x->model->model->class_count);
    print_field(line, "model_version", x->model->version);
    print_field(line, "class", x->model->model->classes[top.index].name);
    serve_bytes_print(line, ",\"cached\":%s", j->cached ? "true" : "false");
    if (!j->cached)
        serve_bytes_print(line, ",\"queue_ms\":%.3f,\"decode_ms\":%.3f,\"resize_ms\":%.3f,\"infer_ms\":%.3f", j->queue_ms,
                          j->decode_ms, j->resize_ms, j->infer_ms);
}

void serve_observe_end(struct serve_exchange *x)
{
    if (!x->server->log) return;
    struct serve_bytes line = {0};
    struct timespec now;
    struct tm utc;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    serve_bytes_print(&line, "{\"time\":\"%s.%03ldZ\",\"request_id\":\"%s\",\"trace_id\":\"%s\",\"span_id\":\"%s\"", when,
                      now.tv_nsec / 1000000, x->trace.request_id, x->trace.trace_id, x->trace.span_id);
    print_field(&line, "method", x->method);
    /* status 0: the client left before there was an answer */
    serve_bytes_print(&line, ",\"route\":\"%s\",\"status\":%u,\"bytes\":%zu,\"ms\":%.3f", serve_route_label(x->route),
                      x->status, strcmp(x->method, "HEAD") ? x->sent : 0,
                      (x->status ? x->answer_ms : serve_now_ms()) - x->start_ms);
    if (x->client[0]) print_field(&line, "key", x->client);
    if (x->problem.http) print_field(&line, "code", x->problem.code);
    if (is_predicted(x)) print_prediction(&line, x);
    serve_bytes_print(&line, "}\n");
    serve_log_line(x->server->log, &line);
    rudd_free(line.data);
}
