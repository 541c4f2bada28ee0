/* safetensors_write.c - the atomic writer: the old file stays whole until the new one is whole on the disk.
 *
 *     path.<pid>-<n>.tmp  <- header, data | fsync | rename to path | fsync of the folder
 *
 * A full disk, a crash or a power cut leaves the old file or the new one, never a mixture; on an error the temporary file is
 * removed. A file that is replaced passes its permissions on.
 *
 * Source of the form: github.com/huggingface/safetensors; like its own writer, the header is padded with spaces so that the
 * data starts at a multiple of 8. */
#include "weights/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file on its way to replace path. */
struct replacement {
    const char *path;
    char *temporary;
    int fd;
};

static enum rudd_status replacement_begin(struct replacement *r, const char *path, struct rudd_error *err)
{
    struct stat old;
    bool exists = !stat(path, &old);
    if (exists && !S_ISREG(old.st_mode)) /* a rename would replace a device or fail on a folder */
        return rudd_fail(err, RUDD_ARGUMENT, "%s: exists and is not a regular file; give another name", path);
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
            return rudd_fail(err, RUDD_IO, "%s: cannot create a file beside it: %s", path, strerror(cause));
        }
    }
    if (exists)
        (void)!fchmod(r->fd, old.st_mode & 07777); /* may be refused on foreign file systems; the contents matter more */
    return RUDD_OK;
}

static enum rudd_status replacement_write(struct replacement *r, const void *bytes, size_t length, struct rudd_error *err)
{
    const char *p = bytes;
    while (length) {
        ssize_t n = write(r->fd, p, length < 1u << 30 ? length : 1u << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return rudd_fail(err, RUDD_IO, "%s: cannot write: %s; the old file, if any, is unchanged", r->path,
                             strerror(n ? errno : ENOSPC));
        p += n;
        length -= (size_t)n;
    }
    return RUDD_OK;
}

/* After the rename; the spent temporary name, which lies in the same folder, becomes the folder's. */
static enum rudd_status sync_folder(struct replacement *r, struct rudd_error *err)
{
    char *folder = r->temporary, *slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else
        folder[slash == folder ? 1 : slash - folder] = 0;
    enum rudd_status status = RUDD_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync folders (EINVAL), and a folder may be writable but unreadable; the rename stands all the
     * same. */
    if (fd >= 0 && fsync(fd) && errno != EINVAL)
        status = rudd_fail(err, RUDD_IO, "%s: written, but its folder cannot be synced: %s", r->path, strerror(errno));
    if (fd >= 0) close(fd);
    return status;
}

/* Ends a replacement begun: commits it, or, after a failure, removes what was written. Returns the final status. */
static enum rudd_status replacement_end(struct replacement *r, enum rudd_status status, struct rudd_error *err)
{
    if (!status && fsync(r->fd)) status = rudd_fail(err, RUDD_IO, "%s: cannot sync to disk: %s", r->path, strerror(errno));
    if (close(r->fd) && !status) status = rudd_fail(err, RUDD_IO, "%s: cannot close: %s", r->path, strerror(errno));
    if (!status && rename(r->temporary, r->path))
        status = rudd_fail(err, RUDD_IO, "%s: cannot rename %s to it: %s", r->path, r->temporary, strerror(errno));
    if (status)
        unlink(r->temporary);
    else
        status = sync_folder(r, err);
    rudd_free(r->temporary);
    return status;
}

enum rudd_status weights_write_bytes(const char *path, const void *bytes, size_t length, struct rudd_error *err)
{
    struct replacement r;
    enum rudd_status status = replacement_begin(&r, path, err);
    if (status) return status;
    return replacement_end(&r, replacement_write(&r, bytes, length, err), err);
}

/* The header's entry of one tensor whose data start at *offset, which moves on. NULL: no memory. */
static json_t *tensor_entry(const struct weights_tensor *t, size_t *offset)
{
    size_t begin = *offset, end = begin + t->count * weights_dtype_size(t->dtype);
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer(t->shape[i]))) {
            json_decref(shape);
            return NULL;
        }
    *offset = end;
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", weights_dtype_name(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* Adds value (whose reference it takes) under a name that must be new and UTF-8. */
static enum rudd_status add_entry(json_t *object, const char *name, json_t *value, const char *path, struct rudd_error *err)
{
    if (!value)
        return rudd_fail(err, RUDD_ARGUMENT, "%s: the header entry \"%s\" is not UTF-8, or there is no memory for it", path,
                         name);
    if (json_object_get(object, name)) {
        json_decref(value);
        return rudd_fail(err, RUDD_ARGUMENT, "%s: two header entries are called %s", path, name);
    }
    if (json_object_set_new(object, name, value))
        return rudd_fail(err, RUDD_ARGUMENT, "%s: the header name \"%s\" is not UTF-8, or there is no memory for it", path,
                         name);
    return RUDD_OK;
}

/* The header's JSON text, unpadded; to be freed with free(). */
static enum rudd_status make_header(char **text, const char *path, const struct weights_tensor *tensors, int tensor_count,
                                    const struct weights_meta *meta, int meta_count, struct rudd_error *err)
{
    json_t *header = json_object(), *map = NULL;
    enum rudd_status status = RUDD_OK;
    size_t offset = 0;
    if (meta_count) {
        map = json_object();
        status = add_entry(header, "__metadata__", map, path, err);
    }
    for (int i = 0; i < meta_count && !status; i++) status = add_entry(map, meta[i].key, json_string(meta[i].value), path, err);
    for (int i = 0; i < tensor_count && !status; i++)
        status = add_entry(header, tensors[i].name, tensor_entry(&tensors[i], &offset), path, err);
    if (!status) {
        *text = json_dumps(header, JSON_COMPACT);
        if (!*text) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its header", path);
    }
    json_decref(header);
    return status;
}

enum rudd_status weights_write(const char *path, const struct weights_tensor *tensors, int tensor_count,
                               const struct weights_meta *meta, int meta_count, struct rudd_error *err)
{
    char *header = NULL;
    enum rudd_status status = make_header(&header, path, tensors, tensor_count, meta, meta_count, err);
    if (status) return status;

    size_t length = strlen(header), padding = (8 - length % 8) % 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));

    struct replacement r;
    status = replacement_begin(&r, path, err);
    if (!status) {
        status = replacement_write(&r, prefix, sizeof prefix, err);
        if (!status) status = replacement_write(&r, header, length, err);
        if (!status) status = replacement_write(&r, "        ", padding, err);
        for (int i = 0; i < tensor_count && !status; i++)
            status = replacement_write(&r, tensors[i].data, tensors[i].count * weights_dtype_size(tensors[i].dtype), err);
        status = replacement_end(&r, status, err);
    }
    free(header);
    return status;
}
