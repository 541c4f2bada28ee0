/* keys.c - see keys.h. */
#include "serve/keys.h"
#include "nn/sha256.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { DIGITS = NN_SHA256_HEX - 1, SALT_MIN = 8, SALT_MAX = 64, FILE_MAX = 1 << 20 };

struct key {
    char name[SERVE_KEY_NAME], salt[SALT_MAX + 1], hash[NN_SHA256_HEX];
    unsigned roles;
};

struct serve_keys {
    int count;
    struct key key[SERVE_KEYS_MAX];
};

static void hash_key(char hex[NN_SHA256_HEX], const char *salt, const char *key, size_t n)
{
    struct nn_sha256 s;
    nn_sha256_init(&s);
    nn_sha256_update(&s, salt, strlen(salt));
    nn_sha256_update(&s, key, n);
    nn_sha256_hex(hex, &s);
}

/* ---- the file ---------------------------------------------------------------------------------------------------------------
 */

/* A piece of a line. */
struct word {
    const char *at;
    size_t n;
};

/* Takes the characters up to one of `stops` (or the end) from *rest, and that one. */
static struct word take(struct word *rest, const char *stops)
{
    struct word w = {rest->at, 0};
    while (w.n < rest->n && !strchr(stops, rest->at[w.n] ? rest->at[w.n] : ' ')) w.n++;
    size_t gone = w.n < rest->n ? w.n + 1 : w.n;
    rest->at += gone;
    rest->n -= gone;
    return w;
}

/* The next word of a line; n 0: none is left. */
static struct word next(struct word *line)
{
    while (line->n && strchr(" \t\r", *line->at ? *line->at : ' ')) line->at++, line->n--;
    return take(line, " \t\r");
}

static bool is(struct word w, const char *text)
{
    return w.n == strlen(text) && !memcmp(w.at, text, w.n);
}

static bool hex_copy(char *out, struct word w, size_t min, size_t max)
{
    if (w.n < min || w.n > max) return false;
    for (size_t i = 0; i < w.n; i++) {
        char c = w.at[i] >= 'A' && w.at[i] <= 'F' ? (char)(w.at[i] + 'a' - 'A') : w.at[i];
        if (!c || !strchr("0123456789abcdef", c)) return false;
        out[i] = c;
    }
    out[w.n] = 0;
    return true;
}

static bool name_copy(char *out, struct word w)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!w.n || w.n >= SERVE_KEY_NAME) return false;
    for (size_t i = 0; i < w.n; i++)
        if (!w.at[i] || !strchr(allowed, w.at[i])) return false;
    memcpy(out, w.at, w.n);
    out[w.n] = 0;
    return true;
}

/* "predict,observe"; 0: something else. */
static unsigned roles_of(struct word w)
{
    unsigned roles = 0;
    while (w.n) {
        bool more = w.n && w.at[w.n - 1] == ',';
        struct word role = take(&w, ",");
        unsigned one = is(role, "predict")   ? SERVE_PREDICT
                       : is(role, "observe") ? SERVE_OBSERVE
                       : is(role, "admin")   ? SERVE_ADMIN
                                             : 0;
        if (!one || (!w.n && more)) return 0;
        roles |= one;
    }
    return roles;
}

/* "sha256:<hash>" or "salted:<salt>:<hash>" */
static bool hash_copy(struct key *k, struct word w)
{
    struct word kind = take(&w, ":");
    k->salt[0] = 0;
    if (is(kind, "salted")) {
        if (!hex_copy(k->salt, take(&w, ":"), SALT_MIN, SALT_MAX)) return false;
    } else if (!is(kind, "sha256")) {
        return false;
    }
    return hex_copy(k->hash, w, DIGITS, DIGITS);
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct serve_keys *keys, struct word line)
{
    struct word name = next(&line), roles = next(&line), hash = next(&line);
    if (!name.n || *name.at == '#') return NULL;
    if (keys->count == SERVE_KEYS_MAX) return "more than 256 keys";
    struct key *k = &keys->key[keys->count];
    if (!name_copy(k->name, name)) return "expected a name of 1..64 letters, digits and ._-";
    for (int i = 0; i < keys->count; i++)
        if (!strcmp(keys->key[i].name, k->name)) return "the name stands in an earlier line, too";
    k->roles = roles_of(roles);
    if (!k->roles) return "expected roles after the name: predict, observe, admin, with commas between";
    if (!hash_copy(k, hash) || next(&line).n)
        return "expected sha256:<64 hex digits> or salted:<salt>:<64 hex digits> at the end; see rudd-serve --new-key";
    keys->count++;
    return NULL;
}

enum rudd_status serve_keys_parse(struct serve_keys **keys, const char *text, size_t n, const char *where,
                                  struct rudd_error *err)
{
    struct serve_keys *k = rudd_zalloc(1, sizeof *k);
    if (!k) return rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory for the keys", where);
    struct word rest = {text, n};
    for (int number = 1; rest.n; number++) {
        const char *end = memchr(rest.at, '\n', rest.n);
        struct word line = {rest.at, end ? (size_t)(end - rest.at) : rest.n};
        size_t gone = end ? line.n + 1 : line.n;
        const char *wrong = parse_line(k, line);
        if (wrong) { /* the line itself is not shown: somebody may have written the key there */
            rudd_free(k);
            return rudd_fail(err, RUDD_FORMAT, "%s, line %d: %s", where, number, wrong);
        }
        rest.at += gone;
        rest.n -= gone;
    }
    if (!k->count) {
        rudd_free(k);
        return rudd_fail(err, RUDD_FORMAT, "%s: no keys; `rudd-serve --new-key NAME:ROLES` prints a line", where);
    }
    *keys = k;
    return RUDD_OK;
}

