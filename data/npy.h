/* npy.h - NumPy's .npy files, as far as rudd needs them: one float32 array of rank 4, row-major.
 *
 * For `rudd predict x.npy`: normalised images (N, 3, H, W) straight into the network, to compare with other engines. */
#ifndef DATA_NPY_H
#define DATA_NPY_H

#include "nn/rudd.h"

/* Parses a whole file in memory: *values points at shape[0]*shape[1]*shape[2]*shape[3] floats inside bytes (not aligned: copy them).
 * RUDD_FORMAT: not .npy of version 1-3, or truncated; RUDD_MISMATCH: another type, order or rank, or an empty array. */
enum rudd_status data_npy_parse(const uint8_t **values, int64_t shape[4], const void *bytes, size_t length, const char *name,
                                struct rudd_error *err);

/* *out: the floats, [shape[0], shape[1], shape[2], shape[3]], for the caller to rudd_free. At most 1 GiB (RUDD_LIMIT). */
enum rudd_status data_npy_read(float **out, int64_t shape[4], const char *path, struct rudd_error *err);

#endif
