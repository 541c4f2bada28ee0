/* cors.h - which web pages may ask: origins ("https://fish.example:8443") as browsers name them (Fetch standard, RFC 6454). Pure. */
#ifndef SERVE_CORS_H
#define SERVE_CORS_H

#include <stdbool.h>
#include "nn/rudd.h"

/* Whether list is "*" or origins with commas between, each scheme://host or scheme://host:port in lower case, without a path. RUDD_ARGUMENT names
 * the one that is not. */
enum rudd_status serve_cors_check(const char *list, struct rudd_error *err);
/* Whether the list (NULL: empty) names this origin. */
bool serve_cors_allows(const char *list, const char *origin);
/* Whether a page of this origin came from the server that the request's Host header (may be NULL) names. */
bool serve_cors_is_own(const char *origin, const char *host);

#endif
