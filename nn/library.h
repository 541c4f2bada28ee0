/* library.h - a library that is loaded when it is first used (kernels/library.h), or words for the
 * user who lacks it. */
#ifndef NN_LIBRARY_H
#define NN_LIBRARY_H

#include "kernels/library.h"
#include "nn/rudd.h"

/* Loads it. `need` says in one clause who needs it: "x.png: this picture is a PNG".
 * RUDD_ARGUMENT when it cannot be loaded: what was asked for is not to be had on this machine. */
enum rudd_status nn_library_load(struct kern_library *library, struct rudd_error *err, const char *need, ...) RUDD_PRINTF(3, 4);

#endif
