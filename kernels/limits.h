/* limits.h - what this process may use of the machine: the one place that every thread count and
 * every plan asks.
 *
 * Thread-safe; every call looks anew. */
#ifndef KERNELS_LIMITS_H
#define KERNELS_LIMITS_H

#include "kernels/cgroup.h"

enum { KERN_THREADS_MAX = 64 }; /* of one pool, and the most that --threads may say */

/* The least of the processors that affinity allows and what the quotas of control groups come to;
 * at least 1. */
int kern_processors(void);
/* Threads for a user who says `asked`: never more than kern_processors() or KERN_THREADS_MAX. 0:
 * as many as these allow. */
int kern_threads_within(int asked);

/* What may still be taken: the least that control groups (cgroup.h), `ulimit -v` and `ulimit -d`
 * leave. false: nothing limits this process. How much memory the machine has free is no limit:
 * others may give theirs back. threads: how many will be started, each of which takes address
 * space; `used` has that in it. */
bool kern_memory_left(struct kern_memory *memory, int threads);

#endif
