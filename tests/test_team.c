/* test_team.c - work that is shared is done once, all of it, at places of its own; helpers sleep when
 * there is none; whatever becomes of them, the caller gets its work done. */
#define _GNU_SOURCE
#include "kernels/kern.h"
#include "kernels/limits.h"
#include "kernels/team.h"
#include "tests/sanitized.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 4096 };

struct counting {
    atomic_int done[MOST];               /* how often each item was computed */
    atomic_int inside[KERN_THREADS_MAX]; /* pieces that run at a place now */
    atomic_int wrong;                    /* pieces that met another one at their place */
    atomic_int places[KERN_THREADS_MAX]; /* items computed at each place */
    int pause;                           /* turns of an empty loop for each item */
};

static void count(const void *work, int first, int end, int place)
{
    struct counting *c = (struct counting *)(uintptr_t)work;
    if (atomic_fetch_add(&c->inside[place], 1)) atomic_fetch_add(&c->wrong, 1);
    for (int i = first; i < end; i++) {
        atomic_fetch_add(&c->done[i], 1);
        atomic_fetch_add(&c->places[place], 1);
        for (volatile int j = 0; j < c->pause; j++) continue;
    }
    atomic_fetch_sub(&c->inside[place], 1);
}

static void assert_each_once(struct counting *c, int items)
{
    for (int i = 0; i < MOST; i++)
        if (atomic_load(&c->done[i]) != (i < items)) fail_msg("item %d of %d: %d times", i, items, c->done[i]);
    assert_int_equal(atomic_load(&c->wrong), 0);
    for (int i = kern_threads(); i < KERN_THREADS_MAX; i++) assert_int_equal(atomic_load(&c->places[i]), 0);
}

/* Any number of items, grains and threads: each item once, no two pieces at one place. */
static void each_item_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8, KERN_THREADS_MAX}, sizes[] = {1, 2, 3, 7, 64, 65, 1000, MOST};
    struct counting *c = malloc(sizeof *c);
    assert_non_null(c);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        kern_set_threads(threads[t]);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int grain = 1; grain <= 100; grain = grain * 3 + 1) {
                memset(c, 0, sizeof *c);
                kern_share(count, c, sizes[s], grain, true);
                assert_each_once(c, sizes[s]);
            }
        memset(c, 0, sizeof *c);
        kern_share(count, c, 100, 1, false); /* not worth sharing: the caller does all */
        assert_each_once(c, 100);
        assert_int_equal(atomic_load(&c->places[0]), 100);
    }
    free(c);
    kern_set_threads(0);
}

/* Helpers do take part: otherwise all of this file would pass without them. */
static void helpers_help(void **state)
{
    (void)state;
    struct counting *c = malloc(sizeof *c);
    assert_non_null(c);
    kern_set_threads(2);
    int helped = 0;
    for (int round = 0; round < 20000 && !helped; round++) {
        memset(c, 0, sizeof *c);
        c->pause = 1000;
        kern_share(count, c, 256, 1, true);
        assert_each_once(c, 256);
        helped = atomic_load(&c->places[1]);
    }
    assert_true(helped > 0);
    free(c);
    kern_set_threads(0);
}

struct meeting {
    atomic_int inside, came;
};

/* Place 0 waits until a helper has come; the helper takes its time. */
static void meet(const void *work, int first, int end, int place)
{
    struct meeting *m = (struct meeting *)(uintptr_t)work;
    (void)first, (void)end;
    atomic_fetch_add(&m->inside, 1);
    if (place) {
        atomic_store(&m->came, 1);
        usleep(3000);
    } else {
        while (!atomic_load(&m->came)) usleep(100); /* main's alarm ends it if nobody comes */
    }
    atomic_fetch_sub(&m->inside, 1);
}

/* A helper that sleeps is called, and what it has begun is waited for. */
static void helpers_are_called_and_waited_for(void **state)
{
    (void)state;
    kern_set_threads(2);
    for (int round = 0; round < 20; round++) {
        struct meeting m = {0};
        usleep(5000); /* asleep by now */
        if (round % 2) kern_team_begin();
        kern_share(meet, &m, 2, 1, true);
        if (round % 2) kern_team_end();
        assert_int_equal(atomic_load(&m.inside), 0);
        assert_int_equal(atomic_load(&m.came), 1);
    }
    kern_set_threads(0);
}

