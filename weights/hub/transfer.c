/* transfer.c - see transfer.h. */
#include "weights/hub/transfer.h"

#ifndef HAVE_LIBCURL

enum rudd_status hub_link_open(struct hub_link *l, const struct hub_settings *settings,
                               const struct weights_hub_events *events, const char *who,
                               struct rudd_error *err)
{
    (void)l, (void)settings, (void)events;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "%s: this rudd was built without libcurl, which brings weights by name; "
                     "install it (make deps) and build again",
                     who);
}

void hub_link_close(struct hub_link *l)
{
    (void)l;
}

enum hub_result hub_ask(struct hub_facts *facts, struct hub_answer *answer, struct hub_link *l,
                        const char *url)
{
    (void)facts, (void)answer, (void)l, (void)url;
    return HUB_UNREACHABLE;
}

enum hub_result hub_get(struct hub_part *part, struct hub_answer *answer, struct hub_link *l,
                        const char *url, struct rudd_error *err)
{
    (void)part, (void)answer, (void)l, (void)url, (void)err;
    return HUB_UNREACHABLE;
}

#else

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "nn/library.h"
#include "weights/hub/libcurl.h"

enum { REDIRECTS = 6, MOST_WORDS = 1 << 16 }; /* bytes of an answer that is no file */

enum rudd_status hub_link_open(struct hub_link *l, const struct hub_settings *settings,
                               const struct weights_hub_events *events, const char *who,
                               struct rudd_error *err)
{
    enum rudd_status status =
        nn_library_load(&weights_libcurl_library, err, "%s: weights are to be fetched", who);
    if (status) return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return rudd_fail(err, RUDD_IO, "%s: libcurl does not start", who);
    *l = (struct hub_link){settings, events, curl_easy_init()};
    if (l->curl) return RUDD_OK;
    curl_global_cleanup();
    return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to fetch it", who);
}

void hub_link_close(struct hub_link *l)
{
    if (!l->curl) return;
    curl_easy_cleanup(l->curl);
    curl_global_cleanup();
    l->curl = NULL;
}

/* ---- one request ----------------------------------------------------------------------------- */

struct request {
    struct hub_link *l;
    struct hub_part *part; /* NULL: HEAD */
    struct rudd_error *err;
    bool begun, ours; /* the answer's first byte was seen; it is the file */
    bool to_endpoint;
    enum hub_result result; /* what the callbacks found wrong; HUB_DONE: nothing */
    size_t words;
    char text[CURL_ERROR_SIZE];
};

/* The last answer's header, "" when it has none; of a value that is too long, its beginning. */
static void header(char *out, size_t size, CURL *c, const char *name)
{
    struct curl_header *h;
    out[0] = 0;
    if (curl_easy_header(c, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
        snprintf(out, size, "%s", h->value);
}

static bool header_number(uint64_t *value, CURL *c, const char *name)
{
    char text[32], *end;
    header(text, sizeof text, c, name);
    if (!*text || strspn(text, "0123456789") != strlen(text)) return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return !errno;
}

/* An ETag without W/ and quotes; "" when it could not be a file's name. */
static void plain_etag(char out[HUB_ETAG], const char *etag)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    if (!strncmp(etag, "W/", 2)) etag += 2;
    etag += *etag == '"';
    const size_t length = strcspn(etag, "\"");
    out[0] = 0;
    if (!length || length >= HUB_ETAG || strspn(etag, allowed) < length || *etag == '.') return;
    memcpy(out, etag, length);
    out[length] = 0;
}

/* Scheme, host and port alike. */
static bool same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *x = curl_url(), *y = curl_url();
    bool same =
        x && y && !curl_url_set(x, CURLUPART_URL, a, 0) && !curl_url_set(y, CURLUPART_URL, b, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && same; i++) {
        char *p = NULL, *q = NULL;
        same = !curl_url_get(x, parts[i], &p, CURLU_DEFAULT_PORT) &&
               !curl_url_get(y, parts[i], &q, CURLU_DEFAULT_PORT) && !strcasecmp(p, q);
        curl_free(p);
        curl_free(q);
    }
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

static int progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                    curl_off_t up)
{
    const struct request *r = user;
    const struct weights_hub_events *e = r->l->events;
    (void)total, (void)now, (void)up_total, (void)up;
    if (r->part && r->ours && e && e->tick)
        e->tick(e->user, &(struct weights_hub_tick){r->part->file, r->part->at,
                                                    r->part->facts->size, r->part->began});
    return e && e->stop && e->stop(e->user);
}

