/* safetensors_read.c - the strict reader: a safetensors file becomes a sorted table of tensors that point into a memory map.
 *
 *     bytes --length, JSON--> entries --each: name, dtype, shape, offsets--> table --sorted by offset: no overlap, no gap--> by
 * name
 *
 * Nothing is believed before it is checked, and nothing is handed out until everything is: a file is either sound as a whole or
 * refused with the first fault and its place. The header is capped, because parsed JSON takes some twenty times its text.
 *
 * Source: the format's description at github.com/huggingface/safetensors, "Format"; no gaps and no overlaps are its own rules.
 *
 * Not here: big-endian machines; float8; a file that another program shortens while it is mapped (the header is parsed at once; values of
 * models are read, not mapped).
 */
#include "weights/safetensors.h"

#include "nn/half.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 16 << 20, MAX_NAME = 512 };

/* ---- dtypes: the one table --------------------------------------------------------------------------------------- */

static float f32_from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* Elements may lie unaligned, so each is copied out before it is read. */
#define CONVERTER(name, type, expression)                                                                                      \
    static void name(float *out, const unsigned char *in, size_t count)                                                        \
    {                                                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                                                   \
            type v;                                                                                                            \
            memcpy(&v, in + i * sizeof v, sizeof v);                                                                           \
            out[i] = expression;                                                                                               \
        }                                                                                                                      \
    }
CONVERTER(from_f16, uint16_t, nn_f32_from_f16(v))
CONVERTER(from_bf16, uint16_t, f32_from_bf16(v))
CONVERTER(from_f64, double, (float)v)
CONVERTER(from_i64, int64_t, (float)v)
CONVERTER(from_i32, int32_t, (float)v)
CONVERTER(from_i16, int16_t, v)
CONVERTER(from_i8, int8_t, v)
CONVERTER(from_u8, uint8_t, v)
CONVERTER(from_bool, uint8_t, v != 0)
#undef CONVERTER

static void from_f32(float *out, const unsigned char *in, size_t count)
{
    memcpy(out, in, count * sizeof *out);
}

static const struct {
    const char *name;
    size_t size;
    void (*to_f32)(float *out, const unsigned char *in, size_t count);
} dtypes[] = {
    [WEIGHTS_F32] = {"F32", 4, from_f32},    [WEIGHTS_F16] = {"F16", 2, from_f16}, [WEIGHTS_BF16] = {"BF16", 2, from_bf16},
    [WEIGHTS_F64] = {"F64", 8, from_f64},    [WEIGHTS_I64] = {"I64", 8, from_i64}, [WEIGHTS_I32] = {"I32", 4, from_i32},
    [WEIGHTS_I16] = {"I16", 2, from_i16},    [WEIGHTS_I8] = {"I8", 1, from_i8},    [WEIGHTS_U8] = {"U8", 1, from_u8},
    [WEIGHTS_BOOL] = {"BOOL", 1, from_bool},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

size_t weights_dtype_size(enum weights_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *weights_dtype_name(enum weights_dtype dtype)
{
    return dtypes[dtype].name;
}

bool weights_dtype_is_float(enum weights_dtype dtype)
{
    return dtype <= WEIGHTS_F64; /* the enum lists them first */
}

void weights_to_f32(float *out, const struct weights_tensor *t)
{
    if (t->count) dtypes[t->dtype].to_f32(out, t->data, t->count);
}

/* ---- one entry of the header ------------------------------------------------------------------------------------- */

/* What an entry is checked against, and where its complaints go. */
struct context {
    const char *file;
    const unsigned char *data;
    size_t data_length;
    struct rudd_error *err;
};

/* Names reach terminals, logs and one-line messages. */
static bool name_is_printable(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++)
        if ((unsigned char)name[n] < 0x20 || name[n] == 0x7f) return false;
    return n <= MAX_NAME;
}

static enum rudd_status parse_dtype(struct weights_tensor *t, json_t *json, const struct context *c)
{
    const char *found = json_string_value(json);
    for (int d = 0; found && d < DTYPES; d++)
        if (!strcmp(found, dtypes[d].name)) {
            t->dtype = (enum weights_dtype)d;
            return RUDD_OK;
        }
    char known[128] = "";
    for (int d = 0; d < DTYPES; d++) strcat(strcat(known, d ? " " : ""), dtypes[d].name);
    return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: dtype %.40s, expected one of %s", c->file, t->name,
                     found ? found : "is missing or not a string", known);
}

