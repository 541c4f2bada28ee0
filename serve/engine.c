/* engine.c - see engine.h. One mutex guards the lists; decoders sleep on `decodable`, workers on `runnable`.
 *
 *     waiting --decoder takes a job and a free slot--> (decoding) --> prepared --worker takes those of one net--> (running)
 *
 * Slots bound how much is decoded ahead: two batches for each worker, so that one fills while the other runs, and one for each decoder.
 * A slot's memory grows to the largest picture that a network asked for, and stays.
 *
 * The first idle worker begins the next run, so that the runs that come alone, on all processors, are always the same worker's and the others'
 * teams stay small. A run gives its processors back before it tells anybody that it is done.
 *
 * Deadlines are the decoders' side business: whichever sleeps wakes when the next one passes and ends the jobs that are late.
 *
 * Not here: which networks there are (models.c), who asked (predict.c). */
#include "serve/engine.h"
#include "data/image/preprocess.h"
#include "data/session.h"
#include "kernels/kern.h"
#include "nn/model.h"
#include "serve/clock.h"
#include <string.h>

struct list {
    struct serve_job *first, **last;
    int count;
};

struct slot {
    uint8_t *pixels;
    size_t capacity;
    int next; /* the free slot below; -1: none */
};

struct worker {
    struct serve_engine *engine;
    int index;
    pthread_t thread;
    bool running, idle;
    int threads;              /* processors of its run; 0: it runs nothing */
    struct serve_job **batch; /* [max_batch] */
    const uint8_t **pictures; /* [max_batch] */
};

struct serve_engine {
    struct serve_engine_options options;
    pthread_mutex_t mutex;
    pthread_cond_t decodable, runnable;
    struct list waiting, prepared;
    int decoding;   /* jobs between the lists */
    int processors; /* that no run has */
    bool stopping;
    struct slot *slots;
    int slot_count, free_slot; /* top of the stack of free slots; -1: none */
    struct worker *decoders, *workers;
};

/* ---- networks -------------------------------------------------------------------------------------------------------- */

bool serve_batch_pays(double one_ms, double all_ms, int count)
{
    const double gain = 0.9; /* below that the one who came first waits longer than those behind him gain */
    return count > 1 && all_ms < gain * count * one_ms;
}

enum rudd_status serve_net_choose_batch(int *batch, const rudd_model *model, int max, int threads, size_t memory_limit,
                                        struct rudd_error *err)
{
    enum { ROUNDS = 3 }; /* of which the first one touches memory */
    const size_t side = (size_t)rudd_model_image_size(model);
    double best[2] = {1e30, 1e30};
    *batch = 1;
    if (max <= 1) return RUDD_OK;
    rudd_session *session = NULL;
    uint8_t *pixels = rudd_zalloc(side * side, 3);
    const uint8_t **pictures = rudd_zalloc((size_t)max, sizeof *pictures);
    enum rudd_status status = pixels && pictures ? data_session_create(&session, model, max, memory_limit, err)
                                                 : rudd_fail(err, RUDD_NO_MEMORY, "out of memory to time a model");
    const bool fits = status != RUDD_LIMIT;
    for (int i = 0; i < max && !status; i++) pictures[i] = pixels;
    kern_cap_threads(threads);
    for (int i = 0; i < 2 * ROUNDS && !status; i++) {
        const double started = serve_now_ms();
        status = rudd_predict_prepared(session, pictures, i % 2 ? max : 1, NULL, err);
        const double took = serve_now_ms() - started;
        if (i >= 2 && took < best[i % 2]) best[i % 2] = took;
    }
    kern_cap_threads(0);
    if (!status && serve_batch_pays(best[0], best[1], max)) *batch = max;
    rudd_session_destroy(session);
    rudd_free(pictures);
    rudd_free(pixels);
    return fits ? status : RUDD_OK;
}

enum rudd_status serve_net_init(struct serve_net *net, const rudd_model *model, bool raw, int workers, int max_batch,
                                struct rudd_error *err)
{
    const struct nn_budget none = {.limit = 0};
    return serve_net_init_within(net, model, raw, workers, max_batch, &none, err);
}

