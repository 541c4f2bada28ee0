/* redis_format.c - what the second level of the cache reads that others wrote: its address, and the values in Redis. See cache_redis.h. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "serve/cache_redis.h"

/* Decimal digits up to the end, 0..max; -1: something else. */
static int number(const char *text, size_t n, int max)
{
    if (!n || n > 6 || strspn(text, "0123456789") < n) return -1;
    long value = strtol(text, NULL, 10);
    return value > max ? -1 : (int)value;
}

enum rudd_status serve_redis_url_parse(struct serve_redis_address *address, const char *url, struct rudd_error *err)
{
    static const char scheme[] = "redis://";
    struct serve_redis_address a = {.port = 6379};
    if (strncmp(url, scheme, sizeof scheme - 1)) return rudd_fail(err, RUDD_ARGUMENT, "--cache: expected redis://HOST:PORT/DB");
    const char *rest = url + sizeof scheme - 1, *at = strchr(rest, '@');
    if (at) {
        size_t n = (size_t)(at - rest);
        if (memchr(rest, ':', n)) /* not repeated here: it would land in a log */
            return rudd_fail(err, RUDD_ARGUMENT,
                             "--cache: a password does not belong on a command line; put it in the environment's "
                             "RUDD_REDIS_PASSWORD or in --cache-password-file");
        if (!n || n >= sizeof a.user)
            return rudd_fail(err, RUDD_ARGUMENT, "--cache: expected a user of 1..63 characters before the @");
        memcpy(a.user, rest, n);
        rest = at + 1;
    }
    const char *slash = strchr(rest, '/'), *end = slash ? slash : rest + strlen(rest), *host = rest, *host_end, *port;
    if (*host == '[') { /* IPv6 */
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        port = host_end ? host_end + 1 : end;
    } else {
        host_end = memchr(host, ':', (size_t)(end - host));
        if (!host_end) host_end = end;
        port = host_end;
    }
    if (port < end && *port == ':') a.port = number(port + 1, (size_t)(end - port - 1), 65535);
    if (port < end && *port != ':') a.port = -1;
    if (slash && slash[1]) a.db = number(slash + 1, strlen(slash + 1), 99999);
    if (!host_end || host_end == host || (size_t)(host_end - host) >= sizeof a.host || a.port < 1 || a.db < 0)
        return rudd_fail(err, RUDD_ARGUMENT, "--cache %.200s: expected redis://HOST:PORT/DB", url);
    memcpy(a.host, host, (size_t)(host_end - host));
    *address = a;
    return RUDD_OK;
}

bool serve_redis_value_parse(float *probabilities, int count, const char *text, size_t n)
{
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL), *list = json_object_get(root, "probabilities");
    bool right = json_is_array(list) && json_array_size(list) == (size_t)count;
    double sum = 0;
    for (int i = 0; right && i < count; i++) {
        double p = json_number_value(json_array_get(list, (size_t)i));
        right = json_is_number(json_array_get(list, (size_t)i)) && p >= 0 && p <= 1;
        probabilities[i] = (float)p;
        sum += p;
    }
    json_decref(root);
    return right && fabs(sum - 1) < 1e-3;
}
