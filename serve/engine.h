/* engine.h - the part of the server that computes: a bounded queue of pictures and the worker threads that own the sessions.
 *
 *     I/O threads --submit--> | job | job | job |  (at most `limit` waiting) --> worker: decode, network --> job->done(job)
 *
 * A job is never dropped: once submitted, done is called exactly once, also when the engine is stopped. */
#ifndef SERVE_ENGINE_H
#define SERVE_ENGINE_H

#include <stdbool.h>
#include "data/decode.h"
#include "nn/rudd.h"

struct serve_job {
    const uint8_t *bytes; /* one JPEG or PNG file; the submitter keeps it alive until done */
    size_t length;
    void (*done)(struct serve_job *job); /* called on a worker's thread, its last touch of the job */
    void *user;

    /* Filled before done. */
    enum rudd_status status;
    struct rudd_error err;
    float *probabilities; /* [classes], the submitter's memory */
    double queue_ms, decode_ms, infer_ms;
    bool cached; /* the probabilities were there already: the engine never saw this job */

    /* The engine's own. */
    double submitted_ms;
    struct serve_job *next;
};

struct serve_engine;

/* workers >= 1 threads, each with its own session of the model, calibrated or not; limit >= 1 jobs may wait beyond those being computed. The model
 * must outlive the engine. */
enum rudd_status serve_engine_create(struct serve_engine **engine, const rudd_model *model, bool calibrated, int workers,
                                     int limit, const struct data_limits *limits, struct rudd_error *err);
/* Refuses what comes, finishes what waits, joins the workers; again is fine. Not from two threads at a time. */
void serve_engine_stop(struct serve_engine *engine);
/* Stops and frees. NULL is fine. */
void serve_engine_destroy(struct serve_engine *engine);

/* false: the queue is full or the engine stopped; done will not be called. Thread-safe. */
bool serve_engine_submit(struct serve_engine *engine, struct serve_job *job);
/* Ends every waiting job with RUDD_CANCELLED; those being computed run to their end. Thread-safe. */
void serve_engine_cancel(struct serve_engine *engine);
int serve_engine_waiting(struct serve_engine *engine); /* jobs in the queue now. Thread-safe. */
bool serve_engine_full(struct serve_engine *engine);   /* whether a submit would be refused now. Thread-safe. */

#endif
