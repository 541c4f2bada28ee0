/* safetensors.h - the native container: a strict reader, and an atomic writer.
 *
 *     | u64 LE header length N | N bytes of JSON:
 * {"name":{"dtype","shape","data_offsets":[begin,end]},...,"__metadata__":{k:v}} | data |
 *
 * The reader trusts nothing: header length, JSON form, duplicate names, dtypes, shapes (product overflow), offsets (order,
 * overlap, gaps, ends) are checked before anything is used. Source: the format's description at
 * github.com/huggingface/safetensors. */
#ifndef WEIGHTS_SAFETENSORS_H
#define WEIGHTS_SAFETENSORS_H

#include "weights/file.h"

/* RUDD_FORMAT for bytes that break the format, RUDD_LIMIT for a header beyond 16 MiB. */
weights_parser weights_safetensors_parse;

struct weights_supply; /* supply.h */

/* Writes a file with these tensors (name, dtype, rank, shape, data used) in this order and these metadata, atomically
 * (replace.h): on any failure (full disk) the old file is intact. Wider dtypes go first, so that each tensor is aligned to its
 * own size: PyTorch's reader needs that. path must be new or a regular file. */
enum rudd_status weights_write(const char *path, const struct weights_tensor *tensors, int tensor_count,
                               const struct weights_meta *meta, int meta_count, struct rudd_error *err);
/* The same of tensors whose values come one tensor at a time. */
enum rudd_status weights_safetensors_write(const char *path, struct weights_supply *supply, const struct weights_meta *meta,
                                           int meta_count, struct rudd_error *err);

#endif
