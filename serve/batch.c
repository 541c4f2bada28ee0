/* batch.c - batches at work: see batch.h. The clerk and the runners are threads of their own because they wait: for the store, for the engine, for
 * other servers. I/O threads only put work on a list and let the connection sleep. */
#include "serve/batch.h"
#include "serve/clock.h"
#include "serve/exchange.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNNERS = 4, POLL_MS = 5000, BUSY_MS = 20, AWAY_MS = 1000, LEASE_S = 900 };

struct list {
    struct serve_batch_work *first, **last;
};

struct runner {
    struct serve_batch *batch;
    pthread_t thread;
    bool started;
    pthread_cond_t computed;
    bool done; /* its job's */
};

struct serve_batch {
    struct serve_server *server;
    const struct serve_fetcher *fetcher;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct list now, clerk_list;
    bool stopping;
    bool maybe; /* the store may hold items that wait */
    pthread_t clerk;
    bool clerk_started;
    struct runner runners[RUNNERS];
};

static void append(struct list *list, struct serve_batch_work *w)
{
    w->link = NULL;
    *list->last = w;
    list->last = &w->link;
}

static void drop_first(struct list *list)
{
    list->first = list->first->link;
    if (!list->first) list->last = &list->first;
}

/* The exchange is the I/O thread's again; w may be gone after this. */
static void finish(struct serve_batch_work *w)
{
    w->finished = true;
    MHD_resume_connection(w->exchange->connection);
}

/* ---- one picture ------------------------------------------------------------------------------------------------------------- */

static bool is_leaving(struct serve_batch *b)
{
    pthread_mutex_lock(&b->mutex);
    bool stopping = b->stopping;
    pthread_mutex_unlock(&b->mutex);
    return stopping || serve_state_of(b->server) == SERVE_DRAINING;
}

static bool give_up(void *user)
{
    return is_leaving(user);
}

static void computed(struct serve_ask *ask)
{
    struct runner *r = ask->user;
    pthread_mutex_lock(&r->batch->mutex);
    r->done = true;
    pthread_cond_signal(&r->computed);
    pthread_mutex_unlock(&r->batch->mutex);
}

/* Until it is answered; a full queue is waited for: batches have time. */
static void compute(struct runner *r, struct serve_ask *ask)
{
    struct serve_batch *b = r->batch;
    do {
        struct timespec t = serve_timespec(serve_now_ms() + BUSY_MS);
        pthread_mutex_lock(&b->mutex);
        if (ask->full && !b->stopping) pthread_cond_timedwait(&r->computed, &b->mutex, &t);
        r->done = false;
        pthread_mutex_unlock(&b->mutex);
        serve_ask_go(ask);
        pthread_mutex_lock(&b->mutex);
        while (!r->done) pthread_cond_wait(&r->computed, &b->mutex);
        pthread_mutex_unlock(&b->mutex);
    } while (ask->full && !is_leaving(b));
}

struct question {
    const char *request_id, *client, *version; /* may be NULL */
    int top_k;
};

/* /predict's answer to these bytes, which may be taken; NULL and a problem. */
static json_t *predict(struct runner *r, struct serve_bytes *bytes, const struct question *q, struct serve_problem *p)
{
    struct serve_server *s = r->batch->server;
    const struct serve_asker who = {q->request_id, q->client, serve_now_ms()};
    struct serve_ask ask;
    json_t *root = NULL;
    if (!serve_image_check(bytes->data, bytes->length, p)) return NULL;
    const struct serve_model *model = serve_models_get(s->models, q->version);
    if (!model) {
        serve_refuse(p, 404, "unknown_model", "there is no version %.64s any more", q->version ? q->version : "");
        return NULL;
    }
    const int classes = model->model->class_count;
    float *probabilities = rudd_alloc(sizeof(float) * (size_t)classes);
    if (probabilities) {
        serve_ask_init(&ask, s, model, probabilities, computed, r);
        ask.job.bytes = bytes->data;
        ask.job.length = bytes->length;
        if (!serve_ask_find(&ask)) compute(r, &ask);
        root = serve_ask_answer(&ask, q->top_k < classes ? q->top_k : classes, &who, bytes, p);
    } else {
        serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
    }
    rudd_free(probabilities);
    serve_models_put(s->models, model);
    return root;
}

