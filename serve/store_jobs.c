/* store_jobs.c - batch jobs in the store: see store.h.
 *
 *     queued --claim--> running --finish--> done | failed
 *        ^---release, an expired lease, a restart--'
 *
 * A job's own state is what its items' are. Claims and outcomes are ops of the writer like all others, so they are atomic; an outcome is a row
 * that may go through the spool. */
#include "serve/store.h"
#include "serve/store_row.h"
#include <string.h>

/* ---- create ------------------------------------------------------------------------------------------------------------------------- */

struct creation {
    const char *id, *options, *request_id, *client;
    const struct serve_store_item *items;
    int count;
};

static enum rudd_status create(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    const struct creation *c = user;
    const struct serve_sql_value job[] = {serve_sql_text(c->id),         serve_sql_real(serve_wall_s()),
                                          serve_sql_integer(c->count),   serve_sql_text(c->options),
                                          serve_sql_text(c->request_id), serve_sql_text(c->client)};
    enum rudd_status status =
        serve_sql_run(sql,
                      "INSERT INTO jobs (id, time, items, options, request_id, client) VALUES ($1, $2, $3, $4, $5, $6)"
                      " ON CONFLICT (id) DO NOTHING",
                      job, 6, NULL, NULL, err);
    if (!status && !sql->driver->changes(sql)) return rudd_fail(err, RUDD_ARGUMENT, "there is a job %.80s already", c->id);
    for (int i = 0; i < c->count && !status; i++) {
        const struct serve_store_item *item = &c->items[i];
        const struct serve_sql_value row[] = {serve_sql_text(c->id), serve_sql_integer(i), serve_sql_text(item->name),
                                              serve_sql_text(item->url), serve_sql_blob(item->image, item->length)};
        status = serve_sql_run(sql,
                               "INSERT INTO job_items (job_id, item, name, url, image, state)"
                               " VALUES ($1, $2, $3, $4, $5, 'queued')",
                               row, 5, NULL, NULL, err);
    }
    return status;
}

enum rudd_status serve_store_job_create(struct serve_store *store, const char *id, const struct serve_store_item *items,
                                        int count, const char *options, const char *request_id, const char *client,
                                        struct rudd_error *err)
{
    struct creation c = {id, options, request_id, client, items, count};
    struct serve_store_op op = {.work = create, .user = &c};
    return serve_store_wait(store, &op, err);
}

/* ---- claim and finish ------------------------------------------------------------------------------------------------------------ */

struct claiming {
    struct serve_store_claim *claim;
    const char *owner;
    double lease_s;
};

void serve_store_claim_free(struct serve_store_claim *claim)
{
    rudd_free(claim->job_id);
    rudd_free(claim->name);
    rudd_free(claim->url);
    rudd_free(claim->options);
    rudd_free(claim->image);
    *claim = (struct serve_store_claim){0};
}

/* A copy of a text or blob, with a terminator behind it. NULL of NULL; *failed is set when memory ran out. */
static char *copy(const struct serve_sql_value *v, bool *failed)
{
    char *bytes = v->type ? rudd_alloc(v->length + 1) : NULL;
    if (v->type && !bytes) *failed = true;
    if (!bytes) return NULL;
    if (v->length) memcpy(bytes, v->bytes, v->length);
    bytes[v->length] = 0;
    return bytes;
}

static enum rudd_status read_claim(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    bool failed = false;
    *(struct serve_store_claim *)user = (struct serve_store_claim){.job_id = copy(&columns[0], &failed),
                                                                   .item = (int)columns[1].integer,
                                                                   .name = copy(&columns[2], &failed),
                                                                   .url = copy(&columns[3], &failed),
                                                                   .image = copy(&columns[4], &failed),
                                                                   .length = columns[4].length};
    return failed ? rudd_fail(err, RUDD_NO_MEMORY, "out of memory for an item of a job") : RUDD_OK;
}

static enum rudd_status read_options(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    bool failed = false;
    ((struct serve_store_claim *)user)->options = copy(&columns[0], &failed);
    return failed ? rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a job") : RUDD_OK;
}

#define CLAIM(lock)                                                                                                            \
    "UPDATE job_items SET state = 'running', owner = $1, claimed_until = $2 WHERE (job_id, item) ="                            \
    " (SELECT i.job_id, i.item FROM job_items i JOIN jobs j ON j.id = i.job_id"                                                \
    " WHERE i.state = 'queued' OR (i.state = 'running' AND i.claimed_until < $3)"                                              \
    " ORDER BY j.time, i.job_id, i.item LIMIT 1" lock ") RETURNING job_id, item, name, url, image"

static enum rudd_status claim_oldest(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    const struct claiming *c = user;
    double now = serve_wall_s();
    const struct serve_sql_value values[] = {serve_sql_text(c->owner), serve_sql_real(now + c->lease_s), serve_sql_real(now)};
    const char *text = sql->driver->locks_rows ? CLAIM(" FOR UPDATE OF i SKIP LOCKED") : CLAIM("");
    serve_store_claim_free(c->claim);
    enum rudd_status status = serve_sql_run(sql, text, values, 3, read_claim, c->claim, err);
    if (!status && c->claim->job_id) {
        const struct serve_sql_value id = serve_sql_text(c->claim->job_id);
        status = serve_sql_run(sql, "SELECT options FROM jobs WHERE id = $1", &id, 1, read_options, c->claim, err);
    }
    return status;
}

enum rudd_status serve_store_job_claim(struct serve_store *store, struct serve_store_claim *claim, double lease_s,
                                       struct rudd_error *err)
{
    *claim = (struct serve_store_claim){0};
    struct claiming c = {claim, serve_store_owner(store), lease_s};
    struct serve_store_op op = {.work = claim_oldest, .user = &c};
    enum rudd_status status = serve_store_wait(store, &op, err);
    if (status) serve_store_claim_free(claim);
    return status;
}

