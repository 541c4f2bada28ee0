/* fuzz_cgroup.c - the kernel's files on control groups, of any bytes: figures make sense or there
 * are none.
 *
 * The input is cut at lines of "==" into the files of a machine, which lies in memory where there
 * is /dev/shm. */
#define _GNU_SOURCE /* memmem */
#include "kernels/cgroup.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *machine(void)
{
    static char in_memory[] = "/dev/shm/rudd_fuzz_XXXXXX", on_disk[] = "/tmp/rudd_fuzz_XXXXXX", *made;
    static const char *const folders[] = {"/proc", "/proc/self", "/sys", "/sys/a"};
    char path[100];
    if (made) return made;
    made = mkdtemp(in_memory);
    if (!made) made = mkdtemp(on_disk);
    for (size_t i = 0; made && i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", made, folders[i]);
        mkdir(path, 0777);
    }
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const files[] = {"proc/self/cgroup",     "proc/self/mountinfo",   "sys/a/cpu.max",
                                        "sys/a/memory.max",     "sys/a/memory.stat",     "sys/a/memory.current",
                                        "sys/cpu.cfs_quota_us", "sys/cpu.cfs_period_us", "sys/memory.limit_in_bytes"};
    const char *root = machine();
    char path[100];
    struct kern_memory m;
    if (!root) abort();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const uint8_t *cut = size ? memmem(data, size, "==\n", 3) : NULL;
        const size_t n = cut ? (size_t)(cut - data) : size, used = cut ? n + 3 : size;
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        FILE *f = fopen(path, "wb");
        if (!f) abort();
        fwrite(data, 1, n, f);
        fclose(f);
        data += used;
        size -= used;
    }
    if (kern_cgroup_processors(root) < 0) abort();
    if (kern_cgroup_memory(&m, root) && (m.left > m.limit || strnlen(m.from, sizeof m.from) == sizeof m.from)) abort();
    return 0;
}
