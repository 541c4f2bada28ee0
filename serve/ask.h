/* ask.h - one picture's way to its probabilities, the same for all who ask: /predict, batches and /v2.
 *
 *     serve_ask_find --> in the process's memory --hit--> answered at once
 *               miss: serve_ask_go --> an equal picture is on its way --> its answer is this one's, too
 *                                  --> Redis, if there is one --hit--> its answer
 *                                  --> the engine --> the cache --> ask->done(ask), after all that waited for it
 *     answered: serve_ask_answer (/predict's JSON) or serve_ask_remember: counted, logged, its picture kept
 *
 * Equal pictures (the cache's key is the same) that arrive while the first is computed wait for it, unless nothing is kept in memory: then
 * each is computed. What is true of the bytes, an answer or that they are broken, is all of theirs. An answer with a note
 * on a damaged picture is not kept: the cache holds probabilities alone. What befell the first alone (its deadline, a
 * full queue, no memory) is not: those that waited begin anew. Nobody waits for one that may take longer than he may.
 *
 * Tensors (job.tensor) go to the engine and nowhere else. */
#ifndef SERVE_ASK_H
#define SERVE_ASK_H

#include <jansson.h>
#include "nn/sha256.h"
#include "serve/cache.h"
#include "serve/engine.h"
#include "serve/models.h"
#include "serve/request.h"
#include "serve/store.h"

struct serve_server;

struct serve_ask {
    /* Filled by serve_ask_init, and by who asks: job.bytes and length (or the tensor), job.deadline_ms. */
    struct serve_server *server;
    const struct serve_model *model; /* stays until done */
    struct serve_job job;            /* job.probabilities: [classes], the asker's memory */
    void (*done)(struct serve_ask *ask);
    void *user;

    /* Filled before done, beside the job's own. job.cached: this ask had nothing computed. */
    bool full; /* the queue had no room; job.status is RUDD_CANCELLED. It may be asked again. */
    struct serve_cache_query query;

    /* The way's own. */
    bool leads, remote; /* others may wait for it; the second level of the cache was asked */
    struct serve_ask *next, *waiting, **last;
};

/* The asks that lead, by key. */
struct serve_asks;
enum rudd_status serve_asks_create(struct serve_asks **asks, struct rudd_error *err);
void serve_asks_destroy(struct serve_asks *asks); /* none may be on its way; NULL is fine */

/* Everything but the picture and the deadline. done is called once for each serve_ask_go, on any thread, also before that returns: the last
 * touch of the ask; it must not wait. */
void serve_ask_init(struct serve_ask *ask, struct serve_server *server, const struct serve_model *model, float *probabilities,
                    void (*done)(struct serve_ask *ask), void *user);
/* Whether the answer lies in memory: then the job is answered, and done is not called. Thread-safe. */
bool serve_ask_find(struct serve_ask *ask);
/* After a miss. Thread-safe. */
void serve_ask_go(struct serve_ask *ask);

/* ---- afterwards ---------------------------------------------------------------------------------------------------------------- */

/* What the job's failure means to the client. */
void serve_ask_refuse(struct serve_problem *p, const struct serve_ask *ask);

struct serve_asker {
    const char *request_id, *client; /* may be NULL */
    double start_ms;                 /* of its request */
};
/* Counts the answer, logs it under id, and keeps the picture where --keep-images asks for that. bytes: the picture, which may be taken over, or NULL:
 * then job.bytes is copied. hash: the picture's SHA-256, or "". */
void serve_ask_remember(char hash[NN_SHA256_HEX], const struct serve_ask *ask, const char *id, const struct serve_asker *who,
                        struct serve_bytes *bytes);
/* /predict's answer, remembered; NULL and a problem. bytes as above. */
json_t *serve_ask_answer(struct serve_ask *ask, int top_k, const struct serve_asker *who, struct serve_bytes *bytes,
                         struct serve_problem *p);
/* In the metrics alone. */
void serve_count_prediction(struct serve_server *server, const struct serve_model *model, const struct serve_job *job,
                            double total_ms);

#endif
