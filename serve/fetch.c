/* fetch.c - see fetch.h. libcurl speaks HTTP; here is what it may be told. Addresses are checked where libcurl opens its socket, after the name
 * was resolved and for the very address that is connected to, so that a name that resolves differently the second time gains nothing.
 * Proxies of the environment are not used: they would connect in our place, unasked.
 *
 * Special addresses: IANA's registries (RFC 6890). */
#include "serve/fetch.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#ifdef HAVE_LIBCURL
#include "nn/library.h"
#include "weights/hub/libcurl.h"
#endif

/* ---- addresses ------------------------------------------------------------------------------------------------------------------ */

static bool in_block(const uint8_t *address, const uint8_t *block, int bits)
{
    for (int i = 0; i < bits; i++)
        if ((address[i / 8] ^ block[i / 8]) >> (7 - i % 8) & 1) return false;
    return true;
}

bool serve_fetch_is_public(const struct sockaddr *address)
{
    static const struct {
        uint8_t block[4], bits;
    } v4[] = {{{0}, 8},
              {{10}, 8},
              {{100, 64}, 10},
              {{127}, 8},
              {{169, 254}, 16},
              {{172, 16}, 12},
              {{192, 0, 0}, 24},
              {{192, 0, 2}, 24},
              {{192, 88, 99}, 24},
              {{192, 168}, 16},
              {{198, 18}, 15},
              {{198, 51, 100}, 24},
              {{203, 0, 113}, 24},
              {{224}, 3}};
    static const struct {
        uint8_t block[6], bits;
    } v6[] = {{{0x20, 0x01, 0, 0}, 23}, {{0x20, 0x01, 0x0d, 0xb8}, 32}, {{0x20, 0x02}, 16}, {{0x3f, 0xff}, 20}};
    static const uint8_t global[] = {0x20}; /* 2000::/3 is all that was ever given out */
    if (address->sa_family == AF_INET) {
        const uint8_t *a = (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
        for (size_t i = 0; i < sizeof v4 / sizeof *v4; i++)
            if (in_block(a, v4[i].block, v4[i].bits)) return false;
        return true;
    }
    if (address->sa_family != AF_INET6) return false;
    const uint8_t *a = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
    for (size_t i = 0; i < sizeof v6 / sizeof *v6; i++)
        if (in_block(a, v6[i].block, v6[i].bits)) return false;
    return in_block(a, global, 3);
}

#ifndef HAVE_LIBCURL

enum rudd_status serve_fetcher_create(struct serve_fetcher **fetcher, const struct serve_fetch_options *options,
                                      struct rudd_error *err)
{
    (void)fetcher, (void)options;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "--fetch-allow: this rudd-serve was built without libcurl; install it (make deps) and build again");
}

void serve_fetcher_destroy(struct serve_fetcher *fetcher)
{
    (void)fetcher;
}

bool serve_fetch_allowed(const struct serve_fetcher *fetcher, const char *url, struct serve_problem *p)
{
    (void)fetcher, (void)url;
    return serve_refuse(p, 400, "fetch_off", "this server fetches no pictures");
}

bool serve_fetch(struct serve_bytes *out, const struct serve_fetcher *fetcher, const char *url, bool (*give_up)(void *user),
                 void *user, struct serve_problem *p)
{
    (void)out, (void)give_up, (void)user;
    return serve_fetch_allowed(fetcher, url, p);
}

#else

/* ---- the list ------------------------------------------------------------------------------------------------------------------- */

struct entry {
    char host[256]; /* lower or upper case, IPv6 in brackets; with a dot before it: all names below */
    int port;       /* 0: 80 and 443 */
    bool literal;   /* an address, not a name */
};

struct serve_fetcher {
    struct serve_fetch_options options;
    int count;
    struct entry entries[];
};

static bool is_address(const char *host)
{
    uint8_t bytes[16];
    char inner[256];
    if (inet_pton(AF_INET, host, bytes) == 1) return true;
    snprintf(inner, sizeof inner, "%.*s", (int)strcspn(host + (*host == '['), "]"), host + (*host == '['));
    return *host == '[' && inet_pton(AF_INET6, inner, bytes) == 1;
}

static bool parse_entry(struct entry *e, const char *text, size_t n)
{
    const char *end = text + n, *colon = end;
    const char *bracket = memchr(text, ']', n);
    for (const char *p = bracket ? bracket : text; p < end; p++)
        if (*p == ':') {
            colon = p;
            break;
        }
    size_t length = (size_t)(colon - text);
    if (!length || length >= sizeof e->host) return false;
    memcpy(e->host, text, length);
    e->host[length] = 0;
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    e->literal = is_address(e->host);
    if (!e->literal && e->host[strspn(e->host, plain)]) return false;
    if (colon == end) return true;
    size_t digits = strspn(colon + 1, "0123456789");
    e->port = digits && digits <= 5 && colon + 1 + digits == end ? (int)strtol(colon + 1, NULL, 10) : 0;
    return e->port > 0 && e->port < 65536;
}

enum rudd_status serve_fetcher_create(struct serve_fetcher **fetcher, const struct serve_fetch_options *options,
                                      struct rudd_error *err)
{
    enum rudd_status status = nn_library_load(&weights_libcurl_library, err, "--fetch-allow: pictures are to be fetched");
    if (status) return status;
    size_t count = 1;
    for (const char *p = options->allow; *p; p++) count += *p == ',';
    struct serve_fetcher *f = rudd_zalloc(1, sizeof *f + count * sizeof *f->entries);
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --fetch-allow");
    f->options = *options;
    for (const char *p = options->allow;; p++) {
        size_t n = strcspn(p, ",");
        if (!parse_entry(&f->entries[f->count++], p, n)) {
            rudd_fail(err, RUDD_ARGUMENT,
                      "--fetch-allow: \"%.*s\" is no host; expected HOST, HOST:PORT or .DOMAIN with commas between",
                      n > 200 ? 200 : (int)n, p);
            rudd_free(f);
            return RUDD_ARGUMENT;
        }
        p += n;
        if (!*p) break;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        rudd_free(f);
        return rudd_fail(err, RUDD_IO, "--fetch-allow: libcurl does not start");
    }
    *fetcher = f;
    return RUDD_OK;
}