static size_t take(char *data, size_t one, size_t n, void *user);

/* A question that nobody answers in time is not asked again; a file that stops coming is. */
static enum hub_result judge(CURLcode code, bool is_question)
{
    switch (code) {
    case CURLE_OK: return HUB_DONE;
    case CURLE_ABORTED_BY_CALLBACK: return HUB_STOPPED;
    case CURLE_OPERATION_TIMEDOUT: return is_question ? HUB_UNREACHABLE : HUB_CUT;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: return HUB_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return HUB_UNTRUSTED;
    default: return HUB_CUT;
    }
}

static void set_up(CURL *c, struct request *r, const char *url)
{
    const struct hub_settings *s = r->l->settings;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "rudd/" RUDD_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, s->etag_seconds);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->text);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (s->certificates) curl_easy_setopt(c, CURLOPT_CAINFO, s->certificates);
    if (r->part) {
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, s->download_seconds);
    } else {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(c, CURLOPT_TIMEOUT, s->etag_seconds);
    }
}

/* One more header line; false: no memory. */
static bool add_line(struct curl_slist **list, const char *name, const char *value)
{
    char line[HUB_TOKEN + 64];
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) *list = longer;
    return longer;
}

/* The size of what comes is wanted: no compression. The token is for the endpoint alone. */
static bool add_lines(struct curl_slist **list, const struct request *r)
{
    const struct hub_settings *s = r->l->settings;
    char value[HUB_TOKEN + 16], etag[HUB_ETAG + 2];
    bool ok = add_line(list, "Accept-Encoding", "identity");
    if (ok && r->to_endpoint && *s->token) {
        snprintf(value, sizeof value, "Bearer %s", s->token);
        ok = add_line(list, "Authorization", value);
    }
    if (ok && r->part && r->part->at) {
        snprintf(value, sizeof value, "bytes=%" PRIu64 "-", r->part->at);
        ok = add_line(list, "Range", value);
        snprintf(etag, sizeof etag, "\"%s\"", r->part->facts->etag);
        if (ok && r->to_endpoint) ok = add_line(list, "If-Range", etag);
        if (ok && !r->to_endpoint && *r->part->far_etag)
            ok = add_line(list, "If-Range", r->part->far_etag);
    }
    return ok;
}

/* Sends one request; what came back is in the handle and in *answer. */
static enum hub_result perform(struct request *r, struct hub_answer *answer, const char *url)
{
    CURL *c = r->l->curl;
    struct curl_slist *lines = NULL;
    uint64_t seconds = 0;
    r->to_endpoint = same_origin(url, r->l->settings->endpoint);
    set_up(c, r, url);
    const bool ready = add_lines(&lines, r);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, lines);
    const CURLcode code = ready ? curl_easy_perform(c) : CURLE_OUT_OF_MEMORY;
    curl_slist_free_all(lines);
    memset(answer, 0, sizeof *answer);
    answer->token_sent = r->to_endpoint && *r->l->settings->token;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &answer->http);
    if (code)
        snprintf(answer->words, sizeof answer->words, "%s",
                 *r->text ? r->text : curl_easy_strerror(code));
    if (code == CURLE_OUT_OF_MEMORY) {
        rudd_fail(r->err, RUDD_NO_MEMORY, "no memory to ask %s", r->l->settings->endpoint);
        return HUB_FAILED;
    }
    header(answer->code, sizeof answer->code, c, "X-Error-Code");
    char commit[HUB_ETAG], plain[HUB_ETAG];
    header(commit, sizeof commit, c, "X-Repo-Commit");
    plain_etag(plain, commit);
    if (strlen(plain) < HUB_COMMIT) memcpy(answer->commit, plain, strlen(plain) + 1);
    if (header_number(&seconds, c, "Retry-After"))
        answer->retry_after = seconds < 86400 ? (long)seconds : 86400;
    if (r->result) return r->result;
    if (code && r->begun && !r->ours) return HUB_DONE; /* no file: what was read is enough */
    return judge(code, !r->part);
}

