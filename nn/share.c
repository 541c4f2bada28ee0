/* share.c - lanes that take items in rising order. See share.h.
 *
 * A lane is one item of work to the team. Items are taken from one counter, so when item i fails all
 * lower ones have been taken: they are finished, and the lowest failure is the same in every run. */
#include "nn/share.h"

#include "kernels/kern.h"
#include "kernels/team.h"

#include <pthread.h>
#include <stdatomic.h>

struct shared {
    nn_share_fn *fn;
    void *user;
    int count;
    atomic_int next;
    atomic_bool failed;
    pthread_mutex_t mutex; /* of what follows */
    int lowest;            /* item that failed */
    struct rudd_error *err;
    enum rudd_status status;
};

static void keep_lowest(struct shared *s, int item, enum rudd_status status, const struct rudd_error *err)
{
    pthread_mutex_lock(&s->mutex);
    if (!s->status || item < s->lowest) {
        s->lowest = item;
        s->status = status;
        if (s->err) *s->err = *err;
    }
    pthread_mutex_unlock(&s->mutex);
    atomic_store(&s->failed, true);
}

static void run_lanes(const void *work, int first, int end, int place)
{
    struct shared *s = *(struct shared *const *)work;
    (void)place;
    for (int lane = first; lane < end; lane++)
        for (int item; !atomic_load(&s->failed) && (item = atomic_fetch_add(&s->next, 1)) < s->count;) {
            struct rudd_error err = {RUDD_OK, ""};
            const enum rudd_status status = s->fn(s->user, item, lane, &err);
            if (status) keep_lowest(s, item, status, &err);
        }
}

enum rudd_status nn_share(int count, int lanes, nn_share_fn *fn, void *user, struct rudd_error *err)
{
    struct shared s = {.fn = fn, .user = user, .count = count, .mutex = PTHREAD_MUTEX_INITIALIZER, .err = err};
    struct shared *work = &s;
    if (lanes > kern_threads()) lanes = kern_threads();
    kern_team_begin();
    kern_share(run_lanes, &work, lanes, 1, count > 1);
    kern_team_end();
    pthread_mutex_destroy(&s.mutex);
    return s.status;
}
