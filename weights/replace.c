/* replace.c - the atomic writer: the old file stays whole until the new one is whole on the disk.
 *
 *     path.<pid>-<n>.tmp  <- bytes | fsync | rename to path | fsync of the folder
 *
 * A full disk, a crash or a power cut leaves the old file or the new one, never a mixture; on an error the temporary file is
 * removed. A file that is replaced passes its permissions on. */
#include "weights/replace.h"

#include "nn/base/refuse.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rudd_status refuse_create(const char *path, int cause, struct rudd_error *err)
{
    if (cause == ENOENT || cause == ENOTDIR)
        return rudd_fail(err, RUDD_IO, "%s: its folder does not exist; make the folder first", path);
    if (cause == EACCES || cause == EROFS)
        return rudd_fail(err, RUDD_IO, "%s: you may not write into its folder; give another name", path);
    return rudd_fail(err, RUDD_IO, "%s: cannot create a file beside it: %s", path, strerror(cause));
}

enum rudd_status weights_replace_begin(struct weights_replacement *r, const char *path, struct rudd_error *err)
{
    struct stat old;
    bool exists = !stat(path, &old);
    if (exists && !S_ISREG(old.st_mode)) /* a rename would replace a device or fail on a folder */
        return rudd_fail(err, RUDD_ARGUMENT, "%s: is %s, not a file that can be replaced; give another name", path,
                         S_ISDIR(old.st_mode) ? "a folder" : "a device or a pipe");
    size_t room = strlen(path) + 48;
    r->path = path;
    r->fd = -1;
    r->temporary = rudd_alloc(room);
    if (!r->temporary) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    for (int n = 0; r->fd < 0; n++) {
        snprintf(r->temporary, room, "%s.%ld-%d.tmp", path, (long)getpid(), n);
        r->fd = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (r->fd < 0 && (errno != EEXIST || n == 100)) {
            int cause = errno;
            rudd_free(r->temporary);
            return refuse_create(path, cause, err);
        }
    }
    if (exists)
        (void)!fchmod(r->fd, old.st_mode & 07777); /* may be refused on foreign file systems; the contents matter more */
    return RUDD_OK;
}

enum rudd_status weights_replace_write(struct weights_replacement *r, const void *bytes, size_t length, struct rudd_error *err)
{
    const char *p = bytes;
    while (length) {
        ssize_t n = write(r->fd, p, length < 1u << 30 ? length : 1u << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int cause = n ? errno : ENOSPC;
            return rudd_fail(err, RUDD_IO, "%s: cannot write: %s; the old file, if any, is unchanged%s", r->path,
                             strerror(cause), nn_write_advice(cause));
        }
        p += n;
        length -= (size_t)n;
    }
    return RUDD_OK;
}

enum rudd_status weights_sync_folder_of(char *folder, const char *path, struct rudd_error *err)
{
    char *slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else
        folder[slash == folder ? 1 : slash - folder] = 0;
    enum rudd_status status = RUDD_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync folders (EINVAL), and a folder may be writable but unreadable; the rename stands all the
     * same. */
    if (fd >= 0 && fsync(fd) && errno != EINVAL)
        status = rudd_fail(err, RUDD_IO, "%s: written, but its folder cannot be synced: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return status;
}

enum rudd_status weights_replace_end(struct weights_replacement *r, enum rudd_status status, struct rudd_error *err)
{
    if (!status && fsync(r->fd)) status = rudd_fail(err, RUDD_IO, "%s: cannot sync to disk: %s", r->path, strerror(errno));
    if (close(r->fd) && !status) status = rudd_fail(err, RUDD_IO, "%s: cannot close: %s", r->path, strerror(errno));
    if (!status && rename(r->temporary, r->path))
        status = rudd_fail(err, RUDD_IO, "%s: cannot rename %s to it: %s", r->path, r->temporary, strerror(errno));
    if (status)
        unlink(r->temporary);
    else
        status = weights_sync_folder_of(r->temporary, r->path, err);
    rudd_free(r->temporary);
    return status;
}

enum rudd_status weights_write_bytes(const char *path, const void *bytes, size_t length, struct rudd_error *err)
{
    struct weights_replacement r;
    enum rudd_status status = weights_replace_begin(&r, path, err);
    if (status) return status;
    return weights_replace_end(&r, weights_replace_write(&r, bytes, length, err), err);
}
