/* routes.c - from a connection to an answer: the table of routes, limits, the life of a request. libmicrohttpd speaks HTTP.
 *
 *     headers --route, limits--> body pieces --serve_body--> picture --engine queue--> (connection suspended)
 *                                                                          worker: decode, network --> resume --> answer
 *
 * I/O threads never wait for the engine: while a picture is computed its connection is suspended, so /health and /metrics
 * answer at once. A request is refused in one way only: its `problem` is filled, its body is read to the end and thrown away (a
 * client that is still sending would not see an answer), and the problem is the answer.
 *
 * Not here: batching, cache, authentication, TLS (put a proxy in front). */
#include "serve/routes.h"
#include "serve/clock.h"
#include "serve/page.h"
#include "serve/request.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

struct route;
struct request {
    struct serve_server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    double start_ms;
    struct serve_deadline deadline; /* for its last byte to arrive */
    struct serve_body body;
    struct serve_problem problem;
    bool computed;
    struct serve_job job;
    int top_k;
};

typedef enum MHD_Result answer_fn(struct request *r);
static answer_fn answer_root, answer_predict, answer_health, answer_ready, answer_model, answer_metrics;

/* Paths that share a label are one route to the metrics. */
enum label { LABEL_ROOT, LABEL_PREDICT, LABEL_HEALTH, LABEL_READY, LABEL_MODEL, LABEL_METRICS, LABEL_OTHER };
const char *const serve_route_labels[SERVE_ROUTE_LABELS] = {"/",           "/predict", "/health", "/ready",
                                                            "/model_info", "/metrics", "other"};

static const struct route {
    const char *path;
    bool post;        /* POST; else GET and HEAD */
    bool needs_model; /* 503 while loading */
    enum label label;
    answer_fn *answer;
} routes[] = {
    {"/", false, false, LABEL_ROOT, answer_root},
    {"/predict", true, true, LABEL_PREDICT, answer_predict},
    {"/health", false, false, LABEL_HEALTH, answer_health},
    {"/healthcheck", false, false, LABEL_HEALTH, answer_health},
    {"/livez", false, false, LABEL_HEALTH, answer_health},
    {"/ready", false, false, LABEL_READY, answer_ready},
    {"/readyz", false, false, LABEL_READY, answer_ready},
    {"/model_info", false, true, LABEL_MODEL, answer_model},
    {"/metrics", false, false, LABEL_METRICS, answer_metrics},
};
enum { ROUTES = sizeof routes / sizeof *routes };

/* ---- answers ----------------------------------------------------------------------------------------------------------------
 */

static enum serve_state state_of(struct serve_server *s)
{
    return (enum serve_state)atomic_load(&s->state);
}

static const struct serve_model *model_of(struct serve_server *s)
{
    return state_of(s) != SERVE_LOADING && s->model.model ? &s->model : NULL;
}