/* A cap holds for the thread that asked for it, and for no other. */
static void cap_holds(void **state)
{
    (void)state;
    struct counting *c = calloc(1, sizeof *c);
    assert_non_null(c);
    kern_set_threads(8);
    kern_cap_threads(3);
    for (int round = 0; round < 200; round++) kern_share(count, c, 500, 1, true);
    for (int i = 3; i < KERN_THREADS_MAX; i++) assert_int_equal(atomic_load(&c->places[i]), 0);
    assert_int_equal(kern_threads(), 3);
    kern_cap_threads(0);
    assert_int_equal(kern_threads(), 8);
    free(c);
    kern_set_threads(0);
}

static void *many_jobs(void *user)
{
    struct counting *c = calloc(1, sizeof *c);
    if (!c) return user;
    uintptr_t bad = 0;
    unsigned random = (unsigned)(uintptr_t)user * 2654435761u + 1;
    kern_cap_threads((int)(intptr_t)user % 4); /* some have no cap */
    for (int round = 0; round < (SANITIZED ? 300 : 3000); round++) {
        random = random * 1664525u + 1013904223u;
        const int items = 1 + (int)(random >> 8) % 200, grain = 1 + (int)(random >> 4) % 5;
        if (random >> 30 == 0) kern_team_begin();
        memset(c, 0, sizeof *c);
        kern_share(count, c, items, grain, true);
        for (int i = 0; i < items; i++) bad += atomic_load(&c->done[i]) != 1;
        for (int i = kern_threads(); i < KERN_THREADS_MAX; i++) bad += atomic_load(&c->places[i]) != 0;
        bad += (uintptr_t)atomic_load(&c->wrong);
        if (random >> 30 == 0) kern_team_end();
    }
    free(c);
    return (void *)bad;
}

/* More callers than jobs, more threads than processors: all of them get their work done. */
static void callers_share_the_helpers(void **state)
{
    (void)state;
    enum { CALLERS = 20 };
    pthread_t callers[CALLERS];
    kern_set_threads(8);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, many_jobs, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < CALLERS; i++) {
        void *bad;
        pthread_join(callers[i], &bad);
        assert_null(bad);
    }
    kern_set_threads(0);
}

static void nested(const void *work, int first, int end, int place)
{
    (void)place;
    struct counting *const *counts = work;
    for (int i = first; i < end; i++) kern_share(count, counts[i], 50, 1, true);
}

/* Work within work is no dead end, and keeps to the cap of the outer one. */
static void pieces_may_share(void **state)
{
    (void)state;
    enum { OUTER = 40 };
    struct counting *c[OUTER];
    for (int i = 0; i < OUTER; i++) assert_non_null(c[i] = calloc(1, sizeof **c));
    kern_set_threads(8);
    for (int cap = 0; cap <= 3; cap++) {
        kern_cap_threads(cap);
        for (int i = 0; i < OUTER; i++) memset(c[i], 0, sizeof *c[i]);
        kern_share(nested, c, OUTER, 1, true);
        for (int i = 0; i < OUTER; i++) assert_each_once(c[i], 50);
    }
    kern_cap_threads(0);
    for (int i = 0; i < OUTER; i++) free(c[i]);
    kern_set_threads(0);
}

/* The helpers of this process: how many, how many of them sleep, and how often they have gone to sleep in all. */
struct helpers {
    int count, asleep;
    unsigned long long sleeps;
};

static void look_at_one(struct helpers *h, const char *task)
{
    char path[300], line[200], mode = 0;
    bool helper = false;
    unsigned long long sleeps = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        helper |= strcmp(line, "Name:\trudd-helper\n") == 0;
        sscanf(line, "State: %c", &mode);
        sscanf(line, "voluntary_ctxt_switches: %llu", &sleeps);
    }
    fclose(f);
    if (!helper) return;
    h->count++;
    h->asleep += mode == 'S';
    h->sleeps += sleeps;
}

static struct helpers look_at_helpers(void)
{
    struct helpers h = {0};
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) look_at_one(&h, e->d_name);
    closedir(dir);
    return h;
}

