/* batch.h - several pictures in one request.
 *
 *     POST /batch/predict                                            few pictures, no request_id: all results in the answer
 *        multipart, several `file`s \                                else a job: 202, and the results at
 *        {"image_urls":[...]}        >--- items 0..n-1               GET /batch/status/{request_id}
 *
 *     at once:  I/O thread --list--> runners: one picture at a time each --last one--> answer
 *     a job:    I/O thread --list--> clerk: into the store (202 when it is durable)
 *               runners: claim an item from the store --> fetch, engine --> its outcome into the store
 *
 * An item's outcome is stored under its own number by the runner that claimed it, so whatever fails, nothing moves to a neighbour's place. A
 * killed server's unfinished items are claimed again after its restart (store.h). Runners are a few threads that wait for the engine, so
 * that batches share runs of the network and yet leave room in its queue for single pictures. */
#ifndef SERVE_BATCH_H
#define SERVE_BATCH_H

#include <jansson.h>
#include "serve/fetch.h"
#include "serve/request.h"
#include "serve/trace_context.h"

enum { SERVE_BATCH_ITEMS = 1000, SERVE_BATCH_AT_ONCE = 32 };

struct serve_exchange;
struct serve_server;

struct serve_batch_item {
    char *name, *url; /* may be NULL */
    struct serve_bytes bytes;
    json_t *result; /* NULL: problem says why */
    struct serve_problem problem;
};

/* One request about a batch, from its arrival to its answer. */
struct serve_batch_work {
    enum { SERVE_BATCH_NOW, SERVE_BATCH_JOB, SERVE_BATCH_STATUS } kind;
    struct serve_exchange *exchange;
    char id[SERVE_REQUEST_ID]; /* of the job */
    char version[65];          /* of the model; "": the default */
    int top_k;
    struct serve_batch_item *items;
    int count;
    int next, left; /* of SERVE_BATCH_NOW: the first item nobody works on; how many are not done */
    json_t *job;    /* as the store knows it */
    bool finished;
    struct serve_batch_work *link;
};

/* Fills id ("": none was given) and items from a request's whole body. 400, 413, 503. */
bool serve_batch_parse(struct serve_batch_work *work, struct MHD_Connection *connection, const struct serve_body *body,
                       struct serve_problem *p);
void serve_batch_work_free(struct serve_batch_work *work); /* NULL is fine */

struct serve_batch;
/* Of a server that has its model; fetcher may be NULL. Both outlive the batch. */
enum rudd_status serve_batch_create(struct serve_batch **batch, struct serve_server *server,
                                    const struct serve_fetcher *fetcher, struct rudd_error *err);
/* Ends every request (its connection is resumed) and joins the threads; claimed items go back to the store. Before the store stops; again
 * is fine, NULL too. */
void serve_batch_stop(struct serve_batch *batch);
void serve_batch_destroy(struct serve_batch *batch);

#endif
