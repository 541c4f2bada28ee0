/* digest.h - whether the bytes of a file are the bytes that the hub speaks of.
 *
 * The hub's ETag of a large file is its SHA-256, that of a small one its name in git: the SHA-1 of
 * "blob SIZE", a zero byte, and the contents. Any other ETag (a mirror's) says nothing of the
 * contents. SHA-256 is taken in every case, for the user's own --sha256. */
#ifndef WEIGHTS_HUB_DIGEST_H
#define WEIGHTS_HUB_DIGEST_H

#include <stdbool.h>

#include "nn/rudd.h"
#include "nn/sha256.h"
#include "weights/hub/sha1.h"

enum hub_hash_kind { HUB_HASH_NONE, HUB_HASH_SHA256, HUB_HASH_GIT };
/* What an ETag without its quotes is. */
enum hub_hash_kind hub_hash_kind(const char *etag);

struct hub_digest {
    struct nn_sha256 sha256;
    struct hub_sha1 git;
    bool with_git;
};
/* For a file with this ETag: git's name is computed only if the ETag is one. size: of the whole. */
void hub_digest_init(struct hub_digest *d, const char *etag, uint64_t size);
void hub_digest_update(struct hub_digest *d, const void *bytes, size_t length);
/* The first `length` bytes of the file, from the current state on. RUDD_IO: it cannot be read, or
 * is shorter. path: for the message. */
enum rudd_status hub_digest_file(struct hub_digest *d, int fd, uint64_t length, const char *path,
                                 struct rudd_error *err);
struct hub_digest_hex {
    char sha256[NN_SHA256_HEX], git[HUB_SHA1_HEX];
};
/* The state is spent. */
void hub_digest_hex(struct hub_digest_hex *hex, struct hub_digest *d);

/* Whether these are the digests of the file with this ETag, and of the SHA-256 that the user named
 * (NULL: none). RUDD_MISMATCH; `what` starts the message. */
enum rudd_status hub_digest_check(const struct hub_digest_hex *hex, const char *etag,
                                  const char *sha256, const char *what, struct rudd_error *err);

#endif
