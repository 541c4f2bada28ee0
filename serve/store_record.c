/* store_record.c - see store_record.h. */
#include "serve/store_record.h"
#include "data/store/where.h"
#include "serve/clock.h"
#include <stdio.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------------------------------------ */

enum rudd_status serve_record_open(struct serve_record *r, const struct serve_record_options *o, bool any_port,
                                   struct rudd_error *err)
{
    enum { HASHES = 65536, HASH_BYTES = 16 << 20, DAY_MS = 86400000 };
    char where[DATA_STORE_WHERE], spool[DATA_STORE_WHERE + 32];
    struct rudd_error why = {RUDD_OK, ""};
    bool told = o->store || o->file, wanted = told ? o->file || strcmp(o->store, "none") != 0 : !any_port;
    enum rudd_status status = RUDD_OK;
    if (wanted) status = data_store_where(where, o->store, o->file, err);
    if (wanted && !status) {
        bool url = data_store_is_url(where);
        snprintf(spool, sizeof spool, "%s.spool", url ? DATA_STORE_FILE : where);
        const struct serve_store_options options = {.where = where,
                                                    .spool = o->spool ? o->spool : spool,
                                                    .spool_max = o->spool_max,
                                                    .keep_days = o->keep_days,
                                                    .say = o->say};
        status = serve_store_create(&r->store, &options, &why);
        if (status && told) rudd_fail(err, status, "--store: %s", why.message);
        if (status && !told) {
            snprintf(r->warning, sizeof r->warning, "predictions are not logged, feedback is refused: %.400s; see --store",
                     why.message);
            status = RUDD_OK;
        }
    }
    if (!status && o->images) status = serve_images_create(&r->images, o->images, o->images_days, err);
    if (!status && serve_record_wants_hash(r)) status = serve_lru_create(&r->hashes, HASHES, HASH_BYTES, DAY_MS, err);
    if (status) serve_record_close(r);
    return status;
}

void serve_record_stop(struct serve_record *r)
{
    if (r->store) serve_store_stop(r->store);
}

void serve_record_close(struct serve_record *r)
{
    serve_store_destroy(r->store);
    serve_images_destroy(r->images);
    serve_lru_destroy(r->hashes);
    *r = (struct serve_record){0};
}

bool serve_record_wants_hash(const struct serve_record *r)
{
    return r->store || r->images;
}

/* ---- one answer -------------------------------------------------------------------------------------------------------------------- */

/* The picture's hash: from the decoder, or from the answer that the cache's came from, or computed now. */
static void find_hash(char hash[NN_SHA256_HEX], struct serve_record *r, const struct serve_answered *a)
{
    enum { WORDS = 16 }; /* 64 digits as the bytes of 16 floats, which are only copied */
    float words[WORDS];
    hash[NN_SHA256_HEX - 1] = 0;
    if (a->job->cached && a->key && serve_lru_get(r->hashes, a->key, words, WORDS, serve_now_ms())) {
        memcpy(hash, words, sizeof words);
        return;
    }
    if (*a->job->sha256) {
        memcpy(hash, a->job->sha256, NN_SHA256_HEX);
    } else {
        struct nn_sha256 state;
        nn_sha256_init(&state);
        nn_sha256_update(&state, a->job->bytes, a->job->length);
        nn_sha256_hex(hash, &state);
    }
    memcpy(words, hash, sizeof words);
    if (a->key) serve_lru_put(r->hashes, a->key, words, WORDS, serve_now_ms());
}

/* The row's `top`: [{"class":"pike","probability":0.953},...] */
static enum rudd_status print_top(struct serve_bytes *out, const struct nn_model *m, const struct rudd_top *top, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:f}", "class", m->classes[top[i].index].name, "probability", (double)top[i].probability));
    enum rudd_status status = serve_json_print(out, list);
    if (!status) out->data[out->length - 1] = 0; /* the line's end */
    return status;
}

void serve_record_prediction(char hash[NN_SHA256_HEX], struct serve_record *r, const struct serve_answered *a,
                             struct serve_bytes *bytes)
{
    enum { TOP = 5 };
    const struct nn_model *m = a->model->model;
    struct rudd_top top[TOP];
    struct serve_bytes json = {0};
    *hash = 0;
    if (!serve_record_wants_hash(r)) return;
    find_hash(hash, r, a);
    int count = rudd_top_k(top, m->class_count < TOP ? m->class_count : TOP, a->job->probabilities, m->class_count);
    if (r->store && !print_top(&json, m, top, count)) {
        const struct serve_store_prediction row = {.id = a->id,
                                                   .image_hash = hash,
                                                   .model = a->model->name,
                                                   .model_version = a->model->version,
                                                   .model_sha256 = m->sha256 ? m->sha256 : "",
                                                   .class = m->classes[top[0].index].name,
                                                   .confidence = (double)top[0].probability,
                                                   .latency_ms = a->total_ms,
                                                   .top = (const char *)json.data,
                                                   .cached = a->job->cached,
                                                   .request_id = a->request_id,
                                                   .client = a->client};
        serve_store_log(r->store, &row);
    }
    rudd_free(json.data);
    if (!r->images) return;
    struct serve_bytes copy = {0};
    if (!bytes) serve_bytes_add(bytes = &copy, a->job->bytes, a->job->length, SIZE_MAX);
    if (bytes->length) serve_images_keep(r->images, hash, bytes);
    rudd_free(copy.data);
}

void serve_record_set_metrics(struct serve_metrics *m, struct serve_record *r)
{
    struct serve_store_stats s = {0};
    struct serve_images_stats i = {0};
    if (r->store) {
        serve_store_get_stats(&s, r->store);
        serve_metrics_set(m, SERVE_M_STORE_UP, s.up);
        serve_metrics_set(m, SERVE_M_STORE_SPOOL, (double)s.spool_rows);
        serve_metrics_set(m, SERVE_M_STORE_SPOOL_BYTES, (double)s.spool_bytes);
        serve_metrics_set(m, SERVE_M_STORE_QUEUE, (double)s.queue_rows);
        serve_metrics_set(m, SERVE_M_STORE_ERRORS, (double)s.errors);
        serve_metrics_set(m, SERVE_M_STORE_COMMITS, (double)s.commits);
        serve_metrics_set(m, SERVE_M_STORE_SPOOLED, (double)s.spooled);
        serve_metrics_set(m, SERVE_M_STORE_REPLAYED, (double)s.replayed);
        serve_metrics_set(m, SERVE_M_STORE_REJECTED, (double)s.rejected);
        static const char *const tables[SERVE_STORE_TABLES] = {"predictions", "feedback", "job_items"};
        for (int t = 0; t < SERVE_STORE_TABLES; t++) {
            serve_metrics_set(m, SERVE_M_STORE_ROWS, (double)s.rows[t], tables[t]);
            serve_metrics_set(m, SERVE_M_STORE_DROPPED, (double)s.dropped[t], tables[t]);
        }
    }
    if (r->images) {
        serve_images_get_stats(&i, r->images);
        serve_metrics_set(m, SERVE_M_STORE_IMAGES, (double)i.kept, "kept");
        serve_metrics_set(m, SERVE_M_STORE_IMAGES, (double)i.known, "known");
        serve_metrics_set(m, SERVE_M_STORE_IMAGES, (double)i.dropped, "dropped");
        serve_metrics_set(m, SERVE_M_STORE_IMAGES, (double)i.failed, "failed");
        serve_metrics_set(m, SERVE_M_STORE_IMAGES, (double)i.expired, "expired");
    }
}
