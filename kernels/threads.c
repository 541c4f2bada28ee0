/* threads.c - the one owner of thread counts.
 *
 * The number is process-wide. A thread may take less of it, when several share the processors (kern_cap_threads). team.c: the
 * threads themselves. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "kernels/kern.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

static atomic_int threads;    /* 0: not decided yet */
static _Thread_local int cap; /* of the calling thread; 0: none */

/* Processors this process may run on; a container or taskset may grant fewer than the machine has. */
static int allowed_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    return 1;
}

void kern_set_threads(int n)
{
    if (n <= 0) n = allowed_processors();
    if (n > KERN_THREADS) n = KERN_THREADS;
    atomic_store(&threads, n);
}

int kern_threads(void)
{
    if (atomic_load(&threads) == 0) kern_set_threads(0);
    const int n = atomic_load(&threads);
    return cap && cap < n ? cap : n;
}

void kern_cap_threads(int n)
{
    cap = n;
}
