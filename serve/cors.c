/* cors.c - see cors.h. Browsers write origins in one way only (lower case, no default port), so they are compared byte by byte. */
#include "serve/cors.h"
#include <string.h>
#include <strings.h>

static bool is_origin(const char *text, size_t n)
{
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789+.-",
                      host[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
    size_t length = strspn(text, scheme), rest = length + 3;
    if (!length || rest >= n || strncmp(text + length, "://", 3)) return false;
    return strspn(text + rest, host) >= n - rest;
}

enum rudd_status serve_cors_check(const char *list, struct rudd_error *err)
{
    if (!strcmp(list, "*")) return RUDD_OK;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        if (!is_origin(p, n))
            return rudd_fail(
                err, RUDD_ARGUMENT,
                "--cors %.*s: expected * or origins such as https://fish.example or http://localhost:3000, in lower case, "
                "without a path, with commas between",
                n < 200 ? (int)n : 200, p);
        p += n;
        if (!*p) return RUDD_OK;
    }
}

bool serve_cors_allows(const char *list, const char *origin)
{
    if (!list) return false;
    if (!strcmp(list, "*")) return true;
    size_t length = strlen(origin);
    for (const char *p = list; length; p++) {
        size_t n = strcspn(p, ",");
        if (n == length && !memcmp(p, origin, n)) return true;
        p += n;
        if (!*p) break;
    }
    return false;
}

bool serve_cors_is_own(const char *origin, const char *host)
{
    const char *after = strstr(origin, "://");
    return after && host && *host && !strcasecmp(after + 3, host);
}
