/* settings.h - where the hub is, where files are kept, and as whom to ask: from the environment.
 *
 * Names and meanings are those of huggingface_hub (constants.py, utils/_auth.py), so that what is
 * set for Python holds here:
 *
 *     HF_ENDPOINT                               the hub's address; https://huggingface.co
 *     HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE       the cache; $HF_HOME/hub
 *     HF_HOME                                   $XDG_CACHE_HOME/huggingface, ~/.cache/huggingface
 *     HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE      1, ON, YES or TRUE: no network, only the cache
 *     HF_TOKEN, HUGGING_FACE_HUB_TOKEN          as whom to ask; else the file HF_TOKEN_PATH,
 *                                               $HF_HOME/token, which `hf auth login` writes
 *     HF_HUB_DISABLE_IMPLICIT_TOKEN             1: as nobody
 *     HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT   seconds without an answer, a byte; 10 each
 *     HF_HUB_DISABLE_PROGRESS_BARS              1: no bar
 *     SSL_CERT_FILE                             certificates to trust, not the system's
 *
 * http_proxy, https_proxy, all_proxy and no_proxy are libcurl's own.
 *
 * Not here: what Python does with $VARIABLES inside these values; the shell has done that. */
#ifndef WEIGHTS_HUB_SETTINGS_H
#define WEIGHTS_HUB_SETTINGS_H

#include <stdbool.h>

#include "nn/rudd.h"

enum { HUB_PATH = 4096, HUB_URL = 2048, HUB_TOKEN = 512 };
#define HUB_ENDPOINT "https://huggingface.co"

struct hub_settings {
    char endpoint[256]; /* without a slash at its end */
    char cache[HUB_PATH];
    char token[HUB_TOKEN];    /* "": none. Sent to the endpoint alone, and never shown */
    const char *certificates; /* NULL: the system's; the environment's text */
    bool offline;
    long etag_seconds, download_seconds;
};

/* Whether a variable says yes: 1, ON, YES or TRUE, in letters of any size. */
bool hub_says_yes(const char *variable);

/* RUDD_ARGUMENT: a variable has a senseless value, or no folder for the cache is known. */
enum rudd_status hub_settings_read(struct hub_settings *s, struct rudd_error *err);

#endif