enum rudd_status serve_net_init_within(struct serve_net *net, const rudd_model *model, bool raw, int workers, int max_batch,
                                       const struct nn_budget *budget, struct rudd_error *err)
{
    size_t blocks = 0; /* of the sessions so far; their weights are the same */
    struct serve_net n = {.model = model, .raw = raw, .workers = workers, .max_batch = max_batch};
    enum rudd_status status = RUDD_OK;
    n.sessions = rudd_zalloc((size_t)workers, sizeof(rudd_session *));
    if (!n.sessions) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d sessions", workers);
    for (int i = 0; i < workers && !status; i++) {
        status = data_session_create(&n.sessions[i], model, max_batch, nn_budget_rest(budget, blocks), err);
        if (!status) blocks += nn_plan_bytes(data_session_plan(n.sessions[i]));
        if (status == RUDD_LIMIT)
            rudd_fail(err, status, "worker %d of %d, beside %.1f MiB of those before it: %s", i + 1, workers,
                      (double)blocks / 1048576, err ? err->message : "");
        if (!status && raw) rudd_session_set_raw(n.sessions[i], 1);
    }
    if (status)
        serve_net_free(&n);
    else
        *net = n;
    return nn_budget_tell(budget, status, "fewer --workers, a smaller --max-batch or a smaller model", err);
}

void serve_net_free(struct serve_net *net)
{
    for (int i = 0; i < net->workers && net->sessions; i++) rudd_session_destroy(net->sessions[i]);
    rudd_free(net->sessions);
    *net = (struct serve_net){0};
}

/* ---- lists (all under the mutex) ---------------------------------------------------------------------------------------- */

static void list_init(struct list *l)
{
    *l = (struct list){.last = &l->first};
}

static void list_add(struct list *l, struct serve_job *job)
{
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
    l->count++;
}

/* Takes the job that *link points to; *link is then the one behind it. */
static struct serve_job *list_take(struct list *l, struct serve_job **link)
{
    struct serve_job *job = *link;
    *link = job->next;
    if (!*link) l->last = link;
    l->count--;
    return job;
}

static void free_slot(struct serve_engine *e, int slot)
{
    e->slots[slot].next = e->free_slot;
    e->free_slot = slot;
    pthread_cond_signal(&e->decodable);
}

static double wait_over(struct serve_job *job)
{
    double now = serve_now_ms();
    job->queue_ms += now - job->since_ms;
    return now;
}

/* Moves the jobs of both lists whose deadline has passed, or all of them, to a list of their own; its first. */
static struct serve_job *take_late(struct serve_engine *e, double now, bool all)
{
    struct list late, *from[] = {&e->waiting, &e->prepared};
    list_init(&late);
    for (int i = 0; i < 2; i++)
        for (struct serve_job **link = &from[i]->first; *link;) {
            if (!all && !((*link)->deadline_ms > 0 && (*link)->deadline_ms <= now)) {
                link = &(*link)->next;
                continue;
            }
            struct serve_job *job = list_take(from[i], link);
            if (job->slot >= 0) free_slot(e, job->slot);
            job->late = !all;
            list_add(&late, job);
        }
    pthread_cond_broadcast(&e->runnable); /* nothing may be on its way any more */
    return late.first;
}

static void end_late(struct serve_job *job)
{
    while (job) {
        struct serve_job *next = job->next; /* done may free the job */
        wait_over(job);
        job->status = rudd_fail(&job->err, RUDD_CANCELLED,
                                job->late ? "the deadline passed while it waited" : "the server is shutting down");
        job->done(job);
        job = next;
    }
}

/* The next deadline of a job that no thread works on; 0: there is none. */
static double next_deadline(const struct serve_engine *e)
{
    double next = 0;
    const struct list *lists[] = {&e->waiting, &e->prepared};
    for (int i = 0; i < 2; i++)
        for (const struct serve_job *job = lists[i]->first; job; job = job->next)
            if (job->deadline_ms > 0 && (next == 0 || job->deadline_ms < next)) next = job->deadline_ms;
    return next;
}

/* ---- decoders ---------------------------------------------------------------------------------------------------------- */

static enum rudd_status prepare(struct serve_job *job, struct slot *slot, const struct data_limits *limits)
{
    const struct nn_preprocess *p = &job->net->model->preprocess;
    const size_t side = (size_t)p->image_size, need = side * side * 3;
    double started = serve_now_ms();
    if (job->tensor) return RUDD_OK; /* as the network takes it */
    if (job->hash) {
        struct nn_sha256 hash;
        nn_sha256_init(&hash);
        nn_sha256_update(&hash, job->bytes, job->length);
        nn_sha256_hex(job->sha256, &hash);
    }
    if (slot->capacity < need) {
        rudd_free(slot->pixels);
        slot->pixels = rudd_alloc(need);
        slot->capacity = slot->pixels ? need : 0;
        if (!slot->pixels) return rudd_fail(&job->err, RUDD_NO_MEMORY, "out of memory for a picture");
    }
    struct data_reading reading = {0};
    enum rudd_status status = data_preprocess_bytes(slot->pixels, job->bytes, job->length, "the picture", limits, p,
                                                    p->image_size, 0, &reading, &job->err);
    memcpy(job->note, reading.note, sizeof job->note);
    job->resize_ms = reading.resize_ms;
    job->decode_ms = serve_now_ms() - started - job->resize_ms;
    return status;
}