/* After work, and after a plan, all helpers sleep, and without work they do not run again. */
static void helpers_sleep(void **state)
{
    (void)state;
    struct counting *c = calloc(1, sizeof *c);
    assert_non_null(c);
    kern_set_threads(4);
    for (int plan = 0; plan < 2; plan++) {
        struct helpers now, later;
        if (plan) kern_team_begin();
        for (int i = 0; i < 10; i++) kern_share(count, c, 1000, 1, true);
        if (plan) kern_team_end();
        int looks = 0;
        do {
            usleep(100);
            now = look_at_helpers();
        } while (now.asleep < now.count && ++looks < 100000);
        assert_true(now.count >= 3);
        assert_int_equal(now.asleep, now.count);
        usleep(50 * 1000);
        later = look_at_helpers();
        assert_int_equal(later.asleep, later.count);
        assert_true(later.sleeps == now.sleeps);
    }
    free(c);
    kern_set_threads(0);
}

/* Runs fn in a child; its exit status. */
static int in_child(void (*fn)(void))
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void work_or_exit(int code, bool with_help)
{
    struct counting *c = malloc(sizeof *c);
    int helped = 0;
    for (int round = 0; round < (with_help ? 20000 : 50) && !(with_help && helped); round++) {
        memset(c, 0, sizeof *c);
        c->pause = 1000;
        kern_share(count, c, 256, 1, true);
        for (int i = 0; i < 256; i++)
            if (atomic_load(&c->done[i]) != 1) _exit(code);
        helped = atomic_load(&c->places[1]);
    }
    if ((helped > 0) != with_help) _exit(code + 1);
    free(c);
}

static void use_after_fork(void)
{
    work_or_exit(1, true);
}

/* A child has no threads but its own: it makes new helpers. */
static void child_has_helpers_of_its_own(void **state)
{
    (void)state;
    if (SANITIZED) skip(); /* ThreadSanitizer knows no threads after such a fork */
    struct counting *c = calloc(1, sizeof *c);
    assert_non_null(c);
    kern_set_threads(2);
    kern_share(count, c, 100, 1, true); /* the parent has one */
    free(c);
    assert_int_equal(in_child(use_after_fork), 0);
    kern_set_threads(0);
}

static void use_without_threads(void)
{
    struct rlimit none = {1, 1};
    if (setrlimit(RLIMIT_NPROC, &none) || setgid(65534) || setuid(65534)) _exit(77);
    work_or_exit(1, false);
}

/* Where no thread can be made, the caller works alone. */
static void works_without_helpers(void **state)
{
    (void)state;
    if (SANITIZED || geteuid()) skip(); /* a sanitizer's own thread counts, too; and a user may have others */
    kern_set_threads(2);
    const int status = in_child(use_without_threads);
    kern_set_threads(0);
    if (status == 77) skip();
    assert_int_equal(status, 0);
}

/* A signal to the process reaches its own threads, never a helper. */
static void helpers_block_signals(void **state)
{
    (void)state;
    struct counting *c = calloc(1, sizeof *c);
    assert_non_null(c);
    kern_set_threads(4);
    kern_share(count, c, 100, 1, true);
    free(c);
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    int helpers = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[300], line[200];
        unsigned long long blocked = 0;
        bool helper = false;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        while (fgets(line, sizeof line, f)) {
            helper |= strcmp(line, "Name:\trudd-helper\n") == 0;
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(f);
        if (!helper) continue;
        helpers++;
        assert_true(blocked >> (SIGTERM - 1) & 1);
        assert_true(blocked >> (SIGINT - 1) & 1);
    }
    closedir(dir);
    assert_true(helpers >= 3);
    kern_set_threads(0);
}

int main(void)
{
    alarm(600); /* who waits for ever has failed */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works_without_helpers), /* first: no helper exists yet */
        cmocka_unit_test(each_item_once),
        cmocka_unit_test(helpers_help),
        cmocka_unit_test(helpers_are_called_and_waited_for),
        cmocka_unit_test(cap_holds),
        cmocka_unit_test(callers_share_the_helpers),
        cmocka_unit_test(pieces_may_share),
        cmocka_unit_test(helpers_sleep),
        cmocka_unit_test(child_has_helpers_of_its_own),
        cmocka_unit_test(helpers_block_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
