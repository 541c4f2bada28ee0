/* others.h - networks that rudd does not have, known by names of their tensors. */
#ifndef WEIGHTS_NAMES_OTHERS_H
#define WEIGHTS_NAMES_OTHERS_H

#include "weights/file.h"

/* "a Swin Transformer"; NULL: no network of the table. */
const char *weights_looks_like(const struct weights_file *file);

/* The refusal of a file that fits none of rudd's architectures: names the network where the table
 * knows it. RUDD_MISMATCH. */
enum rudd_status weights_refuse_network(const struct weights_file *file, struct rudd_error *err);

#endif
