/* child.h - what rudd-bench serve starts and sends: a rudd-serve of its own, models with random weights, pictures. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>
#include "nn/rudd.h"

/* A JPEG whose first segment is a comment of ten bytes, so that a number in it makes another file of the same picture. */
struct bench_picture {
    uint8_t *bytes;
    size_t length;
};
/* Waves of many lengths and some grain: about the bytes that a photograph of w x h has. bytes: rudd_free. */
enum rudd_status bench_picture_draw(struct bench_picture *out, int w, int h, struct rudd_error *err);
/* Writes n into the comment of a copy of such a picture. */
void bench_picture_number(uint8_t *bytes, long n);

struct bench_child {
    pid_t pid; /* 0: none */
    int port;
    char folder[64], model[128]; /* a model made for it; empty: the user's */
    char other[2][128];          /* what takes its place in turn, by --swap */
};
/* A folder with a model file for the server; swap: and two more, of which the first has the same bytes. */
enum rudd_status bench_child_models(struct bench_child *c, const char *arch, int size, int classes, bool swap,
                                    struct rudd_error *err);
/* Starts it with --model, --listen and the user's own options; waits until it listens. */
enum rudd_status bench_child_start(struct bench_child *c, const char *model, char *const *more, int more_count,
                                   struct rudd_error *err);
/* By SIGTERM; removes the models. Passes status on, unless the server did not end as it should. Fine for one that never started. */
enum rudd_status bench_child_stop(struct bench_child *c, enum rudd_status status, struct rudd_error *err);

#endif
