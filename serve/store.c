/* store.c - the queue, the writer's thread, and what it does when the database is away: see store.h.
 *
 *     up      a batch of ops is one transaction; ops are answered when it is committed
 *     away    rows go to the spool, which is synced before their ops are answered; other ops fail at once; every 0.1 to 2 s the
 *             database is tried again
 *     back    the spool is replayed, some rows a turn, new ones still going to its end; when it is empty: up
 *
 * An op that the database refuses for good must not take its neighbours along: then the batch is rolled back and each op has a transaction of
 * its own. */
#include "data/store/where.h"
#include "serve/store.h"
#include "serve/clock.h"
#include "serve/spool.h"
#include "serve/store_row.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    QUEUE_OPS = 16384,
    QUEUE_BYTES = 32 << 20,
    BATCH_OPS = 512,    /* in one transaction */
    REPLAY_ROWS = 1000, /* of the spool, in one transaction */
    LINGER_MS =
        100, /* that a prediction's row may wait for others, so that a quiet server syncs its disk ten times a second at most */
    RETRY_MS = 100, /* first, then twice as long each time */
    RETRY_MAX_MS = 2000,
    PRUNE_MS = 60 * 1000, /* between looks for rows that are too old */
    PRUNE_ROWS = 1000,    /* deleted at a time */
    TIME_LIMIT_MS = 2000
};

struct list {
    struct serve_store_op *first, **last;
};

struct serve_store {
    char *where, *spool_path;
    int time_limit_ms, keep_days;
    char owner[256]; /* whose claims of job items are: stable over restarts, and this server's alone while it holds its spool */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct list queue;
    size_t queue_ops, queue_bytes, urgent; /* urgent: ops that somebody waits for */
    double oldest_ms;                      /* when the queue was last empty */
    bool stopping, running;
    struct serve_store_stats stats; /* under the mutex */
    pthread_t thread;

    /* The writer's own. */
    struct serve_sql *sql; /* NULL: away */
    struct serve_spool *spool;
    int replay_rows;     /* REPLAY_ROWS, or 1 while a row that is refused is looked for */
    bool requeued, told; /* told: the log knows that the database is away */
    void (*say)(const char *line);
    double retry_ms, retry_at, prune_at;
};

/* Adds to one figure of the stats. */
static void count(struct serve_store *s, uint64_t *figure, uint64_t n)
{
    pthread_mutex_lock(&s->mutex);
    *figure += n;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- the queue -------------------------------------------------------------------------------------------------------------------- */

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct list *l, struct serve_store_op *op)
{
    op->next = NULL;
    *l->last = op;
    l->last = &op->next;
}

/* The end of a prediction's op, which nobody waits for. */
static void free_logged(struct serve_store_op *op)
{
    rudd_free(op->row.data);
    rudd_free(op);
}

bool serve_store_submit(struct serve_store *s, struct serve_store_op *op)
{
    pthread_mutex_lock(&s->mutex);
    bool room = !s->stopping && s->queue_ops < QUEUE_OPS && s->queue_bytes + op->row.length < QUEUE_BYTES;
    if (room) {
        op->status = RUDD_OK;
        op->spooled = false;
        if (!s->queue.first) s->oldest_ms = serve_now_ms();
        list_add(&s->queue, op);
        s->queue_ops++;
        s->queue_bytes += op->row.length;
        /* The writer sleeps on when there is only a row more that may wait. */
        bool urgent = op->done != free_logged;
        if ((urgent && !s->urgent) || s->queue_ops == 1 || s->queue_ops == BATCH_OPS) pthread_cond_signal(&s->changed);
        s->urgent += urgent;
    }
    pthread_mutex_unlock(&s->mutex);
    return room;
}

void serve_store_log(struct serve_store *s, const struct serve_store_prediction *prediction)
{
    if (!s) return;
    struct serve_store_op *op = rudd_zalloc(1, sizeof *op);
    if (op) op->done = free_logged;
    if (op && !serve_store_log_row(&op->row, prediction) && serve_store_submit(s, op)) return;
    if (op) free_logged(op);
    count(s, &s->stats.dropped[SERVE_PREDICTIONS], 1);
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
};

static void wake(struct serve_store_op *op)
{
    struct waiter *w = op->context;
    pthread_mutex_lock(&w->mutex);
    w->is_done = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->mutex);
}

