/* server.c - the server's life: listen, load, drain, stop. See server.h; what it answers is in routes.c. */
#include "serve/server.h"
#include "serve/clock.h"
#include "serve/page.h"
#include "serve/routes.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const struct serve_options serve_options_default = {.listen = "127.0.0.1:8080",
                                                    .memory_limit = NN_BYTES_AUTO,
                                                    .watch_ms = 1000,
                                                    .decoders = 2,
                                                    .max_delay_us = 2000,
                                                    .queue = 64,
                                                    .deadline_ms = 10000,
                                                    .io_threads = 2,
                                                    .connections = 512,
                                                    .max_body = 16 << 20,
                                                    .max_megapixels = 100,
                                                    .timeout_s = 60,
                                                    .cache = {.entries = 10000, .bytes = 64 << 20, .ttl_s = 3600},
                                                    .guard = {.burst = 20},
                                                    .record = {.spool_max = 256 << 20},
                                                    .fetch = {.seconds = 30}};

enum rudd_status serve_listen_parse(char host[256], int *port, const char *text, struct rudd_error *err)
{
    const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text;
    const char *begin = text, *end = colon ? colon : text;
    if (end > begin && *begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return rudd_fail(err, RUDD_ARGUMENT, "--listen %.200s: write an IPv6 address in brackets, as in [::1]:8080", text);
    }
    size_t count = strspn(digits, "0123456789");
    long number = count >= 1 && count <= 5 && !digits[count] ? strtol(digits, NULL, 10) : -1;
    if (number < 0 || number > 65535 || end - begin > 255)
        return rudd_fail(err, RUDD_ARGUMENT, "--listen %.200s: expected HOST:PORT with a port of 0..65535", text);
    if (end > begin)
        snprintf(host, 256, "%.*s", (int)(end - begin), begin);
    else
        snprintf(host, 256, "127.0.0.1");
    *port = (int)number;
    return RUDD_OK;
}

/* A bound, listening socket, and the URL it is reached by. */
static enum rudd_status listen_on(int *fd, char url[320], const char *scheme, const char *text, struct rudd_error *err)
{
    char host[256], service[8];
    int port, s = -1, on = 1;
    enum rudd_status status = serve_listen_parse(host, &port, text, err);
    if (status) return status;
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed) return rudd_fail(err, RUDD_IO, "--listen %.200s: no such address: %s", text, gai_strerror(failed));

    s = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(s, found->ai_addr, found->ai_addrlen) ||
        listen(s, SOMAXCONN)) {
        status = rudd_fail(err, RUDD_IO, "--listen %.200s: %s%s", text, strerror(errno),
                           errno == EADDRINUSE ? "; stop the program that listens there, or give another port"
                           : errno == EACCES   ? "; give a port of 1024 or more"
                                               : "");
    } else {
        struct sockaddr_storage bound;
        socklen_t size = sizeof bound;
        bool v6 = found->ai_family == AF_INET6;
        getsockname(s, (struct sockaddr *)&bound, &size);
        port = ntohs(v6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
        snprintf(url, 320, v6 ? "%s://[%s]:%d" : "%s://%s:%d", scheme, host, port);
        *fd = s;
        s = -1;
    }
    freeaddrinfo(found);
    if (s >= 0) close(s);
    return status;
}

/* Whether the system chooses the port. */
static bool picks_port(const char *listen)
{
    char host[256];
    int port;
    return serve_listen_parse(host, &port, listen, NULL) == RUDD_OK && port == 0;
}

enum rudd_status serve_server_create(struct serve_server **server, const struct serve_options *options, struct rudd_error *err)
{
    int fd = -1;
    struct serve_server *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the server");
    s->options = *options;
    s->options.guard.say = s->options.record.say = options->say;
    s->started_ms = serve_now_ms();
    s->start_time = (double)time(NULL);
    serve_page_csp(s->csp, serve_page);
    serve_page_csp(s->docs_csp, serve_docs);
    serve_cond_init(&s->idle);
    pthread_mutex_init(&s->mutex, NULL);

