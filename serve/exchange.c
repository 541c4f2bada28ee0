/* exchange.c - sending an answer: see exchange.h. Every answer passes serve_send_response, so headers and counts are the same for all. */
#include "serve/clock.h"
#include "serve/exchange.h"
#include <string.h>

enum serve_state serve_state_of(struct serve_server *s)
{
    return (enum serve_state)atomic_load(&s->state);
}

const struct serve_model *serve_model_of(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    if (!x->model && serve_state_of(s) != SERVE_LOADING && s->models) x->model = serve_models_get(s->models, NULL);
    return x->model;
}

bool serve_choose_model(struct serve_exchange *x, const char *version)
{
    const struct serve_model *m = serve_models_get(x->server->models, version);
    if (!m)
        return serve_refuse(&x->problem, 404, "unknown_model", "there is no version %.64s; /model_info lists those there are",
                            version);
    serve_models_put(x->server->models, x->model);
    x->model = m;
    return true;
}

enum MHD_Result serve_send_response(struct serve_exchange *x, unsigned http, struct MHD_Response *response)
{
    serve_guard_add_headers(x, http, response);
    if (http == 503) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (http == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, x->route->post ? "POST" : "GET, HEAD");
    if (serve_state_of(x->server) == SERVE_DRAINING) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    serve_observe_headers(x, response);
    x->status = http;
    x->answer_ms = serve_now_ms();
    /* Counted before it is sent, so that a client that then asks for /metrics finds itself there. */
    serve_metrics_request(x->server->metrics, serve_route_label(x->route), http, (x->answer_ms - x->start_ms) / 1e3);
    enum MHD_Result result = MHD_queue_response(x->connection, http, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result serve_send_bytes(struct serve_exchange *x, unsigned http, const char *type, struct serve_bytes *out)
{
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(out->length, out->data, rudd_free);
    if (!response) {
        rudd_free(out->data);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    x->sent = out->length;
    return serve_send_response(x, http, response);
}

enum MHD_Result serve_send_json(struct serve_exchange *x, unsigned http, json_t *root)
{
    struct serve_bytes out = {0};
    if (serve_json_print(&out, root)) {
        rudd_free(out.data);
        return MHD_NO;
    }
    return serve_send_bytes(x, http, "application/json", &out);
}

enum MHD_Result serve_send_problem(struct serve_exchange *x)
{
    json_t *root = serve_json_problem(&x->problem);
    /* Clients of the Open Inference Protocol read "error". */
    if (root && x->route && !strncmp(x->route->path, "/v2", 3)) json_object_set(root, "error", json_object_get(root, "detail"));
    return serve_send_json(x, x->problem.http, root);
}

const char *serve_header(const struct serve_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}
