/* keys.h - who may ask for what: API keys from a file, and the roles they have.
 *
 *     # name    roles             hash of the key
 *     phone     predict           sha256:3c1f...                 64 digits: SHA-256 of the key
 *     grafana   observe           salted:9f02ab...:77ae...       SHA-256 of the salt's digits followed by the key
 *     me        predict,admin     ...
 *
 * The file holds no key, so it may be copied and logged; `rudd-serve --new-key NAME:ROLES` makes a key and its line. Keys are long and random, which
 * is why a fast hash is enough. A presented key is compared with every line to the last byte, so that time tells nothing. */
#ifndef SERVE_KEYS_H
#define SERVE_KEYS_H

#include <stdbool.h>
#include "nn/rudd.h"

/* A route names the roles that may ask it; a key has one or more. Without --keys every route is open. */
enum serve_role {
    SERVE_PREDICT = 1, /* pictures in, answers and feedback */
    SERVE_OBSERVE = 2, /* metrics and the model's facts */
    SERVE_OPEN = 4,    /* of a route: nobody needs a key (the page, probes) */
    SERVE_ADMIN = 8    /* everything; a route with no roles at all is an administrator's, too */
};

enum { SERVE_KEY_NAME = 65, SERVE_KEY_MIN = 16, SERVE_KEY_MAX = 256, SERVE_KEYS_MAX = 256, SERVE_KEY_LINE = 320 };

/* A key file in memory: read-only, and so for any number of threads. */
struct serve_keys;

/* Reads n bytes of a key file; where starts the messages. RUDD_FORMAT names the line. Pure. */
enum rudd_status serve_keys_parse(struct serve_keys **keys, const char *text, size_t n, const char *where,
                                  struct rudd_error *err);
enum rudd_status serve_keys_read(struct serve_keys **keys, const char *path, struct rudd_error *err);
void serve_keys_free(struct serve_keys *keys); /* NULL is fine */
int serve_keys_count(const struct serve_keys *keys);

/* The roles of a presented key of n bytes, and its name; 0: no such key. Takes as long for one as for the other. */
unsigned serve_keys_check(const struct serve_keys *keys, const char *key, size_t n, char name[SERVE_KEY_NAME]);

/* The key in `Authorization: Bearer KEY` or, where that says something else, in `X-API-Key: KEY`; either may be NULL. NULL: neither has one.
 * Points into the headers; no terminator of its own. Pure. */
const char *serve_key_parse(size_t *n, const char *authorization, const char *api_key);

/* The line for a key: who is "NAME:ROLES", the key of 16..256 visible ASCII characters. A random salt is drawn. */
enum rudd_status serve_keys_line(char line[SERVE_KEY_LINE], const char *who, const char *key, struct rudd_error *err);
/* A new key: "rudd_" and 43 characters that hold 256 random bits. */
enum rudd_status serve_keys_draw(char key[SERVE_KEY_MAX], struct rudd_error *err);

#endif
