/* zlib.h - zlib with rudd's memory: counted, and refused where tests say so. */
#ifndef NN_ZLIB_H
#define NN_ZLIB_H

#include <zlib.h>
#include "nn/rudd.h"

static inline voidpf nn_zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return rudd_zalloc(items, size);
}

static inline void nn_zlib_free(voidpf opaque, voidpf block)
{
    (void)opaque;
    rudd_free(block);
}

#endif
