/* fetch.h - pictures by URL, for batches. Off unless --fetch-allow names hosts: a server that fetches what strangers name is a way into the
 * network behind it.
 *
 *     URL --scheme, host, port on the list?--> resolve --each address public?--> connect --at most max_bytes, seconds--> bytes
 *      ^------------------------------- redirect (at most 3): the same questions again ----------------'
 *
 * Entries: `example.org` (ports 80 and 443), `example.org:8080`, `.example.org` (all names below it), `192.168.7.20:8000`, `[fd00::1]:80`. A name
 * is connected to at public addresses only, whatever it resolves to; an address that is itself on the list is meant. */
#ifndef SERVE_FETCH_H
#define SERVE_FETCH_H

#include "serve/bytes.h"
#include "serve/request.h"

struct sockaddr;

struct serve_fetch_options {
    const char *allow; /* entries with commas between; NULL: nothing may be fetched */
    size_t max_bytes;
    int seconds; /* for one picture, redirects included */
};

struct serve_fetcher;
/* RUDD_ARGUMENT: an entry that is none, or this program was built without libcurl. Not while other threads run. */
enum rudd_status serve_fetcher_create(struct serve_fetcher **fetcher, const struct serve_fetch_options *options,
                                      struct rudd_error *err);
void serve_fetcher_destroy(struct serve_fetcher *fetcher); /* NULL is fine */

/* Whether this URL may be fetched, as far as one sees by looking at it. Pure, thread-safe. */
bool serve_fetch_allowed(const struct serve_fetcher *fetcher, const char *url, struct serve_problem *p);
/* The bytes behind url; waits. give_up(user) is asked meanwhile. out is empty on failure. Thread-safe. */
bool serve_fetch(struct serve_bytes *out, const struct serve_fetcher *fetcher, const char *url, bool (*give_up)(void *user),
                 void *user, struct serve_problem *p);

/* Whether an address is one that the whole Internet shares: not private, loopback, link-local, documentation, multicast, nor one that
 * carries another address inside (6to4, Teredo, NAT64, v4-mapped). */
bool serve_fetch_is_public(const struct sockaddr *address);

#endif
