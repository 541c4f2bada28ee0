/* store.h - what the server remembers: its predictions, what people say of them, and batch jobs.
 *
 *     I/O threads --rows--> | queue | --one writer thread, many rows a commit--> database (store_sql.h)
 *                                               | away or slow
 *                                               v
 *                                     spool on disk (spool.h), replayed in order when the database is back
 *
 * Predictions are logged behind their answers: nobody waits for them, and when the queue or the spool is full they are dropped and counted.
 * Feedback and results of batch items are acknowledged when they are durable: committed, or in the spool and synced. Every row has a key
 * that is the same at each attempt, so that a row written twice is there once.
 *
 * All functions are thread-safe unless they say otherwise. */
#ifndef SERVE_STORE_H
#define SERVE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include "serve/bytes.h"
#include "serve/store_sql.h"

struct serve_store;

struct serve_store_options {
    const char *where;             /* a file, or postgresql://... */
    const char *spool;             /* the spool's file; made when first needed */
    size_t spool_max;              /* bytes */
    int time_limit_ms;             /* for one answer of the database; 0: 2000 */
    int keep_days;                 /* predictions and finished jobs older than this are deleted; 0: never */
    void (*say)(const char *line); /* what the log should say: the database went away, or came back; may be NULL */
};
/* Migrates. A PostgreSQL server that is away now is fine: rows wait in the spool. Servers in one folder get a
 * spool each: the first free of spool, spool.2 ... spool.9, and take over what is in those that nobody holds any more. */
enum rudd_status serve_store_create(struct serve_store **store, const struct serve_store_options *options,
                                    struct rudd_error *err);
/* Writes what waits (into the spool, if the database is away), answers every op, refuses new ones. Again is fine. Not from two threads at
 * a time. */
void serve_store_stop(struct serve_store *store);
void serve_store_destroy(struct serve_store *store); /* stops and frees; NULL is fine */

enum { SERVE_ID = 33 }; /* 32 lower-case hexadecimal digits and the terminator */
/* A new id: 12 digits of milliseconds since 1970, then random ones, so that ids of one time lie together in an index. */
bool serve_new_id(char id[SERVE_ID]);
bool serve_is_id(const char *text);
double serve_wall_s(void); /* seconds since 1970 */

/* ---- predictions ----------------------------------------------------------------------------------------------------------- */

struct serve_store_prediction {
    const char *id, *image_hash, *model, *model_version, *model_sha256, *class;
    double confidence, latency_ms;
    const char *top; /* JSON: [{"class":"pike","probability":0.9},...] */
    bool cached;
    const char *request_id, *client; /* may be NULL; client: the name of its key */
};
/* Copies and queues; never waits. store NULL: nothing is kept. */
void serve_store_log(struct serve_store *store, const struct serve_store_prediction *prediction);

/* ---- anything else: an op -------------------------------------------------------------------------------------------------------- */

/* Work inside a transaction on the writer's thread. It may run more than once (the first commit failed): what it leaves at user must be as
 * if it ran once. RUDD_ARGUMENT: the op is refused and has changed nothing; other ops of the same commit go on. */
typedef enum rudd_status serve_store_work(struct serve_sql *sql, void *user, struct rudd_error *err);

struct serve_store_op {
    serve_store_work *work; /* may be NULL */
    struct serve_bytes
        row; /* store_row.h; written after work succeeded. When the database is away it goes to the spool and work is skipped.
                               Empty: there is none, and the op fails with RUDD_IO then. */
    void (*done)(struct serve_store_op *op); /* on the writer's thread, which must not be kept: its last touch of the op */
    void *user;                              /* work's */
    void *context;                           /* done's */

    /* Filled before done. RUDD_OK: durable. RUDD_IO, RUDD_LIMIT: not now; anything else: never. */
    enum rudd_status status;
    struct rudd_error err;
    bool spooled;

    struct serve_store_op *next; /* the store's own */
};
/* false: the queue is full or the store stopped; done will not be called. */
bool serve_store_submit(struct serve_store *store, struct serve_store_op *op);
/* The same and waits: for threads that may. */
enum rudd_status serve_store_wait(struct serve_store *store, struct serve_store_op *op, struct rudd_error *err);

/* ---- feedback ------------------------------------------------------------------------------------------------------------------- */

