/* predict.c - POST /predict: one picture, one answer.
 *
 *     body -> picture -> serve_ask_find -> answer at once
 *                              -> serve_ask_go (connection suspended) -> resume -> answer
 *
 * I/O threads never wait for the engine: while a picture is computed its connection is suspended, so /health and /metrics answer at once. */
#include "serve/clock.h"
#include "serve/exchange.h"

static void computed(struct serve_ask *ask)
{
    struct serve_exchange *x = ask->user;
    x->computed = true;
    MHD_resume_connection(x->connection);
}

static enum MHD_Result send_prediction(struct serve_exchange *x)
{
    const struct serve_asker who = {x->trace.request_id, *x->client ? x->client : NULL, x->start_ms};
    json_t *root = serve_ask_answer(&x->ask, x->top_k, &who, &x->body.bytes, &x->problem);
    return root ? serve_send_json(x, 200, root) : serve_send_problem(x);
}

/* Lets the connection sleep while the picture is computed; MHD asks again after the resume. */
enum MHD_Result serve_answer_predict(struct serve_exchange *x)
{
    struct serve_server *s = x->server;
    const struct serve_model *model = serve_model_of(x);
    int classes = model->model->class_count;
    if (x->computed) return send_prediction(x);
    const char *top_k = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "top_k");
    if (!serve_top_k_parse(&x->top_k, top_k, 3, classes, &x->problem) || !serve_body_finish(&x->body, &x->problem))
        return serve_send_problem(x);
    float *probabilities = rudd_alloc(sizeof(float) * (size_t)classes);
    if (!probabilities) {
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return serve_send_problem(x);
    }
    serve_ask_init(&x->ask, s, model, probabilities, computed, x);
    x->ask.job.bytes = x->body.bytes.data;
    x->ask.job.length = x->body.bytes.length;
    x->ask.job.deadline_ms = s->options.deadline_ms ? serve_now_ms() + s->options.deadline_ms : 0;
    if (serve_ask_find(&x->ask)) return send_prediction(x);
    /* Suspended before the hand-over: it may be done before the call returns. */
    MHD_suspend_connection(x->connection);
    serve_ask_go(&x->ask);
    return MHD_YES;
}
