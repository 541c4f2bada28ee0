/* bytes.h - a growing block of bytes with a bound: request bodies as they arrive, answers as they are written. */
#ifndef SERVE_BYTES_H
#define SERVE_BYTES_H

#include <stdbool.h>
#include "nn/rudd.h"

/* All zero is the empty block. The caller frees data with rudd_free. */
struct serve_bytes {
    uint8_t *data;
    size_t length, capacity;
    bool lost; /* a print found no memory: what lies here has a hole */
};

/* Appends n bytes. RUDD_LIMIT when more than max would lie there, RUDD_NO_MEMORY; on failure nothing changes. */
enum rudd_status serve_bytes_add(struct serve_bytes *b, const void *data, size_t n, size_t max);
/* Appends formatted text (without its terminator). A failure also sets lost, so that many prints need one check. */
enum rudd_status serve_bytes_print(struct serve_bytes *b, const char *format, ...) RUDD_PRINTF(2, 3);

#endif
