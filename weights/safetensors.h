/* safetensors.h - the model file's container: a strict reader over a memory map, and an atomic writer.
 *
 *     | u64 LE header length N | N bytes of JSON:
 * {"name":{"dtype","shape","data_offsets":[begin,end]},...,"__metadata__":{k:v}} | data |
 *
 * The reader trusts nothing: header length, JSON form, duplicate names, dtypes, shapes (product overflow), offsets (order,
 * overlap, gaps, ends) are checked before anything is used. Source: the format's description at
 * github.com/huggingface/safetensors. */
#ifndef WEIGHTS_SAFETENSORS_H
#define WEIGHTS_SAFETENSORS_H

#include <stdbool.h>
#include "nn/rudd.h"

enum weights_dtype {
    WEIGHTS_F32,
    WEIGHTS_F16,
    WEIGHTS_BF16,
    WEIGHTS_F64,
    WEIGHTS_I64,
    WEIGHTS_I32,
    WEIGHTS_I16,
    WEIGHTS_I8,
    WEIGHTS_U8,
    WEIGHTS_BOOL
};
enum { WEIGHTS_MAX_RANK = 8 };

struct weights_tensor {
    char *name;
    enum weights_dtype dtype;
    int rank;
    int64_t shape[WEIGHTS_MAX_RANK];
    size_t count;     /* elements */
    const void *data; /* into the map; may be unaligned */
};
struct weights_meta {
    char *key, *value;
};
struct weights_file {
    char *path;
    void *map;
    size_t map_length;
    int fd;                         /* of the map; meaningless without one */
    struct weights_tensor *tensors; /* sorted by name */
    int tensor_count;
    struct weights_meta *meta;
    int meta_count;
};

/* All of these leave *file unchanged when they fail; RUDD_FORMAT (with the file and the fault) for bytes that break the format,
 * RUDD_LIMIT for a header beyond 16 MiB, RUDD_IO. A file may be read by many threads. */
enum rudd_status weights_open(struct weights_file *file, const char *path, struct rudd_error *err);
void weights_close(struct weights_file *file);
/* The same over bytes in memory, which must outlive file; what the fuzzer calls. */
enum rudd_status weights_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                               struct rudd_error *err);
const struct weights_tensor *weights_find(const struct weights_file *file, const char *name);
const char *weights_meta(const struct weights_file *file, const char *key); /* NULL if absent */
size_t weights_dtype_size(enum weights_dtype dtype);
const char *weights_dtype_name(enum weights_dtype dtype); /* as in files: "F32" */
bool weights_dtype_is_float(enum weights_dtype dtype);
/* out [count] as float32 from any floating dtype (F16 and BF16 exactly); integers likewise. */
void weights_to_f32(float *out, const struct weights_tensor *t);

/* The same from the file itself instead of the map: no page of the map becomes resident, and a file that has become shorter since it was
 * opened is RUDD_IO. For files that are kept open. */
enum rudd_status weights_read_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                  struct rudd_error *err);
/* length bytes from offset of an opened (not parsed) file, likewise. */
enum rudd_status weights_read_bytes(void *out, const struct weights_file *file, size_t offset, size_t length,
                                    struct rudd_error *err);

/* Writes a file with these tensors (name, dtype, rank, shape, data used) in this order and these metadata, atomically
 * (replace.h): on any failure (full disk) the old file is intact. Wider dtypes go first, so that each tensor is aligned to its
 * own size: PyTorch's reader needs that. path must be new or a regular file. */
enum rudd_status weights_write(const char *path, const struct weights_tensor *tensors, int tensor_count,
                               const struct weights_meta *meta, int meta_count, struct rudd_error *err);

#endif
