/* safetensors_read.c - the strict reader: a safetensors file becomes a sorted table of tensors that point into a memory map.
 *
 *     bytes --length, JSON--> entries --each: name, dtype, shape, offsets--> table --sorted by offset: no overlap, no gap--> by
 * name
 *
 * Nothing is believed before it is checked, and nothing is handed out until everything is: a file is either sound as a whole or
 * refused with the first fault and its place. The header is capped, because parsed JSON takes some twenty times its text.
 *
 * Source: the format's description at github.com/huggingface/safetensors, "Format"; no gaps and no overlaps are its own rules.
 */
#include "weights/container/identify.h"
#include "weights/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 16 << 20, WHERE = 1024 };

/* ---- one entry of the header ------------------------------------------------------------------------------------- */

/* What an entry is checked against, and where its complaints go. */
struct context {
    const char *file;
    const unsigned char *data;
    size_t data_length;
    struct rudd_error *err;
};

static enum rudd_status parse_dtype(struct weights_tensor *t, json_t *json, const struct context *c)
{
    const char *found = json_string_value(json);
    for (int d = 0; found && d < WEIGHTS_DTYPES; d++)
        if (!strcmp(found, weights_dtype_name((enum weights_dtype)d))) {
            t->dtype = (enum weights_dtype)d;
            return RUDD_OK;
        }
    char known[128] = "";
    for (int d = 0; d < WEIGHTS_DTYPES; d++) strcat(strcat(known, d ? " " : ""), weights_dtype_name((enum weights_dtype)d));
    return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: dtype %.40s, expected one of %s", c->file, t->name,
                     found ? found : "is missing or not a string", known);
}

static enum rudd_status parse_shape(struct weights_tensor *t, json_t *json, const struct context *c)
{
    if (!json_is_array(json)) return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: no \"shape\" array", c->file, t->name);
    if (json_array_size(json) > WEIGHTS_MAX_RANK)
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: rank %zu, expected at most %d", c->file, t->name,
                         json_array_size(json), WEIGHTS_MAX_RANK);
    int64_t shape[WEIGHTS_MAX_RANK];
    const size_t rank = json_array_size(json);
    for (size_t i = 0; i < rank; i++) {
        json_t *dim = json_array_get(json, i);
        shape[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
    }
    char where[WHERE];
    snprintf(where, sizeof where, "%s: tensor %s", c->file, t->name);
    return weights_set_shape(t, shape, rank, where, c->err);
}

static enum rudd_status parse_offsets(struct weights_tensor *t, json_t *json, const struct context *c)
{
    json_t *begin_json = json_array_get(json, 0), *end_json = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_integer(begin_json) || !json_is_integer(end_json))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: \"data_offsets\" is not a pair of integers", c->file, t->name);
    json_int_t begin = json_integer_value(begin_json), end = json_integer_value(end_json);
    if (begin < 0 || end < begin || (uint64_t)end > c->data_length)
        return rudd_fail(c->err, RUDD_FORMAT,
                         "%s: tensor %s: data_offsets [%lld,%lld] lie outside the %zu bytes of data; the file is damaged",
                         c->file, t->name, (long long)begin, (long long)end, c->data_length);
    if ((size_t)(end - begin) != t->count * weights_dtype_size(t->dtype))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: data_offsets span %lld bytes, its shape in %s needs %zu", c->file,
                         t->name, (long long)(end - begin), weights_dtype_name(t->dtype),
                         t->count * weights_dtype_size(t->dtype));
    t->data = c->data + begin;
    return RUDD_OK;
}

static enum rudd_status parse_tensor(struct weights_tensor *t, const char *name, json_t *json, const struct context *c)
{
    if (!weights_name_is_printable(name))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor name \"%.40s\" has control characters or more than %d bytes", c->file,
                         name, WEIGHTS_MAX_NAME);
    if (!json_is_object(json))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: its entry is not a JSON object", c->file, name);
    t->name = rudd_strdup(name);
    if (!t->name) return rudd_fail(c->err, RUDD_NO_MEMORY, "%s: no memory for tensor names", c->file);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: unknown key \"%.40s\" in its entry", c->file, name, key);
    }
    enum rudd_status status = parse_dtype(t, json_object_get(json, "dtype"), c);
    if (!status) status = parse_shape(t, json_object_get(json, "shape"), c);
    if (!status) status = parse_offsets(t, json_object_get(json, "data_offsets"), c);
    return status;
}

/* ---- the whole header -------------------------------------------------------------------------------------------- */