    enum rudd_status status = serve_metrics_create(&s->metrics, err);
    const struct serve_tls_options tls = {options->tls_certificate, options->tls_key, options->say};
    if (!status) status = serve_files_create(&s->files, err);
    if (!status) status = serve_guard_create(&s->guard, &s->options.guard, s->files, s->metrics, err);
    if (!status) status = serve_tls_create(&s->tls, &tls, s->files, s->metrics, err);
    if (!status && options->access_log) status = serve_log_open(&s->log, options->access_log, s->metrics, err);
    if (!status) status = serve_cache_create(&s->cache, &options->cache, s->metrics, err);
    if (!status) status = serve_asks_create(&s->asks, err);
    if (!status) status = serve_watch_create(&s->watch, options->timeout_s * 1e3, serve_expired, err);
    if (!status) status = listen_on(&fd, s->url, s->tls ? "https" : "http", options->listen, err);
    if (!status) status = serve_record_open(&s->record, &s->options.record, picks_port(options->listen), err);
    if (!s->options.fetch.max_bytes) s->options.fetch.max_bytes = options->max_body;
    if (!status && options->fetch.allow) status = serve_fetcher_create(&s->fetcher, &s->options.fetch, err);
    if (!status) status = serve_guard_check_listen(&options->guard, fd, options->listen, err);
    if (!status) {
        enum { GRACE_S = 5 }; /* MHD's own patience ends after the watch's, which has an answer */
        /* MHD divides work among its pool; a pool of one is spelled 0. */
        unsigned pool = options->io_threads > 1 ? (unsigned)options->io_threads : 0;
        struct MHD_OptionItem tls_options[4];
        serve_tls_start_options(tls_options, s->tls);
        s->daemon = MHD_start_daemon(
            MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | (s->tls ? MHD_USE_TLS : 0), 0, NULL,
            NULL, serve_handle, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, serve_completed, s,
            MHD_OPTION_NOTIFY_CONNECTION, serve_connected, s, MHD_OPTION_THREAD_POOL_SIZE, pool, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)options->connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->timeout_s + GRACE_S,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)64 * 1024, MHD_OPTION_ARRAY, tls_options, MHD_OPTION_END);
        if (!s->daemon) {
            status =
                s->tls ? rudd_fail(err, RUDD_IO,
                                   "--tls-cert %.200s: the HTTPS server does not start; --tls-key must be its key, both in PEM",
                                   options->tls_certificate)
                       : rudd_fail(err, RUDD_IO,
                                   "--listen %.200s: the HTTP server does not start; lower --io-threads or --connections",
                                   options->listen);
        }
    }
    if (status && fd >= 0 && !s->daemon) close(fd);
    if (status)
        serve_server_destroy(s);
    else
        *server = s;
    return status;
}

static void model_news(void *user, enum serve_model_event event, const struct serve_model *m, const char *line)
{
    struct serve_server *s = user;
    if (m && event != SERVE_MODEL_FAILED)
        serve_metrics_set(s->metrics, SERVE_M_MODEL_INFO, event == SERVE_MODEL_LOADED, m->name, rudd_model_arch(m->model),
                          m->version, m->model->sha256);
    if (atomic_load(&s->state) == SERVE_LOADING) return; /* at the start, failures are the caller's and successes no news */
    if (event != SERVE_MODEL_RETIRED)
        serve_metrics_add(s->metrics, SERVE_M_MODEL_LOADS, 1, event == SERVE_MODEL_LOADED ? "ok" : "failed");
    if (line && s->options.say) s->options.say(line);
}

