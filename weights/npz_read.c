/* npz_read.c - NumPy's .npz: each entry X.npy of the archive is the tensor X (numpy.savez, numpy.savez_compressed).
 *
 * A stored array in row-major order stays where it is; others are unpacked and put in order when somebody asks for them, so that a compressed archive
 * takes no more memory than another. Byte strings without dimensions
 * ('|S40') are metadata: what npz_write.c makes of a model file's. Entries of other names are left alone.
 *
 * Not here: big-endian values, objects (they are pickles), text, complex numbers, bfloat16 (NumPy has none). */
#include "nn/npy.h"
#include "weights/archive.h"
#include "weights/npz.h"
#include <stdio.h>
#include <string.h>

/* NumPy's word for each dtype; NULL: it has none. One byte has no order, and is written with '|'. */
static const char *const descrs[WEIGHTS_DTYPES] = {
    [WEIGHTS_F32] = "<f4", [WEIGHTS_F16] = "<f2", [WEIGHTS_F64] = "<f8", [WEIGHTS_I64] = "<i8",  [WEIGHTS_I32] = "<i4",
    [WEIGHTS_I16] = "<i2", [WEIGHTS_I8] = "|i1",  [WEIGHTS_U8] = "|u1",  [WEIGHTS_BOOL] = "|b1",
};

const char *weights_npz_descr(enum weights_dtype dtype)
{
    return descrs[dtype];
}

_Static_assert((int)NN_NPY_MAX_RANK == (int)WEIGHTS_MAX_RANK, "one array's shape is the other's");

static enum rudd_status find_dtype(enum weights_dtype *dtype, const char *descr, const char *where, struct rudd_error *err)
{
    for (int d = 0; d < WEIGHTS_DTYPES; d++)
        if (descrs[d] && !strcmp(descr, descrs[d])) {
            *dtype = (enum weights_dtype)d;
            return RUDD_OK;
        }
    return rudd_fail(err, RUDD_FORMAT,
                     "%s: values of type %s; little-endian floats and integers are read; convert with .astype", where, descr);
}

static enum rudd_status add_meta(struct weights_file *file, const char *key, const unsigned char *text, size_t length,
                                 struct rudd_error *err)
{
    struct weights_meta *m = &file->meta[file->meta_count++];
    m->key = rudd_strdup(key);
    m->value = rudd_alloc(length + 1);
    if (!m->key || !m->value) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for metadata", file->path);
    memcpy(m->value, text, length);
    m->value[length] = 0;
    return RUDD_OK;
}

/* An array of which the values begin at byte first of what packed unpacks to. */
static enum rudd_status add_tensor(struct weights_file *file, const char *name, const struct nn_npy *npy,
                                   const struct weights_packed *packed, size_t first, size_t length, const char *where,
                                   struct rudd_error *err)
{
    struct weights_tensor *t = &file->tensors[file->tensor_count++];
    int64_t stride[WEIGHTS_MAX_RANK], step = 1;
    t->name = rudd_strdup(name);
    if (!t->name) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for tensor names", file->path);
    enum rudd_status status = find_dtype(&t->dtype, npy->descr, where, err);
    if (!status) status = weights_set_shape(t, npy->shape, (size_t)npy->rank, where, err);
    if (status) return status;
    const size_t bytes = t->count * weights_dtype_size(t->dtype);
    if (!weights_is_rest_of(t, packed, first))
        return rudd_fail(err, RUDD_FORMAT, "%s: its shape in %s needs %zu bytes of values but %zu follow", where, npy->descr,
                         bytes, packed->size - first);
    for (int i = 0; i < t->rank; i++) {
        const int d = npy->fortran ? i : t->rank - 1 - i;
        stride[d] = step;
        step *= t->count ? t->shape[d] : 1; /* the product fits, unless a 0 made it */
    }
    return weights_set_values(file, t, packed, first, stride, length, err);
}

static enum rudd_status add_entry(struct weights_file *file, struct weights_zip_entry *e, const struct weights_zip *zip,
                                  const char *name, struct rudd_error *err)
{
    unsigned char head[NN_NPY_HEAD];
    char where[1024];
    struct nn_npy npy;
    const size_t size = e->packed.size, known = size < sizeof head ? size : sizeof head;
    snprintf(where, sizeof where, "%.480s: array %s", file->path, name);
    enum rudd_status status = weights_zip_check(e, zip, file, head, known, err);
    if (!status) status = nn_npy_parse(&npy, head, known, where, err);
    if (status) return status;
    const size_t first = (size_t)((const unsigned char *)npy.values - head);
    if (npy.rank || strncmp(npy.descr, "|S", 2))
        return add_tensor(file, name, &npy, &e->packed, first, zip->length, where, err);
    status = weights_zip_read(e, zip, file, err);
    return status ? status : add_meta(file, name, e->bytes + first, size - first, err);
}

enum rudd_status weights_npz_parse(struct weights_file *file, struct weights_zip *zip, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    file->tensors = rudd_zalloc((size_t)zip->entry_count, sizeof *file->tensors);
    file->meta = rudd_zalloc((size_t)zip->entry_count, sizeof *file->meta);
    if (!file->tensors || !file->meta)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d arrays", file->path, zip->entry_count);
    for (int i = 0; i < zip->entry_count && !status; i++) {
        struct weights_zip_entry *e = &zip->entries[i];
        char name[WEIGHTS_MAX_NAME + 1];
        size_t n = strlen(e->name);
        if (n <= 4 || strcmp(e->name + n - 4, ".npy")) continue;
        memcpy(name, e->name, n - 4);
        name[n - 4] = 0;
        status = add_entry(file, e, zip, name, err);
    }
    return status;
}
