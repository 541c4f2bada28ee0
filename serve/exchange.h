/* exchange.h - one request and its answer: what the routes share.
 *
 *     routes.c     the table of routes; an exchange's life from first header to last byte
 *     exchange.c   sending
 *     facts.c      answers that are there at once: /, health, readiness, model, metrics
 *     predict.c    a picture's answer; its way there is ask.h's, as for batches and v2
 *     docs.c       the pages and the description of all this
 *     v2.c         the same, as the Open Inference Protocol has it
 *
 * An exchange belongs to the I/O thread that runs its connection. It is refused in one way only: its `problem` is filled, its body is read to the
 * end and thrown away (a client that is still sending would not see an answer), and the problem is the answer. */
#ifndef SERVE_EXCHANGE_H
#define SERVE_EXCHANGE_H

#include <jansson.h>
#include <microhttpd.h>
#include "serve/ask.h"
#include "serve/guard.h"
#include "serve/keys.h"
#include "serve/request.h"
#include "serve/routes.h"
#include "serve/trace_context.h"

struct serve_exchange;
typedef enum MHD_Result serve_answer_fn(struct serve_exchange *x);

struct serve_route {
    const char *path;  /* may hold one asterisk: anything, also nothing; before other rows that fit the same paths */
    bool post;         /* POST; else GET and HEAD */
    bool needs_model;  /* 503 while loading */
    const char *label; /* what the metrics call it; rows may share one */
    serve_answer_fn *answer;
    unsigned roles; /* enum serve_role: holders of which keys may ask, where keys are asked for */
};

struct serve_exchange {
    struct serve_server *server;
    struct MHD_Connection *connection;
    const struct serve_route *route; /* NULL: there is none */
    const char *tail;                /* from where the asterisk in the route's path stands; lives as long as the call */
    double start_ms;
    struct serve_trace trace;
    char method[16];
    unsigned status;         /* of the answer; 0: there is none yet */
    double answer_ms;        /* serve_now_ms() when there was one */
    size_t sent;             /* bytes of its body */
    struct serve_line *line; /* the connection that it came by; routes.c */
    struct serve_body body;
    struct serve_problem problem;
    char client[SERVE_KEY_NAME]; /* the name of the key that asks; "": none */
    int retry_after_s;           /* 0: nothing to say about it */
    bool preflight;
    bool unframed;                   /* where its body ends is in doubt */
    const struct serve_model *model; /* of serve_model_of */
    bool computed;                   /* ask is done */
    struct serve_ask ask;            /* predict.c */
    struct serve_reload reload;
    int top_k;
    struct serve_batch_work *batch;  /* batch.c */
    struct serve_feedback *feedback; /* on its way to the store; feedback.c */
    struct serve_v2 *v2;             /* pictures on their way through the engine; v2.c */
};

/* The table of routes: a request's is the first that fits. */
const struct serve_route *serve_route_table(int *count);
/* What the metrics and the log call this route; NULL: unknown paths. */
const char *serve_route_label(const struct serve_route *route);

/* ---- what answers are made of --------------------------------------------------------------------------------------- */

enum serve_state serve_state_of(struct serve_server *server);
/* The one model that this exchange is about, from the first call to the exchange's end, whatever is loaded meanwhile: that of X-Model-Version for
 * routes that need a model, else the default. NULL while loading. */
const struct serve_model *serve_model_of(struct serve_exchange *x);
/* Makes it the model of that version instead (NULL or "": the default). Refuses by 404 and leaves it as it was when there is none. */
bool serve_choose_model(struct serve_exchange *x, const char *version);
/* A header of the request; NULL: it has none of that name. */
const char *serve_header(const struct serve_exchange *x, const char *name);
/* Sends out's bytes, which become the response's. */
enum MHD_Result serve_send_bytes(struct serve_exchange *x, unsigned http, const char *type, struct serve_bytes *out);
/* Sends response, after the headers that every answer has, and drops it. Everything that is sent passes here. */
enum MHD_Result serve_send_response(struct serve_exchange *x, unsigned http, struct MHD_Response *response);
/* Sends root as JSON and drops it; a closed connection when there is no memory even for that. */
enum MHD_Result serve_send_json(struct serve_exchange *x, unsigned http, json_t *root);
/* Sends x->problem. */
enum MHD_Result serve_send_problem(struct serve_exchange *x);

/* What a request leaves behind (observe.c): its ids are read at the begin; the answer's header names them and the prediction's stages; at the
 * end it is logged. */
void serve_observe_begin(struct serve_exchange *x, const char *method);
void serve_observe_headers(struct serve_exchange *x, struct MHD_Response *response);
void serve_observe_end(struct serve_exchange *x);

/* ---- the answers ------------------------------------------------------------------------------------------------------ */

serve_answer_fn serve_answer_root, serve_answer_health, serve_answer_ready, serve_answer_model,
    serve_answer_metrics;                                      /* facts.c */
serve_answer_fn serve_answer_predict;                          /* predict.c */
serve_answer_fn serve_answer_batch, serve_answer_batch_status; /* batch.c */

void serve_v2_free(struct serve_v2 *v2);                                  /* NULL is fine */
serve_answer_fn serve_answer_docs, serve_answer_openapi, serve_send_page; /* docs.c; the latter for browsers at / */
serve_answer_fn serve_answer_v2, serve_answer_v2_live, serve_answer_v2_ready, serve_answer_v2_model,
    serve_answer_v2_infer;                                 /* v2.c */
serve_answer_fn serve_answer_feedback;                     /* feedback.c */
void serve_feedback_free(struct serve_feedback *feedback); /* NULL is fine */
serve_answer_fn serve_answer_reload;                       /* admin.c */

#endif