void serve_fetcher_destroy(struct serve_fetcher *f)
{
    if (f) curl_global_cleanup();
    rudd_free(f);
}

static bool matches(const struct entry *e, const char *host, int port)
{
    size_t n = strlen(host), length = strlen(e->host);
    if (e->port ? port != e->port : port != 80 && port != 443) return false;
    if (*e->host == '.') return n > length && !strcasecmp(host + n - length, e->host);
    return !strcasecmp(host, e->host);
}

/* The entry that lets url be fetched; NULL: none does. */
static const struct entry *find_entry(const struct serve_fetcher *f, const char *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    const struct entry *found = NULL;
    CURLU *u = curl_url();
    if (!u) return NULL;
    bool plain = !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
                 !curl_url_get(u, CURLUPART_HOST, &host, 0) && !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
                 curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                 (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    for (int i = 0; plain && i < f->count && !found; i++)
        if (matches(&f->entries[i], host, atoi(port))) found = &f->entries[i];
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);
    return found;
}

bool serve_fetch_allowed(const struct serve_fetcher *f, const char *url, struct serve_problem *p)
{
    if (!f)
        return serve_refuse(p, 400, "fetch_off",
                            "this server fetches no pictures; send them, or start it with --fetch-allow HOST,...");
    return find_entry(f, url) ||
           serve_refuse(p, 422, "url_refused",
                        "the URL is not http or https, or its host is not one that this server may fetch from");
}

/* ---- fetching --------------------------------------------------------------------------------------------------------------------- */

struct transfer {
    struct serve_bytes *out;
    size_t max;
    bool literal, refused, too_large, failed;
    bool (*give_up)(void *user);
    void *user;
};

static size_t take(char *data, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    enum rudd_status status = serve_bytes_add(t->out, data, one * n, t->max);
    t->too_large |= status == RUDD_LIMIT;
    t->failed |= status == RUDD_NO_MEMORY;
    return status ? 0 : one * n;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = user;
    (void)purpose;
    if (!t->literal && !serve_fetch_is_public(&address->addr)) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = user;
    (void)total, (void)now, (void)up_total, (void)up;
    return t->give_up && t->give_up(t->user);
}

static void set_up(CURL *c, struct transfer *t, const struct serve_fetcher *f)
{
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "rudd-serve/" RUDD_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)f->options.seconds);
    curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)f->options.max_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

/* What came of it in words for the client: nothing of what our side of the network looks like. */
static bool explain(struct serve_problem *p, const struct transfer *t, CURLcode code, long http)
{
    if (t->refused)
        return serve_refuse(p, 422, "url_refused", "the URL's host has an address that this server may not fetch from");
    if (t->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return serve_refuse(p, 413, "fetch_too_large", "the file behind the URL has more than %zu bytes", t->max);
    if (t->failed) return serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
    if (code == CURLE_ABORTED_BY_CALLBACK) return serve_refuse(p, 503, "draining", "the server is shutting down");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return serve_refuse(p, 422, "fetch_timeout", "the file behind the URL did not come in time");
    if (code) return serve_refuse(p, 422, "fetch_failed", "the URL cannot be fetched");
    return serve_refuse(p, 422, "fetch_failed", "the URL's server answered %ld", http);
}

bool serve_fetch(struct serve_bytes *out, const struct serve_fetcher *f, const char *url, bool (*give_up)(void *user),
                 void *user, struct serve_problem *p)
{
    enum { REDIRECTS = 3 };
    if (!serve_fetch_allowed(f, url, p)) return false;
    struct transfer t = {.out = out, .max = f->options.max_bytes, .give_up = give_up, .user = user};
    long http = 0, left_ms = f->options.seconds * 1000L;
    char *next = rudd_strdup(url);
    CURL *c = curl_easy_init();
    t.failed = !c || !next;
    CURLcode code = t.failed ? CURLE_OUT_OF_MEMORY : CURLE_OK;
    if (c) set_up(c, &t, f);
    for (int hop = 0; !code && hop <= REDIRECTS; hop++) {
        const struct entry *entry = find_entry(f, next);
        curl_off_t spent_us = 0;
        char *location = NULL;
        if (!entry || left_ms <= 0) {
            t.refused = !entry;
            code = CURLE_OPERATION_TIMEDOUT;
            break;
        }
        t.literal = entry->literal;
        out->length = 0;
        curl_easy_setopt(c, CURLOPT_URL, next);
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, left_ms);
        code = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &http);
        curl_easy_getinfo(c, CURLINFO_TOTAL_TIME_T, &spent_us);
        curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &location);
        left_ms -= (long)(spent_us / 1000);
        if (code || !location) break;
        rudd_free(next);
        next = rudd_strdup(location);
        t.failed = !next;
        if (!next) code = CURLE_OUT_OF_MEMORY;
    }
    bool ok = !code && http == 200;
    if (!ok) {
        explain(p, &t, code, http);
        rudd_free(out->data);
        *out = (struct serve_bytes){0};
    }
    curl_easy_cleanup(c);
    rudd_free(next);
    return ok;
}

#endif