enum rudd_status serve_store_job_finish(struct serve_store *store, const char *job_id, int item, const char *result,
                                        const char *code, const char *detail, struct rudd_error *err)
{
    const struct serve_sql_value columns[] = {serve_sql_text(result ? "done" : "failed"),
                                              serve_sql_text(result),
                                              serve_sql_text(code),
                                              serve_sql_text(detail),
                                              serve_sql_text(job_id),
                                              serve_sql_integer(item)};
    struct serve_store_op op = {0};
    enum rudd_status status = serve_row_print(&op.row, SERVE_ROW_ITEM, columns, err);
    if (!status) status = serve_store_wait(store, &op, err);
    rudd_free(op.row.data);
    return status;
}

struct item_name {
    const char *job_id;
    int item;
};

static enum rudd_status give_back(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    const struct item_name *name = user;
    const struct serve_sql_value values[] = {serve_sql_text(name->job_id), serve_sql_integer(name->item)};
    return serve_sql_run(
        sql, "UPDATE job_items SET state = 'queued', owner = NULL WHERE job_id = $1 AND item = $2 AND state = 'running'",
        values, 2, NULL, NULL, err);
}

enum rudd_status serve_store_job_release(struct serve_store *store, const char *job_id, int item, struct rudd_error *err)
{
    struct item_name name = {job_id, item};
    struct serve_store_op op = {.work = give_back, .user = &name};
    return serve_store_wait(store, &op, err);
}

/* ---- read ----------------------------------------------------------------------------------------------------------------------------- */

struct reading {
    const char *id;
    json_t *job, *items;
    int queued, running, done, failed;
};

static json_t *text_json(const struct serve_sql_value *v)
{
    const char *text = serve_sql_get_text(v);
    return text ? json_stringn(text, v->length) : json_null();
}

/* A text that holds JSON. */
static json_t *carried_json(const struct serve_sql_value *v)
{
    const char *text = serve_sql_get_text(v);
    json_t *value = text ? json_loadb(text, v->length, JSON_DECODE_ANY, NULL) : NULL;
    return value ? value : json_null();
}

static enum rudd_status read_job(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    struct reading *r = user;
    r->items = json_array();
    r->job = json_pack("{s:o,s:f,s:I,s:o,s:o,s:o,s:O}", "id", text_json(&columns[0]), "time", columns[1].real, "total",
                       (json_int_t)columns[2].integer, "options", carried_json(&columns[3]), "request_id",
                       text_json(&columns[4]), "client", text_json(&columns[5]), "items", r->items);
    json_decref(r->items); /* the job's now */
    return r->job ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a job");
}

static enum rudd_status read_item(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    struct reading *r = user;
    const char *state = serve_sql_get_text(&columns[3]);
    json_t *item = json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "item", (json_int_t)columns[0].integer, "name",
                             text_json(&columns[1]), "url", text_json(&columns[2]), "state", text_json(&columns[3]), "result",
                             carried_json(&columns[4]), "code", text_json(&columns[5]), "detail", text_json(&columns[6]));
    if (!state || json_array_append_new(r->items, item)) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a job");
    ++*(!strcmp(state, "queued")    ? &r->queued
        : !strcmp(state, "running") ? &r->running
        : !strcmp(state, "done")    ? &r->done
                                    : &r->failed);
    return RUDD_OK;
}

static enum rudd_status read_all(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    struct reading *r = user;
    const struct serve_sql_value id = serve_sql_text(r->id);
    json_decref(r->job);
    r->job = NULL;
    r->queued = r->running = r->done = r->failed = 0;
    enum rudd_status status = serve_sql_run(sql, "SELECT id, time, items, options, request_id, client FROM jobs WHERE id = $1",
                                            &id, 1, read_job, r, err);
    if (!status && !r->job) return rudd_fail(err, RUDD_ARGUMENT, "there is no job %.80s", r->id);
    if (!status)
        status = serve_sql_run(
            sql, "SELECT item, name, url, state, result, code, detail FROM job_items WHERE job_id = $1 ORDER BY item", &id, 1,
            read_item, r, err);
    return status;
}

enum rudd_status serve_store_job_read(json_t **job, struct serve_store *store, const char *id, struct rudd_error *err)
{
    struct reading r = {.id = id};
    struct serve_store_op op = {.work = read_all, .user = &r};
    enum rudd_status status = serve_store_wait(store, &op, err);
    if (!status) {
        const char *state = r.queued + r.running == 0       ? r.done || !r.failed ? "done" : "failed"
                            : r.running + r.done + r.failed ? "running"
                                                            : "queued";
        json_t *counts = json_pack("{s:s,s:i,s:i,s:i,s:i}", "state", state, "queued", r.queued, "running", r.running, "done",
                                   r.done, "failed", r.failed);
        if (!counts || json_object_update(r.job, counts)) status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a job");
        json_decref(counts);
    }
    if (status)
        json_decref(r.job);
    else
        *job = r.job;
    return status;
}

static enum rudd_status read_count(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    *(int *)user = (int)columns[0].integer;
    return RUDD_OK;
}

static enum rudd_status count_unfinished(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    return serve_sql_run(sql, "SELECT COUNT(*) FROM job_items WHERE state IN ('queued', 'running')", NULL, 0, read_count, user,
                         err);
}

enum rudd_status serve_store_job_unfinished(struct serve_store *store, int *items, struct rudd_error *err)
{
    int n = 0;
    struct serve_store_op op = {.work = count_unfinished, .user = &n};
    enum rudd_status status = serve_store_wait(store, &op, err);
    if (!status) *items = n;
    return status;
}
