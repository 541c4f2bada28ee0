/* identify.h - what a file is that holds no weights which rudd reads: named for its owner.
 *
 *     first bytes (and for a few formats the last) --a table--> "a Git LFS pointer, not the file
 *     itself" and "run git lfs pull"
 *
 * The containers that rudd reads are known by weights/file.c. This table is asked where none of
 * them fits. It never decides that a file is weights. */
#ifndef WEIGHTS_CONTAINER_IDENTIFY_H
#define WEIGHTS_CONTAINER_IDENTIFY_H

#include <stdbool.h>
#include "nn/rudd.h"

struct weights_identity {
    const char *what;   /* "a JPEG picture, not weights" */
    const char *advice; /* what to do */
};

/* NULL: no known kind. Reads no more than bytes [length]. Any thread. */
const struct weights_identity *weights_identify(const void *bytes, size_t length);

/* Whether bytes begin like safetensors: a possible length of the header, then its brace. */
bool weights_is_safetensors(const void *bytes, size_t length);

/* The refusal of such bytes: RUDD_FORMAT, or RUDD_MISMATCH for a sound file of another kind. name
 * starts the message. */
enum rudd_status weights_refuse_kind(const void *bytes, size_t length, const char *name,
                                     struct rudd_error *err);

#endif
