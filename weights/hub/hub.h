/* hub.h - weights by name: timm/tf_efficientnetv2_b0.in1k becomes a folder on this machine.
 *
 *     name --cache, else network--> CACHE/.../snapshots/COMMIT/{config.json,model.safetensors}
 *
 * Such a folder is what weights_import reads (weights/hf_folder.h). The network is used when a name
 * is given, and at no other time. The hub is asked each time whether the name has a newer version,
 * as huggingface_hub does; a commit (NAME@40 digits) that is here already is taken without asking.
 * Without an answer, and with HF_HUB_OFFLINE, the cache alone decides. See name.h for names,
 * settings.h for variables, cache.h for files.
 *
 * A fetch that breaks off goes on where it stopped, in this process or the next. What arrives is
 * hashed on the way. Contents with another hash than the hub's are deleted, not used.
 *
 * Not here: weights in several files, the hub's own storage protocol (Xet), uploads. */
#ifndef WEIGHTS_HUB_HUB_H
#define WEIGHTS_HUB_HUB_H

#include "weights/hub/events.h"
#include "weights/hub/settings.h"

#define WEIGHTS_HUB_MAX_BYTES ((size_t)4 << 30)

struct weights_hub_options {
    size_t max_bytes; /* a larger file is refused before anything comes; 0: WEIGHTS_HUB_MAX_BYTES */
    const char *sha256; /* what the weights must have, 64 digits; NULL: as the hub says */
    bool verify;        /* hash what the cache holds, too: 0.3 s for 77 MB */
    int retry_ms;       /* the first pause after a cut, which doubles; 0: 1000 */
    const struct weights_hub_events *events; /* NULL: silence */
};

struct weights_hub_found {
    char path[HUB_PATH]; /* what to open: the snapshot's folder, or without a config.json `file` */
    char file[HUB_PATH]; /* the weights */
    char config[HUB_PATH]; /* "" when there is none */
    char commit[65];
    uint64_t bytes; /* of the weights */
    bool fetched;   /* bytes came through the network */
};

/* Brings the weights of a name (name.h; also a bare one of known.h). RUDD_ARGUMENT: no name, or
 * libcurl is missing; RUDD_IO: no connection, no room; RUDD_MISMATCH: the hub has no such weights,
 * or other contents than they should be; RUDD_LIMIT: larger than max_bytes; RUDD_FORMAT: no hub;
 * RUDD_CANCELLED: events.stop. Not while other threads run: libcurl is started. Several processes
 * may fetch the same name at a time: one of them does the work. */
enum rudd_status weights_hub_fetch(struct weights_hub_found *found, const char *name,
                                   const struct weights_hub_options *options,
                                   struct rudd_error *err);

/* *path: what a user gave as weights, rudd_alloc'ed: a file or folder as it is, the path of a
 * fetched name, and as it is again what is neither: opening it says why. A name has to look like
 * one, be no file or folder here, and its owner may be no folder here, unless it is marked
 * (hf-hub:). options may be NULL. RUDD_MISMATCH, too, when given is an architecture: it says which
 * name to give. */
enum rudd_status weights_hub_locate(char **path, const char *given,
                                    const struct weights_hub_options *options,
                                    struct rudd_error *err);

/* Copies what was found into a folder, which is made: DIR/model.safetensors, DIR/config.json. A
 * file there is replaced when its copy is whole. */
enum rudd_status weights_hub_copy(const struct weights_hub_found *found, const char *folder,
                                  struct rudd_error *err);

#endif
