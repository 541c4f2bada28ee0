/* safetensors_write.c - the model file's container, written: header, then the tensors' bytes, in one replacement (replace.h).
 *
 * Source of the form: github.com/huggingface/safetensors; like its own writer, the header is padded with spaces so that the
 * data starts at a multiple of 8. */
#include "weights/replace.h"
#include "weights/safetensors.h"
#include "weights/supply.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The header's entry of one tensor whose data start at *offset, which moves on. NULL: no memory. */
static json_t *tensor_entry(const struct weights_tensor *t, size_t *offset)
{
    size_t begin = *offset, end = begin + t->count * weights_dtype_size(t->dtype);
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer(t->shape[i]))) {
            json_decref(shape);
            return NULL;
        }
    *offset = end;
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", weights_dtype_name(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* Adds value (whose reference it takes) under a name that must be new and UTF-8. */
static enum rudd_status add_entry(json_t *object, const char *name, json_t *value, const char *path, struct rudd_error *err)
{
    if (!value)
        return rudd_fail(err, RUDD_ARGUMENT, "%s: the header entry \"%s\" is not UTF-8, or there is no memory for it", path,
                         name);
    if (json_object_get(object, name)) {
        json_decref(value);
        return rudd_fail(err, RUDD_ARGUMENT, "%s: two header entries are called %s", path, name);
    }
    if (json_object_set_new(object, name, value))
        return rudd_fail(err, RUDD_ARGUMENT, "%s: the header name \"%s\" is not UTF-8, or there is no memory for it", path,
                         name);
    return RUDD_OK;
}

/* The header's JSON text, unpadded; to be freed with free(). */
static enum rudd_status make_header(char **text, const char *path, const struct weights_supply *supply,
                                    const struct weights_meta *meta, int meta_count, struct rudd_error *err)
{
    json_t *header = json_object(), *map = NULL;
    enum rudd_status status = RUDD_OK;
    size_t offset = 0;
    if (meta_count) {
        map = json_object();
        status = add_entry(header, "__metadata__", map, path, err);
    }
    for (int i = 0; i < meta_count && !status; i++) status = add_entry(map, meta[i].key, json_string(meta[i].value), path, err);
    for (int i = 0; i < supply->count && !status; i++)
        status = add_entry(header, supply->tensors[i].name, tensor_entry(&supply->tensors[i], &offset), path, err);
    if (!status) {
        *text = json_dumps(header, JSON_COMPACT);
        if (!*text) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its header", path);
    }
    json_decref(header);
    return status;
}

enum rudd_status weights_write(const char *path, const struct weights_tensor *tensors, int tensor_count,
                               const struct weights_meta *meta, int meta_count, struct rudd_error *err)
{
    return weights_safetensors_write(path, &(struct weights_supply){tensors, tensor_count, NULL}, meta, meta_count, err);
}

enum rudd_status weights_safetensors_write(const char *path, struct weights_supply *supply, const struct weights_meta *meta,
                                           int meta_count, struct rudd_error *err)
{
    char *header = NULL;
    enum rudd_status status = make_header(&header, path, supply, meta, meta_count, err);
    if (status) return status;

    size_t length = strlen(header), padding = (8 - length % 8) % 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));

    struct weights_replacement r;
    status = weights_replace_begin(&r, path, err);
    if (!status) {
        status = weights_replace_write(&r, prefix, sizeof prefix, err);
        if (!status) status = weights_replace_write(&r, header, length, err);
        if (!status) status = weights_replace_write(&r, "        ", padding, err);
        for (int i = 0; i < supply->count && !status; i++) {
            const struct weights_tensor *t = &supply->tensors[i];
            const void *bytes;
            status = weights_fetch(&bytes, supply, i, err);
            if (!status) status = weights_replace_write(&r, bytes, t->count * weights_dtype_size(t->dtype), err);
        }
        status = weights_replace_end(&r, status, err);
    }
    free(header);
    return status;
}
