/* team.c - the helpers, and how work reaches them. See team.h for what callers see.
 *
 *     caller                          board                         helper
 *     fills a job       ---open--->   one bit a job     ---join---> takes a place, then pieces
 *     takes pieces itself                                           leaves when none is left
 *     waits for members that are still inside           <--leave--
 *
 * A job's word `places` has a bit for each place where a member works and one that says whether the
 * job is open. A member joins by setting its bit while the job is open, and leaves by clearing it.
 * What a job says is constant from its opening until its last member has left. Jobs stand in a
 * static table, so looking at one that is over is harmless.
 *
 * Waiting. Whoever waits looks for SPIN nanoseconds and then sleeps on a futex. Looking is for the
 * gaps within a plan, which are shorter than waking up. Where other programs want the processors, a
 * waiting thread must give its own away: the one that it waits for may need it.
 *
 * Sleeping without losing a call: a helper counts itself as a sleeper, looks at the board once more
 * and sleeps unless the bell has rung since. A caller opens its job, then looks at the count. One of
 * the two sees the other (both orders are sequentially consistent). Who rings takes those whom it
 * wakes off the count, so that the count is never below the number of those asleep.
 *
 * Why not OpenMP: libgomp's threads spin for about a millisecond after a region, and for longer
 * within it, unless an environment variable says otherwise before the program starts. Beside other
 * work that made everything 10 to 20 times slower.
 *
 * Not here: how many threads there are (threads.c). */
#define _GNU_SOURCE /* syscall, pthread_setname_np */
#include "kernels/team.h"

#include "kernels/kern.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    JOBS = 16,             /* jobs at the same time; further callers work alone */
    PLACES = KERN_THREADS, /* of a job */
    SPIN = 100 * 1000,     /* nanoseconds of looking before sleeping */
    LOOKS = 32,            /* looks between two readings of the clock */
    LINE = 64,             /* bytes of a cache line */
    STACK = 1 << 20        /* bytes; the kernels' largest frame has 17 KiB */
};

/* Pieces next .. end-1 are still to be taken. */
struct range {
    _Alignas(LINE) atomic_int next;
    int end;
};

#define OPEN 1ull /* bit 0 of `places`: the caller works at place 0 anyway */

struct job {
    _Alignas(LINE) atomic_ullong places;
    atomic_bool caller_sleeps;
    atomic_uint over; /* rises when the last member leaves a caller that sleeps */
    atomic_int limit; /* places */
    kern_piece *piece;
    const void *work;
    int items, grain;
    struct range ranges[PLACES];
};

static struct job jobs[JOBS];
static struct {
    _Alignas(LINE) atomic_uint open; /* jobs that have pieces left */
    _Alignas(LINE) atomic_uint used; /* jobs that have a caller */
    _Alignas(LINE) atomic_uint bell; /* rises when sleepers are called */
    atomic_int sleepers;
    atomic_int wanted;  /* helpers that the jobs in use have places for */
    atomic_int plans;   /* begun and not ended */
    atomic_int helpers; /* threads that were created */
    atomic_bool poor;   /* no more can be created */
} team;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

/* ---- waiting ---------------------------------------------------------------------------------- */