/* The oldest waiting job, with a slot; NULL when the engine stops and nothing waits. Ends late jobs meanwhile. */
static struct serve_job *take_waiting(struct serve_engine *e)
{
    struct serve_job *job = NULL;
    pthread_mutex_lock(&e->mutex);
    while (!job && (e->waiting.first || e->prepared.first || !e->stopping)) {
        double deadline = next_deadline(e);
        if (deadline > 0 && deadline <= serve_now_ms()) {
            struct serve_job *late = take_late(e, serve_now_ms(), false);
            pthread_mutex_unlock(&e->mutex);
            end_late(late);
            pthread_mutex_lock(&e->mutex);
        } else if (e->waiting.first && e->free_slot >= 0) {
            job = list_take(&e->waiting, &e->waiting.first);
            job->slot = e->free_slot;
            e->free_slot = e->slots[job->slot].next;
            e->decoding++;
        } else if (deadline > 0) {
            struct timespec t = serve_timespec(deadline);
            pthread_cond_timedwait(&e->decodable, &e->mutex, &t);
        } else {
            pthread_cond_wait(&e->decodable, &e->mutex);
        }
    }
    pthread_mutex_unlock(&e->mutex);
    return job;
}

static void *decode(void *arg)
{
    struct serve_engine *e = ((struct worker *)arg)->engine;
    for (struct serve_job *job; (job = take_waiting(e));) {
        wait_over(job);
        job->status = prepare(job, &e->slots[job->slot], &e->options.limits);
        bool failed = job->status != RUDD_OK;
        pthread_mutex_lock(&e->mutex);
        e->decoding--;
        if (failed) {
            free_slot(e, job->slot);
        } else {
            job->since_ms = serve_now_ms();
            list_add(&e->prepared, job);
        }
        pthread_cond_broadcast(&e->runnable); /* a batch that waited for this one may be complete, or all there is */
        pthread_mutex_unlock(&e->mutex);
        if (failed) job->done(job);
    }
    return NULL;
}

/* ---- workers ----------------------------------------------------------------------------------------------------------- */

