/* file.h - a weights file, whatever its container: a table of named tensors over a memory map.
 *
 *     path --map--> first bytes say which container --its parser--> tensors, sorted by name, that point into the map
 *                                                                   (or into memory of the file's own, where it stores them packed)
 *
 *     container      first bytes        parser
 *     safetensors    u64, '{'           safetensors.h
 *     zip            PK 3 4             archive.h, by what is in it: .npz, .pth, .keras
 *     HDF5           89 'HDF'           keras.h: Keras' .h5
 *     pickles        PROTO, magic       torch_read.h: the older .pth
 *
 * A parser trusts nothing and hands out nothing before everything is checked. Names are whatever the file calls its tensors: which network
 * that is, is found out by recognise.c. */
#ifndef WEIGHTS_FILE_H
#define WEIGHTS_FILE_H

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
    WEIGHTS_BOOL,
    WEIGHTS_DTYPES
};
enum { WEIGHTS_MAX_RANK = 8, WEIGHTS_MAX_NAME = 512 };

struct weights_tensor {
    char *name;
    enum weights_dtype dtype;
    int rank;
    int64_t shape[WEIGHTS_MAX_RANK];
    size_t count;     /* elements */
    const void *data; /* row-major; into the map or a block; may be unaligned */
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
    void **blocks; /* memory of tensors that do not lie in the map as they are */
    int block_count;
    size_t block_bytes; /* of all of them */
};

/* All of these leave *file unchanged when they fail; RUDD_FORMAT (with the file and the fault) for bytes that break the format,
 * RUDD_LIMIT for sizes beyond reason, RUDD_IO. A file may be read by many threads. */
enum rudd_status weights_open(struct weights_file *file, const char *path, struct rudd_error *err);
void weights_close(struct weights_file *file);
/* The same over bytes in memory, which must outlive file; what fuzzers call. */
enum rudd_status weights_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                               struct rudd_error *err);
const struct weights_tensor *weights_find(const struct weights_file *file, const char *name);
const char *weights_meta(const struct weights_file *file, const char *key); /* NULL if absent */
size_t weights_dtype_size(enum weights_dtype dtype);
const char *weights_dtype_name(enum weights_dtype dtype); /* as in safetensors: "F32" */
bool weights_dtype_is_float(enum weights_dtype dtype);
/* "[32,3,3,3]" into text; returns it. */
enum { WEIGHTS_SHAPE_TEXT = WEIGHTS_MAX_RANK * 21 + 3 };
const char *weights_shape_text(char text[WEIGHTS_SHAPE_TEXT], int rank, const int64_t *shape);
/* out [count] as float32 from any floating dtype (F16 and BF16 exactly); integers likewise. */
void weights_to_f32(float *out, const struct weights_tensor *t);

/* The same from the file itself instead of the map: no page of the map becomes resident, and a file that has become shorter since it was
 * opened is RUDD_IO. For files that are kept open. */
enum rudd_status weights_read_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                  struct rudd_error *err);
/* length bytes from offset of an opened (not parsed) file, likewise. */
enum rudd_status weights_read_bytes(void *out, const struct weights_file *file, size_t offset, size_t length,
                                    struct rudd_error *err);

/* ---- for parsers ------------------------------------------------------------------------------------------------- */

typedef enum rudd_status weights_parser(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                        struct rudd_error *err);
/* Names reach terminals, logs and one-line messages: no control characters, at most WEIGHTS_MAX_NAME bytes. */
bool weights_name_is_printable(const char *name);
/* Sets t's rank, shape and count. RUDD_FORMAT for a rank beyond WEIGHTS_MAX_RANK, a negative dimension, or a product of which bytes would not
 * fit a size_t. where starts the message. */
enum rudd_status weights_set_shape(struct weights_tensor *t, const int64_t *shape, size_t rank, const char *where,
                                   struct rudd_error *err);
/* *block: bytes of memory that become the file's own, of whose container all is length bytes long. RUDD_LIMIT when the file would own more
 * than 100 times its length and 256 MiB: nothing that holds weights unpacks to that. */
enum rudd_status weights_add_block(void **block, struct weights_file *file, size_t bytes, size_t length,
                                   struct rudd_error *err);
/* Gives t, of which dtype and shape are set, the elements base[sum of index[i]*stride[i]]: where they are if that is row-major, else packed
 * into a block of file. Strides are >= 0 and in elements; the caller knows that all those elements exist. length, errors: as above. */
enum rudd_status weights_set_strided(struct weights_file *file, struct weights_tensor *t, const void *base,
                                     const int64_t *stride, size_t length, struct rudd_error *err);
/* Sorts the tensors by name. RUDD_FORMAT when two have the same. */
enum rudd_status weights_sort(struct weights_file *file, struct rudd_error *err);

#endif
