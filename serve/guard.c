/* guard.c - see guard.h.
 *
 * Keys are read by the requests under a reader's lock and replaced by the thread of files.h under the writer's: a request sees the old file or
 * the new one, and no I/O thread waits for a disk. */
#include "serve/guard.h"
#include "serve/clock.h"
#include "serve/cors.h"
#include "serve/exchange.h"
#include "serve/keys.h"
#include "serve/limit.h"
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct serve_guard {
    struct serve_guard_options options;
    struct serve_metrics *metrics;
    struct serve_limit *limit;
    pthread_rwlock_t lock; /* of keys */
    struct serve_keys *keys;
    struct serve_files *files;
};

/* ---- the key file ----------------------------------------------------------------------------------------------------------- */

static void reload(void *user)
{
    struct serve_guard *g = user;
    struct serve_keys *keys = NULL, *old;
    struct rudd_error err = {RUDD_OK, ""};
    char line[2200];
    bool failed = serve_keys_read(&keys, g->options.keys, &err) != RUDD_OK;
    serve_metrics_add(g->metrics, SERVE_M_KEYS_LOADS, 1, failed ? "failed" : "ok");
    if (failed)
        snprintf(line, sizeof line, "the keys before still hold: %s", err.message);
    else
        snprintf(line, sizeof line, "%d keys from %.1000s", serve_keys_count(keys), g->options.keys);
    if (g->options.say) g->options.say(line);
    if (failed) return;
    serve_metrics_set(g->metrics, SERVE_M_KEYS, serve_keys_count(keys));
    pthread_rwlock_wrlock(&g->lock);
    old = g->keys;
    g->keys = keys;
    pthread_rwlock_unlock(&g->lock);
    serve_keys_free(old);
}

enum rudd_status serve_guard_create(struct serve_guard **guard, const struct serve_guard_options *o, struct serve_files *files,
                                    struct serve_metrics *metrics, struct rudd_error *err)
{
    enum rudd_status status = o->cors ? serve_cors_check(o->cors, err) : RUDD_OK;
    if (status) return status;
    struct serve_guard *g = rudd_zalloc(1, sizeof *g);
    if (!g) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the guard");
    g->options = *o;
    g->files = files;
    g->metrics = metrics;
    pthread_rwlock_init(&g->lock, NULL);
    if (o->rate > 0) status = serve_limit_create(&g->limit, o->rate, o->burst, err);
    if (!status && o->keys) status = serve_files_add(files, o->keys, reload, g, err);
    if (!status && o->keys) {
        status = serve_keys_read(&g->keys, o->keys, err);
        if (!status) serve_metrics_set(metrics, SERVE_M_KEYS, serve_keys_count(g->keys));
    }
    if (status)
        serve_guard_destroy(g);
    else
        *guard = g;
    return status;
}

void serve_guard_destroy(struct serve_guard *g)
{
    if (!g) return;
    serve_files_remove(g->files, g);
    serve_keys_free(g->keys);
    serve_limit_destroy(g->limit);
    pthread_rwlock_destroy(&g->lock);
    rudd_free(g);
}

static bool is_loopback(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size)) return false;
    const struct in6_addr *v6 = &((struct sockaddr_in6 *)&bound)->sin6_addr;
    if (bound.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    return bound.ss_family == AF_INET && ntohl(((struct sockaddr_in *)&bound)->sin_addr.s_addr) >> 24 == 127;
}

enum rudd_status serve_guard_check_listen(const struct serve_guard_options *o, int fd, const char *listen,
                                          struct rudd_error *err)
{
    if (o->keys || o->insecure_open || is_loopback(fd)) return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "--listen %.200s can be reached from other machines, and anyone could ask; give --keys FILE (rudd-serve "
                     "--new-key makes "
                     "one), or --insecure-open if something in front asks who they are",
                     listen);
}

/* ---- requests --------------------------------------------------------------------------------------------------------------- */

/* The origin of the page that asks, if that is another than the server's own. */
static const char *foreign_origin(const struct serve_exchange *x)
{
    const char *origin = serve_header(x, MHD_HTTP_HEADER_ORIGIN);
    return origin && !serve_cors_is_own(origin, serve_header(x, MHD_HTTP_HEADER_HOST)) ? origin : NULL;
}