/* Prepared jobs of the oldest one's network, at most max. */
static int count_batch(const struct serve_engine *e, int max)
{
    int n = 0;
    for (const struct serve_job *job = e->prepared.first; job && n < max; job = job->next)
        n += job->net == e->prepared.first->net && !job->tensor;
    return n;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Pictures that the next run takes at most: half of its worker's share of all that are on their way, so that no worker is idle while another runs
 * several, and the first are not as late as the last unless there is a queue to shorten. */
static int batch_share(const struct serve_engine *e, const struct serve_net *net)
{
    const int pictures = e->waiting.count + e->decoding + e->prepared.count, workers = e->options.workers;
    return least(least(e->options.max_batch, net->max_batch), (pictures + 2 * workers - 1) / (2 * workers));
}

static bool may_begin(const struct worker *w)
{
    for (int i = 0; i < w->index; i++)
        if (w->engine->workers[i].idle) return false;
    return w->engine->processors > 0;
}

int serve_engine_share(int processors, int runs, int most)
{
    const int n = processors > runs ? processors / runs : 1;
    return most && most < n ? most : n;
}

/* Lends processors to the run that w is about to begin. */
static void lend(struct worker *w, int max)
{
    struct serve_engine *e = w->engine;
    int workers = 0, runs = 1 + (e->prepared.count + max - 1) / max; /* this one, and those that could begin now, too */
    for (int i = 0; i < e->options.workers; i++) workers += e->workers[i].threads == 0;
    w->threads = serve_engine_share(e->processors, least(workers, runs), e->options.threads);
    e->processors -= w->threads;
}

/* The jobs of the next run; 0 when the engine stops and nothing is left. */
static int take_batch(struct worker *w)
{
    struct serve_engine *e = w->engine;
    int n = 0, max = 1;
    pthread_mutex_lock(&e->mutex);
    w->idle = true;
    while (!n && (!e->stopping || e->waiting.first || e->decoding || e->prepared.first)) {
        const struct serve_job *oldest = e->prepared.first;
        if (!oldest || !may_begin(w)) {
            pthread_cond_wait(&e->runnable, &e->mutex);
            continue;
        }
        max = batch_share(e, oldest->net);
        double until = oldest->since_ms + e->options.max_delay_ms;
        bool more = !oldest->tensor && (e->waiting.first || e->decoding);
        if (more && serve_now_ms() < until && count_batch(e, max) < max) {
            struct timespec t = serve_timespec(until);
            pthread_cond_timedwait(&e->runnable, &e->mutex, &t);
            continue;
        }
        const struct serve_net *net = oldest->net;
        if (oldest->tensor) { /* alone */
            w->batch[n++] = list_take(&e->prepared, &e->prepared.first);
            break;
        }
        for (struct serve_job **link = &e->prepared.first; *link && n < max;) {
            if ((*link)->net == net && !(*link)->tensor)
                w->batch[n++] = list_take(&e->prepared, link);
            else
                link = &(*link)->next;
        }
    }
    w->idle = false;
    if (n) lend(w, max);
    pthread_cond_broadcast(&e->runnable); /* the next one's turn; and the last one out wakes the others */
    pthread_mutex_unlock(&e->mutex);
    return n;
}

/* A tensor, as many of its pictures at a time as the session takes. */
static enum rudd_status run_tensor(rudd_session *session, struct serve_job *job, struct rudd_error *err)
{
    const size_t classes = (size_t)rudd_model_class_count(job->net->model),
                 side = (size_t)rudd_model_image_size(job->net->model);
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < job->tensor_count && !status; i += job->net->max_batch) {
        int n = least(job->tensor_count - i, job->net->max_batch);
        status = rudd_predict_tensor(session, job->tensor + (size_t)i * 3 * side * side, n, NULL, err);
        if (!status)
            memcpy(job->probabilities + (size_t)i * classes, rudd_session_probabilities(session),
                   sizeof(float) * (size_t)n * classes);
    }
    return status;
}

static void run_batch(struct worker *w, int n)
{
    struct serve_engine *e = w->engine;
    const struct serve_net *net = w->batch[0]->net;
    rudd_session *session = net->sessions[w->index];
    const size_t classes = (size_t)rudd_model_class_count(net->model);
    for (int i = 0; i < n; i++) {
        wait_over(w->batch[i]);
        w->pictures[i] = e->slots[w->batch[i]->slot].pixels;
    }
    struct rudd_error err = {RUDD_OK, ""};
    double started = serve_now_ms();
    const bool tensor = w->batch[0]->tensor != NULL;
    const int threads = w->threads;
    kern_cap_threads(threads);
    enum rudd_status status =
        tensor ? run_tensor(session, w->batch[0], &err) : rudd_predict_prepared(session, w->pictures, n, NULL, &err);
    double took = serve_now_ms() - started;

    pthread_mutex_lock(&e->mutex);
    for (int i = 0; i < n; i++) free_slot(e, w->batch[i]->slot);
    e->processors += threads;
    w->threads = 0;
    pthread_cond_broadcast(&e->runnable);
    pthread_mutex_unlock(&e->mutex);
    for (int i = 0; i < n; i++) {
        struct serve_job *job = w->batch[i];
        job->status = status;
        if (status)
            job->err = err;
        else if (!tensor)
            memcpy(job->probabilities, rudd_session_probabilities(session) + (size_t)i * classes, sizeof(float) * classes);
        job->infer_ms = took;
        job->batch = tensor ? job->tensor_count : n;
        job->threads = threads;
        job->done(job);
    }
}

static void *run(void *arg)
{
    struct worker *w = arg;
    for (int n; (n = take_batch(w)) > 0;) run_batch(w, n);
    return NULL;
}

/* ---- the engine -------------------------------------------------------------------------------------------------------- */

static enum rudd_status start(struct worker *w, struct serve_engine *e, int index, void *(*body)(void *),
                              struct rudd_error *err)
{
    w->engine = e;
    w->index = index;
    if (body == run) {
        w->batch = rudd_zalloc((size_t)e->options.max_batch, sizeof(struct serve_job *));
        w->pictures = rudd_zalloc((size_t)e->options.max_batch, sizeof(uint8_t *));
        if (!w->batch || !w->pictures) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a worker");
    }
    if (pthread_create(&w->thread, NULL, body, w))
        return rudd_fail(err, RUDD_IO, "the system starts no more threads; lower --workers or --decoders");
    w->running = true;
    return RUDD_OK;
}