enum rudd_status serve_store_wait(struct serve_store *s, struct serve_store_op *op, struct rudd_error *err)
{
    struct waiter w = {.is_done = false};
    pthread_mutex_init(&w.mutex, NULL);
    pthread_cond_init(&w.done, NULL);
    op->done = wake;
    op->context = &w;
    bool submitted = serve_store_submit(s, op);
    pthread_mutex_lock(&w.mutex);
    while (submitted && !w.is_done) pthread_cond_wait(&w.done, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.mutex);
    if (!submitted) return rudd_fail(err, RUDD_LIMIT, "the store has no room for more now; try again");
    return op->status ? rudd_fail(err, op->status, "%s", op->err.message) : RUDD_OK;
}

/* Everything that waits, once there is a reason to write it: an op that somebody waits for, a row that waited long enough, a full batch, the
 * end, or the database's next try. false: stopping, and nothing waits. */
static bool take_batch(struct list *batch, struct serve_store *s)
{
    bool replaying = s->sql && serve_spool_rows(s->spool);
    pthread_mutex_lock(&s->mutex);
    while (!s->stopping && !s->urgent && s->queue_ops < BATCH_OPS) {
        double now = serve_now_ms(), until = s->prune_at;
        if (!s->sql && s->retry_at < until) until = s->retry_at;
        if (s->queue.first && s->oldest_ms + LINGER_MS < until) until = s->oldest_ms + LINGER_MS;
        if (replaying || now >= until) break;
        struct timespec t = serve_timespec(until);
        pthread_cond_timedwait(&s->changed, &s->mutex, &t);
    }
    bool more = !s->stopping || s->queue.first;
    *batch = s->queue;
    if (!batch->first) batch->last = &batch->first;
    list_init(&s->queue);
    s->queue_ops = s->queue_bytes = s->urgent = 0;
    pthread_mutex_unlock(&s->mutex);
    return more;
}

/* ---- the database ----------------------------------------------------------------------------------------------------------------- */

/* why: what the database, or the way to it, said. */
static void go_away(struct serve_store *s, const struct rudd_error *why)
{
    char line[1200];
    snprintf(line, sizeof line, "the database is away, rows wait in %.500s: %.500s", s->spool_path, why->message);
    if (s->say && !s->told) s->say(line);
    s->told = true;
    serve_sql_close(s->sql);
    s->sql = NULL;
    s->retry_at = serve_now_ms() + s->retry_ms;
    s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
    serve_spool_rewind(s->spool);
    count(s, &s->stats.errors, 1);
}

/* What this server had claimed when it was killed is queued again: nobody else has its name, and none of its threads works yet. */
static enum rudd_status requeue(struct serve_sql *sql, const char *owner, struct rudd_error *err)
{
    const struct serve_sql_value values[] = {serve_sql_text(owner)};
    return serve_sql_run(sql, "UPDATE job_items SET state = 'queued', owner = NULL WHERE state = 'running' AND owner = $1",
                         values, 1, NULL, NULL, err);
}

/* s->sql is NULL on failure. */
static enum rudd_status open_sql(struct serve_store *s, struct rudd_error *err)
{
    enum rudd_status status = data_store_is_url(s->where) ? serve_postgres_open(&s->sql, s->where, s->time_limit_ms, err)
                                                          : serve_sqlite_open(&s->sql, s->where, s->time_limit_ms, err);
    if (!status) status = serve_store_migrate(s->sql, err);
    if (!status && !s->requeued) status = requeue(s->sql, s->owner, err);
    if (!status) s->requeued = true;
    if (status) {
        serve_sql_close(s->sql);
        s->sql = NULL;
    }
    return status;
}

static void reopen(struct serve_store *s)
{
    if (s->sql || serve_now_ms() < s->retry_at) return;
    struct rudd_error err = {RUDD_OK, ""};
    if (open_sql(s, &err)) go_away(s, &err);
}

static enum rudd_status run_text(struct serve_store *s, const char *text, struct rudd_error *err)
{
    return serve_sql_run(s->sql, text, NULL, 0, NULL, NULL, err);
}

static enum rudd_status write_payload(struct serve_sql *sql, const uint8_t *bytes, size_t length, struct rudd_error *err)
{
    struct serve_row row;
    enum rudd_status status = serve_row_parse(&row, bytes, length, err);
    return status ? status : serve_row_write(sql, &row, err);
}

/* The database cannot now, but may on a new connection. */
static bool is_away(enum rudd_status status)
{
    return status == RUDD_IO || status == RUDD_NO_MEMORY;
}

static enum rudd_status run_op(struct serve_sql *sql, struct serve_store_op *op)
{
    op->status = op->work ? op->work(sql, op->user, &op->err) : RUDD_OK;
    if (!op->status && op->row.length) op->status = write_payload(sql, op->row.data, op->row.length, &op->err);
    return op->status;
}

