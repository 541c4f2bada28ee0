/* files.h - files that are read again when they change: how to tell that they did, and a thread that looks every second.
 *
 * Looking is stat, not inotify: it also sees files on network folders, and links that are turned to another folder. */
#ifndef SERVE_FILES_H
#define SERVE_FILES_H

#include <stdbool.h>
#include "nn/rudd.h"

/* What tells that a file is another one, or another text. All 0: it is not there. */
struct serve_stamp {
    uint64_t device, inode, size;
    int64_t seconds, nanoseconds;
};
struct serve_stamp serve_stamp_of(const char *path);
bool serve_stamp_same(const struct serve_stamp *a, const struct serve_stamp *b);

struct serve_files;
/* The thread starts with the first file. */
enum rudd_status serve_files_create(struct serve_files **files, struct rudd_error *err);
/* All that were added must have been removed. NULL is fine. */
void serve_files_destroy(struct serve_files *files);

/* Calls changed after each change of what stands at path, also when it is gone, on the thread of files. What stands there now counts as seen: add
 * first, then read. path stays the caller's, until it is removed. At most 4. Thread-safe. */
enum rudd_status serve_files_add(struct serve_files *files, const char *path, void (*changed)(void *user), void *user,
                                 struct rudd_error *err);
/* All of user's files; nothing is called for them afterwards. None is fine; so is files NULL. Not from within `changed`. Thread-safe. */
void serve_files_remove(struct serve_files *files, const void *user);

#endif
