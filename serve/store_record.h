/* store_record.h - what a server remembers of what it answers: the store, the kept pictures, and the pictures' hashes. */
#ifndef SERVE_STORE_RECORD_H
#define SERVE_STORE_RECORD_H

#include "nn/sha256.h"
#include "serve/lru.h"
#include "serve/metrics.h"
#include "serve/respond.h"
#include "serve/store.h"
#include "serve/store_images.h"

struct serve_record_options {
    const char *store;             /* a file, sqlite:FILE, postgresql://..., none; NULL: DATA_STORE_FILE if it can be had */
    const char *file;              /* a file that holds that on its first line, for a URL with a password */
    const char *spool;             /* NULL: beside the store's file, or DATA_STORE_FILE.spool */
    size_t spool_max;              /* bytes */
    int keep_days;                 /* 0: for ever */
    const char *images;            /* folder for the pictures; NULL: they are not kept */
    int images_days;               /* that they are kept; 0: for ever */
    void (*say)(const char *line); /* what the log should say; may be NULL */
};

struct serve_record {
    struct serve_store *store;   /* NULL: nothing is kept */
    struct serve_images *images; /* NULL: they are not */
    struct serve_lru *hashes;    /* of pictures whose probabilities are in the cache, by its keys */
    char warning[600];           /* why there is no store although nobody said none; "": no reason to complain */
};
/* A server that picked its own port (any_port) is there to try something: it makes no file that it was not told to make. */
enum rudd_status serve_record_open(struct serve_record *record, const struct serve_record_options *options, bool any_port,
                                   struct rudd_error *err);
void serve_record_stop(struct serve_record *record);  /* every op is answered; new ones are refused */
void serve_record_close(struct serve_record *record); /* all zero is fine */

/* Whether answers' pictures need their hash: then job.hash is to be set before the engine gets the job. */
bool serve_record_wants_hash(const struct serve_record *record);

/* One answer to the picture in job. bytes: the same picture, to be taken over; NULL: it is copied if it is to be kept. key: of the cache, or NULL. hash gets the picture's SHA-256 ("" when nothing is
 * kept). Never waits, except for the hash of a picture that came from the cache and was not seen here. */
struct serve_answered {
    const char *id, *request_id, *client; /* the latter two may be NULL */
    const struct serve_model *model;
    const struct serve_job *job;
    const uint64_t *key;
    double total_ms;
};
void serve_record_prediction(char hash[NN_SHA256_HEX], struct serve_record *record, const struct serve_answered *answered,
                             struct serve_bytes *bytes);

void serve_record_set_metrics(struct serve_metrics *metrics, struct serve_record *record);

#endif
