/* ask.c - see ask.h. */
#include "serve/ask.h"
#include "serve/clock.h"
#include "serve/routes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BUCKETS = 64 }; /* about as many as are on their way: --queue */

struct serve_asks {
    pthread_mutex_t mutex;
    struct serve_ask *leading[BUCKETS]; /* lists of asks with `leads` set */
};

enum rudd_status serve_asks_create(struct serve_asks **asks, struct rudd_error *err)
{
    struct serve_asks *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for what is asked");
    pthread_mutex_init(&s->mutex, NULL);
    *asks = s;
    return RUDD_OK;
}

void serve_asks_destroy(struct serve_asks *s)
{
    if (!s) return;
    pthread_mutex_destroy(&s->mutex);
    rudd_free(s);
}

/* ---- equal pictures ------------------------------------------------------------------------------------------------------------ */

static struct serve_ask **bucket_of(const struct serve_ask *a)
{
    return &a->server->asks->leading[a->query.key[0] % BUCKETS];
}

static bool ends_in_time(const struct serve_ask *leader, const struct serve_ask *a)
{
    const double deadline = leader->job.deadline_ms;
    return a->job.deadline_ms <= 0 || (deadline > 0 && deadline <= a->job.deadline_ms);
}

/* Whether an equal picture is on its way, which this one now waits for. Else others may wait for this one. */
static bool joins(struct serve_ask *a)
{
    struct serve_ask **bucket = bucket_of(a), *l;
    bool waits = false;
    pthread_mutex_lock(&a->server->asks->mutex);
    for (l = *bucket; l && (l->query.key[0] != a->query.key[0] || l->query.key[1] != a->query.key[1]);) l = l->next;
    if (!l) {
        a->leads = true;
        a->waiting = NULL;
        a->last = &a->waiting;
        a->next = *bucket;
        *bucket = a;
    } else if (ends_in_time(l, a)) {
        a->next = NULL;
        *l->last = a;
        l->last = &a->next;
        waits = true;
    }
    pthread_mutex_unlock(&a->server->asks->mutex);
    return waits;
}

/* Ends the lead; those that waited, in the order in which they came. */
static struct serve_ask *step_down(struct serve_ask *a)
{
    struct serve_ask **link = bucket_of(a);
    pthread_mutex_lock(&a->server->asks->mutex);
    while (*link != a) link = &(*link)->next;
    *link = a->next;
    struct serve_ask *waiting = a->waiting;
    a->leads = false;
    pthread_mutex_unlock(&a->server->asks->mutex);
    return waiting;
}

static void share(struct serve_ask *to, const struct serve_ask *from)
{
    to->job.status = from->job.status;
    to->job.cached = !from->job.status;
    memcpy(to->job.sha256, from->job.sha256, sizeof to->job.sha256);
    memcpy(to->job.note, from->job.note, sizeof to->job.note);
    if (from->job.status) {
        to->job.err = from->job.err;
    } else {
        memcpy(to->job.probabilities, from->job.probabilities, sizeof(float) * (size_t)to->model->model->class_count);
        serve_metrics_add(to->server->metrics, SERVE_M_CACHE_HITS, 1, "flight");
    }
    to->done(to);
}

/* ---- the way -------------------------------------------------------------------------------------------------------------------- */

/* The job has its status. */
static void land(struct serve_ask *a)
{
    const struct serve_job *j = &a->job;
    struct serve_ask *waiting = a->leads ? step_down(a) : NULL, *next;
    bool same_for_all = j->status == RUDD_OK || j->status == RUDD_FORMAT || j->status == RUDD_LIMIT ||
                        (j->status == RUDD_CANCELLED && !j->late && !a->full);
    for (; waiting; waiting = next) {
        next = waiting->next;
        if (same_for_all)
            share(waiting, a);
        else
            serve_ask_go(waiting);
    }
    a->done(a);
}

static void computed(struct serve_job *job)
{
    struct serve_ask *a = job->user;
    const int classes = a->model->model->class_count;
    bool finite = true;
    for (int i = 0; !job->status && !job->tensor && i < classes; i++) finite = finite && isfinite(job->probabilities[i]);
    if (!finite)
        job->status = rudd_fail(&job->err, RUDD_MISMATCH, "the network's answer is not finite");
    else if (!job->status && !job->tensor && !job->note[0]) /* before the lead ends, so that who comes then finds it */
        serve_cache_keep(a->server->cache, &a->query, job->probabilities, classes);
    land(a);
}

static void compute(struct serve_ask *a)
{
    if (serve_engine_submit(a->server->engine, &a->job)) return; /* and may be gone by now */
    a->full = true;
    a->job.status =
        rudd_fail(&a->job.err, RUDD_CANCELLED, "%d predictions wait already; try again in a second", a->server->options.queue);
    a->job.late = false;
    land(a);
}

/* The second level of the cache has answered. */
static void asked(struct serve_cache_query *query, bool found)
{
    struct serve_ask *a = query->user;
    if (!found) {
        compute(a);
        return;
    }
    a->job.cached = true;
    a->job.status = RUDD_OK;
    land(a);
}

