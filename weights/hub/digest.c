/* digest.c - see digest.h. */
#include "weights/hub/digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum hub_hash_kind hub_hash_kind(const char *etag)
{
    const size_t length = strlen(etag);
    if (strspn(etag, "0123456789abcdef") != length) return HUB_HASH_NONE;
    return length == 64 ? HUB_HASH_SHA256 : length == 40 ? HUB_HASH_GIT : HUB_HASH_NONE;
}

void hub_digest_init(struct hub_digest *d, const char *etag, uint64_t size)
{
    char head[40];
    const int length = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
    d->with_git = hub_hash_kind(etag) == HUB_HASH_GIT;
    nn_sha256_init(&d->sha256);
    hub_sha1_init(&d->git);
    hub_sha1_update(&d->git, head, (size_t)length + 1); /* with its zero byte */
}

void hub_digest_update(struct hub_digest *d, const void *bytes, size_t length)
{
    nn_sha256_update(&d->sha256, bytes, length);
    if (d->with_git) hub_sha1_update(&d->git, bytes, length);
}

enum rudd_status hub_digest_file(struct hub_digest *d, int fd, uint64_t length, const char *path,
                                 struct rudd_error *err)
{
    enum { PIECE = 1 << 16 };
    unsigned char bytes[PIECE];
    for (uint64_t at = 0; at < length;) {
        const size_t wanted = length - at < PIECE ? (size_t)(length - at) : PIECE;
        const ssize_t n = pread(fd, bytes, wanted, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path,
                             n ? strerror(errno) : "it became shorter");
        hub_digest_update(d, bytes, (size_t)n);
        at += (uint64_t)n;
    }
    return RUDD_OK;
}

void hub_digest_hex(struct hub_digest_hex *hex, struct hub_digest *d)
{
    nn_sha256_hex(hex->sha256, &d->sha256);
    hub_sha1_hex(hex->git, &d->git);
}

enum rudd_status hub_digest_check(const struct hub_digest_hex *hex, const char *etag,
                                  const char *sha256, const char *what, struct rudd_error *err)
{
    const enum hub_hash_kind kind = hub_hash_kind(etag);
    const char *found = kind == HUB_HASH_GIT ? hex->git : hex->sha256;
    if (kind != HUB_HASH_NONE && strcmp(found, etag) != 0)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: its contents were changed on the way: found %s %s, the hub expects "
                         "%s; it is not used: try again, or from another network",
                         what, kind == HUB_HASH_GIT ? "SHA-1" : "SHA-256", found, etag);
    if (sha256 && strcasecmp(hex->sha256, sha256) != 0)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: found SHA-256 %s, --sha256 expects %s; it is not used: it is another "
                         "file, or another version of it",
                         what, hex->sha256, sha256);
    return RUDD_OK;
}
