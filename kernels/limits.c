/* limits.c - what this process may use: see limits.h.
 *
 *     processors   sched_getaffinity(2) (cpusets are in it), cgroup quotas
 *     memory       cgroups; RLIMIT_AS less the address space, RLIMIT_DATA less private writable
 *                  memory, by /proc/self/statm
 *
 * Sources: getrlimit(2), proc(5). Not here: control groups (cgroup.c), who runs how many threads
 * (threads.c). */
#define _GNU_SOURCE /* sched_getaffinity */
#include "kernels/limits.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* More processors than the mask has bits for make the call fail. */
static int affinity(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < 1 << 20 ? (int)online : 1;
}

int kern_processors(void)
{
    const int may = affinity(), quota = kern_cgroup_processors("");
    return quota > 0 && quota < may ? quota : may;
}

int kern_threads_within(int asked)
{
    const int may = kern_processors(), most = may < KERN_THREADS_MAX ? may : KERN_THREADS_MAX;
    return asked > 0 && asked < most ? asked : most;
}

/* What a thread's stack takes of the address space: what `ulimit -s` says, glibc's own figure
 * where that is no limit. */
static uint64_t stack_bytes(void)
{
    struct rlimit limit;
    const bool known = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return known ? (uint64_t)limit.rlim_cur : (uint64_t)2 << 20;
}

static void take_ulimit(struct kern_memory *least, bool *limited, int resource, uint64_t used, const char *from)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    const uint64_t left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
    if (*limited && left >= least->left) return;
    *limited = true;
    *least = (struct kern_memory){.limit = limit.rlim_cur, .used = used, .left = left};
    snprintf(least->from, sizeof least->from, "%s", from);
}

bool kern_memory_left(struct kern_memory *memory, int threads)
{
    /* glibc's malloc reserves a heap of 64 MiB for each thread that allocates (HEAP_MAX_SIZE in
     * malloc/arena.c). */
    const uint64_t arena = (uint64_t)64 << 20, stack = stack_bytes(), page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t coming = threads > 0 ? (uint64_t)threads : 0;
    unsigned long long size = 0, data = 0;
    struct kern_memory least;
    bool limited = kern_cgroup_memory(&least, "");
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%llu %*u %*u %*u %*u %llu", &size, &data) != 2) size = data = 0;
    if (f) fclose(f);
    take_ulimit(&least, &limited, RLIMIT_AS, size * page + coming * (stack + arena), "ulimit -v");
    take_ulimit(&least, &limited, RLIMIT_DATA, data * page + coming * stack, "ulimit -d");
    if (limited) *memory = least;
    return limited;
}
