/* fake_hub.h - a Hugging Face hub for tests, and the content network that it redirects to: two HTTP
 * servers on free ports, which misbehave on command.
 *
 *     hub_start();  hub_put("timm/x", "config.json", bytes, n, false);  hub.cuts = 10;  hub_stop();
 *
 * Large files (`linked`) lie in the content network: the hub answers 302 with X-Linked-Etag and
 * X-Linked-Size. Their ETag is their SHA-256, that of a small file its name in git. One at a
 * time. */
#ifndef TESTS_HUB_FAKE_HUB_H
#define TESTS_HUB_FAKE_HUB_H

#include <microhttpd.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "weights/hub/digest.h"

/* A test uses some of what follows. */
#define HELPER static __attribute__((unused))

enum { HUB_FILES = 16, HUB_LOG = 64 };

struct hub_file {
    char repo[100], file[60], etag[80];
    const uint8_t *bytes;
    size_t length;
    bool linked;
};

static struct {
    struct MHD_Daemon *hub, *network;
    int port, network_port;
    char commit[41];
    struct hub_file files[HUB_FILES];
    int count;
    /* How it misbehaves; zeros: not at all. */
    atomic_int cuts;        /* so many downloads break off */
    size_t cut_after;       /* behind that many bytes each */
    atomic_int status;      /* every question is answered with this HTTP status */
    const char *code;       /* and this X-Error-Code */
    bool page;              /* every question is answered with an HTML page */
    bool no_ranges;         /* the whole file, whatever range is asked for */
    bool forget_commit;     /* no X-Repo-Commit */
    const uint8_t *instead; /* the network sends these bytes of the same length */
    const uint8_t *next;    /* behind the first download the linked file is this, of next_length */
    size_t next_length;
    int wait_ms; /* before each download */
    /* What was asked. */
    atomic_int heads, downloads, ranges, tokens_at_hub, tokens_at_network, proxied;
    char last_range[64];
} hub;

HELPER void hub_etag(char etag[80], const uint8_t *bytes, size_t length, bool linked)
{
    struct hub_digest d;
    struct hub_digest_hex hex;
    const char *git = "0000000000000000000000000000000000000000";
    hub_digest_init(&d, git, length);
    hub_digest_update(&d, bytes, length);
    hub_digest_hex(&hex, &d);
    snprintf(etag, 80, "%s", linked ? hex.sha256 : hex.git);
}

/* The bytes are the caller's. */
HELPER void hub_put(const char *repo, const char *file, const void *bytes, size_t length,
                    bool linked)
{
    struct hub_file *f = NULL;
    for (int i = 0; i < hub.count; i++)
        if (!strcmp(hub.files[i].repo, repo) && !strcmp(hub.files[i].file, file)) f = &hub.files[i];
    if (!f) f = &hub.files[hub.count++];
    snprintf(f->repo, sizeof f->repo, "%s", repo);
    snprintf(f->file, sizeof f->file, "%s", file);
    f->bytes = bytes;
    f->length = length;
    f->linked = linked;
    hub_etag(f->etag, bytes, length, linked);
}

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status,
                             const char *const headers[][2], const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    for (int i = 0; headers && headers[i][0]; i++)
        if (headers[i][1]) MHD_add_response_header(r, headers[i][0], headers[i][1]);
    const enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

struct stream {
    const uint8_t *bytes;
    size_t end; /* where the connection breaks off */
    bool cut;
};

static ssize_t pour(void *user, uint64_t at, char *out, size_t room)
{
    const struct stream *s = user;
    if (at >= s->end)
        return s->cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    const size_t n = s->end - at < room ? s->end - (size_t)at : room;
    memcpy(out, s->bytes + at, n);
    return (ssize_t)n;
}

/* The file from `from` on; what is to be cut is cut. */
static enum MHD_Result send_bytes(struct MHD_Connection *c, const struct hub_file *f,
                                  const char *etag)
{
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    const char *if_range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range");
    char quoted[90], text[100];
    unsigned long long from = 0;
    snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    atomic_fetch_add(&hub.downloads, 1);
    if (range) {
        atomic_fetch_add(&hub.ranges, 1);
        snprintf(hub.last_range, sizeof hub.last_range, "%s", range);
    }
    if (range && !hub.no_ranges && (!if_range || !strcmp(if_range, quoted)))
        sscanf(range, "bytes=%llu-", &from);
    if (from >= f->length && from) return reply(c, 416, NULL, "");
    struct stream *s = calloc(1, sizeof *s);
    s->bytes = f->bytes + from;
    s->end = f->length - (size_t)from;
    if (atomic_load(&hub.cuts) > 0 && s->end > hub.cut_after) {
        atomic_fetch_sub(&hub.cuts, 1);
        s->end = hub.cut_after;
        s->cut = true;
    }
    struct MHD_Response *r =
        MHD_create_response_from_callback(f->length - from, 4096, pour, s, free);
    MHD_add_response_header(r, "ETag", quoted);
    snprintf(text, sizeof text, "bytes %llu-%zu/%zu", from, f->length - 1, f->length);
    if (from) MHD_add_response_header(r, "Content-Range", text);
    if (!f->linked && *hub.commit) MHD_add_response_header(r, "X-Repo-Commit", hub.commit);
    const enum MHD_Result result = MHD_queue_response(c, from ? 206 : 200, r);
    MHD_destroy_response(r);
    return result;
}

/* ---- the two servers ------------------------------------------------------------------------- */

