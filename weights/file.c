/* file.c - weights files of all containers: opened, told apart, read: see file.h.
 *
 * Not here: big-endian machines; float8; a file that another program shortens while it is mapped (a parser looks at it once; values of
 * models are read, not mapped). */
#include "weights/file.h"

#include "nn/base/refuse.h"
#include "nn/half.h"
#include "weights/archive.h"
#include "weights/container/folder.h"
#include "weights/keras.h"
#include "weights/safetensors.h"
#include "weights/torch_read.h"
#include "weights/unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
} dtypes[WEIGHTS_DTYPES] = {
    [WEIGHTS_F32] = {"F32", 4, from_f32},    [WEIGHTS_F16] = {"F16", 2, from_f16}, [WEIGHTS_BF16] = {"BF16", 2, from_bf16},
    [WEIGHTS_F64] = {"F64", 8, from_f64},    [WEIGHTS_I64] = {"I64", 8, from_i64}, [WEIGHTS_I32] = {"I32", 4, from_i32},
    [WEIGHTS_I16] = {"I16", 2, from_i16},    [WEIGHTS_I8] = {"I8", 1, from_i8},    [WEIGHTS_U8] = {"U8", 1, from_u8},
    [WEIGHTS_BOOL] = {"BOOL", 1, from_bool},
};

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

const char *weights_shape_text(char text[WEIGHTS_SHAPE_TEXT], int rank, const int64_t *shape)
{
    int n = sprintf(text, "[");
    for (int i = 0; i < rank; i++) n += sprintf(text + n, "%s%" PRId64, i ? "," : "", shape[i]);
    sprintf(text + n, "]");
    return text;
}

void weights_to_f32(float *out, const struct weights_tensor *t)
{
    if (t->count) dtypes[t->dtype].to_f32(out, t->data, t->count);
}

/* ---- for parsers ------------------------------------------------------------------------------------------------- */

bool weights_name_is_printable(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++)
        if ((unsigned char)name[n] < 0x20 || name[n] == 0x7f) return false;
    return n <= WEIGHTS_MAX_NAME;
}

enum rudd_status weights_set_shape(struct weights_tensor *t, const int64_t *shape, size_t rank, const char *where,
                                   struct rudd_error *err)
{
    if (rank > WEIGHTS_MAX_RANK)
        return rudd_fail(err, RUDD_FORMAT, "%s: rank %zu, expected at most %d", where, rank, WEIGHTS_MAX_RANK);
    t->rank = (int)rank;
    t->count = 1;
    for (int i = 0; i < t->rank; i++) {
        if (shape[i] < 0) return rudd_fail(err, RUDD_FORMAT, "%s: dimension %d is not an integer >= 0", where, i);
        /* Against SIZE_MAX/8, so that count * size of the widest dtype cannot wrap either. */
        if (shape[i] && t->count > SIZE_MAX / 8 / (uint64_t)shape[i])
            return rudd_fail(err, RUDD_FORMAT, "%s: the product of its shape overflows at dimension %d (%lld)", where, i,
                             (long long)shape[i]);
        t->shape[i] = shape[i];
        t->count *= (size_t)shape[i];
    }
    return RUDD_OK;
}

enum rudd_status weights_count_unpacked(struct weights_file *file, size_t bytes, size_t length, struct rudd_error *err)
{
    const size_t times = 100, limit = (length < (SIZE_MAX >> 1) / times ? times * length : SIZE_MAX >> 1) + (256 << 20);
    if (bytes > limit - file->unpacked)
        return rudd_fail(err, RUDD_LIMIT, "%s: unpacks to more than %zu bytes, %zu times its own and 256 MiB", file->path,
                         limit, times);
    file->unpacked += bytes;
    return RUDD_OK;
}

enum rudd_status weights_add_block(void **block, struct weights_file *file, size_t bytes, size_t length, struct rudd_error *err)
{
    enum rudd_status status = weights_count_unpacked(file, bytes, length, err);
    if (status) return status;
    void **grown = rudd_realloc(file->blocks, ((size_t)file->block_count + 1) * sizeof *grown);
    if (grown) file->blocks = grown;
    *block = grown ? rudd_alloc(bytes) : NULL;
    if (!*block) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to unpack %zu bytes", file->path, bytes);
    file->blocks[file->block_count++] = *block;
    return RUDD_OK;
}

