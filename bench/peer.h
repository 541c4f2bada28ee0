/* peer.h - another engine in a process of its own, spoken to line by line (the protocol: bench/peer.py).
 *
 * The process is started by posix_spawnp, without a shell; one socket is its standard input and output, its standard error is
 * dropped. A peer may die, hang or talk nonsense at any time: each is an error with one line, and nothing else suffers. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <sys/types.h>
#include "nn/rudd.h"

/* A line from a peer, taken apart. */
struct bench_answer {
    enum { BENCH_READY, BENCH_MISSING, BENCH_FAILED, BENCH_TIME } kind;
    char name[32], version[64]; /* BENCH_READY */
    char text[256];             /* BENCH_MISSING, BENCH_FAILED: the reason */
    double ms;                  /* BENCH_TIME */
    double difference;          /* BENCH_TIME: relative to the largest logit; -1: not said */
};
/* line without its line end. False, and *answer undefined, when it is none of the protocol's. */
bool bench_answer_parse(struct bench_answer *answer, const char *line);

enum { BENCH_PEER_LINE = 1024 };
struct bench_peer {
    pid_t pid; /* 0: none */
    int fd;
    char buffer[BENCH_PEER_LINE]; /* received, not yet a whole line */
    size_t used;
};
/* argv[0] is looked up in PATH. When it succeeds, bench_peer_stop must follow. */
enum rudd_status bench_peer_start(struct bench_peer *peer, const char *const *argv, struct rudd_error *err);
/* Waits for one line, and gives it without its end; '?' stands for a character that is none to print.
 * Fails as bench_peer_ask does. */
enum rudd_status bench_peer_read(char line[BENCH_PEER_LINE], struct bench_peer *peer, double seconds, struct rudd_error *err);
/* Says question (a line; NULL: nothing), and waits for one line. RUDD_IO: it died, or said nothing for seconds; RUDD_FORMAT: nonsense;
 * RUDD_CANCELLED: a signal came. */
enum rudd_status bench_peer_ask(struct bench_answer *answer, struct bench_peer *peer, const char *question, double seconds,
                                struct rudd_error *err);
/* Hangs up, waits a moment for its end, else kills it; always reaps it. Fine for one that never started ({0}). */
void bench_peer_stop(struct bench_peer *peer);

/* bench/peer.py, with a 0 behind it: the Makefile turns the file into this array. */
extern const unsigned char bench_peer_py[];
extern const size_t bench_peer_py_size;

#endif
