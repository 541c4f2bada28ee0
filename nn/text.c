/* text.c - see text.h. */
#include "nn/text.h"
#include "nn/name_index.h"

#include <string.h>

/* Bytes of the UTF-8 character at s; 0: there is none. */
static int character(const unsigned char *s)
{
    /* What the second byte may be, by the first: Unicode 15, table 3-7. */
    unsigned char low = 0x80, high = 0xbf;
    int n;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    if (s[0] < 0xe0)
        n = 2;
    else if (s[0] < 0xf0)
        n = 3;
    else
        n = 4;
    if (s[0] == 0xe0) low = 0xa0;
    if (s[0] == 0xed) high = 0x9f;
    if (s[0] == 0xf0) low = 0x90;
    if (s[0] == 0xf4) high = 0x8f;
    if (s[1] < low || s[1] > high) return 0;
    for (int i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return n;
}

bool nn_text_is_utf8(const char *bytes)
{
    const unsigned char *s = (const unsigned char *)bytes;
    while (*s) {
        const int n = character(s);
        if (!n) return false;
        s += n;
    }
    return true;
}

char *nn_text(const char *bytes)
{
    static const char digits[] = "0123456789abcdef";
    if (nn_text_is_utf8(bytes) && !strchr(bytes, '\\')) return rudd_strdup(bytes);
    char *text = rudd_alloc(4 * strlen(bytes) + 1), *out = text;
    for (const unsigned char *s = (const unsigned char *)bytes; out && *s;) {
        const int n = character(s);
        if (n == 0) {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = digits[*s >> 4];
            *out++ = digits[*s++ & 15];
            continue;
        }
        if (*s == '\\') *out++ = '\\';
        memcpy(out, s, (size_t)n);
        out += n;
        s += n;
    }
    if (out) *out = 0;
    return text;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes that stand for one at a backslash; 0: nn_text wrote no such thing. */
static int escape(const char *s)
{
    if (s[1] == '\\') return 2;
    return s[1] == 'x' && digit_of(s[2]) >= 8 && digit_of(s[3]) >= 0 ? 4 : 0;
}

char *nn_text_back(char *text)
{
    char *out = text;
    for (const char *s = text; *s; s++)
        if (*s == '\\') {
            const int n = escape(s);
            if (!n) return text;
            s += n - 1;
        }
    for (const char *s = text; *s; s++) {
        if (*s == '\\' && escape(s) == 4) {
            *out++ = (char)(digit_of(s[2]) << 4 | digit_of(s[3]));
            s += 3;
        } else {
            if (*s == '\\') s++;
            *out++ = *s;
        }
    }
    *out = 0;
    return text;
}

json_t *nn_text_json(const char *bytes)
{
    if (!bytes) return json_null();
    char *text = nn_text(bytes);
    json_t *json = text ? json_string_nocheck(text) : NULL;
    rudd_free(text);
    return json;
}

/* ---- names of classes ------------------------------------------------------------------------- */

/* What is wrong with a name; NULL: nothing. */
static const char *fault_of(const char *name)
{
    if (!name || !*name) return "is empty";
    if (!nn_text_is_utf8(name)) return "is not UTF-8";
    if (strlen(name) > NN_CLASS_NAME) return "is longer than 200 bytes";
    if (name[0] == '.') return "begins with a dot";
    if (strchr(name, '/')) return "has a slash in it";
    for (const unsigned char *s = (const unsigned char *)name; *s; s++)
        if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) return "has a control character in it";
    return NULL;
}

enum rudd_status nn_class_names_check(const char *(*name_of)(const void *user, int i), const void *user, int count,
                                      const char *where, struct rudd_error *err)
{
    struct nn_name_index index;
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < count && !status; i++) {
        const char *name = name_of(user, i), *fault = fault_of(name);
        if (!fault) continue;
        char *text = nn_text(name ? name : "");
        status = rudd_fail(err, RUDD_FORMAT, "%s: the name of class %d, \"%.200s\", %s; rename it", where, i + 1,
                           text ? text : "?", fault);
        rudd_free(text);
    }
    if (status) return status;
    status = nn_name_index_make(&index, name_of, user, count, err);
    if (status) return status;
    if (index.twice >= 0)
        status =
            rudd_fail(err, RUDD_FORMAT, "%s: two classes are called \"%s\"; rename one", where, name_of(user, index.twice));
    nn_name_index_free(&index);
    return status;
}
