/* routes.c - the table of routes, the limits that headers alone can break, and the life of an exchange. libmicrohttpd speaks HTTP.
 *
 *     headers --route, limits--> body pieces --serve_body--> route->answer --> serve_send_bytes
 *
 * Not here: who may ask (guard.h), answers (exchange.h names their files). */
#include "serve/clock.h"
#include "serve/exchange.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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

/* "http://host/path", which a proxy may send, names the same path (RFC 9112, 3.2.2). */
static const char *path_of(const char *target)
{
    const char *host = !strncasecmp(target, "http://", 7)    ? target + 7
                       : !strncasecmp(target, "https://", 8) ? target + 8
                                                             : NULL;
    return !host ? target : strchr(host, '/') ? strchr(host, '/') : "/";
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

struct framing {
    int hosts, lengths, codings;
    bool odd; /* a name that ends in a blank, which a proxy in front may take for the name before it */
};

static enum MHD_Result take_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind, (void)value;
    struct framing *f = user;
    size_t n = strlen(name);
    f->hosts += !strcasecmp(name, MHD_HTTP_HEADER_HOST);
    f->lengths += !strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH);
    f->codings += !strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    f->odd |= !n || name[n - 1] == ' ' || name[n - 1] == '\t';
    return MHD_YES;
}

/* To whom a request goes and where its body ends must be beyond doubt: what a proxy in front takes for the body must be the body here. */
static bool is_framed(struct serve_exchange *x, const char *version)
{
    struct framing f = {0};
    const char *coding = serve_header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, take_header, &f);
    if (f.hosts > 1 || (!f.hosts && strcmp(version, MHD_HTTP_VERSION_1_0)))
        return serve_refuse(&x->problem, 400, "bad_header", "the request needs one Host header; it has %d", f.hosts);
    if (f.odd) return serve_refuse(&x->problem, 400, "bad_header", "a header's name ends in a blank");
    if (f.lengths + f.codings > 1)
        return serve_refuse(&x->problem, 400, "bad_header", "say the body's length once: by Content-Length or by chunks");
    if (coding && strcasecmp(coding, "chunked"))
        return serve_refuse(&x->problem, 400, "bad_header", "the only Transfer-Encoding that is taken is chunked");
    return true;
}

/* What the headers alone can refuse. */
static void check_headers(struct serve_exchange *x, const char *path, const char *method, const char *version)
{
    struct serve_server *s = x->server;
    const char *length = serve_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    x->route = find_route(path, &x->tail);
    x->unframed = !is_framed(x, version);
    if (x->unframed) return;
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

/* Whether the client waits for a go-ahead, is about to send far more than we would throw away, or nobody knows where its body ends: answered
 * without it, and libmicrohttpd closes the connection. */
static bool answer_at_once(const struct serve_exchange *x)
{
    enum { PATIENCE = 4 }; /* times the largest body */
    const char *length = serve_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return serve_header(x, MHD_HTTP_HEADER_EXPECT) || x->unframed ||
           (length && strtoull(length, NULL, 10) / PATIENCE > x->server->options.max_body);
}

/* A connection, from accept to close. Its deadline is for whatever must arrive next: the TLS handshake and a request's headers, then its body. */
struct serve_line {
    struct serve_server *server;
    struct MHD_Connection *connection;
    struct serve_exchange *exchange; /* whose headers are there; NULL: none's yet. Changed while the deadline is off */
    struct serve_deadline deadline;
    bool used; /* by a request: until the next one it is idle rather than slow */
};

void serve_connected(void *user, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct serve_server *s = user;
    struct serve_line *line = what == MHD_CONNECTION_NOTIFY_STARTED ? rudd_zalloc(1, sizeof *line) : *context;
    if (!line) return; /* no memory: its first request is refused */
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        line->server = s;
        line->connection = connection;
        *context = line;
        serve_watch_add(s->watch, &line->deadline);
    } else {
        serve_watch_remove(s->watch, &line->deadline);
        rudd_free(line);
        *context = NULL;
    }
}

