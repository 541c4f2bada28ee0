/* npz_write.c - see npz.h. A header of each array is padded so that its values start at a multiple of 64 within the array's file, as
 * numpy.save does. */
#include "weights/npz.h"
#include "weights/zip.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 320 }; /* holds any shape */

/* The .npy header of an array of type descr and this shape; its length is returned. */
static size_t print_header(char header[HEADER], const char *descr, int rank, const int64_t *shape)
{
    int n = snprintf(header + 10, HEADER - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < rank; i++) n += snprintf(header + 10 + n, (size_t)(HEADER - 10 - n), "%" PRId64 ",", shape[i]);
    n += snprintf(header + 10 + n, (size_t)(HEADER - 10 - n), "), }");
    const size_t length = (10 + (size_t)n + 1 + 63) / 64 * 64;
    memset(header + 10 + n, ' ', length - 10 - (size_t)n);
    header[length - 1] = '\n';
    memcpy(header, "\x93NUMPY\1", 8); /* and the 0 of version 1.0 */
    header[8] = (char)((length - 10) & 0xff);
    header[9] = (char)((length - 10) >> 8);
    return length;
}

/* What one array needs while the archive is written. */
struct array {
    char name[WEIGHTS_MAX_NAME + 8], header[HEADER];
};

static enum rudd_status describe(struct weights_zip_member *m, struct array *a, const char *name, const char *descr, int rank,
                                 const int64_t *shape, const void *values, size_t length, struct rudd_error *err)
{
    if (strlen(name) > WEIGHTS_MAX_NAME || !descr)
        return rudd_fail(err, RUDD_ARGUMENT, "array %.80s: its name is longer than %d, or NumPy lacks its type", name,
                         WEIGHTS_MAX_NAME);
    snprintf(a->name, sizeof a->name, "%s.npy", name);
    size_t header_length = print_header(a->header, descr, rank, shape);
    *m = (struct weights_zip_member){a->name, {a->header, values}, {header_length, length}};
    return RUDD_OK;
}

enum rudd_status weights_npz_write(const char *path, const struct weights_tensor *tensors, int tensor_count,
                                   const struct weights_meta *meta, int meta_count, struct rudd_error *err)
{
    const size_t count = (size_t)tensor_count + (size_t)meta_count;
    struct weights_zip_member *members = rudd_zalloc(count, sizeof *members);
    struct array *arrays = rudd_zalloc(count, sizeof *arrays);
    enum rudd_status status = RUDD_OK;
    if (!members || !arrays) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %zu arrays", path, count);
    int n = 0;
    for (int i = 0; i < tensor_count && !status; i++, n++) {
        const struct weights_tensor *t = &tensors[i];
        status = describe(&members[n], &arrays[n], t->name, weights_npz_descr(t->dtype), t->rank, t->shape, t->data,
                          t->count * weights_dtype_size(t->dtype), err);
    }
    for (int i = 0; i < meta_count && !status; i++, n++) {
        /* NumPy has no strings of length 0; zeros at the end of a longer one do not count. */
        const size_t length = strlen(meta[i].value), stored = length ? length : 1;
        char descr[24];
        snprintf(descr, sizeof descr, "|S%zu", stored);
        status = describe(&members[n], &arrays[n], meta[i].key, descr, 0, NULL, meta[i].value, stored, err);
    }
    if (!status) status = weights_zip_write(path, members, (int)count, err);
    rudd_free(arrays);
    rudd_free(members);
    return status;
}