/* Sends out's bytes, which become the response's. */
static enum MHD_Result send_bytes(struct request *r, unsigned http, const char *type, struct serve_bytes *out)
{
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(out->length, out->data, rudd_free);
    if (!response) {
        rudd_free(out->data);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (http == 503) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (http == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->route->post ? "POST" : "GET, HEAD");
    if (state_of(r->server) == SERVE_DRAINING) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    /* Counted before it is sent, so that a client that then asks for /metrics finds itself there. */
    serve_metrics_request(r->server->metrics, r->route ? (int)r->route->label : LABEL_OTHER, http);
    enum MHD_Result result = MHD_queue_response(r->connection, http, response);
    MHD_destroy_response(response);
    return result;
}

/* Sends root as JSON and drops it; a closed connection when there is no memory even for that. */
static enum MHD_Result send_json(struct request *r, unsigned http, json_t *root)
{
    struct serve_bytes out = {0};
    if (serve_json_print(&out, root)) {
        rudd_free(out.data);
        return MHD_NO;
    }
    return send_bytes(r, http, "application/json", &out);
}

static enum MHD_Result send_problem(struct request *r)
{
    return send_json(r, r->problem.http, serve_json_problem(&r->problem));
}

static const char *header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result answer_root(struct request *r)
{
    struct serve_server *s = r->server;
    if (serve_accepts_json(header(r, MHD_HTTP_HEADER_ACCEPT)))
        return send_json(r, 200,
                         serve_json_facts(model_of(s), s->options.max_body, (uint64_t)(s->options.max_megapixels * 1e6)));
    /* MHD's own copy rules: the page lives as long as the program. */
    struct MHD_Response *page =
        MHD_create_response_from_buffer(serve_page_size, (void *)(uintptr_t)serve_page, MHD_RESPMEM_PERSISTENT);
    if (!page) return MHD_NO;
    MHD_add_response_header(page, MHD_HTTP_HEADER_CONTENT_TYPE, "text/html; charset=utf-8");
    MHD_add_response_header(page, "Content-Security-Policy", s->csp);
    MHD_add_response_header(page, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(page, "X-Frame-Options", "DENY");
    MHD_add_response_header(page, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(page, MHD_HTTP_HEADER_VARY, "Accept");
    MHD_add_response_header(page, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    serve_metrics_request(s->metrics, LABEL_ROOT, 200);
    enum MHD_Result result = MHD_queue_response(r->connection, 200, page);
    MHD_destroy_response(page);
    return result;
}

static enum MHD_Result answer_health(struct request *r)
{
    struct serve_server *s = r->server;
    return send_json(r, 200, serve_json_health(model_of(s), state_of(s), (serve_now_ms() - s->started_ms) / 1e3));
}

/* "ready", or why not. */
static const char *readiness(struct serve_server *s)
{
    enum serve_state state = state_of(s);
    return state == SERVE_READY && serve_engine_full(s->engine) ? "overloaded" : serve_state_name(state);
}

static enum MHD_Result answer_ready(struct request *r)
{
    const char *status = readiness(r->server);
    return send_json(r, strcmp(status, "ready") ? 503 : 200, serve_json_status(status));
}

static enum MHD_Result answer_model(struct request *r)
{
    return send_json(r, 200, serve_json_model(&r->server->model));
}

static const char *class_name(const void *model, int index)
{
    return rudd_model_class_name(model, index);
}

static enum MHD_Result answer_metrics(struct request *r)
{
    struct serve_server *s = r->server;
    const struct serve_model *m = model_of(s);
    pthread_mutex_lock(&s->mutex);
    int in_flight = s->in_flight;
    pthread_mutex_unlock(&s->mutex);
    struct serve_gauges g = {.queue_depth = m ? serve_engine_waiting(s->engine) : 0,
                             .queue_limit = s->options.queue,
                             .workers = s->options.workers,
                             .ready = !strcmp(readiness(s), "ready"),
                             .in_flight = in_flight,
                             .start_time = s->start_time,
                             .class_name = class_name};
    if (m) {
        g.model = m->model;
        g.model_name = m->name;
        g.model_arch = rudd_model_arch(m->model);
        g.model_version = m->version;
        g.model_sha256 = m->model->sha256 ? m->model->sha256 : "";
    }
    struct serve_bytes out = {0};
    if (serve_metrics_print(&out, s->metrics, &g)) {
        rudd_free(out.data);
        serve_refuse(&r->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return send_problem(r);
    }
    return send_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

/* ---- prediction -------------------------------------------------------------------------------------------------------------
 */

static void computed(struct serve_job *job)
{
    struct request *r = job->user;
    r->computed = true;
    MHD_resume_connection(r->connection);
}

/* What the engine's status means to the client. The decoder's own words about the client's picture are fit to be shown. */
static void refuse_computed(struct serve_problem *p, const struct serve_job *job)
{
    switch (job->status) {
    case RUDD_FORMAT: serve_refuse(p, 422, "broken_image", "%.400s", job->err.message); break;
    case RUDD_LIMIT: serve_refuse(p, 413, "too_many_pixels", "%.400s", job->err.message); break;
    case RUDD_NO_MEMORY: serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again"); break;
    case RUDD_CANCELLED: serve_refuse(p, 503, "draining", "the server is shutting down"); break;
    default: serve_refuse(p, 500, "internal", "the prediction failed");
    }
}

static enum MHD_Result send_prediction(struct request *r)
{
    struct serve_server *s = r->server;
    unsigned char random[16];
    char id[2 * sizeof random + 1] = "";
    if (getrandom(random, sizeof random, 0) != sizeof random) return MHD_NO;
    for (size_t i = 0; i < sizeof random; i++) snprintf(id + 2 * i, 3, "%02x", random[i]);

    double total_ms = serve_now_ms() - r->start_ms;
    json_t *root = serve_json_prediction(&s->model, &r->job, r->top_k, total_ms, id);
    if (!root) {
        serve_refuse(&r->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return send_problem(r);
    }
    struct rudd_top top;
    rudd_top_k(&top, 1, r->job.probabilities, s->model.model->class_count);
    const double stages[SERVE_STAGES] = {r->job.queue_ms / 1e3, r->job.decode_ms / 1e3, r->job.infer_ms / 1e3};
    serve_metrics_prediction(s->metrics, top.index, (double)top.probability, total_ms / 1e3, stages);
    return send_json(r, 200, root);
}

/* Hands the picture to the engine and lets the connection sleep; MHD asks again after the resume. */
static enum MHD_Result answer_predict(struct request *r)
{
    struct serve_server *s = r->server;
    int classes = s->model.model->class_count;
    if (r->computed) {
        if (r->job.status) refuse_computed(&r->problem, &r->job);
        return r->problem.http ? send_problem(r) : send_prediction(r);
    }
    const char *top_k = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "top_k");
    if (!serve_top_k_parse(&r->top_k, top_k, 3, classes, &r->problem) || !serve_body_finish(&r->body, &r->problem))
        return send_problem(r);
    r->job = (struct serve_job){
        .bytes = r->body.bytes.data, .length = r->body.bytes.length, .done = computed, .user = r, .status = RUDD_CANCELLED};
    r->job.probabilities = rudd_alloc(sizeof(float) * (size_t)classes);
    if (!r->job.probabilities) {
        serve_refuse(&r->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return send_problem(r);
    }
    /* Suspended before the hand-over: the worker may be done before submit returns. */
    MHD_suspend_connection(r->connection);
    if (!serve_engine_submit(s->engine, &r->job)) {
        serve_refuse(&r->problem, 503, "overloaded", "%d predictions wait already; try again in a second", s->options.queue);
        MHD_resume_connection(r->connection);
    }
    return MHD_YES;
}

/* ---- the life of a request --------------------------------------------------------------------------------------------------
 */

static const struct route *find_route(const char *path)
{
    for (int i = 0; i < ROUTES; i++)
        if (!strcmp(routes[i].path, path)) return &routes[i];
    return NULL;
}

/* What the headers alone can refuse. */
static void check_headers(struct request *r, const char *path, const char *method)
{
    struct serve_server *s = r->server;
    const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    r->route = find_route(path);
    if (!r->route) {
        serve_refuse(&r->problem, 404, "not_found", "there is no %.80s here; GET / lists what there is", path);
        return;
    }
    bool allowed = r->route->post ? !strcmp(method, "POST") : !strcmp(method, "GET") || !strcmp(method, "HEAD");
    if (!allowed)
        serve_refuse(&r->problem, 405, "method_not_allowed", "%s takes %s", r->route->path, r->route->post ? "POST" : "GET");
    if (r->route->needs_model && state_of(s) == SERVE_LOADING)
        serve_refuse(&r->problem, 503, "loading", "the model is being loaded; try again in a second");
    if (r->route->post && state_of(s) == SERVE_DRAINING)
        serve_refuse(&r->problem, 503, "draining", "the server is shutting down");
    if (length && strtoull(length, NULL, 10) > s->options.max_body)
        serve_refuse(&r->problem, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server",
                     s->options.max_body);
    if (r->route->post && !r->problem.http) serve_body_init(&r->body, r->connection, s->options.max_body, &r->problem);
}

/* Whether the client waits for a go-ahead, or is about to send far more than we would throw away: answered without its body. */
static bool answer_at_once(const struct request *r)
{
    enum { PATIENCE = 4 }; /* times the largest body */
    const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return header(r, MHD_HTTP_HEADER_EXPECT) || (length && strtoull(length, NULL, 10) / PATIENCE > r->server->options.max_body);
}

static enum MHD_Result begin(struct request **slot, struct serve_server *s, struct MHD_Connection *connection, const char *path,
                             const char *method)
{
    struct request *r = rudd_zalloc(1, sizeof *r);
    if (!r) return MHD_NO;
    r->server = s;
    r->connection = connection;
    r->start_ms = serve_now_ms();
    *slot = r;
    pthread_mutex_lock(&s->mutex);
    s->in_flight++;
    pthread_mutex_unlock(&s->mutex);
    check_headers(r, path, method);
    if (r->problem.http && answer_at_once(r)) return send_problem(r);
    serve_watch_add(s->watch, &r->deadline);
    return MHD_YES;
}

static enum MHD_Result receive(struct request *r, const char *data, size_t n)
{
    if (r->problem.http)
        r->body.received += n;
    else
        serve_body_add(&r->body, data, n);
    /* A refused body is read to its end, but not for ever. */
    return r->body.received / 4 > r->server->options.max_body ? MHD_NO : MHD_YES;
}

enum MHD_Result serve_handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                             const char *version, const char *data, size_t *size, void **slot)
{
    (void)version;
    struct request *r = *slot;
    if (!r) return begin((struct request **)slot, user, connection, path, method);
    if (*size) {
        enum MHD_Result result = receive(r, data, *size);
        *size = 0;
        return result;
    }
    serve_watch_remove(r->server->watch, &r->deadline);
    return r->problem.http ? send_problem(r) : r->route->answer(r);
}

void serve_completed(void *user, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct serve_server *s = user;
    struct request *r = *slot;
    if (!r) return;
    serve_watch_remove(s->watch, &r->deadline);
    serve_body_free(&r->body);
    rudd_free(r->job.probabilities);
    rudd_free(r);
    *slot = NULL;
    pthread_mutex_lock(&s->mutex);
    if (--s->in_flight == 0) pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->mutex);
}

/* MHD takes no answer in the middle of a body, so this one goes past it: MHD writes nothing while it reads a body, and cannot
 * close the socket while the deadline's lock is held, because serve_completed waits for it first. What it then finds is the end
 * of the stream. */
void serve_expired(struct serve_deadline *deadline)
{
    struct request *r = (struct request *)((char *)deadline - offsetof(struct request, deadline));
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct serve_bytes json = {0}, out = {0};
    struct serve_problem p = {0};
    serve_refuse(&p, 408, "timeout", "the request took longer than %d s to arrive", r->server->options.timeout_s);
    if (info && !serve_json_print(&json, serve_json_problem(&p)) &&
        !serve_bytes_print(
            &out,
            "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%.*s",
            json.length, (int)json.length, (const char *)json.data)) {
        /* A client that does not read either loses the answer: nothing here waits for it. */
        if (send(info->connect_fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.length)
            serve_metrics_request(r->server->metrics, r->route ? (int)r->route->label : LABEL_OTHER, 408);
    }
    if (info) shutdown(info->connect_fd, SHUT_RDWR);
    rudd_free(json.data);
    rudd_free(out.data);
}
