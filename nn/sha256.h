/* sha256.h - SHA-256 (FIPS 180-4), for naming files and data sets by their contents.
 *
 *     struct nn_sha256 s;  nn_sha256_init(&s);  nn_sha256_update(&s, bytes, n) ...;  nn_sha256_hex(hex, &s);
 *
 * Any number of updates of any length; after nn_sha256_hex the state is spent. Nothing allocates or fails; each state belongs
 * to one thread at a time. About 250 MB/s: hash a weights file once, not at each request. */
#ifndef NN_SHA256_H
#define NN_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { NN_SHA256_HEX = 65 }; /* 64 lower-case digits and the terminator */

struct nn_sha256 {
    uint32_t h[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
};

void nn_sha256_init(struct nn_sha256 *s);
void nn_sha256_update(struct nn_sha256 *s, const void *bytes, size_t length);
void nn_sha256_hex(char hex[NN_SHA256_HEX], struct nn_sha256 *s);

#endif
