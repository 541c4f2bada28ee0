/* spelling.c - see spelling.h. */
#include "data/sets/spelling.h"
#ifdef HAVE_LIBUTF8PROC
#include "data/sets/libutf8proc.h"
#endif

#include <stdlib.h>
#include <string.h>

static bool is_ascii(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name > 127) return false;
    return true;
}

char *data_spelling(const char *name, bool *plain)
{
    if (is_ascii(name)) return rudd_strdup(name);
#ifdef HAVE_LIBUTF8PROC
    if (kern_library_load(&data_libutf8proc_library, NULL, 0)) {
        utf8proc_uint8_t *form = utf8proc_NFC((const utf8proc_uint8_t *)name);
        char *copy = rudd_strdup(form ? (const char *)form : name); /* NULL: it is not UTF-8 */
        free(form);
        return copy;
    }
#endif
    if (plain) *plain = true;
    return rudd_strdup(name);
}

static int by_key(const void *a, const void *b)
{
    const struct data_spelled *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : x->index - y->index;
}

enum rudd_status data_spellings_make(struct data_spellings *spellings, char *const *names,
                                     int count, const char *where, struct rudd_error *err)
{
    struct data_spellings s = {.list = rudd_zalloc((size_t)count + 1, sizeof *s.list)};
    *spellings = (struct data_spellings){0};
    for (; s.list && s.count < count; s.count++) {
        s.list[s.count] = (struct data_spelled){data_spelling(names[s.count], &s.plain), s.count};
        if (!s.list[s.count].key) break;
    }
    if (s.count < count) {
        data_spellings_free(&s);
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d class names", where, count);
    }
    qsort(s.list, (size_t)count, sizeof *s.list, by_key);
    for (int i = 1; i < count; i++) {
        if (strcmp(s.list[i - 1].key, s.list[i].key) != 0) continue;
        const char *a = names[s.list[i - 1].index], *b = names[s.list[i].index];
        enum rudd_status status = rudd_fail(
            err, RUDD_MISMATCH,
            "%s: two classes have one name, %s%s; merge their pictures or rename one", where, a,
            strcmp(a, b) == 0 ? "" : ", spelled in two ways of Unicode (NFC and NFD)");
        data_spellings_free(&s);
        return status;
    }
    *spellings = s;
    return RUDD_OK;
}

enum rudd_status data_spellings_find(int *index, const struct data_spellings *spellings,
                                     const char *name, struct rudd_error *err)
{
    const struct data_spelled key = {data_spelling(name, NULL), -1};
    if (!key.key)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to look for this class", name);
    int low = 0, high = spellings->count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (strcmp(spellings->list[middle].key, key.key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct data_spelled *at = &spellings->list[low];
    *index = low < spellings->count && strcmp(at->key, key.key) == 0 ? at->index : -1;
    rudd_free(key.key);
    return RUDD_OK;
}

void data_spellings_free(struct data_spellings *spellings)
{
    for (int i = 0; i < spellings->count; i++) rudd_free(spellings->list[i].key);
    rudd_free(spellings->list);
    *spellings = (struct data_spellings){0};
}