static enum MHD_Result answer_network(void *user, struct MHD_Connection *c, const char *url,
                                      const char *method, const char *version, const char *data,
                                      size_t *size, void **state)
{
    static int seen;
    (void)user, (void)method, (void)version, (void)data, (void)size;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization"))
        atomic_fetch_add(&hub.tokens_at_network, 1);
    if (hub.wait_ms) usleep((useconds_t)hub.wait_ms * 1000);
    for (int i = 0; i < hub.count; i++)
        if (hub.files[i].linked && !strcmp(url + 1, hub.files[i].etag)) {
            struct hub_file f = hub.files[i];
            if (hub.instead) f.bytes = hub.instead;
            if (hub.next) {
                hub_put(f.repo, f.file, hub.next, hub.next_length, true);
                hub.next = NULL;
            }
            return send_bytes(c, &f, "the-networks-own");
        }
    return reply(c, 404, NULL, "");
}

/* Every header of the hub's answer for a file. */
static enum MHD_Result answer_file(struct MHD_Connection *c, const struct hub_file *f, bool head)
{
    char quoted[90], size[32], to[200];
    snprintf(quoted, sizeof quoted, "\"%s\"", f->etag);
    snprintf(size, sizeof size, "%zu", f->length);
    snprintf(to, sizeof to, "http://localhost:%d/%s", hub.network_port, f->etag);
    const char *const headers[][2] = {{"X-Repo-Commit", hub.forget_commit ? NULL : hub.commit},
                                      {"X-Linked-Etag", quoted},
                                      {"X-Linked-Size", size},
                                      {"Location", to},
                                      {NULL, NULL}};
    if (f->linked) return reply(c, 302, headers, "Found");
    if (!head) return send_bytes(c, f, f->etag);
    struct MHD_Response *r = MHD_create_response_from_buffer(f->length, (void *)(uintptr_t)f->bytes,
                                                             MHD_RESPMEM_PERSISTENT);
    if (!hub.forget_commit) MHD_add_response_header(r, "X-Repo-Commit", hub.commit);
    MHD_add_response_header(r, "ETag", quoted);
    const enum MHD_Result result = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return result;
}

/* Splits /owner/name/resolve/REVISION/FILE; the repository's slash stays. */
static bool split(char *repo, size_t room, char *revision, const char **file, const char *url)
{
    const char *resolve = strstr(url, "/resolve/");
    if (!resolve || (size_t)(resolve - url) > room) return false;
    snprintf(repo, room, "%.*s", (int)(resolve - url - 1), url + 1);
    const char *rest = resolve + strlen("/resolve/"), *slash = strchr(rest, '/');
    if (!slash) return false;
    snprintf(revision, 64, "%.*s", (int)(slash - rest), rest);
    *file = slash + 1;
    return true;
}

static enum MHD_Result answer_hub(void *user, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    static int seen;
    char repo[200], revision[64];
    const char *file;
    (void)user, (void)version, (void)data, (void)size;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    const bool head = !strcmp(method, "HEAD");
    if (head) atomic_fetch_add(&hub.heads, 1);
    if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization"))
        atomic_fetch_add(&hub.tokens_at_hub, 1);
    if (!strncmp(url, "http://hub.invalid", 18)) { /* asked as a proxy */
        atomic_fetch_add(&hub.proxied, 1);
        url += 18;
    }
    const char *const error[][2] = {{"X-Error-Code", hub.code}, {"Retry-After", "7"}, {NULL, NULL}};
    const char *const html[][2] = {{"Content-Type", "text/html"}, {NULL, NULL}};
    if (hub.page)
        return reply(c, 200, html, "<html>Welcome to our airport. Log in, please.</html>");
    if (hub.status) return reply(c, (unsigned)hub.status, error, "no");
    if (!strncmp(url, "/old/name/", 10)) { /* a repository that was renamed */
        char to[200];
        snprintf(to, sizeof to, "/timm/test.in1k/%s", url + 10);
        const char *const moved[][2] = {{"Location", to}, {NULL, NULL}};
        return reply(c, 307, moved, "");
    }
    if (!split(repo, sizeof repo, revision, &file, url)) return reply(c, 404, NULL, "");
    bool known = false;
    for (int i = 0; i < hub.count; i++) {
        if (strcmp(hub.files[i].repo, repo) != 0) continue;
        known = true;
        if (strcmp(revision, "main") != 0 && strcmp(revision, hub.commit) != 0) {
            const char *const no_revision[][2] = {{"X-Error-Code", "RevisionNotFound"},
                                                  {NULL, NULL}};
            return reply(c, 404, no_revision, "");
        }
        if (!strcmp(hub.files[i].file, file)) return answer_file(c, &hub.files[i], head);
    }
    const char *const missing[][2] = {{"X-Error-Code", known ? "EntryNotFound" : "RepoNotFound"},
                                      {"X-Repo-Commit", known ? hub.commit : NULL},
                                      {NULL, NULL}};
    return reply(c, known ? 404 : 401, missing, "");
}

static struct MHD_Daemon *start_daemon(int *port, MHD_AccessHandlerCallback answer)
{
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL,
                         NULL, answer, NULL, MHD_OPTION_END);
    assert_non_null(d);
    *port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
    return d;
}

HELPER void hub_start(void)
{
    memset(&hub, 0, sizeof hub);
    memset(hub.commit, 'c', 40);
    hub.hub = start_daemon(&hub.port, answer_hub);
    hub.network = start_daemon(&hub.network_port, answer_network);
}

HELPER void hub_stop(void)
{
    MHD_stop_daemon(hub.hub);
    MHD_stop_daemon(hub.network);
}

#endif
