/* npy.c - see npy.h. */
#include "nn/npy.h"
#include <string.h>

static const int64_t MAX_DIMENSION = (int64_t)1 << 40;

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

/* (a, b, c) with an optional comma at the end. *rank counts all of them, shape holds the first of them. */
static bool take_shape(struct cursor *c, int64_t shape[NN_NPY_MAX_RANK], int *rank)
{
    if (!take(c, "(")) return false;
    for (*rank = 0; !take(c, ")"); (*rank)++) {
        if (*rank > 0 && !take(c, ",")) return false;
        if (take(c, ")")) break;
        int64_t n = 0;
        const char *from = c->at;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
            n = n * 10 + (*c->at - '0');
            if (n > MAX_DIMENSION) return false;
        }
        if (c->at == from || *rank > 32) return false;
        if (*rank < NN_NPY_MAX_RANK) shape[*rank] = n;
    }
    return true;
}

static bool parse_header(struct nn_npy *h, const char *text, size_t length)
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

enum rudd_status nn_npy_parse(struct nn_npy *npy, const void *bytes, size_t length, const char *name, struct rudd_error *err)
{
    const unsigned char *b = bytes;
    if (length < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
        return rudd_fail(err, RUDD_FORMAT, "%s: does not begin as a .npy file; write it with numpy.save", name);
    if (b[6] < 1 || b[6] > 3) return rudd_fail(err, RUDD_FORMAT, "%s: .npy version %d; 1 to 3 are known", name, b[6]);

    size_t start = b[6] == 1 ? 10 : 12, header = b[8] | (size_t)b[9] << 8;
    if (length < start) return rudd_fail(err, RUDD_FORMAT, "%s: ends within the .npy header", name);
    if (b[6] > 1) header |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (header > NN_NPY_MAX_HEADER)
        return rudd_fail(err, RUDD_FORMAT, "%s: a header of %zu bytes; NumPy's have at most %d", name, header,
                         NN_NPY_MAX_HEADER);
    if (header > length - start)
        return rudd_fail(err, RUDD_FORMAT, "%s: header claims %zu bytes but %zu follow; the file is truncated", name, header,
                         length - start);

    struct nn_npy parsed = {.rank = 0};
    if (!parse_header(&parsed, (const char *)b + start, header))
        return rudd_fail(err, RUDD_FORMAT, "%s: the .npy header is not {'descr': ..., 'fortran_order': ..., 'shape': (...)}",
                         name);
    parsed.values = b + start + header;
    parsed.values_length = length - start - header;
    *npy = parsed;
    return RUDD_OK;
}