/* The ops from first up to, not including, end in one transaction. RUDD_OK: committed; each op has its own status. */
static enum rudd_status transact(struct serve_store *s, struct serve_store_op *first, const struct serve_store_op *end,
                                 struct rudd_error *err)
{
    enum rudd_status status = run_text(s, s->sql->driver->begin, err);
    for (struct serve_store_op *op = first; op != end && !status; op = op->next) {
        status = run_op(s->sql, op);
        if (status == RUDD_ARGUMENT) status = RUDD_OK; /* refused without a change */
        if (status) rudd_fail(err, status, "%s", op->err.message);
    }
    if (!status) status = run_text(s, "COMMIT", err);
    if (status && !is_away(status)) run_text(s, "ROLLBACK", NULL);
    if (!status) {
        s->retry_ms = RETRY_MS;
        count(s, &s->stats.commits, 1);
    }
    return status;
}

/* Of an op with a row. */
static enum serve_store_table table_of(const struct serve_store_op *op)
{
    return (enum serve_store_table)(op->row.data[0] - SERVE_ROW_PREDICTION);
}

static void count_rows(struct serve_store *s, const struct serve_store_op *first, const struct serve_store_op *end)
{
    pthread_mutex_lock(&s->mutex);
    for (const struct serve_store_op *op = first; op != end; op = op->next)
        if (op->row.length && !op->status) s->stats.rows[table_of(op)]++;
    pthread_mutex_unlock(&s->mutex);
}

/* Commits what it can. Returns the first op that must wait elsewhere because the database went away; NULL: none. */
static struct serve_store_op *commit(struct serve_store *s, struct serve_store_op *first)
{
    bool apart = false; /* one of them is refused: each by itself, so that the others are not */
    struct serve_store_op *whole = NULL;
    while (first) {
        struct rudd_error err = {RUDD_OK, ""};
        struct serve_store_op *end = first;
        for (int i = 0; end && i < (apart ? 1 : BATCH_OPS); i++) end = end->next;
        enum rudd_status status = transact(s, first, end, &err);
        if (is_away(status)) {
            go_away(s, &err);
            return first;
        }
        if (status && !apart) {
            apart = true;
            whole = end;
            continue;
        }
        if (status) {
            first->status = rudd_fail(&first->err, status, "%s", err.message);
            if (first->row.length) count(s, &s->stats.rejected, 1);
        } else {
            count_rows(s, first, end);
        }
        first = end;
        apart = apart && first != whole;
    }
    return NULL;
}

/* ---- the spool --------------------------------------------------------------------------------------------------------------------- */

/* Ops from first on: their rows into the spool, synced together. */
static void spool_ops(struct serve_store *s, struct serve_store_op *first)
{
    struct rudd_error err = {RUDD_OK, ""};
    for (struct serve_store_op *op = first; op; op = op->next) {
        op->spooled = false;
        if (op->status == RUDD_ARGUMENT) continue; /* refused before the database went away */
        if (!op->row.length)
            op->status = rudd_fail(&op->err, RUDD_IO, "the store is away; try again");
        else
            op->status = serve_spool_add(s->spool, op->row.data, op->row.length, op->done != free_logged, &op->err);
        op->spooled = !op->status;
    }
    enum rudd_status status = serve_spool_commit(s->spool, &err);
    pthread_mutex_lock(&s->mutex);
    for (struct serve_store_op *op = first; op; op = op->next) {
        if (op->spooled && status) {
            op->spooled = false;
            op->status = rudd_fail(&op->err, status, "%s", err.message);
        }
        s->stats.spooled += op->spooled;
        if (op->row.length && op->status != RUDD_ARGUMENT) s->stats.dropped[table_of(op)] += !op->spooled;
    }
    pthread_mutex_unlock(&s->mutex);
}

/* Up to s->replay_rows of the spool in one transaction. *refused: the database, or this program, takes one of them never. */
static enum rudd_status replay_some(struct serve_store *s, int *rows, bool *refused, struct rudd_error *err)
{
    enum rudd_status status = run_text(s, s->sql->driver->begin, err);
    *refused = false;
    *rows = 0;
    while (!status && *rows < s->replay_rows) {
        const uint8_t *payload;
        size_t length;
        if ((status = serve_spool_next(&payload, &length, s->spool, err)) || !payload) break;
        status = write_payload(s->sql, payload, length, err);
        ++*rows;
    }
    if (!status) status = run_text(s, "COMMIT", err); /* fails for a deferred row, too */
    if (!status || is_away(status)) return status;
    enum rudd_status end = run_text(s, "ROLLBACK", err);
    *refused = !is_away(end);
    return *refused ? status : end;
}

