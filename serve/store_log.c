/* store_log.c - predictions and feedback become rows: see store.h. */
#include "nn/sha256.h"
#include "serve/store.h"
#include "serve/store_row.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

double serve_wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool serve_new_id(char id[SERVE_ID])
{
    enum { RANDOM = 10 };
    unsigned char random[RANDOM];
    if (getrandom(random, sizeof random, 0) != RANDOM) return false;
    int n = snprintf(id, SERVE_ID, "%012llx", (unsigned long long)(serve_wall_s() * 1e3) & 0xffffffffffffULL);
    for (int i = 0; i < RANDOM; i++) n += snprintf(id + n, (size_t)(SERVE_ID - n), "%02x", random[i]);
    return true;
}

bool serve_is_id(const char *text)
{
    return text && strlen(text) == SERVE_ID - 1 && strspn(text, "0123456789abcdef") == SERVE_ID - 1;
}

enum rudd_status serve_store_log_row(struct serve_bytes *row, const struct serve_store_prediction *p)
{
    const struct serve_sql_value columns[] = {
        serve_sql_text(p->id),         serve_sql_real(serve_wall_s()),   serve_sql_text(p->image_hash),
        serve_sql_text(p->model),      serve_sql_text(p->model_version), serve_sql_text(p->model_sha256),
        serve_sql_text(p->class),      serve_sql_real(p->confidence),    serve_sql_text(p->top),
        serve_sql_real(p->latency_ms), serve_sql_integer(p->cached),     serve_sql_text(p->request_id),
        serve_sql_text(p->client)};
    return serve_row_print(row, SERVE_ROW_PREDICTION, columns, NULL);
}

/* ---- feedback ---------------------------------------------------------------------------------------------------------------------- */

enum { PREDICTION = 2, IMAGE, LABEL }; /* columns of a feedback's row */

struct comparison {
    const struct serve_sql_value *label;
    enum serve_agreement agrees;
};

static enum rudd_status compare(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    struct comparison *c = user;
    bool same = columns[0].length == c->label->length && !memcmp(columns[0].bytes, c->label->bytes, c->label->length);
    c->agrees = same ? SERVE_AGREES : SERVE_DIFFERS;
    return RUDD_OK;
}

/* Whether there is what the feedback speaks of. user: the opinion. */
static enum rudd_status look_up(struct serve_sql *sql, void *user, struct rudd_error *err)
{
    struct serve_store_opinion *o = user;
    struct serve_row row;
    enum rudd_status status = serve_row_parse(&row, o->op.row.data, o->op.row.length, err);
    struct comparison c = {&row.columns[LABEL], SERVE_AGREES};
    if (!status && row.columns[IMAGE].type) {
        c.agrees = SERVE_UNKNOWN;
        status = serve_sql_run(sql, "SELECT class FROM predictions WHERE image_hash = $1 ORDER BY time DESC LIMIT 1",
                               &row.columns[IMAGE], 1, compare, &c, err);
    }
    if (!status && c.agrees && row.columns[PREDICTION].type) {
        c.agrees = SERVE_UNKNOWN;
        status =
            serve_sql_run(sql, "SELECT class FROM predictions WHERE id = $1", &row.columns[PREDICTION], 1, compare, &c, err);
    }
    o->agrees = status ? SERVE_UNKNOWN : c.agrees;
    return status || c.agrees ? status : rudd_fail(err, RUDD_ARGUMENT, "there is no such prediction");
}

/* Each part with its end, so that parts do not run into each other; NULL differs from "". */
static void hash_part(struct nn_sha256 *hash, const char *text)
{
    nn_sha256_update(hash, text ? "=" : "-", 1);
    if (text) nn_sha256_update(hash, text, strlen(text) + 1);
}

enum rudd_status serve_store_feedback_op(struct serve_store_opinion *o, const struct serve_store_feedback *f,
                                         struct rudd_error *err)
{
    struct nn_sha256 hash;
    char hex[NN_SHA256_HEX];
    nn_sha256_init(&hash);
    hash_part(&hash, f->prediction_id);
    hash_part(&hash, f->image_hash);
    hash_part(&hash, f->label);
    hash_part(&hash, f->comment);
    hash_part(&hash, f->client);
    nn_sha256_hex(hex, &hash);
    snprintf(o->id, SERVE_ID, "%.32s", hex);
    const struct serve_sql_value columns[] = {
        serve_sql_text(o->id),         serve_sql_real(serve_wall_s()), serve_sql_text(f->prediction_id),
        serve_sql_text(f->image_hash), serve_sql_text(f->label),       serve_sql_text(f->comment),
        serve_sql_text(f->request_id), serve_sql_text(f->client)};
    o->op.work = look_up;
    o->op.user = o;
    return serve_row_print(&o->op.row, SERVE_ROW_FEEDBACK, columns, err);
}
