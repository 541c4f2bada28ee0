/* limit.h - how often one client may ask: a token bucket for each, in a table of fixed size.
 *
 *     client --keyed hash--> set of 8 buckets: its own, or the fullest one, which has the least to lose
 *
 * A bucket holds up to `burst` tokens and gets `rate` of them a second; a request takes one. Whoever floods the table with names of clients
 * can make it forget, never make it refuse somebody else. Thread-safe. */
#ifndef SERVE_LIMIT_H
#define SERVE_LIMIT_H

#include <stdbool.h>
#include <sys/socket.h>
#include "nn/rudd.h"

struct serve_limit;
/* rate > 0 requests a second, burst >= 1. */
enum rudd_status serve_limit_create(struct serve_limit **limit, double rate, double burst, struct rudd_error *err);
void serve_limit_destroy(struct serve_limit *limit); /* NULL is fine */

/* Takes a token for the client that these bytes name. 0: there was one; else the milliseconds until there will be. */
double serve_limit_take(struct serve_limit *limit, const void *client, size_t n, double now_ms);

/* What names a client without a key: its address; of an IPv6 one the first half, since the other is its own to choose. Returns its length. */
size_t serve_limit_address(unsigned char name[16], const struct sockaddr *address);

#endif
