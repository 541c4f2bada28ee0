/* predict.c - answers that the engine computes.
 *
 *     body -> picture -> cache -> answer at once
 *                          -> engine (connection suspended) -> resume -> answer
 *
 * I/O threads never wait for the engine: while a picture is computed its connection is suspended, so /health and /metrics answer at once. */
#include "serve/clock.h"
#include "serve/exchange.h"
#include <stdio.h>

static void computed(struct serve_job *job)
{
    struct serve_exchange *x = job->user;
    x->computed = true;
    MHD_resume_connection(x->connection);
}

/* What the engine's status means to the client. The decoder's own words about the client's picture are fit to be shown. */
void serve_refuse_computed(struct serve_problem *p, const struct serve_job *job)
{
    if (job->late) serve_refuse(p, 503, "deadline", "the server is busy: the picture waited longer than it may; try again");
    switch (job->status) {
    case RUDD_FORMAT: serve_refuse(p, 422, "broken_image", "%.400s", job->err.message); break;
    case RUDD_LIMIT: serve_refuse(p, 413, "too_many_pixels", "%.400s", job->err.message); break;
    case RUDD_NO_MEMORY: serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again"); break;
    case RUDD_CANCELLED: serve_refuse(p, 503, "draining", "the server is shutting down"); break;
    default: serve_refuse(p, 500, "internal", "the prediction failed");
    }
}

void serve_count_prediction(struct serve_server *server, const struct serve_model *model, const struct serve_job *job,
                            double total_ms)
{
    struct serve_metrics *m = server->metrics;
    struct rudd_top top;
    rudd_top_k(&top, 1, job->probabilities, model->model->class_count);
    serve_metrics_prediction(m, model->model->classes[top.index].name, (double)top.probability, total_ms / 1e3);
    if (job->cached) return;
    serve_metrics_observe(m, SERVE_M_STAGES, job->queue_ms / 1e3, "queue");
    serve_metrics_observe(m, SERVE_M_STAGES, job->decode_ms / 1e3, "decode");
    serve_metrics_observe(m, SERVE_M_STAGES, job->resize_ms / 1e3, "resize");
    serve_metrics_observe(m, SERVE_M_STAGES, job->infer_ms / 1e3, "infer");
    serve_metrics_observe(m, SERVE_M_BATCH_SIZE, job->batch);
}

static enum MHD_Result send_prediction(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    char id[SERVE_ID], hash[NN_SHA256_HEX];
    if (!serve_new_id(id)) return MHD_NO;

    double total_ms = serve_now_ms() - x->start_ms;
    const struct serve_model *model = serve_model_of(x);
    json_t *root = serve_json_prediction(model, &x->job, x->top_k, total_ms, id);
    if (!root) {
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return serve_send_problem(x);
    }
    if (!x->job.cached) serve_cache_keep(s->cache, &x->query, x->job.probabilities, model->model->class_count);
    serve_count_prediction(s, model, &x->job, total_ms);
    const struct serve_answered answered = {.id = id,
                                            .request_id = x->trace.request_id,
                                            .client = *x->client ? x->client : NULL,
                                            .model = model,
                                            .job = &x->job,
                                            .key = model->model->sha256 ? x->query.key : NULL,
                                            .total_ms = total_ms};
    serve_record_prediction(hash, &s->record, &answered, &x->body.bytes);
    if (*hash) json_object_set_new(root, "image_hash", json_string(hash));
    return serve_send_json(x, 200, root);
}

/* Whether the picture's probabilities are in the cache, from where they come into the job. */
static bool in_cache(struct serve_exchange *x)
{
    const struct nn_model *m = serve_model_of(x)->model;
    if (!m->sha256) return false; /* a model without a name for what it holds */
    char scope[128];              /* all that an answer depends on beside the picture */
    snprintf(scope, sizeof scope, "%s%s", m->sha256, x->server->options.calibrated ? ":calibrated" : "");
    x->job.cached =
        serve_cache_find(x->server->cache, &x->query, x->job.bytes, x->job.length, scope, x->job.probabilities, m->class_count);
    return x->job.cached;
}

/* Hands the picture of a suspended connection to the engine. */
static void compute(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    if (serve_engine_submit(s->engine, &x->job)) return;
    serve_refuse(&x->problem, 503, "overloaded", "%d predictions wait already; try again in a second", s->options.queue);
    MHD_resume_connection(x->connection);
}

/* The second level of the cache has answered. */
static void asked(struct serve_cache_query *query, bool found)
{
    struct serve_exchange *x = query->user;
    x->job.cached = found;
    if (found) {
        x->job.status = RUDD_OK;
        computed(&x->job);
    } else {
        compute(x);
    }
}

/* Hands the picture to the cache or the engine and lets the connection sleep; MHD asks again after the resume. */
enum MHD_Result serve_answer_predict(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    const struct serve_model *model = serve_model_of(x);
    int classes = model->model->class_count;
    if (x->computed) {
        if (x->job.status) serve_refuse_computed(&x->problem, &x->job);
        return x->problem.http ? serve_send_problem(x) : send_prediction(x);
    }
    const char *top_k = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "top_k");
    if (!serve_top_k_parse(&x->top_k, top_k, 3, classes, &x->problem) || !serve_body_finish(&x->body, &x->problem))
        return serve_send_problem(x);
    x->job = (struct serve_job){.net = &model->net,
                                .deadline_ms = s->options.deadline_ms ? serve_now_ms() + s->options.deadline_ms : 0,
                                .bytes = x->body.bytes.data,
                                .length = x->body.bytes.length,
                                .done = computed,
                                .user = x,
                                .hash = serve_record_wants_hash(&s->record),
                                .status = RUDD_CANCELLED};
    x->job.probabilities = rudd_alloc(sizeof(float) * (size_t)classes);
    if (!x->job.probabilities) {
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return serve_send_problem(x);
    }
    if (in_cache(x)) return send_prediction(x);
    x->query.done = asked;
    x->query.user = x;
    /* Suspended before the hand-over: it may be done before the call returns. */
    MHD_suspend_connection(x->connection);
    if (!serve_cache_ask(s->cache, &x->query)) compute(x);
    return MHD_YES;
}