enum rudd_status serve_engine_create(struct serve_engine **engine, const struct serve_engine_options *o, struct rudd_error *err)
{
    struct serve_engine *e = rudd_zalloc(1, sizeof *e);
    if (!e) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the engine");
    e->options = *o;
    e->processors = o->processors ? o->processors : o->workers;
    e->slot_count = 2 * o->workers * o->max_batch + o->decoders;
    e->free_slot = -1;
    list_init(&e->waiting);
    list_init(&e->prepared);
    pthread_mutex_init(&e->mutex, NULL);
    serve_cond_init(&e->decodable);
    serve_cond_init(&e->runnable);
    enum rudd_status status = RUDD_OK;
    e->slots = rudd_zalloc((size_t)e->slot_count, sizeof *e->slots);
    e->decoders = rudd_zalloc((size_t)o->decoders, sizeof *e->decoders);
    e->workers = rudd_zalloc((size_t)o->workers, sizeof *e->workers);
    if (!e->slots || !e->decoders || !e->workers)
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d workers", o->workers);
    for (int i = 0; i < e->slot_count && !status; i++) free_slot(e, i);
    for (int i = 0; i < o->workers && !status; i++) status = start(&e->workers[i], e, i, run, err);
    for (int i = 0; i < o->decoders && !status; i++) status = start(&e->decoders[i], e, i, decode, err);
    if (status)
        serve_engine_destroy(e);
    else
        *engine = e;
    return status;
}

static void join(struct worker *w, int count)
{
    for (int i = 0; w && i < count; i++) {
        if (w[i].running) pthread_join(w[i].thread, NULL);
        w[i].running = false;
    }
}

void serve_engine_stop(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    e->stopping = true;
    pthread_cond_broadcast(&e->decodable);
    pthread_cond_broadcast(&e->runnable);
    pthread_mutex_unlock(&e->mutex);
    join(e->workers, e->options.workers);
    pthread_mutex_lock(&e->mutex);
    pthread_cond_broadcast(&e->decodable); /* those that kept watch over deadlines of prepared jobs */
    pthread_mutex_unlock(&e->mutex);
    join(e->decoders, e->options.decoders);
}

void serve_engine_destroy(struct serve_engine *e)
{
    if (!e) return;
    serve_engine_stop(e);
    for (int i = 0; e->slots && i < e->slot_count; i++) rudd_free(e->slots[i].pixels);
    for (int i = 0; e->workers && i < e->options.workers; i++) {
        rudd_free(e->workers[i].batch);
        rudd_free(e->workers[i].pictures);
    }
    rudd_free(e->slots);
    rudd_free(e->decoders);
    rudd_free(e->workers);
    pthread_cond_destroy(&e->decodable);
    pthread_cond_destroy(&e->runnable);
    pthread_mutex_destroy(&e->mutex);
    rudd_free(e);
}

bool serve_engine_submit(struct serve_engine *e, struct serve_job *job)
{
    pthread_mutex_lock(&e->mutex);
    bool room = e->waiting.count < e->options.limit && !e->stopping;
    if (room) {
        job->since_ms = serve_now_ms();
        job->queue_ms = job->decode_ms = job->resize_ms = job->infer_ms = 0;
        job->batch = 0;
        job->slot = -1;
        job->late = false;
        list_add(&e->waiting, job);
        pthread_cond_signal(&e->decodable);
    }
    pthread_mutex_unlock(&e->mutex);
    return room;
}

void serve_engine_cancel(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    struct serve_job *all = take_late(e, 0, true);
    pthread_mutex_unlock(&e->mutex);
    end_late(all);
}

int serve_engine_waiting(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    int waiting = e->waiting.count;
    pthread_mutex_unlock(&e->mutex);
    return waiting;
}

bool serve_engine_full(struct serve_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    bool full = e->waiting.count >= e->options.limit;
    pthread_mutex_unlock(&e->mutex);
    return full;
}

bool serve_engine_fit(int *workers, int *threads, int processors)
{
    int w = *workers ? *workers : least(processors, SERVE_WORKERS_MOST), t = *threads;
    if (w > processors) w = processors;
    if (!*workers && t > 0) w = least(w, processors / t > 0 ? processors / t : 1);
    if (w * t > processors) t = processors / w;
    bool lowered = w < *workers || t < *threads;
    *workers = w;
    *threads = t;
    return lowered;
}
