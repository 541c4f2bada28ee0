/* test_cgroup.c - what a process may use: control groups of both versions in folders that stand
 * for machines, real ones where this test may make them, affinity and ulimits. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "kernels/kern.h"
#include "kernels/limits.h"
#include "nn/budget.h"
#include "nn/rng.h"
#include "tests/sanitized.h"

#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- folders that stand for machines --------------------------------------------------------- */

static char root[] = "/tmp/rudd_cgroup_XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type;
    return at->level > 0 ? remove(path) : 0;
}

static void clear(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file of the machine, with the folders that it lies in. */
static void put_bytes(const char *path, const void *bytes, size_t length)
{
    char full[1000];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = strchr(full + sizeof root, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

static void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

static void machine(const char *cgroup, const char *mountinfo)
{
    clear();
    put("proc/self/cgroup", cgroup);
    put("proc/self/mountinfo", mountinfo);
}

#define V2(mount_root) "30 23 0:26 " mount_root " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1(mount_root, controller)                                                                                             \
    "33 31 0:30 " mount_root " /sys/fs/cgroup/" controller " rw,relatime - cgroup cgroup rw," controller "\n"

static int begin(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    clear();
    return rmdir(root);
}

/* ---- claims ---------------------------------------------------------------------------------- */

/* A part of a processor is one; what makes no sense is no limit. */
static void quotas_are_rounded_up(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int processors;
    } cases[] = {{"150000 100000\n", 2},
                 {"50000 100000\n", 1},
                 {"100000 100000\n", 1},
                 {"100001 100000", 2},
                 {"1000 1000000\n", 1},
                 {"400000 100000\n", 4},
                 {"max 100000\n", 0},
                 {"", 0},
                 {"\n", 0},
                 {"100000\n", 0},
                 {"100000 0\n", 0},
                 {"0 100000\n", 0},
                 {"-1 100000\n", 0},
                 {"100000 -1\n", 0},
                 {"1e5 100000\n", 0},
                 {"100000 100000 1\n", 0},
                 {"99999999999999999999999999 100000\n", 0},
                 {"18446744073709551615 1\n", 0},
                 {"\xff\xfe\x80 1", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        machine("0::/a\n", V2("/"));
        put("sys/fs/cgroup/a/cpu.max", cases[i].text);
        if (kern_cgroup_processors(root) != cases[i].processors)
            fail_msg("\"%s\" gave %d, not %d", cases[i].text, kern_cgroup_processors(root), cases[i].processors);
    }
}

/* The least on the way to the root counts, wherever it stands; groups beside the way do not. */
static void every_level_counts(void **state)
{
    (void)state;
    machine("0::/a/b/c\n", V2("/"));
    assert_int_equal(kern_cgroup_processors(root), 0);
    put("sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 8);
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 3);
    put("sys/fs/cgroup/a/b/d/cpu.max", "100000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 3);
    put("sys/fs/cgroup/cpu.max", "100000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 1);

    machine("4:memory:/other\n3:cpu,cpuacct:/a/b\n", V1("/", "memory") V1("/", "cpu,cpuacct"));
    put("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    assert_int_equal(kern_cgroup_processors(root), 0);
    put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(kern_cgroup_processors(root), 0); /* without a period */
    put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n");
    assert_int_equal(kern_cgroup_processors(root), 3);
}

/* Both versions side by side, in any order: both count. */
static void both_versions_count(void **state)
{
    (void)state;
    machine("5:cpuset:/x\n1:cpu:/v1\n0::/v2\n",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" V1("/", "cpu")
                V1("/", "cpuset") "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/cpu/v1/cpu.cfs_quota_us", "300000");
    put("sys/fs/cgroup/cpu/v1/cpu.cfs_period_us", "100000");
    assert_int_equal(kern_cgroup_processors(root), 3);
    put("sys/fs/cgroup/unified/v2/cpu.max", "200000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 2);
    put("sys/fs/cgroup/unified/v2/cpu.max", "900000 100000\n");
    assert_int_equal(kern_cgroup_processors(root), 3);
}

/* Which folder a mount shows of a group, in containers with and without a namespace. group NULL:
 * none, there is no limit. */
static void containers(void **state)
{
    (void)state;
    static const struct {
        const char *group, *mount_root, *folder, *above;
    } cases[] = {
        {"/", "/", "", NULL},                               /* a namespace of its own */
        {"/docker/f00", "/docker/f00", "", NULL},           /* version 1's bind mount */
        {"/docker/f00/job", "/docker/f00", "/job", ""},     /* a group made within it */
        {"/docker/f001", "/docker/f00", NULL, NULL},        /* another with a name that begins so */
        {"/", "/docker/f00", NULL, NULL},                   /* not ours */
        {"/", "/..", "", NULL},                             /* mounted from above the namespace: one above ours */
        {"/job", "/../..", "", NULL},                       /* whose names between are hidden */
        {"/../job", "/..", "/job", ""},                     /* outside of the namespace, but seen */
        {"/../job/x", "/../job", "/x", ""},                 /* and a part of that */
        {"/../job", "/", NULL, NULL},                       /* outside, unseen */
        {"/../../job", "/..", NULL, NULL},                  /* further outside */
        {"/a/../../etc", "/", NULL, NULL},                  /* no kernel says so */
        {"/with space", "/", "/with space", ""},            /* as it is */
        {"/with space/job", "/with\\040space", "/job", ""}, /* escaped in mountinfo alone */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char own[200], mount[400], file[300];
        snprintf(own, sizeof own, "7:cpu:%s\n", cases[i].group);
        snprintf(mount, sizeof mount, "33 31 0:30 %s /sys/fs/cgroup/cpu ro master:11 - cgroup cgroup rw,cpu\n",
                 cases[i].mount_root);
        for (int above = 0; above < 2; above++) {
            const char *folder = above ? cases[i].above : cases[i].folder;
            machine(own, mount);
            if (folder) {
                snprintf(file, sizeof file, "sys/fs/cgroup/cpu%s/cpu.cfs_period_us", folder);
                put(file, "100000\n");
                snprintf(file, sizeof file, "sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", folder);
                put(file, "700000\n");
            } else if (!above) { /* whatever stands there is another's */
                put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
                put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "700000\n");
            }
            const int got = kern_cgroup_processors(root);
            if (got != (folder ? 7 : 0)) fail_msg("%s in %s: %d", cases[i].group, cases[i].mount_root, got);
        }
    }
}

/* Memory: what cannot be reclaimed is used, the group that leaves least is named, no limit is
 * none. */
static void memory_of_version_1(void **state)
{
    (void)state;
    struct kern_memory m;
    machine("4:memory:/a/b\n", V1("/", "memory"));
    assert_false(kern_cgroup_memory(&m, root));
    put("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    assert_false(kern_cgroup_memory(&m, root));
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "209715200\n");
    assert_true(kern_cgroup_memory(&m, root));
    assert_int_equal(m.left, 200 << 20);
    put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "104857600\n");
    put("sys/fs/cgroup/memory/a/memory.stat", "cache 1\ntotal_cache 62914560\ntotal_mapped_file 10485760\n"
                                              "total_inactive_file 31457280\ntotal_active_file 20971520\n");
    assert_true(kern_cgroup_memory(&m, root));
    assert_int_equal(m.limit, 200 << 20);
    assert_int_equal(m.used, 60 << 20);
    assert_int_equal(m.left, 140 << 20);
    assert_string_equal(m.from, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes");

    /* Full, and more: nothing is left. A group above that nobody shows is in the group's own
     * figures. */
    put("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "73400320\n");
    put("sys/fs/cgroup/memory/a/b/memory.stat", "hierarchical_memory_limit 52428800\ntotal_inactive_file 99999999999\n");
    assert_true(kern_cgroup_memory(&m, root));
    assert_int_equal(m.limit, 50 << 20);
    assert_int_equal(m.used, 70 << 20);
    assert_int_equal(m.left, 0);
    assert_string_equal(m.from, "/sys/fs/cgroup/memory/a/b/memory.stat");
}

static void memory_of_version_2(void **state)
{
    (void)state;
    struct kern_memory m;
    machine("0::/a/b\n", V2("/"));
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/memory.high", "max\n");
    put("sys/fs/cgroup/a/b/memory.current", "1048576\n");
    assert_false(kern_cgroup_memory(&m, root));
    put("sys/fs/cgroup/a/memory.max", "104857600\n");
    put("sys/fs/cgroup/a/memory.current", "62914560\n");
    put("sys/fs/cgroup/a/memory.stat", "anon 5\nfile 9\ninactive_file 20971520\nactive_file 0\nfile_mapped 1\n");
    assert_true(kern_cgroup_memory(&m, root));
    assert_int_equal(m.left, (60 << 20) - 1);
    put("sys/fs/cgroup/a/b/memory.high", "31457280\n"); /* less than a leaves: being slowed down to a crawl is no use */
    assert_true(kern_cgroup_memory(&m, root));
    assert_int_equal(m.left, 29 << 20);
    assert_string_equal(m.from, "/sys/fs/cgroup/a/b/memory.high");
    static const char *const nonsense[] = {"", "-5\n", "31457280x\n", "0x10\n", "99999999999999999999\n"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        put("sys/fs/cgroup/a/b/memory.high", nonsense[i]);
        assert_true(kern_cgroup_memory(&m, root));
        assert_int_equal(m.left, (60 << 20) - 1);
    }
}

/* Files that are missing, cut anywhere, endless, or of other bytes: no limit or the limit, never
 * an end. */
static void any_bytes_will_do(void **state)
{
    (void)state;
    struct kern_memory m;
    clear();
    assert_int_equal(kern_cgroup_processors(root), 0);
    assert_int_equal(kern_cgroup_processors("/nowhere/at/all"), 0);
    assert_false(kern_cgroup_memory(&m, root));

    static const char *const files[] = {"proc/self/cgroup", "proc/self/mountinfo", "sys/fs/cgroup/a/cpu.max",
                                        "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.stat"};
    static const char *const texts[] = {"1:cpu:/x\n0::/a\n", V1("/", "cpu") V2("/"), "200000 100000\n", "1048576\n",
                                        "inactive_file 5\nactive_file 7\n"};
    struct nn_rng rng;
    for (int round = 0; round < (SANITIZED ? 200 : 2000); round++) {
        nn_rng_init(&rng, 1, (uint64_t)round, 0);
        const size_t broken = nn_rng_below(&rng, 5);
        clear();
        for (size_t i = 0; i < 5; i++) {
            char text[400];
            size_t n = (size_t)snprintf(text, sizeof text, "%s", texts[i]);
            for (uint32_t k = 0; i == broken && k < 4; k++)
                text[nn_rng_below(&rng, (uint32_t)n)] = (char)nn_rng_below(&rng, 256);
            if (i == broken && round % 2) n = nn_rng_below(&rng, (uint32_t)n);
            put_bytes(files[i], text, n);
        }
        const int processors = kern_cgroup_processors(root);
        assert_true(processors >= 0);
        if (broken > 2) assert_int_equal(processors, 2);
        if (kern_cgroup_memory(&m, root)) assert_true(strlen(m.from) < sizeof m.from && m.left <= m.limit);
    }
    enum { LONG = 100000 };
    char *endless = malloc(LONG);
    memset(endless, '/', LONG);
    for (size_t i = 0; i < 5; i++) {
        machine(texts[0], texts[1]);
        put(files[2], texts[2]);
        put_bytes(files[i], endless, LONG);
        assert_int_equal(kern_cgroup_processors(root), i > 2 ? 2 : 0);
        kern_cgroup_memory(&m, root);
    }
    free(endless);
}

/* ---- this machine ---------------------------------------------------------------------------- */

/* What `claim` says in a process of its own, which may take anything away from itself: 0 kept,
 * else the line that is not. */
static int in_child(int (*claim)(void))
{
    int status;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) _exit(claim());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
#define CLAIM(x)                                                                                                               \
    do {                                                                                                                       \
        if (!(x)) return __LINE__ % 250 + 1;                                                                                   \
    } while (0)

static int with_one_processor(void)
{
    cpu_set_t set, one;
    if (sched_getaffinity(0, sizeof set, &set)) return 0;
    int first = 0;
    while (!CPU_ISSET(first, &set)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CLAIM(sched_setaffinity(0, sizeof one, &one) == 0);
    CLAIM(kern_processors() == 1 && kern_threads_within(0) == 1 && kern_threads_within(8) == 1);
    kern_set_threads(0);
    CLAIM(kern_threads() == 1);
    return 0;
}

/* The least of what the user says, affinity and quotas; 0 says nothing. */
static void the_least_of_everything(void **state)
{
    (void)state;
    const int processors = kern_processors(), most = processors < KERN_THREADS_MAX ? processors : KERN_THREADS_MAX;
    assert_true(processors >= 1);
    assert_int_equal(kern_threads_within(1), 1);
    assert_int_equal(kern_threads_within(0), most);
    assert_int_equal(kern_threads_within(-3), most);
    assert_int_equal(kern_threads_within(1000000), most);
    assert_int_equal(in_child(with_one_processor), 0);
}

#define GROUP "/sys/fs/cgroup/cpu/rudd_test_cgroup"

static bool write_line(const char *path, long number)
{
    FILE *f = fopen(path, "w");
    if (!f) return false;
    const bool written = fprintf(f, "%ld\n", number) > 0;
    return fclose(f) == 0 && written;
}

static int within_the_group(void)
{
    CLAIM(write_line(GROUP "/cgroup.procs", (long)getpid()));
    CLAIM(kern_cgroup_processors("") == 1);
    CLAIM(kern_processors() == 1);
    kern_set_threads(0);
    CLAIM(kern_threads() == 1);
    return 0;
}

/* A real group of one processor (version 1, as root): its processes run one thread. */
static void a_real_group(void **state)
{
    (void)state;
    if (mkdir(GROUP, 0755) != 0 && errno != EEXIST) {
        print_message("  skipped: no group can be made in /sys/fs/cgroup/cpu (version 1, as root)\n");
        skip();
    }
    if (!write_line(GROUP "/cpu.cfs_period_us", 100000) || !write_line(GROUP "/cpu.cfs_quota_us", 100000)) {
        rmdir(GROUP);
        print_message("  skipped: groups in /sys/fs/cgroup/cpu have no quota here\n");
        skip();
    }
    const int broken = in_child(within_the_group);
    for (int i = 0; rmdir(GROUP) != 0 && i < 100; i++) usleep(10000); /* the kernel takes its time to forget the child */
    assert_int_equal(broken, 0);
}

static int under_ulimits(void)
{
    struct kern_memory m, threads;
    struct nn_budget budget;
    struct rudd_error err = {RUDD_OK, "plan needs much"};
    const uint64_t gib = (uint64_t)1 << 30;
    CLAIM(setrlimit(RLIMIT_AS, &(struct rlimit){64 * gib, 64 * gib}) == 0);
    CLAIM(setrlimit(RLIMIT_STACK, &(struct rlimit){8 << 20, 8 << 20}) == 0);
    if (kern_cgroup_memory(&m, "") && m.left < 32 * gib) return 0; /* not the least here */
    CLAIM(kern_memory_left(&m, 0) && strcmp(m.from, "ulimit -v") == 0);
    CLAIM(m.limit == 64 * gib && m.used > 0 && m.left == m.limit - m.used);
    CLAIM(kern_memory_left(&threads, 10) && threads.left + ((uint64_t)720 << 20) == m.left);
    CLAIM(setrlimit(RLIMIT_DATA, &(struct rlimit){32 * gib, 32 * gib}) == 0);
    CLAIM(kern_memory_left(&m, 0) && strcmp(m.from, "ulimit -d") == 0 && m.left < 32 * gib);

    /* A budget takes off what is needed beside, and says so; what the user says is taken as it is. */
    nn_budget_make(&budget, NN_BYTES_AUTO, 1000, 0);
    CLAIM(budget.found && budget.limit <= m.left - NN_BUDGET_MARGIN - 1000);
    CLAIM(nn_budget_tell(&budget, RUDD_LIMIT, "a smaller --batch", &err) == RUDD_LIMIT);
    CLAIM(strstr(err.message, "plan needs much") && strstr(err.message, "ulimit -d") && strstr(err.message, "--batch"));
    CLAIM(nn_budget_rest(&budget, SIZE_MAX) == 1);
    nn_budget_make(&budget, NN_BYTES_AUTO, (size_t)m.left, 0);
    CLAIM(budget.limit == 1);
    nn_budget_make(&budget, 5000, 1000, 1);
    CLAIM(!budget.found && budget.limit == 5000 && nn_budget_rest(&budget, 2000) == 3000);
    nn_budget_make(&budget, 0, 1000, 1);
    CLAIM(!budget.found && budget.limit == 0 && nn_budget_rest(&budget, 2000) == 0);
    return 0;
}

static void ulimits(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("  skipped under sanitizers: their shadow takes more address space than any limit\n");
        skip();
    }
    assert_int_equal(in_child(under_ulimits), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_are_rounded_up), cmocka_unit_test(every_level_counts),
        cmocka_unit_test(both_versions_count),   cmocka_unit_test(containers),
        cmocka_unit_test(memory_of_version_1),   cmocka_unit_test(memory_of_version_2),
        cmocka_unit_test(any_bytes_will_do),     cmocka_unit_test(the_least_of_everything),
        cmocka_unit_test(a_real_group),          cmocka_unit_test(ulimits),
    };
    return cmocka_run_group_tests_name("cgroup", tests, begin, end);
}