struct serve_store_feedback {
    const char *prediction_id, *image_hash; /* one of them may be NULL */
    const char *label, *comment;            /* comment may be NULL */
    const char *request_id, *client;        /* may be NULL */
};
/* Feedback on its way. id names it: the same client saying the same of the same picture again is the same feedback, with a newer time. */
struct serve_store_opinion {
    struct serve_store_op op;
    char id[SERVE_ID];
    /* Set by the op: whether the label is what was predicted. Unknown while the database is away. */
    enum serve_agreement { SERVE_UNKNOWN, SERVE_AGREES, SERVE_DIFFERS } agrees;
};
/* Prepares op (all is copied into its row); the caller sets done and context, and frees the row afterwards. op ends with RUDD_ARGUMENT when
 * there is no such prediction or picture. */
enum rudd_status serve_store_feedback_op(struct serve_store_opinion *opinion, const struct serve_store_feedback *feedback,
                                         struct rudd_error *err);

/* Whose claims this server's are; lives as long as the store. */
const char *serve_store_owner(const struct serve_store *store);

/* ---- batch jobs (store_jobs.c): all of these wait for the database, so never call them on an I/O thread ---------------------------- */

struct serve_store_item { /* one picture of a job: its bytes or its URL */
    const char *name;     /* what the client calls it; may be NULL */
    const char *url;
    const void *image;
    size_t length;
};
/* A new job, durable on RUDD_OK, with items 0..count-1 "queued". options: JSON for the caller's own use, may be NULL. RUDD_ARGUMENT:
 * there is one of this id already (then nothing is changed); RUDD_IO: the database is away, try again. */
enum rudd_status serve_store_job_create(struct serve_store *store, const char *id, const struct serve_store_item *items,
                                        int count, const char *options, const char *request_id, const char *client,
                                        struct rudd_error *err);

/* An item in work; serve_store_claim_free frees what it points to. */
struct serve_store_claim {
    char *job_id; /* NULL: nothing waits */
    int item;
    char *name, *url, *options; /* may be NULL */
    char *image;                /* NULL: there is a URL */
    size_t length;
};
/* Takes the oldest queued item of any job and marks it "running" for lease_s seconds; after those, or when this server was killed and starts again,
 * it is queued again. No two claims, of this server or another on the same database, get the same item meanwhile. */
enum rudd_status serve_store_job_claim(struct serve_store *store, struct serve_store_claim *claim, double lease_s,
                                       struct rudd_error *err);
void serve_store_claim_free(struct serve_store_claim *claim);
/* The outcome of a claimed item: result (JSON) when it is done, or code and detail when it failed; the stored picture is dropped. Durable on
 * RUDD_OK, through the spool if the database is away; the first outcome of an item stays. */
enum rudd_status serve_store_job_finish(struct serve_store *store, const char *job_id, int item, const char *result,
                                        const char *code, const char *detail, struct rudd_error *err);
/* Gives a claimed item back unfinished (the server is stopping). */
enum rudd_status serve_store_job_release(struct serve_store *store, const char *job_id, int item, struct rudd_error *err);
/* A new reference: {"id","time","state":"queued|running|done|failed","options","request_id","client","total","queued","running","done","failed",
 * "items":[{"item","name","url","state","result":{...},"code","detail"}...]}, items in order. "failed": all of its items. RUDD_ARGUMENT:
 * there is none of this id. */
enum rudd_status serve_store_job_read(json_t **job, struct serve_store *store, const char *id, struct rudd_error *err);
/* How many items are not finished, those of jobs begun before this start included. */
enum rudd_status serve_store_job_unfinished(struct serve_store *store, int *items, struct rudd_error *err);

/* ---- figures for the metrics ------------------------------------------------------------------------------------------------------ */

enum serve_store_table { SERVE_PREDICTIONS, SERVE_FEEDBACK, SERVE_JOB_ITEMS, SERVE_STORE_TABLES };
struct serve_store_stats {
    bool up;                                      /* the database answers and the spool is empty */
    uint64_t rows[SERVE_STORE_TABLES];            /* committed */
    uint64_t dropped[SERVE_STORE_TABLES];         /* lost: no room for them; of feedback and items: refused */
    uint64_t commits, errors;                     /* transactions; failures of the database */
    uint64_t spooled, replayed, rejected;         /* rows */
    uint64_t queue_rows, spool_rows, spool_bytes; /* now */
};
void serve_store_get_stats(struct serve_store_stats *stats, struct serve_store *store);

#endif