/* A row that nothing takes is moved to a file beside the spool, for a person to look at. */
static enum rudd_status reject_next(struct serve_store *s, struct rudd_error *err)
{
    const uint8_t *payload;
    size_t length;
    struct serve_spool *rejected = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s.rejected", s->spool_path);
    enum rudd_status status = serve_spool_next(&payload, &length, s->spool, err);
    if (!status) status = serve_spool_open(&rejected, path, SIZE_MAX, err);
    if (!status) status = serve_spool_add(rejected, payload, length, true, err);
    if (!status) status = serve_spool_commit(rejected, err);
    serve_spool_close(rejected);
    if (!status) count(s, &s->stats.rejected, 1);
    return status;
}

/* One turn. */
static void replay(struct serve_store *s)
{
    int rows;
    bool refused;
    struct rudd_error err = {RUDD_OK, ""};
    enum rudd_status status = replay_some(s, &rows, &refused, &err);
    if (refused) {
        serve_spool_rewind(s->spool);
        bool found = s->replay_rows == 1;
        s->replay_rows = found ? REPLAY_ROWS : 1;
        if (!found) return;
        status = reject_next(s, &err);
        rows = 0;
    }
    if (status) {
        go_away(s, &err);
        return;
    }
    serve_spool_accept(s->spool);
    s->retry_ms = RETRY_MS;
    count(s, &s->stats.replayed, (uint64_t)rows);
}

/* ---- rows that are too old --------------------------------------------------------------------------------------------------------- */

/* A prediction that somebody spoke of stays. Some at a time, so that the writer is back soon. */
static void prune(struct serve_store *s)
{
    static const char *const texts[] = {
        "DELETE FROM predictions WHERE id IN (SELECT p.id FROM predictions p WHERE p.time < $1 AND NOT EXISTS"
        " (SELECT 1 FROM feedback f WHERE f.prediction_id = p.id) ORDER BY p.time LIMIT $2)",
        "DELETE FROM job_items WHERE job_id IN (SELECT j.id FROM jobs j WHERE j.time < $1 AND NOT EXISTS"
        " (SELECT 1 FROM job_items i WHERE i.job_id = j.id AND i.state IN ('queued', 'running')) LIMIT $2)",
        "DELETE FROM jobs WHERE id IN (SELECT j.id FROM jobs j WHERE j.time < $1 AND NOT EXISTS"
        " (SELECT 1 FROM job_items i WHERE i.job_id = j.id) LIMIT $2)",
    };
    const struct serve_sql_value values[] = {serve_sql_real(serve_wall_s() - s->keep_days * 86400.0),
                                             serve_sql_integer(PRUNE_ROWS)};
    int64_t most = 0;
    if (!s->sql || serve_now_ms() < s->prune_at) return;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rudd_error err = {RUDD_OK, ""};
        enum rudd_status status = serve_sql_run(s->sql, texts[i], values, 2, NULL, NULL, &err);
        if (status) {
            if (is_away(status)) go_away(s, &err);
            break;
        }
        int64_t n = s->sql->driver->changes(s->sql);
        if (n > most) most = n;
    }
    s->prune_at = serve_now_ms() + (most < PRUNE_ROWS ? PRUNE_MS : LINGER_MS);
}

/* ---- the writer ---------------------------------------------------------------------------------------------------------------------- */

