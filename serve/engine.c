/* engine.c - the queue and the workers: see engine.h.
 *
 * One mutex guards the list; workers sleep on one condition. Decoding happens on the worker, so that a picture that takes long
 * to decode holds up no I/O thread and the queue's bound covers it as well; it is a function of its own, ready to move.
 *
 * Not here: several pictures in one run of the network. */
#include "serve/engine.h"
#include "serve/clock.h"
#include <string.h>

struct worker {
    struct serve_engine *engine;
    rudd_session *session;
    pthread_t thread;
    bool running;
};

struct serve_engine {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct serve_job *first, **last;
    int waiting, limit, classes;
    bool stopping;
    struct data_limits limits;
    int worker_count;
    struct worker workers[];
};

static enum rudd_status compute(rudd_session *session, struct serve_job *job, const struct data_limits *limits, int classes)
{
    struct data_image image = {0};
    struct rudd_timing timing = {0};
    double start = serve_now_ms();
    enum rudd_status status = data_image_decode(&image, job->bytes, job->length, "the picture", limits, &job->err);
    job->decode_ms = serve_now_ms() - start;
    if (status) return status;
    status = rudd_predict_rgb(session, image.rgb, image.w, image.h, &timing, &job->err);
    data_image_free(&image);
    if (status) return status;
    job->decode_ms += timing.decode_ms; /* resizing */
    job->infer_ms = timing.infer_ms;
    memcpy(job->probabilities, rudd_session_probabilities(session), sizeof(float) * (size_t)classes);
    return RUDD_OK;
}

/* The oldest waiting job; NULL when the engine stops and nothing waits. */
static struct serve_job *take(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    while (!e->first && !e->stopping) pthread_cond_wait(&e->changed, &e->mutex);
    struct serve_job *job = e->first;
    if (job) {
        e->first = job->next;
        if (!e->first) e->last = &e->first;
        e->waiting--;
    }
    pthread_mutex_unlock(&e->mutex);
    return job;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (struct serve_job *job; (job = take(w->engine));) {
        job->queue_ms = serve_now_ms() - job->submitted_ms;
        job->status = compute(w->session, job, &w->engine->limits, w->engine->classes);
        job->done(job);
    }
    return NULL;
}

enum rudd_status serve_engine_create(struct serve_engine **engine, const rudd_model *model, bool calibrated, int workers,
                                     int limit, const struct data_limits *limits, struct rudd_error *err)
{
    struct serve_engine *e = rudd_zalloc(1, sizeof *e + sizeof *e->workers * (size_t)workers);
    if (!e) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d workers", workers);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->last = &e->first;
    e->limit = limit;
    e->limits = *limits;
    e->classes = rudd_model_class_count(model);
    e->worker_count = workers;
    for (int i = 0; i < workers; i++) {
        struct worker *w = &e->workers[i];
        w->engine = e;
        enum rudd_status status = rudd_session_create(&w->session, model, 1, err);
        if (!status && calibrated) status = rudd_session_calibrate(w->session, err);
        if (!status && pthread_create(&w->thread, NULL, work, w))
            status = rudd_fail(err, RUDD_IO, "worker %d: the system starts no more threads; lower --workers", i);
        if (status) {
            serve_engine_destroy(e);
            return status;
        }
        w->running = true;
    }
    *engine = e;
    return RUDD_OK;
}

void serve_engine_stop(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    e->stopping = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mutex);
    for (int i = 0; i < e->worker_count; i++) {
        if (e->workers[i].running) pthread_join(e->workers[i].thread, NULL);
        e->workers[i].running = false;
    }
}

void serve_engine_destroy(struct serve_engine *e)
{
    if (!e) return;
    serve_engine_stop(e);
    for (int i = 0; i < e->worker_count; i++) rudd_session_destroy(e->workers[i].session);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->mutex);
    rudd_free(e);
}

bool serve_engine_submit(struct serve_engine *e, struct serve_job *job)
{
    pthread_mutex_lock(&e->mutex);
    bool room = e->waiting < e->limit && !e->stopping;
    if (room) {
        job->submitted_ms = serve_now_ms();
        job->next = NULL;
        *e->last = job;
        e->last = &job->next;
        e->waiting++;
        pthread_cond_signal(&e->changed);
    }
    pthread_mutex_unlock(&e->mutex);
    return room;
}

void serve_engine_cancel(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    struct serve_job *job = e->first;
    e->first = NULL;
    e->last = &e->first;
    e->waiting = 0;
    pthread_mutex_unlock(&e->mutex);
    while (job) {
        struct serve_job *next = job->next; /* done may free the job */
        job->queue_ms = serve_now_ms() - job->submitted_ms;
        job->status = rudd_fail(&job->err, RUDD_CANCELLED, "the server is shutting down");
        job->done(job);
        job = next;
    }
}

int serve_engine_waiting(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    int waiting = e->waiting;
    pthread_mutex_unlock(&e->mutex);
    return waiting;
}

bool serve_engine_full(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    bool full = e->waiting >= e->limit;
    pthread_mutex_unlock(&e->mutex);
    return full;
}
