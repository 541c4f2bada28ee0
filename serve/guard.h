/* guard.h - who may ask, from which pages, and how often; and the headers that every answer carries.
 *
 *     headers --origin--> 403 or preflight --key--> 401, 403 --bucket of the key or the address--> 429 --> the route
 *
 * Without --keys everybody may ask: then the server listens on loopback only, unless it is told otherwise. */
#ifndef SERVE_GUARD_H
#define SERVE_GUARD_H

#include <microhttpd.h>
#include <stdbool.h>
#include "serve/files.h"
#include "serve/metrics.h"

struct serve_guard_options {
    const char *keys;              /* file (keys.h); NULL: everybody may ask */
    const char *cors;              /* origins of pages that may ask (cors.h); NULL: only the server's own */
    double rate;                   /* requests a second for each key, or address without one; 0: any number */
    double burst;                  /* at once */
    bool insecure_open;            /* listen beyond loopback without keys */
    void (*say)(const char *line); /* what the log should say; may be NULL */
};

struct serve_exchange;
struct serve_guard;

/* Reads the keys, now and when their file changes. A changed file that cannot be read leaves the old keys as they are, and the log says so. Options' strings and files
 * outlive the guard. */
enum rudd_status serve_guard_create(struct serve_guard **guard, const struct serve_guard_options *options,
                                    struct serve_files *files, struct serve_metrics *metrics, struct rudd_error *err);
void serve_guard_destroy(struct serve_guard *guard); /* NULL is fine */

/* RUDD_ARGUMENT when the listening socket can be reached from other machines and nothing asks them for keys. */
enum rudd_status serve_guard_check_listen(const struct serve_guard_options *options, int fd, const char *listen,
                                          struct rudd_error *err);

/* Whether this is a browser's question what a page of another origin may ask; answered by serve_guard_send_preflight. Refuses pages that
 * are not on the list. */
bool serve_guard_is_preflight(struct serve_exchange *x, const char *method);
enum MHD_Result serve_guard_send_preflight(struct serve_exchange *x);
/* Whether x may go on; refuses it by 401, 403 or 429. Fills x->client. Thread-safe. */
bool serve_guard_admit(struct serve_exchange *x, const char *method);
/* Adds what every answer carries; a policy (CSP) that the response already has stays. */
void serve_guard_add_headers(const struct serve_exchange *x, unsigned http, struct MHD_Response *response);

#endif
