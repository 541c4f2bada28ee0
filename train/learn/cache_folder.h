/* cache_folder.h - where the activations of frozen networks lie between runs, so that a second try
 * on the same pictures costs seconds (cache.h has the files).
 *
 *     $XDG_CACHE_HOME/rudd/frozen-16-8b95bb64fb045b4d.cache      or $HOME/.cache/rudd/...
 *
 * A run touches the file that it uses. When all files together outgrow the limit, those that were
 * used least recently are deleted. A process that still reads one of them keeps its open file.
 *
 * Source: XDG Base Directory Specification 0.8, XDG_CACHE_HOME. */
#ifndef TRAIN_LEARN_CACHE_FOLDER_H
#define TRAIN_LEARN_CACHE_FOLDER_H

#include "train/run_folder.h"

struct train_cache_file {
    char name[80];
    uint64_t bytes;
    double used; /* seconds since 1970 */
};

/* The folder's path into out; false: the user has no home. Nothing is made. */
bool train_cache_folder_path(char out[TRAIN_PATH]);
/* Makes the folder into which a run may write `bytes` more. false: there is no home, it cannot be
 * written, its disk lacks room, or bytes are more than the limit. */
bool train_cache_folder_open(char out[TRAIN_PATH], uint64_t bytes, uint64_t limit);

/* The cache files of a folder, most recently used first; no folder is no file. Other files are left
 * out. RUDD_IO, RUDD_NO_MEMORY. Free *files with rudd_free. */
enum rudd_status train_cache_folder_list(struct train_cache_file **files, int *count,
                                         const char *folder, struct rudd_error *err);
/* Deletes the least recently used files until `limit` bytes remain; never the file named keep (NULL:
 * none). *removed: how many. What another process deleted first is no failure. */
enum rudd_status train_cache_folder_trim(int *removed, const char *folder, uint64_t limit,
                                         const char *keep, struct rudd_error *err);

#endif