static size_t byte_count(const struct weights_tensor *t)
{
    return t->count * dtypes[t->dtype].size;
}

static bool is_row_major(const struct weights_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; expected *= t->shape[i--])
        if (t->shape[i] != 1 && t->stride[i] != expected) return false;
    return true;
}

/* The elements of t, which are its strides apart in in, one behind the other. */
static void gather(void *out, const struct weights_tensor *t, const void *in)
{
    const size_t size = dtypes[t->dtype].size;
    int64_t index[WEIGHTS_MAX_RANK] = {0};
    const char *from = in;
    for (char *to = out, *end = to + byte_count(t); to < end; to += size) {
        memcpy(to, from, size);
        /* The next index: the last dimension that has one more, those behind it from 0. */
        for (int i = t->rank - 1; i >= 0; i--) {
            from += (size_t)t->stride[i] * size;
            if (++index[i] < t->shape[i]) break;
            from -= (size_t)t->stride[i] * size * (size_t)t->shape[i];
            index[i] = 0;
        }
    }
}

bool weights_is_rest_of(const struct weights_tensor *t, const struct weights_packed *packed, size_t first)
{
    return first <= packed->size && packed->size - first == byte_count(t);
}

enum rudd_status weights_set_values(struct weights_file *file, struct weights_tensor *t, const struct weights_packed *packed,
                                    size_t first, const int64_t *stride, size_t length, struct rudd_error *err)
{
    if (!t->count) return RUDD_OK; /* whatever its other dimensions are */
    memcpy(t->stride, stride, (size_t)t->rank * sizeof *stride);
    const bool row_major = is_row_major(t);
    if (packed->deflated || (!row_major && weights_is_rest_of(t, packed, first))) {
        t->packed = *packed;
        t->first = first;
        return row_major ? RUDD_OK : weights_count_unpacked(file, byte_count(t), length, err);
    }
    t->data = packed->bytes + first;
    if (row_major) return RUDD_OK;
    void *block;
    enum rudd_status status = weights_add_block(&block, file, byte_count(t), length, err);
    if (status) return status;
    gather(block, t, t->data);
    t->data = block;
    return RUDD_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_tensor *)a)->name, ((const struct weights_tensor *)b)->name);
}

/* DataParallel, torch.compile and Lightning, in any order. */
static void unwrap_name(char *name)
{
    static const char *const prefixes[] = {"module.", "_orig_mod.", "model."};
    const char *rest = name;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t n = strlen(prefixes[i]);
        if (strncmp(rest, prefixes[i], n) || !rest[n]) continue;
        rest += n;
        i = (size_t)-1; /* from the first again */
    }
    memmove(name, rest, strlen(rest) + 1);
}

enum rudd_status weights_sort(struct weights_file *file, struct rudd_error *err)
{
    for (int i = 0; i < file->tensor_count; i++) unwrap_name(file->tensors[i].name);
    if (file->tensor_count) qsort(file->tensors, (size_t)file->tensor_count, sizeof *file->tensors, by_name);
    for (int i = 1; i < file->tensor_count; i++)
        if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
            return rudd_fail(err, RUDD_FORMAT, "%s: two tensors are called %s", file->path, file->tensors[i].name);
    return RUDD_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum rudd_status weights_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                               struct rudd_error *err)
{
    /* A row per container; the last takes what no other claims. */
    static const struct {
        const char *magic;
        size_t magic_length;
        weights_parser *parse;
    } containers[] = {{"\x89HDF\r\n\x1a\n", 8, weights_keras_parse},
                      {"PK\3\4", 4, weights_archive_parse},
                      /* PROTO and LONG1 of ten bytes, in a frame of thirteen from protocol 4 on: torch.save's magic number. */
                      {"\x80\2\x8a\n", 4, weights_torch_stream_parse},
                      {"\x80\3\x8a\n", 4, weights_torch_stream_parse},
                      {"\x80\4\x95\r", 4, weights_torch_stream_parse},
                      {"\x80\5\x95\r", 4, weights_torch_stream_parse},
                      {"", 0, weights_safetensors_parse}};
    size_t c = 0;
    while (length < containers[c].magic_length || memcmp(bytes, containers[c].magic, containers[c].magic_length)) c++;
    return containers[c].parse(file, bytes, length, name, err);
}

