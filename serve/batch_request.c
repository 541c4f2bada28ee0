/* batch_request.c - the body of POST /batch/predict: see batch.h. */
#include "serve/batch.h"
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 255, URL_MAX_BYTES = 2048 };

static bool no_memory(struct serve_problem *p)
{
    return serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
}

void serve_batch_work_free(struct serve_batch_work *w)
{
    if (!w) return;
    for (int i = 0; i < w->count; i++) {
        rudd_free(w->items[i].name);
        rudd_free(w->items[i].url);
        rudd_free(w->items[i].bytes.data);
        json_decref(w->items[i].result);
    }
    rudd_free(w->items);
    json_decref(w->job);
    rudd_free(w);
}

/* One more item; NULL and a problem when there are too many, or no memory. */
static struct serve_batch_item *add_item(struct serve_batch_work *w, struct serve_problem *p)
{
    if (w->count == SERVE_BATCH_ITEMS) {
        serve_refuse(p, 413, "too_many_items", "a batch has at most %d pictures", SERVE_BATCH_ITEMS);
        return NULL;
    }
    if (!w->items) w->items = rudd_zalloc(SERVE_BATCH_ITEMS, sizeof *w->items);
    if (!w->items) no_memory(p);
    return w->items ? &w->items[w->count++] : NULL;
}

/* A copy of a file's name that JSON can hold; else NULL: a name is only for the client. */
static char *copy_name(const char *name)
{
    json_t *text = name && strlen(name) <= NAME_MAX_BYTES ? json_string(name) : NULL; /* NULL for what is not UTF-8 */
    json_decref(text);
    return text ? rudd_strdup(name) : NULL;
}

/* ---- multipart ---------------------------------------------------------------------------------------------------------------- */

struct form {
    struct serve_batch_work *work;
    struct serve_problem *problem;
    char id[SERVE_REQUEST_ID + 1]; /* one more than fits: too long ones are seen */
    size_t id_length;
    bool in_file; /* the part that arrives is a picture */
};

static enum MHD_Result form_part(void *user, enum MHD_ValueKind kind, const char *key, const char *file_name, const char *type,
                                 const char *encoding, const char *data, uint64_t offset, size_t n)
{
    (void)kind, (void)type, (void)encoding;
    struct form *f = user;
    if (key && !strcmp(key, "request_id")) {
        if (n > sizeof f->id - 1 - f->id_length) n = sizeof f->id - 1 - f->id_length;
        memcpy(f->id + f->id_length, data, n);
        f->id_length += n;
    }
    if (offset == 0) /* without quotes the name is not read: see request.c */
        f->in_file = key ? !strcmp(key, "file") || !strcmp(key, "files") || !strcmp(key, "files[]") : serve_is_image(data, n);
    if (!f->in_file) return MHD_YES;
    struct serve_batch_item *item = f->work->count ? &f->work->items[f->work->count - 1] : NULL;
    if (offset == 0) {
        item = add_item(f->work, f->problem);
        if (item) item->name = copy_name(file_name);
    }
    if (item && serve_bytes_add(&item->bytes, data, n, SIZE_MAX)) no_memory(f->problem);
    return f->problem->http ? MHD_NO : MHD_YES;
}

static bool parse_form(struct serve_batch_work *w, struct MHD_Connection *connection, const struct serve_body *body,
                       struct serve_problem *p)
{
    enum { BUFFER = 64 * 1024 };
    struct form f = {.work = w, .problem = p};
    struct MHD_PostProcessor *form = MHD_create_post_processor(connection, BUFFER, form_part, &f);
    if (!form) return serve_refuse(p, 400, "bad_multipart", "the multipart Content-Type names no usable boundary");
    bool whole = MHD_post_process(form, (const char *)body->bytes.data, body->bytes.length) == MHD_YES;
    whole &= MHD_destroy_post_processor(form) == MHD_YES;
    if (p->http) return false;
    if (!whole) return serve_refuse(p, 400, "bad_multipart", "the multipart body is malformed or truncated");
    if (!w->count) return serve_refuse(p, 400, "no_image", "the form has no field named `file`");
    if (f.id_length && !serve_request_id_parse(w->id, f.id))
        return serve_refuse(p, 400, "bad_request_id", "a request_id has 1 to %d letters, digits, dots, dashes and underscores",
                            SERVE_REQUEST_ID - 1);
    return true;
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------------------- */

static bool add_url(struct serve_batch_work *w, const json_t *entry, struct serve_problem *p)
{
    const char *url = json_string_value(entry);
    if (!url || !*url || strlen(url) != json_string_length(entry) || json_string_length(entry) > URL_MAX_BYTES)
        return serve_refuse(p, 400, "bad_url", "\"image_urls\"[%d] is no URL of at most %d bytes", w->count, URL_MAX_BYTES);
    struct serve_batch_item *item = add_item(w, p);
    if (!item) return false;
    item->url = rudd_strdup(url);
    return item->url || no_memory(p);
}

static bool parse_json(struct serve_batch_work *w, const struct serve_body *body, struct serve_problem *p)
{
    json_error_t where;
    json_t *root = json_loadb((const char *)body->bytes.data, body->bytes.length, JSON_REJECT_DUPLICATES, &where), *entry;
    json_t *id = json_object_get(root, "request_id"), *urls = json_object_get(root, "image_urls");
    size_t i;
    if (!root)
        serve_refuse_json(p, &where);
    else if (!json_array_size(urls))
        serve_refuse(p, 400, "no_image", "expected {\"request_id\":\"...\",\"image_urls\":[\"https://...\",...]}");
    else if (id && !json_is_null(id) && !(json_is_string(id) && serve_request_id_parse(w->id, json_string_value(id))))
        serve_refuse(p, 400, "bad_request_id", "a request_id has 1 to %d letters, digits, dots, dashes and underscores",
                     SERVE_REQUEST_ID - 1);
    json_array_foreach(urls, i, entry) if (p->http || !add_url(w, entry, p)) break;
    json_decref(root);
    return !p->http;
}

bool serve_batch_parse(struct serve_batch_work *w, struct MHD_Connection *connection, const struct serve_body *body,
                       struct serve_problem *p)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (body->too_large)
        return serve_refuse(p, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server", body->max);
    if (body->failed) return no_memory(p);
    if (!body->bytes.length)
        return serve_refuse(p, 400, "empty_body", "send pictures: several multipart fields `file`, or {\"image_urls\":[...]}");
    return type && !strncasecmp(type, "multipart/", 10) ? parse_form(w, connection, body, p) : parse_json(w, body, p);
}