/* The line's deadline begins anew, for what arrives of x, or of the headers after it. */
static void expect(struct serve_line *line, struct serve_exchange *x)
{
    serve_watch_remove(line->server->watch, &line->deadline);
    line->exchange = x;
    line->used = true;
    serve_watch_add(line->server->watch, &line->deadline);
}

static enum MHD_Result begin(struct serve_exchange **slot, struct serve_server *s, struct MHD_Connection *connection,
                             const char *path, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct serve_exchange *x = info && info->socket_context ? rudd_zalloc(1, sizeof *x) : NULL;
    if (!x) return MHD_NO;
    x->server = s;
    x->connection = connection;
    x->line = info->socket_context;
    x->start_ms = serve_now_ms();
    serve_observe_begin(x, method);
    *slot = x;
    pthread_mutex_lock(&s->mutex);
    s->in_flight++;
    pthread_mutex_unlock(&s->mutex);
    check_headers(x, path_of(path), method, version);
    expect(x->line, x);
    if (!x->problem.http || !answer_at_once(x)) return MHD_YES;
    serve_watch_remove(s->watch, &x->line->deadline);
    return serve_send_problem(x);
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
    struct serve_exchange *x = *slot;
    if (!x) return begin((struct serve_exchange **)slot, user, connection, path, method, version);
    if (*size) {
        enum MHD_Result result = receive(x, data, *size);
        *size = 0;
        return result;
    }
    serve_watch_remove(x->server->watch, &x->line->deadline);
    if (x->problem.http) return serve_send_problem(x);
    return x->preflight ? serve_guard_send_preflight(x) : x->route->answer(x);
}

void serve_completed(void *user, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct serve_server *s = user;
    struct serve_exchange *x = *slot;
    if (!x) return;
    expect(x->line, NULL);
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

/* MHD takes no answer in the middle of a request, so this one goes past it: MHD writes nothing while it reads, and cannot close the socket
 * while the deadline's lock is held, because serve_connected waits for it first. What it then finds is the end of the stream. */
static bool send_timeout(const struct serve_line *line, int fd)
{
    struct serve_server *s = line->server;
    struct serve_bytes json = {0}, out = {0};
    struct serve_problem p = {0};
    struct serve_trace fresh;
    serve_trace_begin(&fresh, NULL, NULL);
    const char *id = line->exchange ? line->exchange->trace.request_id : fresh.request_id;
    serve_refuse(&p, 408, "timeout", "the request took longer than %d s to arrive", s->options.timeout_s);
    bool sent = !serve_json_print(&json, serve_json_problem(&p)) &&
                !serve_bytes_print(
                    &out,
                    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
                    "Cache-Control: no-store\r\nConnection: close\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
                    id, json.length, (int)json.length, (const char *)json.data) &&
                /* A client that does not read either loses the answer: nothing here waits for it. */
                send(fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.length;
    rudd_free(json.data);
    rudd_free(out.data);
    return sent;
}

void serve_expired(struct serve_deadline *deadline)
{
    const struct serve_line *line = (struct serve_line *)((char *)deadline - offsetof(struct serve_line, deadline));
    struct serve_exchange *x = line->exchange;
    struct serve_server *s = line->server;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(line->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    /* Who is idle after an answer is told nothing; nor is one that expects TLS: its records are MHD's to write. */
    if (info && !s->tls && (x || !line->used) && send_timeout(line, info->connect_fd))
        serve_metrics_request(s->metrics, serve_route_label(x ? x->route : NULL), 408,
                              x ? (serve_now_ms() - x->start_ms) / 1e3 : s->options.timeout_s);
    if (x) {
        x->status = 408;
        x->answer_ms = serve_now_ms();
    }
    if (info) shutdown(info->connect_fd, SHUT_RDWR);
}
