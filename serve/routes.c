/* routes.c - the table of routes, the limits that headers alone can break, and the life of an exchange. libmicrohttpd speaks HTTP.
 *
 *     headers --route, limits--> body pieces --serve_body--> route->answer --> serve_send_bytes
 *
 * Not here: who may ask (guard.h), answers (exchange.h names their files). */
#include "serve/clock.h"
#include "serve/exchange.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const struct serve_route routes[] = {
    {"/", false, false, "/", serve_answer_root, SERVE_OPEN},
    {"/predict", true, true, "/predict", serve_answer_predict, SERVE_PREDICT},
    {"/batch/predict", true, true, "/batch/predict", serve_answer_batch, SERVE_PREDICT},
    {"/batch/status/*", false, true, "/batch/status", serve_answer_batch_status, SERVE_PREDICT},
    {"/feedback", true, true, "/feedback", serve_answer_feedback, SERVE_PREDICT},
    {"/health", false, false, "/health", serve_answer_health, SERVE_OPEN},
    {"/healthcheck", false, false, "/health", serve_answer_health, SERVE_OPEN},
    {"/ping", false, false, "/health", serve_answer_health, SERVE_OPEN},
    {"/livez", false, false, "/health", serve_answer_health, SERVE_OPEN},
    {"/ready", false, false, "/ready", serve_answer_ready, SERVE_OPEN},
    {"/readyz", false, false, "/ready", serve_answer_ready, SERVE_OPEN},
    {"/model_info", false, true, "/model_info", serve_answer_model, SERVE_PREDICT | SERVE_OBSERVE},
    {"/admin/reload", true, true, "/admin/reload", serve_answer_reload, SERVE_ADMIN},
    {"/metrics", false, false, "/metrics", serve_answer_metrics, SERVE_OBSERVE},
    {"/openapi.json", false, false, "/docs", serve_answer_openapi, SERVE_OPEN},
    {"/docs", false, false, "/docs", serve_answer_docs, SERVE_OPEN},
    {"/v2", false, false, "/v2", serve_answer_v2, SERVE_OPEN},
    {"/v2/health/live", false, false, "/v2/health", serve_answer_v2_live, SERVE_OPEN},
    {"/v2/health/ready", false, false, "/v2/health", serve_answer_v2_ready, SERVE_OPEN},
    {"/v2/models/*/infer", true, true, "/v2/models/infer", serve_answer_v2_infer, SERVE_PREDICT},
    {"/v2/models/*", false, true, "/v2/models", serve_answer_v2_model, SERVE_PREDICT | SERVE_OBSERVE},
};
enum { ROUTES = sizeof routes / sizeof *routes };

