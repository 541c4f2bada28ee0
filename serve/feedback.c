/* feedback.c - POST /feedback: what a person says a picture shows. It is what the next training learns from, so it is acknowledged only when it
 * is durable: the connection sleeps until the store's commit, or the spool's sync (store.h).
 *
 *     {"prediction_id":"...","label":"perch"}     or "image_hash", the SHA-256 of the picture's file; "comment" may be there, too
 *     200 {"status":"stored","feedback_id":"...","label":"perch"}      "spooled": the database is away, the spool has it
 *
 * Saying the same again is the same feedback. A new label for the same picture does not undo the old row; the newest counts. */
#include "serve/exchange.h"
#include <string.h>

enum { COMMENT_MAX = 4000, HASH_DIGITS = 64 };

/* In the exchange from the request to its answer. */
struct serve_feedback {
    struct serve_store_opinion opinion;
    char label[];
};

void serve_feedback_free(struct serve_feedback *f)
{
    if (f) rudd_free(f->opinion.op.row.data);
    rudd_free(f);
}

static void stored(struct serve_store_op *op)
{
    struct serve_exchange *x = op->context;
    MHD_resume_connection(x->connection);
}

/* What the body says: NULL and a problem, or the object, whose strings `say` points into. */
static json_t *parse(struct serve_store_feedback *say, struct serve_exchange *x)
{
    const struct serve_body *body = &x->body;
    struct serve_problem *p = &x->problem;
    json_error_t where;
    if (body->too_large)
        serve_refuse(p, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server", body->max);
    if (body->failed) serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
    if (body->kind == SERVE_BODY_MULTIPART) serve_refuse(p, 415, "not_json", "feedback is JSON, not a form");
    if (!body->received) serve_refuse(p, 400, "empty_body", "send {\"prediction_id\":\"...\",\"label\":\"...\"}");
    if (p->http) return NULL;
    json_t *root = json_loadb((const char *)body->bytes.data, body->bytes.length, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        serve_refuse_json(p, &where);
        return NULL;
    }
    const struct {
        const char *name, **value;
    } fields[] = {{"prediction_id", &say->prediction_id},
                  {"image_hash", &say->image_hash},
                  {"label", &say->label},
                  {"comment", &say->comment}};
    if (!json_is_object(root)) serve_refuse(p, 400, "bad_feedback", "the body is JSON, but no object");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *field = json_object_get(root, fields[i].name);
        if (field && !json_is_null(field) && !json_is_string(field))
            serve_refuse(p, 400, "bad_feedback", "\"%s\" must be a string", fields[i].name);
        *fields[i].value = json_string_value(field);
    }
    if (!say->prediction_id && !say->image_hash)
        serve_refuse(p, 400, "bad_feedback", "say what it is about: \"prediction_id\" of an answer, or \"image_hash\"");
    if (!say->label) serve_refuse(p, 400, "bad_feedback", "say what the picture shows: \"label\"");
    if (say->comment && strlen(say->comment) > COMMENT_MAX)
        serve_refuse(p, 400, "bad_feedback", "\"comment\" has more than %d bytes", COMMENT_MAX);
    return root;
}

static void check(struct serve_exchange *x, const struct serve_store_feedback *say)
{
    const struct nn_model *m = serve_model_of(x)->model;
    int known = 0;
    if (x->problem.http) return;
    while (known < m->class_count && strcmp(m->classes[known].name, say->label)) known++;
    if (known == m->class_count)
        serve_refuse(&x->problem, 422, "unknown_label", "\"%.80s\" is no class of this model; /model_info lists them",
                     say->label);
    /* What has not the form of an id or hash is none that there is. */
    if (say->prediction_id && !serve_is_id(say->prediction_id))
        serve_refuse(&x->problem, 404, "unknown_prediction", "there is no such prediction");
    if (say->image_hash &&
        (strlen(say->image_hash) != HASH_DIGITS || strspn(say->image_hash, "0123456789abcdef") != HASH_DIGITS))
        serve_refuse(&x->problem, 404, "unknown_prediction",
                     "there is no prediction of such a picture; \"image_hash\" is the SHA-256 of its file, in lower case");
}

static enum MHD_Result acknowledge(struct serve_exchange *x)
{
    struct serve_store_opinion *o = &x->feedback->opinion;
    switch (o->op.status) {
    case RUDD_OK: break;
    case RUDD_ARGUMENT: serve_refuse(&x->problem, 404, "unknown_prediction", "there is no such prediction"); break;
    case RUDD_IO:
    case RUDD_LIMIT:
    case RUDD_NO_MEMORY: serve_refuse(&x->problem, 503, "store_away", "the feedback could not be kept; try again"); break;
    default: serve_refuse(&x->problem, 500, "internal", "the feedback could not be kept");
    }
    if (x->problem.http) return serve_send_problem(x);
    serve_metrics_add(x->server->metrics, SERVE_M_FEEDBACK, 1,
                      o->agrees == SERVE_AGREES    ? "yes"
                      : o->agrees == SERVE_DIFFERS ? "no"
                                                   : "unknown");
    return serve_send_json(x, 200,
                           json_pack("{s:s,s:s,s:s}", "status", o->op.spooled ? "spooled" : "stored", "feedback_id", o->id,
                                     "label", x->feedback->label));
}

enum MHD_Result serve_answer_feedback(struct serve_exchange *x)
{
    struct serve_store *store = x->server->record.store;
    struct serve_store_feedback say = {.client = *x->client ? x->client : NULL, .request_id = x->trace.request_id};
    if (x->feedback) return x->problem.http ? serve_send_problem(x) : acknowledge(x);
    if (!store) serve_refuse(&x->problem, 404, "no_store", "this server keeps no feedback; start it with --store");
    json_t *root = x->problem.http ? NULL : parse(&say, x);
    check(x, &say);
    if (!x->problem.http) {
        size_t size = strlen(say.label) + 1;
        struct serve_feedback *f = rudd_zalloc(1, sizeof *f + size);
        x->feedback = f;
        if (f) memcpy(f->label, say.label, size);
        if (!f || serve_store_feedback_op(&f->opinion, &say, NULL))
            serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
    }
    json_decref(root);
    if (x->problem.http) return serve_send_problem(x);
    struct serve_store_op *op = &x->feedback->opinion.op;
    op->done = stored;
    op->context = x;
    /* Suspended before the hand-over: the writer may be done before submit returns. */
    MHD_suspend_connection(x->connection);
    if (!serve_store_submit(store, op)) {
        serve_refuse(&x->problem, 503, "store_full", "too much waits to be stored; try again");
        MHD_resume_connection(x->connection);
    }
    return MHD_YES;
}
