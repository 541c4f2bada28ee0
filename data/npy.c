/* npy.c - arrays of pictures from .npy files: see npy.h.
 *
 * Not here: other types, Fortran order, structured arrays, writing. */
#include "data/npy.h"
#include "data/image/decode.h"
#include "nn/npy.h"

#include <string.h>

enum { MAX_BYTES = 1 << 30 };

enum rudd_status data_npy_parse(const uint8_t **values, int64_t shape[4], const void *bytes, size_t length, const char *name,
                                struct rudd_error *err)
{
    struct nn_npy h;
    enum rudd_status status = nn_npy_parse(&h, bytes, length, name, err);
    if (status) return status;
    if (strcmp(h.descr, "<f4") != 0)
        return rudd_fail(err, RUDD_MISMATCH, "%s: values are of type %s, not float32 ('<f4'); convert with .astype('float32')",
                         name, h.descr);
    if (h.fortran) return rudd_fail(err, RUDD_MISMATCH, "%s: is in Fortran order; write it with numpy.ascontiguousarray", name);
    if (h.rank != 4) return rudd_fail(err, RUDD_MISMATCH, "%s: has %d dimensions, not 4 (N, 3, H, W)", name, h.rank);

    size_t count = 1;
    for (int i = 0; i < 4; i++) {
        /* The product so far is below 2^28 and the factor at most 2^30, so it does not overflow before it is compared. */
        count *= (size_t)(h.shape[i] < MAX_BYTES ? h.shape[i] : MAX_BYTES);
        if (h.shape[i] == 0) return rudd_fail(err, RUDD_MISMATCH, "%s: the array is empty", name);
        if (count > MAX_BYTES / sizeof(float))
            return rudd_fail(err, RUDD_LIMIT, "%s: more than %d bytes of values", name, (int)MAX_BYTES);
    }
    if (h.values_length != count * sizeof(float))
        return rudd_fail(err, RUDD_FORMAT, "%s: the shape asks for %zu bytes of values but %zu follow", name,
                         count * sizeof(float), h.values_length);

    memcpy(shape, h.shape, 4 * sizeof *shape);
    *values = h.values;
    return RUDD_OK;
}

enum rudd_status data_npy_read(float **out, int64_t shape[4], const char *path, struct rudd_error *err)
{
    uint8_t *bytes = NULL;
    const uint8_t *values;
    size_t length;
    int64_t found[4];
    enum rudd_status status = data_file_read(&bytes, &length, path, (size_t)MAX_BYTES + 65536, err);
    if (!status) status = data_npy_parse(&values, found, bytes, length, path, err);
    if (!status) {
        /* The values move to the front of the block: rudd_alloc's alignment, and no second copy of a large array. */
        memmove(bytes, values, (size_t)(bytes + length - values));
        memcpy(shape, found, sizeof found);
        *out = (float *)(void *)bytes;
        bytes = NULL;
    }
    rudd_free(bytes);
    return status;
}