static enum rudd_status open_file(struct weights_file *file, const char *path, struct rudd_error *err)
{
    enum rudd_status status;
    struct stat st;
    size_t length = 0;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a pipe is refused below instead of waited for */
    if (fd < 0) return nn_refuse_open(path, "file", errno, err);
    if (fstat(fd, &st)) {
        status = rudd_fail(err, RUDD_IO, "%s: cannot stat: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = rudd_fail(err, RUDD_IO, "%s: a device or a pipe, not a file; expected a weights file", path);
        goto out;
    }
    length = (size_t)st.st_size;
    if (!length) {
        status = rudd_fail(err, RUDD_FORMAT, "%s: the file is empty; expected weights; if it was downloaded, download it again",
                           path);
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
        /* Parsers may have read all of it (sums are checked); the values come by weights_read_f32, or when they are asked for. */
        madvise(map, length, MADV_DONTNEED);
        map = MAP_FAILED;
        fd = -1;
    }
out:
    if (map != MAP_FAILED) munmap(map, length);
    if (fd >= 0) close(fd);
    return status;
}

enum rudd_status weights_open(struct weights_file *file, const char *path, struct rudd_error *err)
{
    char found[WEIGHTS_PATH];
    enum rudd_status status = weights_find_file(found, path, err);
    return status ? status : open_file(file, found, err);
}

bool weights_in_map(const struct weights_file *file, const void *p)
{
    return (uintptr_t)p - (uintptr_t)file->map < file->map_length;
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

/* Into out the values of a tensor without data, row-major. */
static enum rudd_status make(void *out, const struct weights_file *file, const struct weights_tensor *t, struct rudd_error *err)
{
    char where[WEIGHTS_MAX_NAME + 512];
    snprintf(where, sizeof where, "%.480s: tensor %s", file->path, t->name);
    if (is_row_major(t)) return weights_unpack(out, t->first, byte_count(t), &t->packed, file, where, err);
    void *unordered = rudd_alloc(byte_count(t));
    if (!unordered) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its %zu bytes", where, byte_count(t));
    enum rudd_status status = weights_unpack(unordered, t->first, byte_count(t), &t->packed, file, where, err);
    if (!status) gather(out, t, unordered);
    rudd_free(unordered);
    return status;
}

enum rudd_status weights_values(const void **values, void **made, const struct weights_file *file,
                                const struct weights_tensor *t, struct rudd_error *err)
{
    *values = t->data;
    *made = NULL;
    if (t->data || !t->count) return RUDD_OK;
    void *block = rudd_alloc(byte_count(t));
    enum rudd_status status =
        block ? make(block, file, t, err)
              : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the %zu bytes of %s", file->path, byte_count(t), t->name);
    if (status)
        rudd_free(block);
    else
        *values = *made = block;
    return status;
}

/* make, as float32. */
static enum rudd_status make_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                 struct rudd_error *err)
{
    if (t->dtype == WEIGHTS_F32) return make(out, file, t, err);
    struct weights_tensor made = *t;
    void *block;
    enum rudd_status status = weights_values(&made.data, &block, file, t, err);
    if (!status) weights_to_f32(out, &made);
    rudd_free(block);
    return status;
}

enum rudd_status weights_read_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                  struct rudd_error *err)
{
    if (!t->count) return RUDD_OK;
    if (!t->data) return make_f32(out, file, t, err);
    if (!weights_in_map(file, t->data)) {
        weights_to_f32(out, t);
        return RUDD_OK;
    }
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
    for (int i = 0; i < file->block_count; i++) rudd_free(file->blocks[i]);
    rudd_free(file->blocks);
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
