/* where.c - the place of a server's store: see where.h. */
#define _GNU_SOURCE /* strcasestr */
#include "data/store/where.h"

#include "data/image/decode.h"
#include "data/libpq.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool data_store_is_url(const char *where)
{
    return !strncasecmp(where, "postgresql://", 13) || !strncasecmp(where, "postgres://", 11);
}

/* sqlite:FILE is FILE: where the place begins in text. */
static const char *behind_scheme(const char *text)
{
    static const char scheme[] = "sqlite:";
    const size_t n = sizeof scheme - 1;
    return strncmp(text, scheme, n) == 0 ? text + n : text;
}

/* The first line of --store-file, without its end. */
static enum rudd_status read_first_line(char out[DATA_STORE_WHERE], const char *path,
                                        struct rudd_error *err)
{
    uint8_t *bytes;
    size_t length;
    enum rudd_status status = data_file_read(&bytes, &length, path, DATA_STORE_WHERE - 1, err);
    if (status) return status;
    char line[DATA_STORE_WHERE];
    memcpy(line, bytes, length);
    line[length] = 0;
    line[strcspn(line, "\r\n")] = 0;
    rudd_free(bytes);
    strcpy(out, behind_scheme(line));
    if (*out) return RUDD_OK;
    return rudd_fail(err, RUDD_FORMAT,
                     "--store-file %.300s: its first line is empty; expected the name of an SQLite "
                     "file, or postgresql://...",
                     path);
}

/* scheme://user:password@host: whether there is a password in it. */
static bool has_password(const char *url)
{
    const char *authority = strstr(url, "://");
    if (!authority) return false;
    authority += 3;
    size_t n = strcspn(authority, "/?");
    const char *at = memchr(authority, '@', n), *colon = memchr(authority, ':', n);
    return (at && colon && colon < at) || strcasestr(url, "password=");
}

enum rudd_status data_store_where(char out[DATA_STORE_WHERE], const char *store, const char *file,
                                  struct rudd_error *err)
{
    const char *text = store ? store : DATA_STORE_FILE;
    if (store && file)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--store and --store-file both say where the store is; give one of them");
    if (file) return read_first_line(out, file, err);
    if (strlen(text) >= DATA_STORE_WHERE)
        return rudd_fail(err, RUDD_ARGUMENT, "--store: the name has more than %d bytes",
                         DATA_STORE_WHERE - 1);
    if (has_password(text))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--store: a password on the command line can be read by others; put the "
                         "URL into a file and say --store-file FILE, or use PGPASSFILE");
    strcpy(out, behind_scheme(text));
    return RUDD_OK;
}

#ifdef HAVE_LIBPQ
enum rudd_status data_store_check_url(const char *where, struct rudd_error *err)
{
    PQconninfoOption *options = PQconninfoParse(where, NULL);
    bool stray = false;
    for (const PQconninfoOption *o = options; o && o->keyword; o++) {
        if (!o->val) continue;
        if (!strcmp(o->keyword, "port")) stray |= o->val[strspn(o->val, "0123456789,")] != 0;
        if (!strcmp(o->keyword, "host") || !strcmp(o->keyword, "dbname"))
            stray |= strchr(o->val, '@') != NULL;
    }
    PQconninfoFree(options);
    if (options && !stray) return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "the store's URL cannot be read; expected "
                     "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE, where a "
                     "password's %%, @, :, / and ? are written as %%25, %%40, %%3A, %%2F and %%3F");
}
#endif