static enum rudd_status parse_shape(struct weights_tensor *t, json_t *json, const struct context *c)
{
    if (!json_is_array(json)) return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: no \"shape\" array", c->file, t->name);
    if (json_array_size(json) > WEIGHTS_MAX_RANK)
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: rank %zu, expected at most %d", c->file, t->name,
                         json_array_size(json), WEIGHTS_MAX_RANK);
    t->rank = (int)json_array_size(json);
    t->count = 1;
    for (int i = 0; i < t->rank; i++) {
        json_t *dim = json_array_get(json, (size_t)i);
        json_int_t v = json_integer_value(dim);
        if (!json_is_integer(dim) || v < 0)
            return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: dimension %d is not an integer >= 0", c->file, t->name, i);
        /* Against SIZE_MAX/8, so that count * size of the widest dtype cannot wrap either. */
        if (v && t->count > SIZE_MAX / 8 / (uint64_t)v)
            return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: the product of its shape overflows at dimension %d (%lld)",
                             c->file, t->name, i, (long long)v);
        t->shape[i] = v;
        t->count *= (size_t)v;
    }
    return RUDD_OK;
}

static enum rudd_status parse_offsets(struct weights_tensor *t, json_t *json, const struct context *c)
{
    json_t *begin_json = json_array_get(json, 0), *end_json = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_integer(begin_json) || !json_is_integer(end_json))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: \"data_offsets\" is not a pair of integers", c->file, t->name);
    json_int_t begin = json_integer_value(begin_json), end = json_integer_value(end_json);
    if (begin < 0 || end < begin || (uint64_t)end > c->data_length)
        return rudd_fail(
            c->err, RUDD_FORMAT,
            "%s: tensor %s: data_offsets [%lld,%lld] lie outside the %zu bytes of data; the file is truncated or corrupt",
            c->file, t->name, (long long)begin, (long long)end, c->data_length);
    if ((size_t)(end - begin) != t->count * dtypes[t->dtype].size)
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor %s: data_offsets span %lld bytes, its shape in %s needs %zu", c->file,
                         t->name, (long long)(end - begin), dtypes[t->dtype].name, t->count * dtypes[t->dtype].size);
    t->data = c->data + begin;
    return RUDD_OK;
}

static enum rudd_status parse_tensor(struct weights_tensor *t, const char *name, json_t *json, const struct context *c)
{
    if (!name_is_printable(name))
        return rudd_fail(c->err, RUDD_FORMAT, "%s: tensor name \"%.40s\" has control characters or more than %d bytes", c->file,
                         name, MAX_NAME);
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

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_tensor *)a)->name, ((const struct weights_tensor *)b)->name);
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
        end += t->count * dtypes[t->dtype].size;
    }
    if (end != c->data_length)
        return rudd_fail(c->err, RUDD_FORMAT, "%s: %zu bytes follow the last tensor; expected none", c->file,
                         c->data_length - end);
    return RUDD_OK;
}

static enum rudd_status parse_header(struct weights_file *file, json_t *header, const struct context *c)
{
    size_t entries = json_object_size(header);
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
    qsort(file->tensors, (size_t)file->tensor_count, sizeof *file->tensors, by_name);
    return RUDD_OK;
}

enum rudd_status weights_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                               struct rudd_error *err)
{
    const unsigned char *p = bytes;
    struct weights_file parsed = {0};
    json_t *header = NULL;
    uint64_t header_length = 0;
    enum rudd_status status;

