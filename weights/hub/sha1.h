/* sha1.h - SHA-1 (FIPS 180-4, section 6.1), by which git names small files.
 *
 *     hub_sha1_init(&s);  hub_sha1_update(&s, bytes, n);  ...  hub_sha1_hex(hex, &s);
 *
 * It finds damage. It does not stop somebody who forges a file: two files of one SHA-1 can be made.
 * Weights are named by SHA-256 (nn/sha256.h). After hub_sha1_hex the state is spent. */
#ifndef WEIGHTS_HUB_SHA1_H
#define WEIGHTS_HUB_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { HUB_SHA1_HEX = 41 }; /* 40 lower-case digits and the terminator */

struct hub_sha1 {
    uint32_t h[5];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
};

void hub_sha1_init(struct hub_sha1 *s);
void hub_sha1_update(struct hub_sha1 *s, const void *bytes, size_t length);
void hub_sha1_hex(char hex[HUB_SHA1_HEX], struct hub_sha1 *s);

#endif