/* Whether a row takes a method. */
static bool takes(const struct serve_route *route, const char *method)
{
    return route->post ? !strcmp(method, "POST") : !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

/* Whether a pattern stands for a path; *tail: what its asterisk and the rest stand for. */
static bool fits(const char *pattern, const char *path, const char **tail)
{
    size_t n = strcspn(pattern, "*"), m = strlen(path), end = pattern[n] ? strlen(pattern + n + 1) : 0;
    if (strncmp(pattern, path, n) || (!pattern[n] && path[n]) || m < n + end) return false;
    if (pattern[n] && strcmp(pattern + n + 1, path + m - end)) return false;
    *tail = path + n;
    return true;
}

/* The first row that fits. */
static const struct serve_route *find_route(const char *path, const char **tail)
{
    for (int i = 0; i < ROUTES; i++)
        if (fits(routes[i].path, path, tail)) return &routes[i];
    return NULL;
}

const struct serve_route *serve_route_table(int *count)
{
    *count = ROUTES;
    return routes;
}

const char *serve_route_label(const struct serve_route *route)
{
    return route ? route->label : "other";
}

/* What the headers alone can refuse. */
static void check_headers(struct serve_exchange *x, const char *path, const char *method)
{
    struct serve_server *s = x->server;
    const char *length = serve_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    x->route = find_route(path, &x->tail);
    if (!x->route) {
        serve_refuse(&x->problem, 404, "not_found", "there is no %.80s here; GET / lists what there is", path);
        return;
    }
    x->preflight = serve_guard_is_preflight(x, method);
    if (x->preflight) return;
    if (!takes(x->route, method))
        serve_refuse(&x->problem, 405, "method_not_allowed", "%s takes %s", x->route->path, x->route->post ? "POST" : "GET");
    serve_guard_admit(x, method);
    if (x->route->needs_model && serve_state_of(s) == SERVE_LOADING)
        serve_refuse(&x->problem, 503, "loading", "the model is being loaded; try again in a second");
    if (x->route->post && serve_state_of(s) == SERVE_DRAINING)
        serve_refuse(&x->problem, 503, "draining", "the server is shutting down");
    if (length && strtoull(length, NULL, 10) > s->options.max_body)
        serve_refuse(&x->problem, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server",
                     s->options.max_body);
    if (x->route->needs_model && !x->problem.http) serve_choose_model(x, serve_header(x, "X-Model-Version"));
    if (x->route->answer == serve_answer_batch) /* which takes its body apart itself */
        x->body = (struct serve_body){.max = s->options.max_body};
    else if (x->route->post && !x->problem.http)
        serve_body_init(&x->body, x->connection, s->options.max_body, &x->problem);
}

/* Whether the client waits for a go-ahead, or is about to send far more than we would throw away: answered without its body. */
static bool answer_at_once(const struct serve_exchange *x)
{
    enum { PATIENCE = 4 }; /* times the largest body */
    const char *length = serve_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return serve_header(x, MHD_HTTP_HEADER_EXPECT) ||
           (length && strtoull(length, NULL, 10) / PATIENCE > x->server->options.max_body);
}

static enum MHD_Result begin(struct serve_exchange **slot, struct serve_server *s, struct MHD_Connection *connection,
                             const char *path, const char *method)
{
    struct serve_exchange *x = rudd_zalloc(1, sizeof *x);
    if (!x) return MHD_NO;
    x->server = s;
    x->connection = connection;
    x->start_ms = serve_now_ms();
    serve_observe_begin(x, method);
    *slot = x;
    pthread_mutex_lock(&s->mutex);
    s->in_flight++;
    pthread_mutex_unlock(&s->mutex);
    check_headers(x, path, method);
    if (x->problem.http && answer_at_once(x)) return serve_send_problem(x);
    serve_watch_add(s->watch, &x->deadline);
    return MHD_YES;
}

static enum MHD_Result receive(struct serve_exchange *x, const char *data, size_t n)
{
    if (x->problem.http)
        x->body.received += n;
    else
        serve_body_add(&x->body, data, n);
    /* A refused body is read to its end, but not for ever. */
    return x->body.received / 4 > x->server->options.max_body ? MHD_NO : MHD_YES;
}

enum MHD_Result serve_handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                             const char *version, const char *data, size_t *size, void **slot)
{
    (void)version;
    struct serve_exchange *x = *slot;
    if (!x) return begin((struct serve_exchange **)slot, user, connection, path, method);
    if (*size) {
        enum MHD_Result result = receive(x, data, *size);
        *size = 0;
        return result;
    }
    serve_watch_remove(x->server->watch, &x->deadline);
    if (x->problem.http) return serve_send_problem(x);
    return x->preflight ? serve_guard_send_preflight(x) : x->route->answer(x);
}

void serve_completed(void *user, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct serve_server *s = user;
    struct serve_exchange *x = *slot;
    if (!x) return;
    serve_watch_remove(s->watch, &x->deadline);
    serve_observe_end(x);
    serve_batch_work_free(x->batch);
    serve_body_free(&x->body);
    rudd_free(x->ask.job.probabilities);
    serve_feedback_free(x->feedback);
    serve_v2_free(x->v2);
    if (x->model) serve_models_put(s->models, x->model);
    rudd_free(x);
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
    struct serve_exchange *x = (struct serve_exchange *)((char *)deadline - offsetof(struct serve_exchange, deadline));
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct serve_bytes json = {0}, out = {0};
    struct serve_problem p = {0};
    serve_refuse(&p, 408, "timeout", "the request took longer than %d s to arrive", x->server->options.timeout_s);
    if (info && !serve_json_print(&json, serve_json_problem(&p)) &&
        !serve_bytes_print(
            &out,
            "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
            x->trace.request_id, json.length, (int)json.length, (const char *)json.data)) {
        /* A client that does not read either loses the answer: nothing here waits for it. */
        /* Nor does one that expects TLS: its records are MHD's to write. */
        if (!x->server->tls && send(info->connect_fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.length)
            serve_metrics_request(x->server->metrics, serve_route_label(x->route), 408, (serve_now_ms() - x->start_ms) / 1e3);
    }
    x->status = 408;
    x->answer_ms = serve_now_ms();
    if (info) shutdown(info->connect_fd, SHUT_RDWR);
    rudd_free(json.data);
    rudd_free(out.data);
}