enum rudd_status serve_keys_read(struct serve_keys **keys, const char *path, struct rudd_error *err)
{
    enum rudd_status status;
    char *text = NULL;
    FILE *f = fopen(path, "rb");
    if (!f)
        return rudd_fail(err, RUDD_IO, "--keys %.500s: %s%s", path, strerror(errno),
                         errno == ENOENT   ? "; rudd-serve --new-key NAME:ROLES makes a key and its line"
                         : errno == EACCES ? "; the user that the server runs as must be able to read it"
                                           : "");
    text = rudd_alloc(FILE_MAX + 1);
    size_t n = text ? fread(text, 1, FILE_MAX + 1, f) : 0;
    if (!text)
        status = rudd_fail(err, RUDD_NO_MEMORY, "--keys %.500s: out of memory", path);
    else if (ferror(f))
        status = rudd_fail(err, RUDD_IO, "--keys %.500s: %s", path, strerror(errno));
    else if (n > FILE_MAX)
        status = rudd_fail(err, RUDD_LIMIT, "--keys %.500s: larger than %d bytes", path, FILE_MAX);
    else
        status = serve_keys_parse(keys, text, n, path, err);
    rudd_free(text);
    fclose(f);
    return status;
}

void serve_keys_free(struct serve_keys *keys)
{
    rudd_free(keys);
}

int serve_keys_count(const struct serve_keys *keys)
{
    return keys->count;
}

/* ---- a presented key ----------------------------------------------------------------------------------------------------- */

/* 1 when both hashes are the same, else 0; no branch depends on them. */
static unsigned same(const char *a, const char *b)
{
    unsigned difference = 0;
    for (int i = 0; i < DIGITS; i++) difference |= (unsigned)(a[i] ^ b[i]);
    return 1 - ((difference | (0u - difference)) >> 31);
}

unsigned serve_keys_check(const struct serve_keys *keys, const char *key, size_t n, char name[SERVE_KEY_NAME])
{
    char plain[NN_SHA256_HEX], salted[NN_SHA256_HEX];
    unsigned roles = 0, found = 0;
    name[0] = 0;
    if (n > SERVE_KEY_MAX) return 0;
    hash_key(plain, "", key, n);
    for (int i = 0; i < keys->count; i++) {
        const struct key *k = &keys->key[i];
        if (k->salt[0]) hash_key(salted, k->salt, key, n);
        unsigned hit = same(k->salt[0] ? salted : plain, k->hash);
        roles |= k->roles & (0u - hit);
        found |= (unsigned)(i + 1) & (0u - hit) & (0u - !found); /* the first of several lines for one key */
    }
    if (found) memcpy(name, keys->key[found - 1].name, SERVE_KEY_NAME);
    return roles;
}

static bool visible(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~') return false;
    return n > 0;
}

const char *serve_key_parse(size_t *n, const char *authorization, const char *api_key)
{
    if (authorization && !strncasecmp(authorization, "Bearer ", 7)) {
        const char *key = authorization + 7;
        key += strspn(key, " ");
        *n = strlen(key);
        while (*n && key[*n - 1] == ' ') --*n;
        return visible(key, *n) ? key : NULL;
    }
    if (!api_key) return NULL;
    *n = strlen(api_key);
    return visible(api_key, *n) ? api_key : NULL;
}

/* ---- new keys --------------------------------------------------------------------------------------------------------------- */

static enum rudd_status random_digits(char *out, const char *alphabet, int count, struct rudd_error *err)
{
    unsigned char random[64];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return rudd_fail(err, RUDD_IO, "the system gives no random bytes");
    size_t letters = strlen(alphabet); /* a power of two, so that each is as likely */
    for (int i = 0; i < count; i++) out[i] = alphabet[random[i] % letters];
    out[count] = 0;
    explicit_bzero(random, sizeof random);
    return RUDD_OK;
}

enum rudd_status serve_keys_draw(char key[SERVE_KEY_MAX], struct rudd_error *err)
{
    enum { LETTERS = 43 }; /* of 6 bits: 258 */
    memcpy(key, "rudd_", 5);
    return random_digits(key + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", LETTERS, err);
}

enum rudd_status serve_keys_line(char line[SERVE_KEY_LINE], const char *who, const char *key, struct rudd_error *err)
{
    struct word roles = {who, strlen(who)}, name = take(&roles, ":");
    struct key k = {.salt = ""};
    size_t n = strlen(key);
    if (!name_copy(k.name, name) || !roles_of(roles))
        return rudd_fail(
            err, RUDD_ARGUMENT,
            "%.100s: expected NAME:ROLES, such as phone:predict or me:predict,admin (roles: predict, observe, admin)", who);
    if (n < SERVE_KEY_MIN || n > SERVE_KEY_MAX || !visible(key, n))
        return rudd_fail(err, RUDD_ARGUMENT, "the key must have %d to %d visible ASCII characters", SERVE_KEY_MIN,
                         SERVE_KEY_MAX);
    enum rudd_status status = random_digits(k.salt, "0123456789abcdef", 32, err);
    if (status) return status;
    hash_key(k.hash, k.salt, key, n);
    snprintf(line, SERVE_KEY_LINE, "%s %.*s salted:%s:%s", k.name, (int)roles.n, roles.at, k.salt, k.hash);
    return RUDD_OK;
}