static void count_item(struct serve_batch *b, const struct serve_problem *p)
{
    serve_metrics_add(b->server->metrics, SERVE_M_BATCH_ITEMS, 1, p->http ? p->code : "ok");
}

/* ---- at once ---------------------------------------------------------------------------------------------------------------------- */

/* Item i of w, which stays as long as it has items left. */
static void run_now(struct runner *r, struct serve_batch_work *w, int i)
{
    struct serve_batch *b = r->batch;
    struct serve_batch_item *item = &w->items[i];
    const struct serve_exchange *x = w->exchange;
    const struct question q = {
        .request_id = x->trace.request_id, .client = *x->client ? x->client : NULL, .version = w->version, .top_k = w->top_k};
    item->result = predict(r, &item->bytes, &q, &item->problem);
    count_item(b, &item->problem);
    pthread_mutex_lock(&b->mutex);
    bool last = --w->left == 0;
    pthread_mutex_unlock(&b->mutex);
    if (last) finish(w);
}

/* ---- a job's item ----------------------------------------------------------------------------------------------------------------- */

static void wait_ms(struct serve_batch *b, double ms)
{
    struct timespec t = serve_timespec(serve_now_ms() + ms);
    pthread_mutex_lock(&b->mutex);
    while (!b->stopping && pthread_cond_timedwait(&b->changed, &b->mutex, &t) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&b->mutex);
}

/* Stores the outcome; as often as it takes, for the work is done. Left alone, the item's lease ends and it is computed again. */
static void store_outcome(struct serve_batch *b, const struct serve_store_claim *c, json_t *result,
                          const struct serve_problem *p)
{
    struct serve_bytes text = {0};
    struct rudd_error err;
    if (result && (serve_json_print(&text, json_incref(result)) || serve_bytes_add(&text, "", 1, SIZE_MAX))) {
        serve_store_job_release(b->server->record.store, c->job_id, c->item, &err);
        rudd_free(text.data);
        return;
    }
    for (;;) {
        enum rudd_status status = serve_store_job_finish(b->server->record.store, c->job_id, c->item, (const char *)text.data,
                                                         result ? NULL : p->code, result ? NULL : p->detail, &err);
        bool later = status == RUDD_IO || status == RUDD_LIMIT || status == RUDD_NO_MEMORY;
        if (!later || is_leaving(b)) break;
        wait_ms(b, AWAY_MS);
    }
    rudd_free(text.data);
}

static void run_claim(struct runner *r, struct serve_store_claim *c)
{
    struct serve_batch *b = r->batch;
    struct serve_problem p = {0};
    struct serve_bytes bytes = {.data = (uint8_t *)c->image, .length = c->length, .capacity = c->length};
    json_t *options = c->options ? json_loads(c->options, 0, NULL) : NULL, *result = NULL;
    const json_t *top_k = json_object_get(options, "top_k");
    const struct question q = {.request_id = json_string_value(json_object_get(options, "trace")),
                               .client = json_string_value(json_object_get(options, "client")),
                               .version = json_string_value(json_object_get(options, "version")),
                               .top_k = json_is_integer(top_k) ? (int)json_integer_value(top_k) : 3};
    bool here = true;
    c->image = NULL; /* bytes has it */
    if (c->url) {
        here = serve_fetch(&bytes, b->fetcher, c->url, give_up, b, &p);
        serve_metrics_add(b->server->metrics, SERVE_M_FETCHES, 1, here ? "ok" : p.code);
    }
    if (here) result = predict(r, &bytes, &q, &p);
    /* Interrupted or short of memory, not done: somebody will do it later. */
    if (!result && p.http == 503) {
        struct rudd_error err;
        serve_store_job_release(b->server->record.store, c->job_id, c->item, &err);
        if (!is_leaving(b)) wait_ms(b, AWAY_MS);
    } else {
        store_outcome(b, c, result, &p);
        count_item(b, &p);
    }
    json_decref(options);
    json_decref(result);
    rudd_free(bytes.data);
}

/* ---- the runners -------------------------------------------------------------------------------------------------------------- */

