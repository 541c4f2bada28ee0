/* watch.c - see watch.h. All deadlines have the same length, so the order of arrival is the order of expiry, and the thread need not be woken
 * for one while it sleeps until another, be that gone by now. */
#include "serve/watch.h"
#include "serve/clock.h"

struct serve_watch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    double limit_ms;
    void (*expired)(struct serve_deadline *deadline);
    struct serve_deadline *first, *last;
    bool stopping, idle; /* idle: it sleeps until it is woken */
};

static void unlist(struct serve_watch *w, struct serve_deadline *d)
{
    *(d->previous ? &d->previous->next : &w->first) = d->next;
    *(d->next ? &d->next->previous : &w->last) = d->previous;
    d->listed = false;
}

static void *work(void *arg)
{
    struct serve_watch *w = arg;
    pthread_mutex_lock(&w->mutex);
    while (!w->stopping) {
        if (!w->first) {
            w->idle = true;
            pthread_cond_wait(&w->changed, &w->mutex);
            w->idle = false;
        } else if (w->first->at_ms > serve_now_ms()) {
            struct timespec t = serve_timespec(w->first->at_ms);
            pthread_cond_timedwait(&w->changed, &w->mutex, &t);
        } else {
            struct serve_deadline *d = w->first;
            unlist(w, d);
            w->expired(d);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

enum rudd_status serve_watch_create(struct serve_watch **watch, double limit_ms,
                                    void (*expired)(struct serve_deadline *deadline), struct rudd_error *err)
{
    struct serve_watch *w = rudd_zalloc(1, sizeof *w);
    if (!w) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for deadlines");
    w->limit_ms = limit_ms;
    w->expired = expired;
    pthread_mutex_init(&w->mutex, NULL);
    serve_cond_init(&w->changed);
    if (pthread_create(&w->thread, NULL, work, w)) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        rudd_free(w);
        return rudd_fail(err, RUDD_IO, "the system starts no more threads");
    }
    *watch = w;
    return RUDD_OK;
}

void serve_watch_destroy(struct serve_watch *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    rudd_free(w);
}

void serve_watch_add(struct serve_watch *w, struct serve_deadline *d)
{
    pthread_mutex_lock(&w->mutex);
    *d = (struct serve_deadline){.at_ms = serve_now_ms() + w->limit_ms, .listed = true, .previous = w->last};
    *(w->last ? &w->last->next : &w->first) = d;
    w->last = d;
    if (w->idle) pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

void serve_watch_remove(struct serve_watch *w, struct serve_deadline *d)
{
    pthread_mutex_lock(&w->mutex);
    if (d->listed) unlist(w, d);
    pthread_mutex_unlock(&w->mutex);
}
