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
 * Waiting. Whoever waits looks for a while and then sleeps on a futex. Looking is for the gaps within
 * a plan, which are shorter than waking up; in a plan whose weights have left the caches they are
 * longer than in the next one (V2-B0 at 224 after a rest, Zen 4: 17.1 ms with 20 us of looking, 8.4
 * with 100). Where other programs want the processors, a waiting thread must give its own away: the
 * one that it waits for may need it (V2-B0 beside 8 busy loops: 67 ms with 20 us, 95 with 100). Late
 * awakenings, two within a short time, tell the one case from the other.
 *
 * Beside other work a caller must not run ahead of its helpers. A thread that sleeps often is let in
 * as soon as it wakes up. One that runs on and on uses its slice up, most probably within a piece,
 * and is then left out for a slice of each other program, while nobody can finish its piece. So
 * within a plan a caller waits until half of its helpers have come, even where they find nothing left
 * to do. B4 at 224 beside 8 busy loops on 2 processors (Zen 4): 313 ms without that, 174 with it.
 *
 * Sleeping without losing a call: a helper counts itself as a sleeper, looks at the board once more
 * and sleeps unless the bell has rung since. A caller opens its job, then looks at the count. One of
 * the two sees the other (both orders are sequentially consistent). Who rings takes those whom it
 * wakes off the count, so that the count is never below the number of those asleep. It may be above, which
 * costs a call in vain.
 *
 * Why not OpenMP: libgomp's threads spin for about a millisecond after a region, and for longer
 * within it, unless an environment variable says otherwise before the program starts. Beside other
 * work that made everything 10 to 20 times slower.
 *
 * Not here: how many threads there are (threads.c). */
#define _GNU_SOURCE /* syscall, pthread_setname_np */
#include "kernels/team.h"

#include "kernels/kern.h"
#include "kernels/limits.h"

#include <errno.h>
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
    JOBS = 16,                 /* jobs at the same time; further callers work alone */
    PLACES = KERN_THREADS_MAX, /* of a job */
    LOOKS = 32,                /* looks between two readings of the clock */
    LINE = 64,                 /* bytes of a cache line */
    STACK = 1 << 20            /* bytes; the kernels' largest frame has 17 KiB */
};

/* Nanoseconds. */
enum {
    SPIN = 100 * 1000,           /* of looking before sleeping */
    SPIN_CROWDED = 20 * 1000,    /* the same where others want the processors */
    LATE = 1000 * 1000,          /* waking up takes so long where others want the processors */
    CROWDED = 30 * 1000 * 1000,  /* how long that is remembered */
    PATIENCE = 20 * 1000 * 1000, /* that a caller waits for helpers to come */
    ABSENCE = 200 * 1000 * 1000, /* how long helpers that have not come are not waited for again */
    POVERTY = 1000 * 1000 * 1000 /* how long it is not tried again to create a thread */
};

/* Pieces next .. end-1 are still to be taken. */
struct range {
    _Alignas(LINE) atomic_int next;
    int end;
};

#define OPEN 1ull /* bit 0 of `places`; place 0 is the caller's, who needs none */

struct job {
    _Alignas(LINE) atomic_ullong places;
    atomic_bool caller_sleeps;
    atomic_uint over;   /* rises when the last member leaves a caller that sleeps */
    atomic_uint serial; /* rises with each opening */
    atomic_int limit;   /* places */
    atomic_int joined;  /* helpers that have come since it was opened */
    kern_piece *piece;
    const void *work;
    int items, grain, cap; /* cap: what the caller may take of the threads */
    struct range ranges[PLACES];
};

static struct job jobs[JOBS];
static struct {
    _Alignas(LINE) atomic_uint open; /* jobs that helpers may join */
    _Alignas(LINE) atomic_uint used; /* jobs that have a caller */
    _Alignas(LINE) atomic_uint bell; /* rises when sleepers are called */
    atomic_int sleepers;
    atomic_llong rung_at, late_at, crowded_until, absent_until, poor_until; /* nanoseconds of the monotonic clock */
    atomic_int wanted;                                                      /* helpers that the jobs in use have places for */
    atomic_int plans;                                                       /* begun and not ended */
    atomic_int helpers;                                                     /* threads that were created */
} team;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

/* ---- waiting ---------------------------------------------------------------------------------- */

