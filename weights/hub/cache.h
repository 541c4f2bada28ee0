/* cache.h - the folder where downloaded files are kept, in the form of huggingface_hub, so that
 * what Python has downloaded is found here, and the other way round.
 *
 *     CACHE/models--timm--NAME/blobs/ETAG                      the bytes, once for all versions
 *                              blobs/ETAG.incomplete         the part of a fetch that goes on later
 *                              snapshots/COMMIT/FILE         -> ../../blobs/ETAG
 *                              refs/main                     the commit that main was last
 *     CACHE/.locks/models--timm--NAME/ETAG.lock              held by who writes that blob (flock)
 *
 * Source: huggingface_hub, file_download.py, _hf_hub_download_to_cache_dir. */
#ifndef WEIGHTS_HUB_CACHE_H
#define WEIGHTS_HUB_CACHE_H

#include "weights/hub/events.h"
#include "weights/hub/name.h"
#include "weights/hub/transfer.h"

/* A repository's folder in the cache, and how it is locked. */
struct hub_cache {
    char folder[HUB_PATH], locks[HUB_PATH];
};
void hub_cache_name(struct hub_cache *c, const struct hub_settings *settings,
                    const struct hub_name *name);

/* A path of several parts; RUDD_LIMIT: too long. */
enum rudd_status hub_path(char out[HUB_PATH], struct rudd_error *err, const char *format, ...)
    RUDD_PRINTF(3, 4);

/* The commit that a revision was when it was last asked for; false: not known here. */
bool hub_cache_commit(char commit[HUB_COMMIT], const struct hub_cache *c, const char *revision);
/* The path of a commit's file; false: it is not here. */
bool hub_cache_find(char path[HUB_PATH], const struct hub_cache *c, const char *commit,
                    const char *file);

/* Makes the folders, and the path of the blob. RUDD_IO. */
enum rudd_status hub_cache_prepare(char blob[HUB_PATH], const struct hub_cache *c,
                                   const struct hub_facts *facts, struct rudd_error *err);
/* Waits until no other process writes that blob. *lock is to be closed; -1: the file system knows
 * no locks, and all goes on without. RUDD_CANCELLED: events.stop. */
enum rudd_status hub_cache_lock(int *lock, const struct hub_cache *c, const struct hub_facts *facts,
                                const struct weights_hub_events *events, struct rudd_error *err);
/* The blob becomes the commit's file; the caller holds the lock. */
enum rudd_status hub_cache_link(const struct hub_cache *c, const struct hub_facts *facts,
                                const char *file, struct rudd_error *err);
/* From now on the revision is this commit, for those without a network. */
enum rudd_status hub_cache_set_commit(const struct hub_cache *c, const char *revision,
                                      const char *commit, struct rudd_error *err);

#endif