void serve_ask_init(struct serve_ask *a, struct serve_server *server, const struct serve_model *model, float *probabilities,
                    void (*done)(struct serve_ask *ask), void *user)
{
    *a = (struct serve_ask){.server = server, .model = model, .done = done, .user = user};
    a->job = (struct serve_job){.net = &model->net,
                                .done = computed,
                                .user = a,
                                .hash = serve_record_wants_hash(&server->record),
                                .status = RUDD_CANCELLED,
                                .probabilities = probabilities};
}

bool serve_ask_find(struct serve_ask *a)
{
    const struct nn_model *m = a->model->model;
    if (a->job.tensor || !m->sha256) return false; /* no picture; a model without a name for what it holds */
    char scope[SERVE_CACHE_SCOPE];                 /* all that an answer depends on beside the picture */
    const bool calibrated = m->temperature > 0 && !a->model->net.raw;
    snprintf(scope, sizeof scope, "%s%s", m->sha256, calibrated ? ":calibrated" : "");
    a->job.cached =
        serve_cache_find(a->server->cache, &a->query, a->job.bytes, a->job.length, scope, a->job.probabilities, m->class_count);
    a->query.done = asked;
    a->query.user = a;
    if (a->job.cached) a->job.status = RUDD_OK;
    return a->job.cached;
}

void serve_ask_go(struct serve_ask *a)
{
    struct serve_cache *cache = a->server->cache;
    const bool named = a->query.cache != NULL;
    a->full = false;
    a->job.status = RUDD_CANCELLED;
    if (named && serve_cache_has_memory(cache) && joins(a)) return;
    /* Between the miss and the lead another one's may have ended. */
    if (a->leads && serve_cache_find_again(cache, &a->query)) {
        asked(&a->query, true);
        return;
    }
    bool first = !a->remote;
    a->remote = true;
    if (named && first && serve_cache_ask(cache, &a->query)) return;
    compute(a);
}

/* ---- afterwards ------------------------------------------------------------------------------------------------------------------ */

/* The decoder's own words about the client's picture are fit to be shown. */
void serve_ask_refuse(struct serve_problem *p, const struct serve_ask *a)
{
    const struct serve_job *job = &a->job;
    if (a->full) serve_refuse(p, 503, "overloaded", "%.400s", job->err.message);
    if (job->late) serve_refuse(p, 503, "deadline", "the server is busy: the picture waited longer than it may; try again");
    switch (job->status) {
    case RUDD_FORMAT: serve_refuse(p, 422, "broken_image", "%.400s", job->err.message); break;
    case RUDD_LIMIT: serve_refuse(p, 413, "too_many_pixels", "%.400s", job->err.message); break;
    case RUDD_NO_MEMORY: serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again"); break;
    case RUDD_ARGUMENT: serve_refuse(p, 501, "no_decoder", "%.400s", job->err.message); break; /* its library is missing */
    case RUDD_CANCELLED: serve_refuse(p, 503, "draining", "the server is shutting down"); break;
    default: serve_refuse(p, 500, "internal", "the prediction failed");
    }
}

void serve_count_prediction(struct serve_server *server, const struct serve_model *model, const struct serve_job *job,
                            double total_ms)
{
    struct serve_metrics *m = server->metrics;
    struct rudd_top top;
    rudd_top_k(&top, 1, job->probabilities, model->model->class_count);
    serve_metrics_prediction(m, model->model->classes[top.index].name, (double)top.probability, total_ms / 1e3);
    if (job->cached) return;
    serve_metrics_observe(m, SERVE_M_STAGES, job->queue_ms / 1e3, "queue");
    serve_metrics_observe(m, SERVE_M_STAGES, job->decode_ms / 1e3, "decode");
    serve_metrics_observe(m, SERVE_M_STAGES, job->resize_ms / 1e3, "resize");
    serve_metrics_observe(m, SERVE_M_STAGES, job->infer_ms / 1e3, "infer");
    serve_metrics_observe(m, SERVE_M_BATCH_SIZE, job->batch);
}

void serve_ask_remember(char hash[NN_SHA256_HEX], const struct serve_ask *a, const char *id, const struct serve_asker *who,
                        struct serve_bytes *bytes)
{
    const struct serve_answered answered = {.id = id,
                                            .request_id = who->request_id,
                                            .client = who->client,
                                            .model = a->model,
                                            .job = &a->job,
                                            .key = a->query.cache ? a->query.key : NULL,
                                            .total_ms = serve_now_ms() - who->start_ms};
    serve_count_prediction(a->server, a->model, &a->job, answered.total_ms);
    serve_record_prediction(hash, &a->server->record, &answered, bytes);
}

json_t *serve_ask_answer(struct serve_ask *a, int top_k, const struct serve_asker *who, struct serve_bytes *bytes,
                         struct serve_problem *p)
{
    char id[SERVE_ID], hash[NN_SHA256_HEX];
    if (a->job.status) {
        serve_ask_refuse(p, a);
        return NULL;
    }
    const double total_ms = serve_now_ms() - who->start_ms;
    json_t *root = serve_new_id(id) ? serve_json_prediction(a->model, &a->job, top_k, total_ms, id) : NULL;
    if (!root) {
        serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
        return NULL;
    }
    serve_ask_remember(hash, a, id, who, bytes);
    if (*hash) json_object_set_new(root, "image_hash", json_string(hash));
    return root;
}
