/* facts.c - the answers that wait for nothing: the page, health, readiness, the model's facts, metrics. */
#include <string.h>
#include "serve/clock.h"
#include "serve/exchange.h"

enum MHD_Result serve_answer_root(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    if (!serve_accepts_json(serve_header(x, MHD_HTTP_HEADER_ACCEPT))) return serve_send_page(x);
    json_t *facts = serve_json_facts(serve_model_of(x), s->options.max_body, (uint64_t)(s->options.max_megapixels * 1e6));
    json_t *endpoints = json_object_get(facts, "endpoints");
    if (s->record.store) json_object_set_new(endpoints, "feedback", json_string("/feedback"));
    json_object_set_new(endpoints, "openapi", json_string("/openapi.json"));
    json_object_set_new(endpoints, "docs", json_string("/docs"));
    if (facts) json_object_set_new(facts, "keeps_pictures", json_boolean(s->record.images));
    return serve_send_json(x, 200, facts);
}

enum MHD_Result serve_answer_health(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    return serve_send_json(x, 200,
                           serve_json_health(serve_model_of(x), serve_state_of(s), (serve_now_ms() - s->started_ms) / 1e3));
}

/* "ready", or why not. */
static const char *readiness(struct serve_server *s)
{
    enum serve_state state = serve_state_of(s);
    return state == SERVE_READY && serve_engine_full(s->engine) ? "overloaded" : serve_state_name(state);
}

enum MHD_Result serve_answer_ready(struct serve_exchange *x)
{
    const char *status = readiness(x->server);
    return serve_send_json(x, strcmp(status, "ready") ? 503 : 200, serve_json_status(status));
}

enum MHD_Result serve_answer_model(struct serve_exchange *x)
{
    json_t *root = serve_json_model(serve_model_of(x));
    if (root) json_object_set_new(root, "versions", serve_json_versions(x->server->models));
    return serve_send_json(x, 200, root);
}

/* The numbers of the moment, which nobody keeps while nobody asks. */
static void set_gauges(struct serve_server *s, const struct serve_model *model)
{
    struct serve_metrics *m = s->metrics;
    struct serve_lru_stats kept;
    pthread_mutex_lock(&s->mutex);
    int in_flight = s->in_flight;
    pthread_mutex_unlock(&s->mutex);
    serve_cache_stats(&kept, s->cache);
    serve_record_set_metrics(m, &s->record);
    serve_metrics_set(m, SERVE_M_IN_FLIGHT, in_flight);
    serve_metrics_set(m, SERVE_M_READY, !strcmp(readiness(s), "ready"));
    serve_metrics_set(m, SERVE_M_QUEUE_DEPTH, model ? serve_engine_waiting(s->engine) : 0);
    serve_metrics_set(m, SERVE_M_QUEUE_LIMIT, s->options.queue);
    serve_metrics_set(m, SERVE_M_WORKERS, s->options.workers);
    serve_metrics_set(m, SERVE_M_START_TIME, s->start_time);
    serve_metrics_set(m, SERVE_M_CACHE_HITS, (double)kept.hits, "memory");
    serve_metrics_set(m, SERVE_M_CACHE_MISSES, (double)kept.misses, "memory");
    serve_metrics_set(m, SERVE_M_CACHE_EVICTIONS, (double)kept.evictions);
    serve_metrics_set(m, SERVE_M_CACHE_ENTRIES, (double)kept.entries);
    serve_metrics_set(m, SERVE_M_CACHE_BYTES, (double)kept.bytes);
}

enum MHD_Result serve_answer_metrics(struct serve_exchange *x)
{
    struct serve_bytes out = {0};
    set_gauges(x->server, serve_model_of(x));
    if (serve_metrics_print(&out, x->server->metrics)) {
        rudd_free(out.data);
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return serve_send_problem(x);
    }
    return serve_send_bytes(x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}