/* Waits for work; what there is: an item of a waiting request (*now, *item), or perhaps one in the store (*now NULL). false: the end. */
static bool wait_for_work(struct serve_batch *b, struct serve_batch_work **now, int *item)
{
    *now = NULL;
    pthread_mutex_lock(&b->mutex);
    struct timespec t = serve_timespec(serve_now_ms() + POLL_MS);
    while (!b->now.first && !b->stopping && !(b->maybe && serve_state_of(b->server) != SERVE_DRAINING))
        if (pthread_cond_timedwait(&b->changed, &b->mutex, &t) == ETIMEDOUT) {
            b->maybe = b->server->record.store != NULL;
            t = serve_timespec(serve_now_ms() + POLL_MS);
        }
    if (b->now.first) {
        *now = b->now.first;
        *item = (*now)->next++;
        if ((*now)->next == (*now)->count) drop_first(&b->now);
    }
    bool more = *now || !b->stopping;
    pthread_mutex_unlock(&b->mutex);
    return more;
}

static void claim_one(struct runner *r)
{
    struct serve_batch *b = r->batch;
    struct serve_store_claim claim = {0};
    struct rudd_error err;
    pthread_mutex_lock(&b->mutex);
    b->maybe = false; /* before the look, so that what comes meanwhile is not missed */
    pthread_mutex_unlock(&b->mutex);
    if (serve_store_job_claim(b->server->record.store, &claim, LEASE_S, &err)) {
        wait_ms(b, AWAY_MS);
        return;
    }
    if (!claim.job_id) return;
    pthread_mutex_lock(&b->mutex);
    b->maybe = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
    run_claim(r, &claim);
    serve_store_claim_free(&claim);
}

static void *run(void *arg)
{
    struct runner *r = arg;
    struct serve_batch_work *now;
    int item;
    while (wait_for_work(r->batch, &now, &item))
        if (now)
            run_now(r, now, item);
        else
            claim_one(r);
    return NULL;
}

/* ---- the clerk ------------------------------------------------------------------------------------------------------------------- */

/* The job in the store; refused when it is somebody else's. */
static void read_job(struct serve_batch *b, struct serve_batch_work *w)
{
    struct serve_exchange *x = w->exchange;
    struct rudd_error err;
    enum rudd_status status = serve_store_job_read(&w->job, b->server->record.store, w->id, &err);
    const char *owner = status ? NULL : json_string_value(json_object_get(w->job, "client"));
    /* Another key's job is answered like none, so that ids cannot be tried out. */
    if (status == RUDD_ARGUMENT || (owner && strcmp(owner, x->client)))
        serve_refuse(&x->problem, 404, "unknown_batch", "there is no batch %.64s", w->id);
    else if (status)
        serve_refuse(&x->problem, 503, "store_away", "the store does not answer; try again");
}

static void create_job(struct serve_batch *b, struct serve_batch_work *w)
{
    struct serve_exchange *x = w->exchange;
    struct rudd_error err;
    const char *client = *x->client ? x->client : NULL;
    struct serve_store_item *items = rudd_zalloc((size_t)w->count, sizeof *items);
    json_t *options = json_pack("{s:i,s:s*,s:s*,s:s*}", "top_k", w->top_k, "version", *w->version ? w->version : NULL, "client",
                                client, "trace", x->trace.request_id);
    char *text = options ? json_dumps(options, JSON_COMPACT) : NULL;
    enum rudd_status status = RUDD_NO_MEMORY;
    for (int i = 0; items && i < w->count; i++)
        items[i] = (struct serve_store_item){.name = w->items[i].name,
                                             .url = w->items[i].url,
                                             .image = w->items[i].bytes.data,
                                             .length = w->items[i].bytes.length};
    if (items && text)
        status =
            serve_store_job_create(b->server->record.store, w->id, items, w->count, text, x->trace.request_id, client, &err);
    free(text);
    json_decref(options);
    rudd_free(items);
    /* A job of this id is what a client finds that asks again because an answer was lost. */
    if (status && status != RUDD_ARGUMENT) {
        serve_refuse(&x->problem, 503, "store_away", "the batch could not be kept; try again");
        return;
    }
    read_job(b, w);
    if (status || x->problem.http) return;
    serve_metrics_add(b->server->metrics, SERVE_M_BATCH_JOBS, 1);
    pthread_mutex_lock(&b->mutex);
    b->maybe = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
}

