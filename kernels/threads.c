/* threads.c - the one owner of thread counts.
 *
 * The number is process-wide. A thread may take less of it, when several share the processors
 * (kern_cap_threads). limits.c: how many may be used. team.c: the threads themselves. */
#include "kernels/kern.h"
#include "kernels/limits.h"

#include <stdatomic.h>

static atomic_int threads;    /* 0: not decided yet */
static _Thread_local int cap; /* of the calling thread; 0: none */

void kern_set_threads(int n)
{
    if (n <= 0) n = kern_processors();
    if (n > KERN_THREADS_MAX) n = KERN_THREADS_MAX;
    atomic_store(&threads, n);
}

int kern_threads(void)
{
    int n = atomic_load(&threads);
    if (n == 0) {
        const int all = kern_threads_within(0);
        if (atomic_compare_exchange_strong(&threads, &n, all)) n = all; /* else somebody has just decided */
    }
    return cap && cap < n ? cap : n;
}

int kern_cap_threads(int n)
{
    const int before = cap;
    cap = n > 0 ? n : 0;
    return before;
}
