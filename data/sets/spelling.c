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

enum rudd_status data_spellings_make(struct data_spellings *spellings, char *const *names,
                                     int count, const char *where, struct rudd_error *err)
{
    struct data_spellings s = {.keys = rudd_zalloc((size_t)count + 1, sizeof *s.keys)};
    *spellings = (struct data_spellings){0};
    while (s.keys && s.count < count && (s.keys[s.count] = data_spelling(names[s.count], &s.plain)))
        s.count++;
    enum rudd_status status =
        s.keys && s.count == count
            ? nn_name_index_make(&s.index, nn_name_of_array, s.keys, count, err)
            : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d class names", where, count);
    if (!status && s.index.twice >= 0) {
        const char *b = names[s.index.twice];
        const char *a = names[nn_name_index_find(&s.index, s.keys[s.index.twice])];
        status = rudd_fail(
            err, RUDD_MISMATCH,
            "%s: two classes have one name, %s%s; merge their pictures or rename one", where, a,
            strcmp(a, b) == 0 ? "" : ", spelled in two ways of Unicode (NFC and NFD)");
    }
    if (status)
        data_spellings_free(&s);
    else
        *spellings = s;
    return status;
}

enum rudd_status data_spellings_find(int *index, const struct data_spellings *spellings,
                                     const char *name, struct rudd_error *err)
{
    char *key = data_spelling(name, NULL);
    if (!key) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to look for this class", name);
    *index = nn_name_index_find(&spellings->index, key);
    rudd_free(key);
    return RUDD_OK;
}

void data_spellings_free(struct data_spellings *spellings)
{
    nn_name_index_free(&spellings->index);
    for (int i = 0; i < spellings->count; i++) rudd_free(spellings->keys[i]);
    rudd_free(spellings->keys);
    *spellings = (struct data_spellings){0};
}