static void *keep_books(void *arg)
{
    struct serve_batch *b = arg;
    for (;;) {
        pthread_mutex_lock(&b->mutex);
        while (!b->clerk_list.first && !b->stopping) pthread_cond_wait(&b->changed, &b->mutex);
        struct serve_batch_work *w = b->clerk_list.first;
        if (w) drop_first(&b->clerk_list);
        pthread_mutex_unlock(&b->mutex);
        if (!w) return NULL;
        if (w->kind == SERVE_BATCH_JOB)
            create_job(b, w);
        else
            read_job(b, w);
        finish(w);
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------------------------- */

enum rudd_status serve_batch_create(struct serve_batch **batch, struct serve_server *server,
                                    const struct serve_fetcher *fetcher, struct rudd_error *err)
{
    struct serve_batch *b = rudd_zalloc(1, sizeof *b);
    if (!b) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for batches");
    b->server = server;
    b->fetcher = fetcher;
    b->now.last = &b->now.first;
    b->clerk_list.last = &b->clerk_list.first;
    b->maybe = server->record.store != NULL; /* what a server before this one left */
    pthread_mutex_init(&b->mutex, NULL);
    serve_cond_init(&b->changed);
    for (int i = 0; i < RUNNERS; i++) serve_cond_init(&b->runners[i].computed);
    b->clerk_started = !pthread_create(&b->clerk, NULL, keep_books, b);
    bool started = b->clerk_started;
    for (int i = 0; i < RUNNERS && started; i++) {
        struct runner *r = &b->runners[i];
        r->batch = b;
        started = r->started = !pthread_create(&r->thread, NULL, run, r);
    }
    if (!started) {
        serve_batch_destroy(b);
        return rudd_fail(err, RUDD_IO, "the system starts no more threads for batches");
    }
    *batch = b;
    return RUDD_OK;
}

void serve_batch_stop(struct serve_batch *b)
{
    if (!b) return;
    pthread_mutex_lock(&b->mutex);
    b->stopping = true;
    pthread_cond_broadcast(&b->changed);
    for (int i = 0; i < RUNNERS; i++) pthread_cond_signal(&b->runners[i].computed);
    pthread_mutex_unlock(&b->mutex);
    if (b->clerk_started) pthread_join(b->clerk, NULL);
    b->clerk_started = false;
    for (int i = 0; i < RUNNERS; i++) {
        if (b->runners[i].started) pthread_join(b->runners[i].thread, NULL);
        b->runners[i].started = false;
    }
}

void serve_batch_destroy(struct serve_batch *b)
{
    if (!b) return;
    serve_batch_stop(b);
    for (int i = 0; i < RUNNERS; i++) pthread_cond_destroy(&b->runners[i].computed);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->mutex);
    rudd_free(b);
}

/* ---- the answers -------------------------------------------------------------------------------------------------------------------- */

/* An item as clients see it. */
static json_t *item_json(int number, const struct serve_batch_item *item)
{
    bool ok = item->result != NULL;
    return json_pack("{s:i,s:s*,s:s,s:O*,s:s*,s:s*}", "item", number, "name", item->name, "state", ok ? "done" : "failed",
                     "result", item->result, "code", ok ? NULL : item->problem.code, "detail",
                     ok ? NULL : item->problem.detail);
}

static enum MHD_Result send_now(struct serve_exchange *x, const struct serve_batch_work *w)
{
    json_t *results = json_array();
    int failed = 0;
    for (int i = 0; i < w->count; i++) {
        failed += !w->items[i].result;
        json_array_append_new(results, item_json(i, &w->items[i]));
    }
    return serve_send_json(x, 200,
                           json_pack("{s:s,s:s,s:i,s:i,s:i,s:o}", "request_id", x->trace.request_id, "status",
                                     failed == w->count ? "failed" : "done", "total", w->count, "done", w->count - failed,
                                     "failed", failed, "results", results));
}

/* The store's words for a job become the interface's; its items lose the fields that say nothing. */
static enum MHD_Result send_job(struct serve_exchange *x, struct serve_batch_work *w)
{
    json_t *items = json_object_get(w->job, "items"), *item, *value;
    const char *key;
    size_t i;
    void *after;
    json_array_foreach(items, i, item) json_object_foreach_safe(item, after, key, value) if (json_is_null(value))
        json_object_del(item, key);
    char url[32 + SERVE_REQUEST_ID];
    snprintf(url, sizeof url, "/batch/status/%s", w->id);
    static const char *const counts[] = {"total", "queued", "running", "done", "failed"};
    json_t *root = json_pack("{s:s,s:O,s:s,s:I}", "request_id", w->id, "status", json_object_get(w->job, "state"), "status_url",
                             url, "created_unix_s", (json_int_t)json_real_value(json_object_get(w->job, "time")));
    for (size_t k = 0; root && k < sizeof counts / sizeof *counts; k++)
        json_object_set(root, counts[k], json_object_get(w->job, counts[k]));
    if (root && w->kind == SERVE_BATCH_STATUS) json_object_set(root, "results", items);
    return serve_send_json(x, w->kind == SERVE_BATCH_STATUS ? 200 : 202, root);
}

/* Puts w on its list and lets the connection sleep, unless there is a problem already. */
static enum MHD_Result hand_over(struct serve_exchange *x, struct serve_batch_work *w)
{
    struct serve_batch *b = x->server->batch;
    bool taken = false;
    if (x->problem.http) return serve_send_problem(x);
    MHD_suspend_connection(x->connection);
    pthread_mutex_lock(&b->mutex);
    if (!b->stopping) {
        append(w->kind == SERVE_BATCH_NOW ? &b->now : &b->clerk_list, w);
        pthread_cond_broadcast(&b->changed);
        taken = true;
    }
    pthread_mutex_unlock(&b->mutex);
    if (!taken) {
        serve_refuse(&x->problem, 503, "draining", "the server is shutting down");
        finish(w);
    }
    return MHD_YES;
}

static struct serve_batch_work *begin(struct serve_exchange *x)
{
    struct serve_batch_work *w = x->batch = rudd_zalloc(1, sizeof *w);
    if (w)
        w->exchange = x;
    else
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
    return w;
}

static void need_store(struct serve_exchange *x)
{
    if (!x->server->record.store)
        serve_refuse(&x->problem, 503, "no_store",
                     "this server keeps no jobs; start it with --store, or send at most %d files without a request_id",
                     SERVE_BATCH_AT_ONCE);
}

enum MHD_Result serve_answer_batch(struct serve_exchange *x)
{
    struct serve_batch_work *w = x->batch;
    if (w && w->finished)
        return x->problem.http ? serve_send_problem(x) : w->kind == SERVE_BATCH_NOW ? send_now(x, w) : send_job(x, w);
    const char *top_k = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "top_k");
    const char *version = serve_header(x, "X-Model-Version");
    if (!(w = begin(x)) || !serve_batch_parse(w, x->connection, &x->body, &x->problem)) return serve_send_problem(x);
    serve_top_k_parse(&w->top_k, top_k, 3, serve_model_of(x)->model->class_count, &x->problem);
    snprintf(w->version, sizeof w->version, "%s", version ? version : "");
    bool urls = w->items[0].url != NULL;
    w->left = w->count;
    w->kind = *w->id || urls || w->count > SERVE_BATCH_AT_ONCE ? SERVE_BATCH_JOB : SERVE_BATCH_NOW;
    if (urls && !x->server->fetcher) serve_fetch_allowed(NULL, w->items[0].url, &x->problem);
    if (w->kind == SERVE_BATCH_JOB) {
        need_store(x);
        if (!*w->id && !serve_new_id(w->id)) serve_refuse(&x->problem, 500, "internal", "the system gives no random numbers");
    }
    return hand_over(x, w);
}

enum MHD_Result serve_answer_batch_status(struct serve_exchange *x)
{
    struct serve_batch_work *w = x->batch;
    if (w && w->finished) return x->problem.http ? serve_send_problem(x) : send_job(x, w);
    if (!(w = begin(x))) return serve_send_problem(x);
    w->kind = SERVE_BATCH_STATUS;
    need_store(x);
    if (!serve_request_id_parse(w->id, x->tail)) serve_refuse(&x->problem, 404, "unknown_batch", "there is no such batch");
    return hand_over(x, w);
}