    if (length < 8)
        return rudd_fail(err, RUDD_FORMAT, "%s: %zu bytes; safetensors starts with an 8-byte header length", name, length);
    for (int i = 7; i >= 0; i--) header_length = header_length << 8 | p[i];
    if (header_length > length - 8)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: header claims %" PRIu64 " bytes but %zu follow; the file is truncated or not safetensors", name,
                         header_length, length - 8);
    if (header_length > MAX_HEADER)
        return rudd_fail(err, RUDD_LIMIT, "%s: header of %" PRIu64 " bytes, expected at most %d", name, header_length,
                         MAX_HEADER);
    if (!header_length || p[8] != '{')
        return rudd_fail(err, RUDD_FORMAT, "%s: the header does not begin with '{'; this is not safetensors", name);

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

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum rudd_status weights_open(struct weights_file *file, const char *path, struct rudd_error *err)
{
    enum rudd_status status;
    struct stat st;
    size_t length = 0;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a pipe is refused below instead of waited for */
    if (fd < 0) return rudd_fail(err, RUDD_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st)) {
        status = rudd_fail(err, RUDD_IO, "%s: cannot stat: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = rudd_fail(err, RUDD_IO, "%s: not a regular file; expected a .safetensors file", path);
        goto out;
    }
    length = (size_t)st.st_size;
    if (!length) {
        status = rudd_fail(err, RUDD_FORMAT, "%s: the file is empty; expected safetensors", path);
        goto out;
    }
    map = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = rudd_fail(err, RUDD_IO, "%s: cannot map %zu bytes: %s", path, length, strerror(errno));
        goto out;
    }
    status = weights_parse(file, map, length, path, err);
    if (!status) {
        file->map = map;
        file->map_length = length;
        file->fd = fd;
        map = MAP_FAILED;
        fd = -1;
    }
out:
    if (map != MAP_FAILED) munmap(map, length);
    if (fd >= 0) close(fd);
    return status;
}

enum rudd_status weights_read_bytes(void *out, const struct weights_file *file, size_t offset, size_t length,
                                    struct rudd_error *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = pread(file->fd, (char *)out + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return rudd_fail(err, RUDD_IO, "%s: cannot read: %s", file->path, strerror(errno));
        if (!n)
            return rudd_fail(err, RUDD_IO, "%s: ends at byte %zu, it had %zu when it was opened; replace models by renaming",
                             file->path, offset + done, file->map_length);
        done += (size_t)n;
    }
    return RUDD_OK;
}

enum rudd_status weights_read_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                  struct rudd_error *err)
{
    const size_t size = dtypes[t->dtype].size, offset = (size_t)((const char *)t->data - (const char *)file->map);
    if (t->dtype == WEIGHTS_F32) return weights_read_bytes(out, file, offset, t->count * size, err);
    enum { PIECE = 4096 };
    unsigned char bytes[PIECE * 8]; /* of the widest dtype */
    enum rudd_status status = RUDD_OK;
    for (size_t at = 0; at < t->count && !status; at += PIECE) {
        size_t count = t->count - at < PIECE ? t->count - at : PIECE;
        status = weights_read_bytes(bytes, file, offset + at * size, count * size, err);
        if (!status) dtypes[t->dtype].to_f32(out + at, bytes, count);
    }
    return status;
}

void weights_close(struct weights_file *file)
{
    for (int i = 0; i < file->tensor_count; i++) rudd_free(file->tensors[i].name);
    for (int i = 0; i < file->meta_count; i++) {
        rudd_free(file->meta[i].key);
        rudd_free(file->meta[i].value);
    }
    rudd_free(file->tensors);
    rudd_free(file->meta);
    rudd_free(file->path);
    if (file->map) {
        munmap(file->map, file->map_length);
        close(file->fd);
    }
    memset(file, 0, sizeof *file);
}

const struct weights_tensor *weights_find(const struct weights_file *file, const char *name)
{
    int low = 0, high = file->tensor_count;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(name, file->tensors[middle].name);
        if (!order) return &file->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *weights_meta(const struct weights_file *file, const char *key)
{
    for (int i = 0; i < file->meta_count; i++)
        if (!strcmp(file->meta[i].key, key)) return file->meta[i].value;
    return NULL;
}
