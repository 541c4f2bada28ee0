/* build.h - what this program is: version, commit, processor, kernels and libraries. For --version
 * and for the records of runs. */
#ifndef NN_BASE_BUILD_H
#define NN_BASE_BUILD_H

#include <stddef.h>
#include "kernels/library.h"

/* A library that is loaded when it is first used. Lists end with a NULL use. */
struct nn_build_library {
    const char *use;                    /* "JPEG pictures" */
    const struct kern_library *library; /* NULL: this program was built without it */
};
#define NN_BUILD_MISSING(use)                                                                      \
    {                                                                                              \
        use, NULL                                                                                  \
    }

/* The commit that was built, abbreviated; "unknown" when it was not built from a repository. */
const char *nn_build_commit(void);
/* The processor's name, as the system gives it; "unknown". Returns out. */
char *nn_build_processor(char *out, size_t size);
/* The page of --version: `program` and version, then a line a fact. A library's file is looked up,
 * but the library is not loaded: libheif alone would take 40 ms. `lists` ends with NULL. The
 * result is rudd_alloc'ed; NULL: no memory. */
char *nn_build_print(const char *program, const struct nn_build_library *const *lists);

#endif