enum rudd_status serve_server_load(struct serve_server *s, struct rudd_error *err)
{
    const struct serve_options *o = &s->options;
    const struct serve_models_options models = {.paths = o->models.items,
                                                .path_count = o->models.count,
                                                .folder = o->models_folder,
                                                .name = o->name,
                                                .raw = o->raw,
                                                .calibrated = o->calibrated,
                                                .workers = o->workers,
                                                .share = o->processors > o->workers ? o->processors / o->workers : 1,
                                                .max_batch = o->max_batch,
                                                .memory_limit = o->memory_limit,
                                                .watch_ms = o->watch_ms,
                                                .news = model_news,
                                                .user = s};
    struct serve_engine_options engine = {.workers = o->workers,
                                          .processors = o->processors,
                                          .threads = o->threads,
                                          .decoders = o->decoders,
                                          .max_batch = o->max_batch ? o->max_batch : SERVE_BATCH_MOST,
                                          .max_delay_ms = o->max_delay_us / 1e3,
                                          .limit = o->queue,
                                          .limits = data_limits_of(o->max_megapixels, o->truncated)};
    engine.limits.max_bytes = o->max_body;
    engine.limits.fixed = true; /* for those who ask */
    enum rudd_status status = serve_models_create(&s->models, &models, err);
    if (!status) status = serve_engine_create(&s->engine, &engine, err);
    if (!status) status = serve_batch_create(&s->batch, s, s->fetcher, err);
    if (!status) atomic_store(&s->state, SERVE_READY);
    return status;
}

void serve_server_hangup(struct serve_server *s)
{
    serve_log_reopen(s->log);
    serve_models_reload(s->models, NULL);
}

const char *serve_server_warning(const struct serve_server *s)
{
    return s->record.warning;
}

const char *serve_server_url(const struct serve_server *s)
{
    return s->url;
}

/* Until nothing is in flight or the deadline (monotonic, ms) has passed; true: nothing is. */
static bool wait_idle(struct serve_server *s, double deadline_ms)
{
    struct timespec t = serve_timespec(deadline_ms);
    pthread_mutex_lock(&s->mutex);
    while (s->in_flight && pthread_cond_timedwait(&s->idle, &s->mutex, &t) != ETIMEDOUT) continue;
    bool idle = !s->in_flight;
    pthread_mutex_unlock(&s->mutex);
    return idle;
}

void serve_server_drain(struct serve_server *s, double seconds)
{
    enum { FAREWELL_MS = 1000 }; /* for the last answers to leave once nothing waits any more */
    atomic_store(&s->state, SERVE_DRAINING);
    if (wait_idle(s, serve_now_ms() + seconds * 1e3)) return;
    if (s->engine) serve_engine_cancel(s->engine);
    wait_idle(s, serve_now_ms() + FAREWELL_MS);
}

void serve_server_destroy(struct serve_server *s)
{
    if (!s) return;
    atomic_store(&s->state, SERVE_DRAINING);
    /* MHD must not be stopped with suspended connections: first every job and every reload ends, which resumes its connection. A request
     * that comes meanwhile finds the engine stopping and is refused. The cache's questions become the engine's jobs, so they end first. */
    if (s->cache) serve_cache_stop(s->cache);
    if (s->engine) serve_engine_stop(s->engine);
    serve_batch_stop(s->batch); /* its threads wait for the engine and write to the store */
    serve_record_stop(&s->record);
    if (s->models) serve_models_stop(s->models);
    if (s->daemon) MHD_stop_daemon(s->daemon);
    serve_batch_destroy(s->batch);
    serve_fetcher_destroy(s->fetcher);
    serve_engine_destroy(s->engine);
    serve_models_destroy(s->models);
    serve_watch_destroy(s->watch);
    serve_record_close(&s->record);
    serve_asks_destroy(s->asks);
    serve_cache_destroy(s->cache);
    serve_guard_destroy(s->guard);
    serve_tls_destroy(s->tls);
    serve_files_destroy(s->files);
    serve_log_close(s->log);
    serve_metrics_destroy(s->metrics);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->mutex);
    rudd_free(s);
}
