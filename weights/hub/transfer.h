/* transfer.h - one question to the hub, and one attempt to bring a file.
 *
 *     HEAD ENDPOINT/owner/name/resolve/REVISION/FILE    -> commit, ETag, size
 *     GET  the same [Range: bytes=N-]  -> 302 -> a content network, at another host -> bytes
 *
 * Headers, as huggingface_hub reads them (file_download.py, get_hf_file_metadata): X-Repo-Commit;
 * X-Linked-Etag and X-Linked-Size of a large file, which lies elsewhere, else ETag and
 * Content-Length. libcurl speaks HTTP and splits the headers; redirects are followed here, so that
 * the token goes to the endpoint's host alone.
 *
 * Not here: trying again, the cache (hub.c), words for the user (explain.h). */
#ifndef WEIGHTS_HUB_TRANSFER_H
#define WEIGHTS_HUB_TRANSFER_H

#include "weights/hub/digest.h"
#include "weights/hub/events.h"
#include "weights/hub/settings.h"

enum { HUB_COMMIT = 65, HUB_ETAG = 129 };

enum hub_result {
    HUB_DONE,
    HUB_CUT,         /* the connection broke off or came to nothing: worth another try */
    HUB_UNREACHABLE, /* no such host, nobody answers there */
    HUB_UNTRUSTED,   /* its certificate is not accepted */
    HUB_REFUSED,     /* an HTTP status that is no file: answer.http */
    HUB_CHANGED,     /* another file than the facts speak of */
    HUB_NO_FILE,     /* a page, or what no hub answers */
    HUB_STOPPED,     /* events.stop */
    HUB_FAILED       /* here: no memory, no room on the disk; err says it */
};

/* What came back, for explain.h. */
struct hub_answer {
    long http;               /* 0: nothing did */
    long retry_after;        /* seconds; 0: not said */
    char code[64];           /* X-Error-Code: "RepoNotFound", "GatedRepo", "EntryNotFound" ... */
    char commit[HUB_COMMIT]; /* X-Repo-Commit, also of a file that is not there; "" */
    bool token_sent;
    char words[256]; /* libcurl's, of what went wrong */
};

struct hub_facts {
    char commit[HUB_COMMIT], etag[HUB_ETAG]; /* what may stand in a file name */
    uint64_t size;
};

/* A connection to the hub. */
struct hub_link {
    const struct hub_settings *settings;
    const struct weights_hub_events *events;
    void *curl;
};
/* RUDD_ARGUMENT: libcurl is not there. `who` starts the message. Not while other threads run. */
enum rudd_status hub_link_open(struct hub_link *l, const struct hub_settings *settings,
                               const struct weights_hub_events *events, const char *who,
                               struct rudd_error *err);
void hub_link_close(struct hub_link *l); /* of a link of zeros: nothing */

enum hub_result hub_ask(struct hub_facts *facts, struct hub_answer *answer, struct hub_link *l,
                        const char *url);

/* A file that grows: fd's first `at` bytes are there, and are in the digest. */
struct hub_part {
    const char *file, *path; /* its name on the hub; where fd is, for messages */
    int fd;
    const struct hub_facts *facts;
    uint64_t at, began;
    struct hub_digest digest;
    char far_etag[HUB_ETAG]; /* the content network's own, quoted; "" */
};
/* Brings what is missing, as far as it comes. A server that does not know ranges starts again. */
enum hub_result hub_get(struct hub_part *part, struct hub_answer *answer, struct hub_link *l,
                        const char *url, struct rudd_error *err);

#endif