static void *write_all(void *arg)
{
    struct serve_store *s = arg;
    struct list batch;
    while (take_batch(&batch, s)) {
        reopen(s);
        if (s->sql && serve_spool_rows(s->spool)) replay(s);
        bool up = s->sql && !serve_spool_rows(s->spool);
        struct serve_store_op *rest = up ? commit(s, batch.first) : batch.first;
        if (rest) spool_ops(s, rest);
        pthread_mutex_lock(&s->mutex);
        s->stats.up = s->sql && !serve_spool_rows(s->spool);
        s->stats.spool_rows = serve_spool_rows(s->spool);
        s->stats.spool_bytes = serve_spool_bytes(s->spool);
        const bool is_back = s->stats.up && s->told;
        pthread_mutex_unlock(&s->mutex);
        if (is_back && s->say) s->say("the database is back, nothing waits in the spool");
        if (is_back) s->told = false;
        for (struct serve_store_op *op = batch.first, *next; op; op = next) {
            next = op->next;
            op->done(op);
        }
        if (s->keep_days) prune(s);
    }
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------------- */

enum { SLOTS = 9 };

/* The spool of slot 1 is path itself, of the others path.2 ... */
static char *slot_path(const char *path, int slot)
{
    size_t size = strlen(path) + 8;
    char *text = rudd_alloc(size);
    if (text) snprintf(text, size, slot > 1 ? "%s.%d" : "%s", path, slot);
    return text;
}

/* The first free slot: servers in one folder get one each. */
static enum rudd_status open_spool(struct serve_store *s, const struct serve_store_options *o, int *slot,
                                   struct rudd_error *err)
{
    enum rudd_status status = RUDD_LIMIT;
    for (*slot = 1; *slot <= SLOTS && status == RUDD_LIMIT; ++*slot) {
        rudd_free(s->spool_path);
        s->spool_path = slot_path(o->spool, *slot);
        if (!s->spool_path) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
        status = serve_spool_open(&s->spool, s->spool_path, o->spool_max, err);
    }
    --*slot;
    return status;
}

/* Rows that a server left in another slot, when it holds that no longer, go into ours. */
static void adopt_spools(struct serve_store *s, const struct serve_store_options *o, int own)
{
    for (int slot = 1; slot <= SLOTS; slot++) {
        char *path = slot == own ? NULL : slot_path(o->spool, slot);
        struct serve_spool *other = NULL;
        if (path && !access(path, F_OK) && !serve_spool_open(&other, path, o->spool_max, NULL)) {
            const uint8_t *payload = NULL;
            size_t length;
            enum rudd_status status;
            while (!(status = serve_spool_next(&payload, &length, other, NULL)) && payload && !status)
                if ((status = serve_spool_add(s->spool, payload, length, true, NULL))) break;
            if (!serve_spool_commit(s->spool, NULL) && !status) {
                serve_spool_accept(other);
                unlink(path);
            }
        }
        serve_spool_close(other);
        rudd_free(path);
    }
}

static void name_owner(struct serve_store *s)
{
    char host[65] = "", *real = realpath(s->spool_path, NULL);
    gethostname(host, sizeof host - 1);
    snprintf(s->owner, sizeof s->owner, "%s:%s", host, real ? real : s->spool_path);
    free(real);
}

enum rudd_status serve_store_create(struct serve_store **store, const struct serve_store_options *o, struct rudd_error *err)
{
    int slot;
    struct serve_store *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
    pthread_mutex_init(&s->mutex, NULL);
    serve_cond_init(&s->changed);
    list_init(&s->queue);
    s->time_limit_ms = o->time_limit_ms ? o->time_limit_ms : TIME_LIMIT_MS;
    s->keep_days = o->keep_days;
    s->say = o->say;
    s->replay_rows = REPLAY_ROWS;
    s->retry_ms = RETRY_MS;
    s->prune_at = serve_now_ms() + (s->keep_days ? 0 : 1e12);
    s->where = rudd_strdup(o->where);
    enum rudd_status status = s->where ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
    if (!status) status = open_spool(s, o, &slot, err);
    if (!status) {
        adopt_spools(s, o, slot);
        name_owner(s);
        s->stats.spool_rows = serve_spool_rows(s->spool);
        s->stats.spool_bytes = serve_spool_bytes(s->spool);
        status = open_sql(s, err);
        if (status == RUDD_IO && data_store_is_url(s->where)) {
            go_away(s, err);
            status = RUDD_OK;
        }
        s->stats.up = s->sql && !s->stats.spool_rows;
    }
    if (!status && pthread_create(&s->thread, NULL, write_all, s))
        status = rudd_fail(err, RUDD_IO, "the system starts no thread for the store");
    if (status) {
        serve_store_destroy(s);
        return status;
    }
    s->running = true;
    *store = s;
    return RUDD_OK;
}

void serve_store_stop(struct serve_store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (s->running) pthread_join(s->thread, NULL);
    s->running = false;
}

void serve_store_destroy(struct serve_store *s)
{
    if (!s) return;
    serve_store_stop(s);
    serve_sql_close(s->sql);
    serve_spool_close(s->spool);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    rudd_free(s->where);
    rudd_free(s->spool_path);
    rudd_free(s);
}

const char *serve_store_owner(const struct serve_store *s)
{
    return s->owner;
}

void serve_store_get_stats(struct serve_store_stats *stats, struct serve_store *s)
{
    pthread_mutex_lock(&s->mutex);
    *stats = s->stats;
    stats->queue_rows = s->queue_ops;
    pthread_mutex_unlock(&s->mutex);
}
