/* npy.c - strict reader of NumPy's .npy.
 *
 *     \x93NUMPY | major | minor | header length (u16, from version 2 u32) | header | values, little-endian
 *
 * The header is the text of a Python dict with exactly three keys, in any order:
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }
 *
 * Source: numpy.lib.format. Not here: other types, Fortran order, structured arrays, writing. */
#include "data/npy.h"
#include "data/decode.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_BYTES = 1 << 30 };

/* A cursor over the header's text. Every step either takes what it names or leaves the cursor and says no. */
struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) c->at++;
}

static bool take(struct cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
    c->at += n;
    return true;
}

/* A quoted string without escapes, cut to what fits. */
static bool take_string(struct cursor *c, char *out, size_t size)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char *from = c->at + 1, *to = memchr(from, *c->at, (size_t)(c->end - from));
    if (!to) return false;
    size_t n = (size_t)(to - from) < size - 1 ? (size_t)(to - from) : size - 1;
    memcpy(out, from, n);
    out[n] = 0;
    c->at = to + 1;
    return true;
}

/* (a, b, c) with an optional comma at the end. *rank counts all of them, shape holds the first four. */
static bool take_shape(struct cursor *c, int64_t shape[4], int *rank)
{
    if (!take(c, "(")) return false;
    for (*rank = 0; !take(c, ")"); (*rank)++) {
        if (*rank > 0 && !take(c, ",")) return false;
        if (take(c, ")")) break;
        int64_t n = 0;
        const char *from = c->at;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
            n = n * 10 + (*c->at - '0');
            if (n > MAX_BYTES) return false;
        }
        if (c->at == from || *rank > 32) return false;
        if (*rank < 4) shape[*rank] = n;
    }
    return true;
}

struct header {
    char descr[16];
    bool fortran;
    int64_t shape[4];
    int rank;
};

static bool parse_header(struct header *h, const char *text, size_t length)
{
    struct cursor c = {text, text + length};
    bool descr = false, order = false, shape = false;
    if (!take(&c, "{")) return false;
    while (!take(&c, "}")) {
        char key[24];
        if (!take_string(&c, key, sizeof key) || !take(&c, ":")) return false;
        if (!descr && strcmp(key, "descr") == 0)
            descr = take_string(&c, h->descr, sizeof h->descr);
        else if (!order && strcmp(key, "fortran_order") == 0)
            order = (h->fortran = take(&c, "True")) || take(&c, "False");
        else if (!shape && strcmp(key, "shape") == 0)
            shape = take_shape(&c, h->shape, &h->rank);
        else
            return false;
        if (!take(&c, ",")) {
            if (!take(&c, "}")) return false;
            break;
        }
    }
    skip_space(&c);
    return descr && order && shape && c.at == c.end;
}

enum rudd_status data_npy_parse(const uint8_t **values, int64_t shape[4], const void *bytes, size_t length, const char *name,
                                struct rudd_error *err)
{
    const uint8_t *b = bytes;
    if (length < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
        return rudd_fail(err, RUDD_FORMAT, "%s: does not begin as a .npy file; write it with numpy.save", name);
    if (b[6] < 1 || b[6] > 3) return rudd_fail(err, RUDD_FORMAT, "%s: .npy version %d; 1 to 3 are known", name, b[6]);

    size_t start = b[6] == 1 ? 10 : 12, header = b[8] | (size_t)b[9] << 8;
    if (length < start) return rudd_fail(err, RUDD_FORMAT, "%s: ends within the .npy header", name);
    if (b[6] > 1) header |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (header > length - start)
        return rudd_fail(err, RUDD_FORMAT, "%s: header claims %zu bytes but %zu follow; the file is truncated", name, header,
                         length - start);

    struct header h = {.rank = 0};
    if (!parse_header(&h, (const char *)b + start, header))
        return rudd_fail(err, RUDD_FORMAT, "%s: the .npy header is not {'descr': ..., 'fortran_order': ..., 'shape': (...)}",
                         name);
    if (strcmp(h.descr, "<f4") != 0)
        return rudd_fail(err, RUDD_MISMATCH, "%s: values are of type %s, not float32 ('<f4'); convert with .astype('float32')",
                         name, h.descr);
    if (h.fortran) return rudd_fail(err, RUDD_MISMATCH, "%s: is in Fortran order; write it with numpy.ascontiguousarray", name);
    if (h.rank != 4) return rudd_fail(err, RUDD_MISMATCH, "%s: has %d dimensions, not 4 (N, 3, H, W)", name, h.rank);

    size_t follow = length - start - header, count = 1;
    for (int i = 0; i < 4; i++) {
        /* Each factor and the product so far are at most 2^30, so no product overflows before it is compared. */
        count *= (size_t)h.shape[i];
        if (h.shape[i] == 0) return rudd_fail(err, RUDD_MISMATCH, "%s: the array is empty", name);
        if (count > MAX_BYTES / sizeof(float))
            return rudd_fail(err, RUDD_LIMIT, "%s: more than %d bytes of values", name, (int)MAX_BYTES);
    }
    if (follow != count * sizeof(float))
        return rudd_fail(err, RUDD_FORMAT, "%s: the shape asks for %zu bytes of values but %zu follow", name,
                         count * sizeof(float), follow);

    memcpy(shape, h.shape, sizeof h.shape);
    *values = b + start + header;
    return RUDD_OK;
}

enum rudd_status data_npy_read(float **out, int64_t shape[4], const char *path, struct rudd_error *err)
{
    uint8_t *bytes = NULL;
    const uint8_t *values;
    size_t length;
    int64_t found[4];
    enum rudd_status status = data_file_read(&bytes, &length, path, (size_t)MAX_BYTES + 65536, err);
    if (!status) status = data_npy_parse(&values, found, bytes, length, path, err);
    if (!status) {
        /* The values move to the front of the block: rudd_alloc's alignment, and no second copy of a large array. */
        memmove(bytes, values, (size_t)(bytes + length - values));
        memcpy(shape, found, sizeof found);
        *out = (float *)(void *)bytes;
        bytes = NULL;
    }
    rudd_free(bytes);
    return status;
}
