/* npy.h - the header of NumPy's .npy, which pictures (data/npy.h) and weights (.npz) come in.
 *
 *     \x93NUMPY | major | minor | header length (u16, from version 2 u32) | header | values
 *
 * The header is the text of a Python dict with exactly three keys, in any order:
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }
 *
 * Source: numpy.lib.format. Not here: structured types, what the values mean. */
#ifndef NN_NPY_H
#define NN_NPY_H

#include <stdbool.h>
#include "nn/rudd.h"

/* NumPy itself refuses longer headers (numpy.lib.format, _MAX_HEADER_SIZE); with what stands before them. */
enum { NN_NPY_MAX_RANK = 8, NN_NPY_MAX_HEADER = 10000, NN_NPY_HEAD = NN_NPY_MAX_HEADER + 12 };

struct nn_npy {
    char descr[16];                 /* "<f4"; cut to what fits */
    bool fortran;                   /* the first index runs fastest */
    int rank;                       /* of which shape holds the first NN_NPY_MAX_RANK at most */
    int64_t shape[NN_NPY_MAX_RANK]; /* each >= 0 and <= 2^40 */
    const unsigned char *values;    /* [values_length], not aligned */
    size_t values_length;           /* what follows the header in memory, whatever the shape says */
};
/* Parses a file in memory, into which values points: all of it, or its first NN_NPY_HEAD bytes. RUDD_FORMAT: not .npy of version 1-3, truncated within
 * the header, or a header of more than NN_NPY_MAX_HEADER bytes. */
enum rudd_status nn_npy_parse(struct nn_npy *npy, const void *bytes, size_t length, const char *name, struct rudd_error *err);

#endif
