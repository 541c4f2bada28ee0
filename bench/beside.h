/* beside.h - other users of the machine while something is measured: busy loops, each a process.
 *
 * They are processes and not threads, so that the scheduler treats them as somebody else's work.
 * A loop counts: it takes a processor and next to nothing of caches and memory.
 * It has the priority and the processors that this program has.
 *
 * A loop is a copy of this program as it stands when it is forked. Start loops before memory is
 * filled: pages that are shared with a copy are copied when they are next written to. */
#ifndef BENCH_BESIDE_H
#define BENCH_BESIDE_H

#include <stdbool.h>
#include <sys/types.h>
#include "nn/rudd.h"

enum { BENCH_BESIDE_MOST = 256 };

struct bench_beside {
    pid_t loops[BENCH_BESIDE_MOST];
    int count;
};

/* Starts count loops, at most BENCH_BESIDE_MOST, and waits until they run. When one cannot be
 * started, none is left. They die with the calling thread, however it ends, and while they rest. */
enum rudd_status bench_beside_start(struct bench_beside *b, int count, struct rudd_error *err);

/* Lets all loops run, or all of them rest. Those that do already go on doing so. */
void bench_beside_run(const struct bench_beside *b, bool run);

/* Ends and reaps them; count is 0 afterwards. Passes status on, unless a loop had ended before.
 * Fine for {0}, and a second time. */
enum rudd_status bench_beside_stop(struct bench_beside *b, enum rudd_status status, struct rudd_error *err);

#endif
