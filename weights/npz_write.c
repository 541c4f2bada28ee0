/* npz_write.c - see npz.h. A header of each array is padded so that its values start at a multiple of 64 within the array's file, as
 * numpy.save does. */
#include "weights/npz.h"
#include "weights/zip.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 320, ENTRY = WEIGHTS_MAX_NAME + 5 }; /* hold any shape, any name */

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

/* One array as an entry of the archive, under "name.npy", which goes into entry_name and must stay there. */
static enum rudd_status add_array(struct weights_zip_writer *w, char entry_name[ENTRY], const char *name, const char *descr,
                                  int rank, const int64_t *shape, const void *values, size_t length, struct rudd_error *err)
{
    char header[HEADER];
    if (strlen(name) + 5 > ENTRY)
        return rudd_fail(err, RUDD_ARGUMENT, "array %.80s: its name is longer than %d", name, ENTRY - 5);
    sprintf(entry_name, "%s.npy", name);
    const size_t header_length = print_header(header, descr, rank, shape);
    return weights_zip_add(w, entry_name, (const void *const[]){header, values}, (const size_t[]){header_length, length}, err);
}

static enum rudd_status add_meta(struct weights_zip_writer *w, char entry_name[ENTRY], const struct weights_meta *meta,
                                 struct rudd_error *err)
{
    /* NumPy has no strings of length 0; a zero at the end of a longer one does not count. */
    const size_t length = strlen(meta->value), stored = length ? length : 1;
    char descr[24];
    snprintf(descr, sizeof descr, "|S%zu", stored);
    return add_array(w, entry_name, meta->key, descr, 0, NULL, meta->value, stored, err);
}

enum rudd_status weights_npz_write(const char *path, struct weights_supply *supply, const struct weights_meta *meta,
                                   int meta_count, struct rudd_error *err)
{
    const int count = supply->count + meta_count;
    for (int i = 0; i < supply->count; i++)
        if (!weights_npz_descr(supply->tensors[i].dtype))
            return rudd_fail(err, RUDD_ARGUMENT, "%s: NumPy has no %s; store as float16 or float32", path,
                             weights_dtype_name(supply->tensors[i].dtype));
    char(*names)[ENTRY] = rudd_zalloc((size_t)count, sizeof *names);
    if (!names) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %d arrays", path, count);
    struct weights_zip_writer w;
    enum rudd_status status = weights_zip_begin(&w, path, count, err);
    if (!status) {
        for (int i = 0; i < supply->count && !status; i++) {
            const struct weights_tensor *t = &supply->tensors[i];
            const void *values;
            status = weights_fetch(&values, supply, i, err);
            if (!status)
                status = add_array(&w, names[i], t->name, weights_npz_descr(t->dtype), t->rank, t->shape, values,
                                   t->count * weights_dtype_size(t->dtype), err);
        }
        for (int i = 0; i < meta_count && !status; i++) status = add_meta(&w, names[supply->count + i], &meta[i], err);
        status = weights_zip_end(&w, status, err);
    }
    rudd_free(names);
    return status;
}
