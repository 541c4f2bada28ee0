/* copy.c - what was fetched is copied out of the cache (hub.h): a link would let the copy's changes
 * into the cache. */
#include "weights/hub/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/hub/cache.h"

static enum rudd_status copy_bytes(int to, int from, const char *name, struct rudd_error *err)
{
    enum { PIECE = 1 << 16 };
    char bytes[PIECE];
    for (;;) {
        const ssize_t n = read(from, bytes, sizeof bytes);
        if (n == 0) return RUDD_OK;
        if (n < 0 && errno == EINTR) continue;
        for (ssize_t at = 0, k; at < n; at += k) {
            k = write(to, bytes + at, (size_t)(n - at));
            if (k < 0 && errno == EINTR) k = 0;
            if (k < 0)
                return rudd_fail(err, RUDD_IO, "%s: cannot write: %s", name, strerror(errno));
        }
        if (n < 0) return rudd_fail(err, RUDD_IO, "%s: cannot read: %s", name, strerror(errno));
    }
}

static enum rudd_status copy_file(const char *folder, const char *from, struct rudd_error *err)
{
    char to[HUB_PATH], fresh[HUB_PATH];
    enum rudd_status status = hub_path(to, err, "%s/%s", folder, strrchr(from, '/') + 1);
    if (!status) status = hub_path(fresh, err, "%s.%ld.tmp", to, (long)getpid());
    if (status) return status;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (in < 0 || out < 0)
        status =
            rudd_fail(err, RUDD_IO, "%s: cannot open: %s", in < 0 ? from : to, strerror(errno));
    if (!status) status = copy_bytes(out, in, to, err);
    if (out >= 0 && close(out) && !status)
        status = rudd_fail(err, RUDD_IO, "%s: cannot write: %s", to, strerror(errno));
    if (in >= 0) close(in);
    if (!status && rename(fresh, to))
        status = rudd_fail(err, RUDD_IO, "%s: cannot write: %s", to, strerror(errno));
    if (status && out >= 0) unlink(fresh);
    return status;
}

enum rudd_status weights_hub_copy(const struct weights_hub_found *found, const char *folder,
                                  struct rudd_error *err)
{
    if (mkdir(folder, 0777) && errno != EEXIST)
        return rudd_fail(err, RUDD_IO, "%s: cannot make this folder: %s", folder, strerror(errno));
    enum rudd_status status = *found->config ? copy_file(folder, found->config, err) : RUDD_OK;
    return status ? status : copy_file(folder, found->file, err);
}