static int64_t nanoseconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A thread that was to run at `due` runs now. One delay says little: a virtual machine has some. The
 * second one within CROWDED does; that of another thread in the same moment is the same one. */
static void note_delay(int64_t due, int64_t now)
{
    if (now - due <= LATE) return;
    const int64_t since = now - atomic_load_explicit(&team.late_at, memory_order_relaxed);
    if (since <= LATE) return;
    if (since < CROWDED) atomic_store_explicit(&team.crowded_until, now + CROWDED, memory_order_relaxed);
    atomic_store_explicit(&team.late_at, now, memory_order_relaxed);
}

/* When who begins to look now gives up. */
static int64_t end_of_looking(int64_t now)
{
    return now + (now < atomic_load_explicit(&team.crowded_until, memory_order_relaxed) ? SPIN_CROWDED : SPIN);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Until word changes; at most `nanoseconds`, if that is not 0. May return early. */
static void sleep_while(atomic_uint *word, unsigned value, int64_t nanoseconds)
{
    const struct timespec most = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nanoseconds ? &most : NULL, NULL, 0);
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
    atomic_store_explicit(&team.rung_at, nanoseconds_now(), memory_order_relaxed);
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
}

/* ---- helpers ---------------------------------------------------------------------------------- */

/* A place in an open job; 0: none is free; -1: it is not open (yet). The helper's own place if it can be had, because what a
 * place computed in the last kernel is still in its caches. */
