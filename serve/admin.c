/* admin.c - what an administrator asks: POST /admin/reload loads every model file again.
 *
 * Without --keys anybody on this machine is an administrator, and nobody elsewhere. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "serve/exchange.h"

static bool is_local(const struct serve_exchange *x)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr) return false;
    if (info->client_addr->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)info->client_addr)->sin_addr.s_addr) >> 24 == 127;
    return info->client_addr->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)info->client_addr)->sin6_addr);
}

static void reloaded(struct serve_reload *reload)
{
    struct serve_exchange *x = reload->user;
    x->computed = true;
    MHD_resume_connection(x->connection);
}

enum MHD_Result serve_answer_reload(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    if (x->computed) {
        /* Which file, and why, is for the log: paths are the server's own business. */
        if (!x->reload.failed)
            return serve_send_json(x, 200,
                                   json_pack("{s:s,s:i,s:o}", "status", "reloaded", "loaded", x->reload.loaded, "versions",
                                             serve_json_versions(s->models)));
        serve_refuse(&x->problem, 500, "reload_failed",
                     "%d of %d model files could not be loaded; the versions before them go on, and the log says why",
                     x->reload.failed, x->reload.failed + x->reload.loaded);
    }
    if (!s->options.guard.keys && !is_local(x))
        serve_refuse(&x->problem, 403, "forbidden", "without --keys, only the server's own machine may ask for this");
    if (x->problem.http) return serve_send_problem(x);
    x->reload = (struct serve_reload){.done = reloaded, .user = x};
    MHD_suspend_connection(x->connection);
    serve_models_reload(s->models, &x->reload);
    return MHD_YES;
}