static int64_t nanoseconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_while(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(atomic_uint *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* Wakes up to n sleepers. `called` is taken off their count first: see the opening comment. */
static void ring(int n)
{
    int asleep = atomic_load(&team.sleepers), called;
    do {
        called = asleep < n ? asleep : n;
        if (called <= 0) return;
    } while (!atomic_compare_exchange_weak(&team.sleepers, &asleep, asleep - called));
    atomic_fetch_add(&team.bell, 1);
    wake(&team.bell, called);
}

/* ---- pieces ----------------------------------------------------------------------------------- */

/* Takes pieces, those of its own place first, until none is left. */
static void take_pieces(struct job *job, int place)
{
    const int limit = atomic_load_explicit(&job->limit, memory_order_relaxed);
    for (int i = 0; i < limit; i++) {
        struct range *r = &job->ranges[(place + i) % limit];
        while (atomic_load_explicit(&r->next, memory_order_relaxed) < r->end) {
            const int p = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
            if (p >= r->end) break;
            const int first = p * job->grain, left = job->items - first;
            job->piece(job->work, first, first + (left < job->grain ? left : job->grain), place);
        }
    }
    const unsigned bit = 1u << (job - jobs);
    if (atomic_load_explicit(&team.open, memory_order_relaxed) & bit) atomic_fetch_and(&team.open, ~bit);
}

/* ---- helpers ---------------------------------------------------------------------------------- */

/* A place in an open job; 0: none is free. The helper's own place if it can be had, because what a
 * place computed in the last kernel is still in its caches. */
static int join(struct job *job, int helper)
{
    unsigned long long taken = atomic_load_explicit(&job->places, memory_order_relaxed);
    int place;
    do {
        const int limit = atomic_load_explicit(&job->limit, memory_order_relaxed);
        if (!(taken & OPEN) || limit < 2) return 0;
        place = 1 + helper % (limit - 1);
        for (int tries = 1; taken >> place & 1; tries++) {
            if (tries == limit - 1) return 0;
            place = place + 1 < limit ? place + 1 : 1;
        }
    } while (!atomic_compare_exchange_weak_explicit(&job->places, &taken, taken | 1ull << place, memory_order_acquire,
                                                    memory_order_relaxed));
    return place;
}

static void leave(struct job *job, int place)
{
    const unsigned long long left = atomic_fetch_and(&job->places, ~(1ull << place)) & ~(1ull << place);
    if (left || !atomic_load(&job->caller_sleeps)) return;
    atomic_fetch_add(&job->over, 1);
    wake(&job->over, 1);
}

/* Works for one of the open jobs; false: for none of them. */
static bool help(unsigned open, int helper)
{
    for (int i = 0; i < JOBS; i++) {
        if (!(open >> i & 1)) continue;
        struct job *job = &jobs[i];
        const int place = join(job, helper);
        if (!place) continue;
        /* The job that was joined may be a later one than the one whose limit was read. */
        if (place < atomic_load_explicit(&job->limit, memory_order_relaxed)) take_pieces(job, place);
        leave(job, place);
        return true;
    }
    return false;
}

/* Helps with what is open until nothing has been for a while. Returns the jobs that were open in the
 * end and had no place for it. */
static unsigned help_awhile(int helper)
{
    unsigned open = 0;
    int64_t until = nanoseconds_now() + SPIN;
    do {
        for (int i = 0; i < LOOKS; i++, relax()) {
            open = atomic_load_explicit(&team.open, memory_order_relaxed);
            if (!open || !help(open, helper)) continue;
            i = 0;
            until = nanoseconds_now() + SPIN;
        }
    } while (atomic_load_explicit(&team.plans, memory_order_relaxed) && helper + 1 < kern_threads() &&
             nanoseconds_now() < until);
    return open;
}

static void *helper_main(void *number)
{
    const int helper = (int)(intptr_t)number;
    for (;;) {
        const unsigned full = help_awhile(helper), heard = atomic_load(&team.bell);
        atomic_fetch_add(&team.sleepers, 1);
        if (atomic_load(&team.open) & ~full)
            ring(1); /* itself, or another one that is counted */
        else
            sleep_while(&team.bell, heard);
    }
    return NULL;
}

/* A child has none of its parent's helpers. */
static void forget(void)
{
    atomic_store(&team.helpers, 0);
    atomic_store(&team.sleepers, 0);
    atomic_store(&team.wanted, 0);
    atomic_store(&team.plans, 0);
    atomic_store(&team.poor, false);
    atomic_store(&team.used, 0);
    atomic_store(&team.open, 0);
    pthread_mutex_init(&growing, NULL);
}

static bool create(int helper)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    if (pthread_attr_init(&attr)) return false;
    pthread_attr_setstacksize(&attr, STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* signals are for the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const bool created = pthread_create(&thread, &attr, helper_main, (void *)(intptr_t)helper) == 0;
    if (created) pthread_setname_np(thread, "rudd-helper");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return created;
}

static void grow(int wanted)
{
    static bool registered;
    pthread_mutex_lock(&growing);
    if (!registered) registered = pthread_atfork(NULL, NULL, forget) == 0;
    while (atomic_load(&team.helpers) < wanted && !atomic_load(&team.poor)) {
        if (create(atomic_load(&team.helpers)))
            atomic_fetch_add(&team.helpers, 1);
        else
            atomic_store(&team.poor, true);
    }
    pthread_mutex_unlock(&growing);
}

static void have_helpers(int wanted)
{
    if (atomic_load_explicit(&team.helpers, memory_order_relaxed) < wanted &&
        !atomic_load_explicit(&team.poor, memory_order_relaxed))
        grow(wanted);
}

/* ---- callers ---------------------------------------------------------------------------------- */

/* A job that nobody uses; NULL: there is none. */
static struct job *take_job(void)
{
    unsigned used = atomic_load_explicit(&team.used, memory_order_relaxed);
    int i;
    do {
        for (i = 0; i < JOBS && used >> i & 1; i++) continue;
        if (i == JOBS) return NULL;
    } while (
        !atomic_compare_exchange_weak_explicit(&team.used, &used, used | 1u << i, memory_order_acquire, memory_order_relaxed));
    return &jobs[i];
}

static void give_job(struct job *job)
{
    atomic_fetch_and_explicit(&team.used, ~(1u << (job - jobs)), memory_order_release);
}

static bool is_over(struct job *job)
{
    return atomic_load_explicit(&job->places, memory_order_acquire) == 0;
}

/* Closes the job and waits until its last member has left. */
static void finish(struct job *job)
{
    if (atomic_fetch_and(&job->places, ~OPEN) == OPEN) return;
    const int64_t until = nanoseconds_now() + SPIN;
    do {
        for (int i = 0; i < LOOKS; i++, relax())
            if (is_over(job)) return;
    } while (nanoseconds_now() < until);

    atomic_store(&job->caller_sleeps, true);
    for (;;) {
        const unsigned seen = atomic_load(&job->over);
        if (atomic_load(&job->places) == 0) break;
        sleep_while(&job->over, seen);
    }
    atomic_store(&job->caller_sleeps, false);
}

void kern_share(kern_piece *piece, const void *work, int items, int grain, bool worth)
{
    const int pieces = items / grain + (items % grain != 0);
    int limit = worth ? kern_threads() : 1;
    if (limit > pieces) limit = pieces;
    if (limit > 1) have_helpers(limit - 1);
    struct job *job = limit > 1 && atomic_load_explicit(&team.helpers, memory_order_relaxed) ? take_job() : NULL;
    if (!job) {
        piece(work, 0, items, 0);
        return;
    }
    job->piece = piece;
    job->work = work;
    job->items = items;
    job->grain = grain;
    for (int i = 0; i < limit; i++) {
        atomic_store_explicit(&job->ranges[i].next, (int)((int64_t)pieces * i / limit), memory_order_relaxed);
        job->ranges[i].end = (int)((int64_t)pieces * (i + 1) / limit);
    }
    atomic_store_explicit(&job->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&job->places, OPEN, memory_order_release);
    atomic_fetch_or(&team.open, 1u << (job - jobs));
    const int wanted = atomic_fetch_add_explicit(&team.wanted, limit - 1, memory_order_relaxed) + limit - 1;
    const int awake = atomic_load(&team.helpers) - atomic_load(&team.sleepers);
    if (awake < wanted) ring(wanted - awake);

    take_pieces(job, 0);
    finish(job);
    atomic_fetch_sub_explicit(&team.wanted, limit - 1, memory_order_relaxed);
    give_job(job);
}

void kern_team_begin(void)
{
    atomic_fetch_add(&team.plans, 1);
    if (kern_threads() > 1 && atomic_load(&team.sleepers) > 0) ring(kern_threads() - 1);
}

void kern_team_end(void)
{
    atomic_fetch_sub(&team.plans, 1);
}