static int join(struct job *job, int helper)
{
    unsigned long long taken = atomic_load_explicit(&job->places, memory_order_relaxed);
    int place;
    do {
        const int limit = atomic_load_explicit(&job->limit, memory_order_relaxed);
        if (!(taken & OPEN) || limit < 2) return -1;
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
    if ((left & ~OPEN) || !atomic_load(&job->caller_sleeps)) return;
    atomic_fetch_add(&job->over, 1);
    wake(&job->over, 1);
}

/* Open jobs that this helper has not seen; seen: the serial number of the last opening that it saw,
 * of each job. A job that is full is not looked at again, nor is one
 * that has no pieces left. */
static unsigned unseen(unsigned open, const unsigned *seen)
{
    unsigned jobs_left = 0;
    for (int i = 0; open >> i; i++)
        if (open >> i & 1 && atomic_load_explicit(&jobs[i].serial, memory_order_relaxed) != seen[i]) jobs_left |= 1u << i;
    return jobs_left;
}

/* Works for the first one of these jobs. */
static void help(unsigned which, unsigned *seen, int helper)
{
    const int i = __builtin_ctz(which);
    struct job *job = &jobs[i];
    const unsigned serial = atomic_load_explicit(&job->serial, memory_order_acquire);
    const int place = join(job, helper);
    if (place == 0) seen[i] = serial;
    if (place <= 0) return;
    seen[i] = atomic_load_explicit(&job->serial, memory_order_relaxed); /* a later one may have been joined */
    atomic_fetch_add_explicit(&job->joined, 1, memory_order_relaxed);
    kern_cap_threads(job->cap); /* pieces may share, too */
    if (place < atomic_load_explicit(&job->limit, memory_order_relaxed)) take_pieces(job, place);
    kern_cap_threads(0);
    leave(job, place);
}

/* Helps until there has been nothing to do for a while. */
static void help_awhile(unsigned *seen, int helper)
{
    int64_t now = nanoseconds_now(), until = end_of_looking(now), before;
    do {
        for (int i = 0; i < LOOKS; i++, relax()) {
            const unsigned open = atomic_load_explicit(&team.open, memory_order_relaxed), which = open ? unseen(open, seen) : 0;
            if (!which) continue;
            help(which, seen, helper);
            i = 0;
            now = nanoseconds_now();
            until = end_of_looking(now);
        }
        before = now;
        note_delay(before, now = nanoseconds_now());
    } while (atomic_load_explicit(&team.plans, memory_order_relaxed) && helper + 1 < kern_threads() && now < until);
}

static void *helper_main(void *number)
{
    const int helper = (int)(intptr_t)number;
    unsigned seen[JOBS] = {0};
    for (;;) {
        help_awhile(seen, helper);
        const unsigned heard = atomic_load(&team.bell);
        atomic_fetch_add(&team.sleepers, 1);
        if (unseen(atomic_load(&team.open), seen)) {
            ring(1); /* itself, or another one that is counted */
        } else {
            sleep_while(&team.bell, heard, 0);
            note_delay(atomic_load_explicit(&team.rung_at, memory_order_relaxed), nanoseconds_now());
        }
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
    atomic_store(&team.poor_until, 0);
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
    while (atomic_load(&team.helpers) < wanted && create(atomic_load(&team.helpers))) atomic_fetch_add(&team.helpers, 1);
    if (atomic_load(&team.helpers) < wanted) atomic_store(&team.poor_until, nanoseconds_now() + POVERTY);
    pthread_mutex_unlock(&growing);
}

static void have_helpers(int wanted)
{
    if (atomic_load_explicit(&team.helpers, memory_order_relaxed) < wanted &&
        nanoseconds_now() >= atomic_load_explicit(&team.poor_until, memory_order_relaxed))
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

/* No member is inside, and so many have been. */
static bool is_met(struct job *job, int need)
{
    return !(atomic_load(&job->places) & ~OPEN) && atomic_load(&job->joined) >= need;
}

static void wait_for_members(struct job *job, int need)
{
    const int64_t begun = nanoseconds_now(), until = end_of_looking(begun);
    int64_t before, now = begun;
    do {
        for (int i = 0; i < LOOKS; i++, relax())
            if (is_met(job, need)) return;
        before = now;
        note_delay(before, now = nanoseconds_now());
    } while (now < until);

    atomic_store(&job->caller_sleeps, true);
    for (;;) {
        const unsigned seen = atomic_load(&job->over);
        if (is_met(job, need)) break;
        const int64_t left = begun + PATIENCE - nanoseconds_now();
        if (need && left <= 0) {
            need = 0;
            atomic_store_explicit(&team.absent_until, nanoseconds_now() + ABSENCE, memory_order_relaxed);
        } else
            sleep_while(&job->over, seen, need ? left : 0);
    }
    atomic_store(&job->caller_sleeps, false);
}

/* Waits until enough helpers have come, closes the job, and waits until its last member has left. */
static void finish(struct job *job, int limit)
{
    const unsigned bit = 1u << (job - jobs);
    const bool alone = atomic_load_explicit(&team.used, memory_order_relaxed) == bit; /* no other caller has the helpers */
    const bool more = atomic_load_explicit(&team.plans, memory_order_relaxed) > 0;
    const int helpers = atomic_load_explicit(&team.helpers, memory_order_relaxed), need = limit / 2;
    const bool may_come =
        need <= helpers && nanoseconds_now() >= atomic_load_explicit(&team.absent_until, memory_order_relaxed);
    if (alone && more && may_come) wait_for_members(job, need);
    atomic_fetch_and(&team.open, ~bit);
    if (atomic_fetch_and(&job->places, ~OPEN) != OPEN) wait_for_members(job, 0);
}

void kern_share(kern_piece *piece, const void *work, int items, int grain, bool worth)
{
    const int pieces = items / grain + (items % grain != 0), was = errno;
    int limit = worth ? kern_threads() : 1;
    if (limit > pieces) limit = pieces;
    if (pieces > INT_MAX - PLACES) limit = 1; /* each member may count one piece beyond the end */
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
    job->cap = kern_threads();
    for (int i = 0; i < limit; i++) {
        atomic_store_explicit(&job->ranges[i].next, (int)((int64_t)pieces * i / limit), memory_order_relaxed);
        job->ranges[i].end = (int)((int64_t)pieces * (i + 1) / limit);
    }
    atomic_store_explicit(&job->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&job->joined, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->serial, 1, memory_order_release);
    atomic_store_explicit(&job->places, OPEN, memory_order_release);
    atomic_fetch_or(&team.open, 1u << (job - jobs));
    const int wanted = atomic_fetch_add_explicit(&team.wanted, limit - 1, memory_order_relaxed) + limit - 1;
    const int awake = atomic_load(&team.helpers) - atomic_load(&team.sleepers);
    if (awake < wanted) ring(wanted - awake);

    take_pieces(job, 0);
    finish(job, limit);
    errno = was;
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
    int plans = atomic_load(&team.plans); /* 0 in a child that was forked within a plan */
    while (plans > 0 && !atomic_compare_exchange_weak(&team.plans, &plans, plans - 1)) continue;
}