/* The absolute address of a redirect into next; false: none, or one that gives up https. */
static bool redirect(char *next, CURL *c, const char *url)
{
    char *to = NULL;
    curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &to);
    if (!to || strlen(to) >= HUB_URL) return false;
    if (!strncasecmp(url, "https:", 6) && strncasecmp(to, "https:", 6) != 0) return false;
    memmove(next, to, strlen(to) + 1);
    return true;
}

static bool is_redirect(long http)
{
    return http == 301 || http == 302 || http == 303 || http == 307 || http == 308;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The ETag of the file, of which the answer may be only a redirect to it. */
static void file_etag(char out[HUB_ETAG], CURL *c)
{
    char text[HUB_ETAG + 8];
    header(text, sizeof text, c, "X-Linked-Etag");
    if (!*text) header(text, sizeof text, c, "ETag");
    plain_etag(out, text);
}

/* The facts that an answer's headers state; false: some are missing. */
static bool read_facts(struct hub_facts *f, CURL *c, const struct hub_answer *answer)
{
    file_etag(f->etag, c);
    memcpy(f->commit, answer->commit, sizeof f->commit);
    const bool sized = header_number(&f->size, c, "X-Linked-Size") ||
                       (!is_redirect(answer->http) && header_number(&f->size, c, "Content-Length"));
    return sized && *f->etag && *f->commit && f->size <= INT64_MAX;
}

/* Within the hub a redirect leads to the facts, as of a repository with a new name. One to another
 * host leads to the bytes, and the facts stand in the redirect. */
static bool leads_on(char next[HUB_URL], CURL *c, const struct hub_answer *answer, const char *url)
{
    return redirect(next, c, url) && (!*answer->commit || same_origin(next, url));
}

enum hub_result hub_ask(struct hub_facts *facts, struct hub_answer *answer, struct hub_link *l,
                        const char *url)
{
    char at[HUB_URL], next[HUB_URL];
    snprintf(at, sizeof at, "%s", url);
    for (int hop = 0; hop <= REDIRECTS; hop++) {
        struct request r = {.l = l};
        const enum hub_result result = perform(&r, answer, at);
        if (result) return result;
        if (is_redirect(answer->http) && leads_on(next, l->curl, answer, at)) {
            memcpy(at, next, sizeof at);
            continue;
        }
        if (answer->http >= 400) return HUB_REFUSED;
        return read_facts(facts, l->curl, answer) ? HUB_DONE : HUB_NO_FILE;
    }
    return HUB_NO_FILE;
}

/* ---- bringing -------------------------------------------------------------------------------- */

static enum hub_result start_again(struct hub_part *part, struct rudd_error *err)
{
    if (ftruncate(part->fd, 0) || lseek(part->fd, 0, SEEK_SET)) {
        rudd_fail(err, RUDD_IO, "%s: cannot be emptied: %s", part->path, strerror(errno));
        return HUB_FAILED;
    }
    part->at = part->began = 0;
    hub_digest_init(&part->digest, part->facts->etag, part->facts->size);
    return HUB_DONE;
}

/* "bytes 100-199/200": whether it goes on where the part ends, and is a piece of such a file. */
static bool is_the_rest(CURL *c, const struct hub_part *part)
{
    char text[128], total[32] = "";
    uint64_t from = 0, to = 0;
    header(text, sizeof text, c, "Content-Range");
    if (sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%31s", &from, &to, total) != 3) return false;
    char whole[32];
    snprintf(whole, sizeof whole, "%" PRIu64, part->facts->size);
    return from == part->at && (!strcmp(total, "*") || !strcmp(total, whole));
}

/* The first bytes of an answer are here, and its headers: what is it? */
static enum hub_result begin(struct request *r)
{
    CURL *c = r->l->curl;
    struct hub_part *part = r->part;
    char text[HUB_ETAG + 8], plain[HUB_ETAG];
    long http = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &http);
    if (http != 200 && http != 206) return HUB_DONE;
    header(text, sizeof text, c, "Content-Type");
    if (!strncasecmp(text, "text/html", 9)) return HUB_NO_FILE;
    file_etag(plain, c);
    if (r->to_endpoint && *plain && strcmp(plain, part->facts->etag) != 0) return HUB_CHANGED;
    if (http == 206 && !is_the_rest(c, part)) return HUB_CHANGED;
    if (!r->to_endpoint) { /* a weak one, W/"...", says nothing of bytes */
        header(text, sizeof text, c, "ETag");
        const bool usable = *text == '"' && strlen(text) < sizeof part->far_etag;
        memcpy(part->far_etag, usable ? text : "", usable ? strlen(text) + 1 : 1);
    }
    r->ours = true;
    return http == 200 && part->at ? start_again(part, r->err) : HUB_DONE;
}

static enum hub_result keep(struct request *r, const char *data, size_t n)
{
    struct hub_part *part = r->part;
    if (n > part->facts->size - part->at) return HUB_CHANGED; /* longer than it may be */
    hub_digest_update(&part->digest, data, n);
    while (n) {
        const ssize_t written = write(part->fd, data, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            rudd_fail(r->err, RUDD_IO, "%s: cannot write: %s; what is there is kept", part->path,
                      strerror(errno));
            return HUB_FAILED;
        }
        data += written, n -= (size_t)written, part->at += (uint64_t)written;
    }
    return HUB_DONE;
}

static size_t take(char *data, size_t one, size_t n, void *user)
{
    struct request *r = user;
    if (!r->begun) r->result = begin(r);
    r->begun = true;
    if (!r->result && r->ours) r->result = keep(r, data, one * n);
    r->words += r->ours ? 0 : one * n;
    return r->result || r->words > MOST_WORDS ? 0 : one * n;
}

/* Whether the endpoint's redirect still speaks of the same file. */
static bool is_linked(CURL *c, const struct hub_part *part)
{
    char text[HUB_ETAG + 8], plain[HUB_ETAG];
    header(text, sizeof text, c, "X-Linked-Etag");
    plain_etag(plain, text);
    return !*plain || !strcmp(plain, part->facts->etag);
}

enum hub_result hub_get(struct hub_part *part, struct hub_answer *answer, struct hub_link *l,
                        const char *url, struct rudd_error *err)
{
    char at[HUB_URL];
    snprintf(at, sizeof at, "%s", url);
    for (int hop = 0; hop <= REDIRECTS; hop++) {
        struct request r = {.l = l, .part = part, .err = err};
        const enum hub_result result = perform(&r, answer, at);
        if (result) return result;
        if (is_redirect(answer->http)) {
            if (r.to_endpoint && !is_linked(l->curl, part)) return HUB_CHANGED;
            if (!redirect(at, l->curl, at)) return HUB_NO_FILE;
            continue;
        }
        if (answer->http == 416) { /* the part is no beginning of what is there */
            const enum hub_result emptied = start_again(part, err);
            return emptied ? emptied : HUB_CUT;
        }
        if (answer->http >= 400) return HUB_REFUSED;
        if (answer->http != 200 && answer->http != 206) return HUB_NO_FILE;
        return part->at == part->facts->size ? HUB_DONE : HUB_CUT;
    }
    return HUB_NO_FILE;
}

#endif
