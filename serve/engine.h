/* engine.h - the part of the server that computes: a bounded queue of pictures, threads that decode them, and threads that run networks over
 * several pictures at once.
 *
 *     submit --> | waiting (at most `limit`) | --> decoders: decode, resize --> | prepared | --> workers: up to max_batch pictures
 *                                                                                           (the engine's and the network's)
 *                                                                                           of one network --> job->done(job)
 *
 * A worker takes what is prepared at once when nothing else is on its way; else it waits at most max_delay_ms for the batch to fill. A job
 * is never dropped: once submitted, done is called exactly once, also when its deadline passes or the engine is stopped.
 *
 * Processors are lent run by run: one alone gets all of them and is soon done; when others wait, each gets its share, since two runs on one
 * processor each end sooner than one after the other on two. All runs together never take more than there are.
 *
 * Running a network allocates nothing: prepared pictures lie in slots that the engine owns, sessions have their memory from the start.
 * Decoding allocates what the picture asks for. */
#ifndef SERVE_ENGINE_H
#define SERVE_ENGINE_H

#include <stdbool.h>
#include "data/image/decode.h"
#include "nn/budget.h"
#include "nn/rudd.h"
#include "nn/sha256.h"

/* A network as the engine runs it: one session for each worker. */
struct serve_net {
    const rudd_model *model;
    rudd_session **sessions; /* [workers] */
    bool raw;                /* answers leave the model's temperature out */
    int workers, max_batch;  /* pictures in one run; more only where the engine's own max_batch allows it */
};
enum {
    SERVE_BATCH_MOST = 4,  /* when nobody says how many pictures a run may take */
    SERVE_WORKERS_MOST = 4 /* when nobody says how many workers: each has a plan's memory */
};
/* How many pictures runs of this model should take on this many processors: max if that many in one run take clearly less time than one after
 * another, else 1, for then sharing a run makes answers late and none of them early. Runs both a few times. No answer depends on it.
 * memory_limit as in nn_plan_options: what does not fit does not pay. */
enum rudd_status serve_net_choose_batch(int *batch, const rudd_model *model, int max, int threads, size_t memory_limit,
                                        struct rudd_error *err);
/* Its rule: one_ms for a run of one picture, all_ms for one of count. */
bool serve_batch_pays(double one_ms, double all_ms, int count);
/* The model must outlive the net. raw: probabilities without the model's temperature. */
enum rudd_status serve_net_init(struct serve_net *net, const rudd_model *model, bool raw, int workers, int max_batch,
                                struct rudd_error *err);
/* The same, with prepared weights and all sessions within the budget, whose figures are in the message else. */
enum rudd_status serve_net_init_within(struct serve_net *net, const rudd_model *model, bool raw, int workers, int max_batch,
                                       const struct nn_budget *budget, struct rudd_error *err);
void serve_net_free(struct serve_net *net); /* none of its jobs may be in an engine; all zero is fine */

struct serve_job {
    const struct serve_net *net; /* with as many workers as the engine; stays until done */
    const uint8_t *bytes;        /* one picture file; the submitter keeps it alive until done */
    size_t length;
    /* Instead of bytes: normalised pictures [tensor_count,3,s,s], finite, s the model's image size; probabilities are then
     * [tensor_count, classes]. They run by themselves. NULL: bytes. */
    const float *tensor;
    int tensor_count;
    double deadline_ms; /* of serve_now_ms; when it passes before the network runs, the job ends late. 0: none */
    void (*done)(struct serve_job *job); /* called on a thread of the engine, its last touch of the job; must not wait */
    void *user;
    bool hash; /* sha256 is wanted */

    /* Filled before done. */
    enum rudd_status status; /* RUDD_CANCELLED: late, or the engine was told to give up */
    bool late;
    struct rudd_error err;
    float *probabilities; /* [classes], the submitter's memory */
    /* Waiting for a decoder and for a worker; decoding; resizing; the network's run, which served `batch` pictures. */
    double queue_ms, decode_ms, resize_ms, infer_ms;
    int batch, threads;         /* threads: on how many processors */
    char sha256[NN_SHA256_HEX]; /* of bytes; "" unless hash */
    char note[DATA_NOTE];       /* what is wrong with the picture although it was read (decode.h) */
    bool cached;                /* the probabilities were there already: the engine never saw this job */

    /* The engine's own. */
    double since_ms;
    int slot; /* where its prepared picture lies */
    struct serve_job *next;
};

struct serve_engine_options {
    int workers;    /* threads that run networks */
    int processors; /* for all their runs together; 0: one for each worker */
    int threads;    /* processors that one run takes at most; 0: all. Never more than rudd_set_threads said */
    int decoders;   /* threads that decode and resize */
    int max_batch;  /* pictures in one run */
    double max_delay_ms;
    int limit;                 /* jobs that may wait for a decoder */
    struct data_limits limits; /* of pictures */
};

struct serve_engine;
enum rudd_status serve_engine_create(struct serve_engine **engine, const struct serve_engine_options *options,
                                     struct rudd_error *err);
/* Refuses what comes, finishes what waits, joins the threads; again is fine. Not from two threads at a time. */
void serve_engine_stop(struct serve_engine *engine);
/* Stops and frees. NULL is fine. */
void serve_engine_destroy(struct serve_engine *engine);

/* false: the queue is full or the engine stopped; done will not be called. Thread-safe. */
bool serve_engine_submit(struct serve_engine *engine, struct serve_job *job);
/* Ends every job that no thread works on with RUDD_CANCELLED; the others run to their end. Thread-safe. */
void serve_engine_cancel(struct serve_engine *engine);
int serve_engine_waiting(struct serve_engine *engine); /* jobs that wait for a decoder now. Thread-safe. */
bool serve_engine_full(struct serve_engine *engine);   /* whether a submit would be refused now. Thread-safe. */

/* Processors of a run when so many are free, so many runs could begin now, and each may take at most `most` (0: any). */
int serve_engine_share(int processors, int runs, int most);

/* Lowers workers, then threads, until workers x threads <= processors. workers 0: one a processor, SERVE_WORKERS_MOST at most; threads 0 stays
 * 0, all that are free. Whether it lowered what was asked for. */
bool serve_engine_fit(int *workers, int *threads, int processors);

#endif
