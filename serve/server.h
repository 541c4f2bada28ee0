/* server.h - rudd-serve as an object: listen, load, answer, drain, stop. main.c adds options and signals.
 *
 *     serve_server_create   listening; /health answers, /ready says "loading"
 *     serve_server_load     the model is there; /ready says 200
 *     serve_server_drain    /ready says "draining", new predictions get 503, those begun get their answers
 *     serve_server_destroy
 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <stdbool.h>
#include "nn/options.h"
#include "serve/cache.h"
#include "serve/guard.h"
#include "serve/fetch.h"
#include "serve/store_record.h"

struct serve_options {
    struct nn_strings models;  /* files; the first answers when nobody chooses */
    const char *models_folder; /* more of them; may be NULL */
    size_t memory_limit;       /* for weights and sessions of a model; NN_BYTES_AUTO: what is left; 0: none */
    int watch_ms;              /* between two looks whether they changed; 0: never */
    const char *name;          /* for all; NULL: each file's name without its ending */
    const char *listen;        /* "HOST:PORT", "[V6]:PORT", ":PORT" (loopback) or "PORT"; port 0: a free one */
    int workers;               /* runs of the network at a time */
    int processors, threads; /* of all runs together and, at most, of one (serve_engine_fit); 0: one for each worker, and all */
    int decoders;            /* threads that decode and resize pictures */
    int max_batch;           /* pictures in one run; 0: what pays, at most SERVE_BATCH_MOST */
    int max_delay_us;        /* that a prepared picture waits for others to share its run, while others are on their way */
    int queue;               /* pictures that may wait for a decoder */
    int deadline_ms;         /* that a picture may wait in all; 0: for ever */
    int io_threads;          /* threads that read requests and write answers */
    int connections;         /* at most; more are not accepted */
    size_t max_body;         /* bytes */
    double max_megapixels;
    bool truncated;                /* pictures that end early are read (data_limits) */
    bool raw, calibrated;          /* see DATA_OPTION_RAW, DATA_OPTION_CALIBRATED */
    void (*say)(const char *line); /* what the log should say; any thread; may be NULL */
    int timeout_s;                 /* for a request to arrive whole, and for an idle connection */
    struct serve_cache_options cache;
    struct serve_fetch_options fetch; /* pictures by URL; max_bytes 0: max_body */
    const char *access_log;           /* file for a line of JSON for each request, "-": standard output; NULL: none */
    struct serve_guard_options guard;
    struct serve_record_options record;
    const char *tls_certificate, *tls_key; /* PEM files; NULL: plain HTTP */
};
extern const struct serve_options serve_options_default;

struct serve_server;
enum rudd_status serve_server_create(struct serve_server **server, const struct serve_options *options, struct rudd_error *err);
/* Loads the models and starts the workers. Once. */
enum rudd_status serve_server_load(struct serve_server *server, struct rudd_error *err);
/* What SIGHUP asks for: the access log's file is opened anew, and all models are loaded again. Thread-safe. */
void serve_server_hangup(struct serve_server *server);
/* "http://127.0.0.1:8080", the real port; lives as long as the server. */
const char *serve_server_url(const struct serve_server *server);
/* What an administrator should know although the server runs, or "". */
const char *serve_server_warning(const struct serve_server *server);
/* Waits until every request that began is answered, or seconds have passed; then what still waits is answered 503. */
void serve_server_drain(struct serve_server *server, double seconds);
/* NULL is fine. Drains for no time, if that was not done. */
void serve_server_destroy(struct serve_server *server);

/* "HOST:PORT" and its short forms into their parts. Pure. */
enum rudd_status serve_listen_parse(char host[256], int *port, const char *text, struct rudd_error *err);

#endif
