/* npz.h - NumPy's .npz: a zip archive of .npy files, each named after its array. Read by npz_read.c (see archive.h), written by
 * npz_write.c. */
#ifndef WEIGHTS_NPZ_H
#define WEIGHTS_NPZ_H

#include "weights/supply.h"

/* NumPy's word for a dtype ("<f4"); NULL: it has none. */
const char *weights_npz_descr(enum weights_dtype dtype);

/* Writes the supply as arrays that numpy.load reads, and each of the metadata as an array without dimensions of type '|S', atomically (replace.h).
 * RUDD_ARGUMENT for bfloat16, which NumPy has not; RUDD_LIMIT from 4 GiB on. */
weights_writer weights_npz_write;

#endif
