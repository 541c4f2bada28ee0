/* file.h - a weights file, whatever its container: a table of named tensors over a memory map.
 *
 *     path --map--> first bytes say which container --its parser--> tensors, sorted by name, that point into the map
 *                                                                   (or say how their values are made of it: deflated, strided)
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

/* Bytes as a container holds them. */
struct weights_packed {
    const unsigned char *bytes; /* [length], in the map or a block */
    size_t length, size;        /* as they are, unpacked */
    uint32_t crc;               /* of what is unpacked; meaningless unless deflated */
    bool deflated;              /* raw, as in zip archives; else length is size */
};

struct weights_tensor {
    char *name;
    enum weights_dtype dtype;
    int rank;
    int64_t shape[WEIGHTS_MAX_RANK];
    size_t count;     /* elements */
    const void *data; /* row-major; into the map or a block; may be unaligned. NULL: weights_values makes them */

    struct weights_packed packed;     /* that of which they are made: they are its last bytes, */
    size_t first;                     /* from this one on, */
    int64_t stride[WEIGHTS_MAX_RANK]; /* these many elements apart */
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
    void **blocks; /* memory of what does not lie in the map as it is and is not made when asked for */
    int block_count;
    size_t unpacked; /* bytes that are more than the map's: in blocks, or to be made */
};

/* All of these leave *file unchanged when they fail; RUDD_FORMAT (with the file and the fault) for bytes that break the format,
 * RUDD_LIMIT for sizes beyond reason, RUDD_IO. A file may be read by many threads. path may be a run's folder: the file in it is opened. What is
 * no weights file is named by what it is (container/identify.h, container/folder.h). */
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
/* out [count] as float32 from any floating dtype (F16 and BF16 exactly); integers likewise. t->data must be there. */
void weights_to_f32(float *out, const struct weights_tensor *t);

/* The same of any tensor of file, from the file itself instead of the map: no page of the map becomes resident, and a file that has become shorter
 * since it was opened is RUDD_IO. For files that are kept open. What is deflated is unpacked for this one tensor (RUDD_FORMAT if it is not any more
 * what it was). */
enum rudd_status weights_read_f32(float *out, const struct weights_file *file, const struct weights_tensor *t,
                                  struct rudd_error *err);
/* The values of any tensor of file, row-major: t->data, or made in *made, which the caller frees (else NULL). Errors as above. */
enum rudd_status weights_values(const void **values, void **made, const struct weights_file *file,
                                const struct weights_tensor *t, struct rudd_error *err);
bool weights_in_map(const struct weights_file *file, const void *p); /* false for every p of a parsed file */
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
/* So many bytes will be unpacked from a container that is length bytes long. RUDD_LIMIT when all those of file are more than 100 times its
 * length and 256 MiB: nothing that holds weights unpacks to that. */
enum rudd_status weights_count_unpacked(struct weights_file *file, size_t bytes, size_t length, struct rudd_error *err);
/* *block: bytes of memory that become the file's own, and count as unpacked. */
enum rudd_status weights_add_block(void **block, struct weights_file *file, size_t bytes, size_t length,
                                   struct rudd_error *err);
/* Whether t's values are all that packed has from byte first on: then they may be left packed. */
bool weights_is_rest_of(const struct weights_tensor *t, const struct weights_packed *packed, size_t first);
/* Gives t, of which dtype and shape are set, the elements [sum of index[i]*stride[i]] behind byte first of what packed unpacks to: where they
 * are if they lie so, else to be made when they are asked for, else (a strided part of something larger) in a block of file. What is deflated
 * has been checked, and t is the rest of it. Strides are >= 0 and in elements; the caller knows that all those elements exist. length, errors:
 * as above. */
enum rudd_status weights_set_values(struct weights_file *file, struct weights_tensor *t, const struct weights_packed *packed,
                                    size_t first, const int64_t *stride, size_t length, struct rudd_error *err);
/* Takes off tensors' names what programs put before those of a network that they wrap ("module." of DataParallel ...), and sorts by name. RUDD_FORMAT when
 * two have the same. */
enum rudd_status weights_sort(struct weights_file *file, struct rudd_error *err);

#endif
