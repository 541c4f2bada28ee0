/* replace.h - writing a file that matters: to a temporary name beside it, fsync, rename, fsync of the folder.
 *
 *     status = weights_replace_begin(&r, path, err);
 *     if (status) return status;
 *     if (!status) status = weights_replace_write(&r, bytes, length, err);      any number of times
 *     return weights_replace_end(&r, status, err);
 *
 * On any failure (full disk, power cut) the old file is intact and the temporary one gone. */
#ifndef WEIGHTS_REPLACE_H
#define WEIGHTS_REPLACE_H

#include "nn/rudd.h"

/* A file on its way to replace path. */
struct weights_replacement {
    const char *path;
    char *temporary;
    int fd;
};

/* path must be new or a regular file (RUDD_ARGUMENT) and outlive r. When it succeeds, weights_replace_end must follow. */
enum rudd_status weights_replace_begin(struct weights_replacement *r, const char *path, struct rudd_error *err);
enum rudd_status weights_replace_write(struct weights_replacement *r, const void *bytes, size_t length, struct rudd_error *err);
/* Commits when status is RUDD_OK, else removes what was written. Returns the final status. */
enum rudd_status weights_replace_end(struct weights_replacement *r, enum rudd_status status, struct rudd_error *err);

/* After a rename to path: fsync of its folder. spent: the former name, in the same folder; it is overwritten. */
enum rudd_status weights_sync_folder_of(char *spent, const char *path, struct rudd_error *err);

/* The three in one, for a small file (run.json, report.html). */
enum rudd_status weights_write_bytes(const char *path, const void *bytes, size_t length, struct rudd_error *err);

#endif
