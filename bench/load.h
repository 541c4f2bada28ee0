/* load.h - a load generator: clients that each keep one HTTP connection and ask again as soon as they are answered (a closed loop).
 *
 *     one thread, epoll     client 0  [request ----> answer][request ----> ...      over 127.0.0.1, keep-alive
 *                           client 1      [request ----> answer][request ----> ...
 *
 * What they ask and what they make of an answer is the caller's: two callbacks, called on the thread of bench_load_run only. A connection
 * that the server closes between answers is opened again; one that breaks within an exchange, or says
 * nothing for a minute, is an error, and is opened again. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include "nn/rudd.h"

/* head: request line and headers with the empty line behind them; the bytes stay until the answer. */
struct bench_request {
    const char *head;
    const void *body;
    size_t head_length, body_length;
};

struct bench_load {
    int port, clients; /* 1..1024 */
    double seconds;    /* no request begins after that; 0: no limit */
    long requests;     /* nor after that many; 0: no limit */
    atomic_bool *stop; /* NULL, or: no request begins once it is true */
    double pause_ms;   /* of a client between its answer and its next request */
    /* What client i asks next. */
    void (*ask)(void *user, int client, struct bench_request *request);
    /* NULL, or: what client i was answered. False: that is an error, though the status says 200. */
    bool (*answered)(void *user, int client, int code, const char *body, size_t length, double ms);
    void *user;
};

struct bench_load_result {
    long ok, busy, errors; /* 200; 503; everything else, broken connections too */
    double seconds;
    double *ms; /* of the ok ones, sorted, for bench_percentile; rudd_free */
    size_t count;
    int worst_code; /* of the last error; 0: the connection */
};

/* RUDD_IO: nobody listens there. The result is filled on success; then the caller frees result->ms. */
enum rudd_status bench_load_run(struct bench_load_result *result, const struct bench_load *load, struct rudd_error *err);

/* The smallest of sorted ms [n] that at least the share q of all are not above; 0 when there are none. */
double bench_percentile(const double *ms, size_t n, double q);

/* One line's worth of an answer, pure: how long the answer in text[n] is (head and body) once it is complete; 0: not yet; -1: no HTTP that
 * this understands. *code and *head (bytes before the body) are set from the moment the head is complete. */
long bench_answer_length(const char *text, size_t n, int *code, size_t *head);

#endif
