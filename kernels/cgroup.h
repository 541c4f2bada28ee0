/* cgroup.h - what the control groups of this process leave it: processors and memory.
 *
 * Everything is read below `root`: "" is this machine, any other folder stands for one (tests).
 * What is missing, cut short or makes no sense is no limit. Nothing is kept between calls, nothing
 * is allocated. Thread-safe. */
#ifndef KERNELS_CGROUP_H
#define KERNELS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* The least quota of processor time on the way from the process's own group to the root, in
 * processors, rounded up: half a processor and one are 1, one and a half are 2. 0: there is no
 * quota. */
int kern_cgroup_processors(const char *root);

enum { KERN_LIMIT_FROM = 256 };
struct kern_memory {
    uint64_t limit, used, left; /* bytes; used: what cannot be reclaimed; left: limit - used, never below 0 */
    char from[KERN_LIMIT_FROM]; /* the file or the ulimit that says so */
};
/* The group on that way which leaves least. false: none has a limit. */
bool kern_cgroup_memory(struct kern_memory *memory, const char *root);

#endif