static enum rudd_status parse_meta(struct weights_file *file, json_t *json, const struct context *c)
{
    if (!json_is_object(json)) return rudd_fail(c->err, RUDD_FORMAT, "%s: __metadata__ is not a JSON object", c->file);
    file->meta = rudd_zalloc(json_object_size(json), sizeof *file->meta);
    if (!file->meta) return rudd_fail(c->err, RUDD_NO_MEMORY, "%s: no memory for metadata", c->file);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (!json_is_string(value))
            return rudd_fail(c->err, RUDD_FORMAT, "%s: __metadata__ key \"%.40s\" is not a string", c->file, key);
        struct weights_meta *m = &file->meta[file->meta_count++];
        m->key = rudd_strdup(key);
        m->value = rudd_strdup(json_string_value(value));
        if (!m->key || !m->value) return rudd_fail(c->err, RUDD_NO_MEMORY, "%s: no memory for metadata", c->file);
    }
    return RUDD_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct weights_tensor *s = a, *t = b;
    uintptr_t p = (uintptr_t)s->data, q = (uintptr_t)t->data;
    if (p != q) return p < q ? -1 : 1;
    return (s->count > 0) - (t->count > 0); /* an empty tensor before the one that starts at the same place */
}

/* Tensors, in order of place, must tile the data from its first byte to its last. */
static enum rudd_status check_tiling(struct weights_file *file, const struct context *c)
{
    qsort(file->tensors, (size_t)file->tensor_count, sizeof *file->tensors, by_place);
    size_t end = 0;
    for (int i = 0; i < file->tensor_count; i++) {
        const struct weights_tensor *t = &file->tensors[i];
        size_t begin = (size_t)((const unsigned char *)t->data - c->data);
        if (begin != end)
            return rudd_fail(c->err, RUDD_FORMAT,
                             "%s: tensor %s starts at byte %zu of the data, the one before ends at %zu; they %s", c->file,
                             t->name, begin, end, begin < end ? "overlap" : "leave a gap");
        end += t->count * weights_dtype_size(t->dtype);
    }
    if (end != c->data_length)
        return rudd_fail(c->err, RUDD_FORMAT, "%s: %zu bytes follow the last tensor; expected none", c->file,
                         c->data_length - end);
    return RUDD_OK;
}

/* Where the data end that the header tells of. */
static json_int_t find_end(json_t *header)
{
    const char *key;
    json_t *value;
    json_int_t last = 0;
    json_object_foreach(header, key, value)
    {
        const json_int_t end = json_integer_value(json_array_get(json_object_get(value, "data_offsets"), 1));
        last = end > last ? end : last;
    }
    return last;
}

static enum rudd_status parse_header(struct weights_file *file, json_t *header, const struct context *c)
{
    const size_t entries = json_object_size(header);
    const json_int_t end = find_end(header);
    if ((uint64_t)end > c->data_length)
        return rudd_fail(c->err, RUDD_FORMAT,
                         "%s: the file is not complete: its tensors have %lld bytes, %zu of them are "
                         "there; download it again",
                         c->file, (long long)end, c->data_length);
    file->tensors = rudd_zalloc(entries, sizeof *file->tensors);
    if (!file->tensors) return rudd_fail(c->err, RUDD_NO_MEMORY, "%s: no memory for %zu tensors", c->file, entries);
    const char *key;
    json_t *value;
    json_object_foreach(header, key, value)
    {
        enum rudd_status status = !strcmp(key, "__metadata__")
                                      ? parse_meta(file, value, c)
                                      : parse_tensor(&file->tensors[file->tensor_count++], key, value, c);
        if (status) return status;
    }
    enum rudd_status status = check_tiling(file, c);
    if (status) return status;
    return weights_sort(file, c->err);
}

enum rudd_status weights_safetensors_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                           struct rudd_error *err)
{
    const unsigned char *p = bytes;
    struct weights_file parsed = {0};
    json_t *header = NULL;
    uint64_t header_length = 0;
    enum rudd_status status;

    if (!weights_is_safetensors(bytes, length)) return weights_refuse_kind(bytes, length, name, err);
    for (int i = 7; i >= 0; i--) header_length = header_length << 8 | p[i];
    if (header_length > length - 8)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: the file is not complete: its header has %" PRIu64
                         " bytes, %zu of them are there; download it again",
                         name, header_length, length - 8);
    if (header_length > MAX_HEADER)
        return rudd_fail(err, RUDD_LIMIT, "%s: header of %" PRIu64 " bytes, expected at most %d", name, header_length,
                         MAX_HEADER);

    parsed.path = rudd_strdup(name);
    if (!parsed.path) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to parse it", name);
    json_error_t at;
    header = json_loadb((const char *)p + 8, (size_t)header_length, JSON_REJECT_DUPLICATES, &at);
    if (!header) {
        status = json_error_code(&at) == json_error_out_of_memory
                     ? rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its header", name)
                     : rudd_fail(err, RUDD_FORMAT, "%s: header is not valid JSON at byte %d: %s", name, at.position, at.text);
        goto out;
    }
    status =
        parse_header(&parsed, header, &(struct context){name, p + 8 + header_length, length - 8 - (size_t)header_length, err});
out:
    json_decref(header);
    if (status)
        weights_close(&parsed);
    else
        *file = parsed;
    return status;
}