/* Browsers send some POSTs of any page without asking first; such a page could fill the feedback. */
static bool admit_origin(struct serve_exchange *x)
{
    const char *origin = foreign_origin(x);
    if (!origin || serve_cors_allows(x->server->options.guard.cors, origin)) return true;
    return serve_refuse(&x->problem, 403, "origin_not_allowed",
                        "pages of this origin may not ask; start the server with --cors to allow it");
}

bool serve_guard_is_preflight(struct serve_exchange *x, const char *method)
{
    if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) || !serve_header(x, MHD_HTTP_HEADER_ORIGIN) ||
        !serve_header(x, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_METHOD))
        return false;
    admit_origin(x);
    return true;
}

enum MHD_Result serve_guard_send_preflight(struct serve_exchange *x)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS, x->route->post ? "POST" : "GET, HEAD");
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, X-API-Key, X-Model-Version, X-Request-Id, traceparent");
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
    return serve_send_response(x, 204, response);
}

static bool take_token(struct serve_exchange *x)
{
    struct serve_guard *g = x->server->guard;
    unsigned char address[17] = {'@'}; /* no key's name begins so */
    const union MHD_ConnectionInfo *info;
    double wait_ms = 0;
    if (!g->limit) return true;
    if (x->client[0])
        wait_ms = serve_limit_take(g->limit, x->client, strlen(x->client), serve_now_ms());
    else if ((info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)))
        wait_ms = serve_limit_take(g->limit, address, 1 + serve_limit_address(address + 1, info->client_addr), serve_now_ms());
    if (wait_ms <= 0) return true;
    serve_metrics_add(x->server->metrics, SERVE_M_RATE_LIMITED, 1, x->client);
    x->retry_after_s = (int)(wait_ms / 1e3) + 1;
    return serve_refuse(&x->problem, 429, "rate_limited", "more than %g requests a second; try again in %d s", g->options.rate,
                        x->retry_after_s);
}

bool serve_guard_admit(struct serve_exchange *x, const char *method)
{
    struct serve_guard *g = x->server->guard;
    bool reads = !strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD);
    if (!reads && !admit_origin(x)) return false;
    if (x->route->roles & SERVE_OPEN) return true;
    if (!g->options.keys) {
        /* Whatever checks the others in front: nobody is known here to be an administrator. */
        if (g->options.insecure_open && !(x->route->roles & (SERVE_PREDICT | SERVE_OBSERVE)))
            return serve_refuse(&x->problem, 403, "forbidden", "only with --keys can there be administrators");
        return take_token(x);
    }
    size_t n = 0;
    const char *key = serve_key_parse(&n, serve_header(x, MHD_HTTP_HEADER_AUTHORIZATION), serve_header(x, "X-API-Key"));
    unsigned roles = 0;
    if (key) {
        pthread_rwlock_rdlock(&g->lock);
        roles = serve_keys_check(g->keys, key, n, x->client);
        pthread_rwlock_unlock(&g->lock);
    }
    if (!take_token(x)) return false; /* also for those who guess */
    if (roles & (x->route->roles | SERVE_ADMIN)) return true;
    serve_metrics_add(x->server->metrics, SERVE_M_KEYS_REFUSED, 1, roles ? "role" : key ? "unknown" : "missing");
    if (roles) return serve_refuse(&x->problem, 403, "forbidden", "this key may not ask for %s", x->route->path);
    if (key) return serve_refuse(&x->problem, 401, "wrong_key", "the server does not know this key");
    return serve_refuse(&x->problem, 401, "no_key", "send a key: Authorization: Bearer KEY, or X-API-Key: KEY");
}

void serve_guard_add_headers(const struct serve_exchange *x, unsigned http, struct MHD_Response *response)
{
    static const char *const always[][2] = {{"X-Content-Type-Options", "nosniff"},
                                            {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
                                            {"X-Frame-Options", "DENY"},
                                            {"Referrer-Policy", "no-referrer"}};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (!MHD_get_response_header(response, always[i][0])) MHD_add_response_header(response, always[i][0], always[i][1]);
    if (http == 401) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"rudd\"");
    if (x->retry_after_s) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", x->retry_after_s);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    const char *list = x->server->options.guard.cors, *origin = list ? foreign_origin(x) : NULL;
    if (!list) return;
    bool any = !strcmp(list, "*");
    if (!any) MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Origin");
    if (!origin || !serve_cors_allows(list, origin)) return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, any ? "*" : origin);
    MHD_add_response_header(response, "Access-Control-Expose-Headers", "Retry-After, Server-Timing, X-Request-Id");
}
