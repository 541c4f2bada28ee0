/* cmd_feedback.c - `rudd data feedback`: what people said of a server's answers becomes a training folder.
 *
 *     the server's store: feedback (label, picture's hash)   \
 *     DIR/ab/ab34...ef.jpg, kept by --keep-images             >--> OUT/<label>/ab34...ef.jpg
 *
 * Of several labels for one picture the newest counts. The store is read with one question, in SQLite's or PostgreSQL's own words; its tables are
 * rudd-serve's affair (serve/store_schema.c), which this program may not include. */
#include "train/cmd_feedback.h"
#include "data/image/formats.h"
#include "data/libpq.h"
#include "data/libsqlite.h"
#include "data/store/where.h"
#include "nn/library.h"
#include "train/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char question[] = "SELECT COALESCE(f.image_hash, p.image_hash), f.label FROM feedback f"
                               " LEFT JOIN predictions p ON p.id = f.prediction_id"
                               " WHERE COALESCE(f.image_hash, p.image_hash) IS NOT NULL ORDER BY f.time, f.id";

enum { HASH = 64 };

/* One feedback. */
struct opinion {
    char hash[HASH + 1];
    int order; /* in time */
    char *label;
};
struct opinions {
    struct opinion *items;
    int count, capacity;
};

static void opinions_free(struct opinions *o)
{
    for (int i = 0; i < o->count; i++) rudd_free(o->items[i].label);
    rudd_free(o->items);
}

/* Labels become folders, hashes files: neither may lead elsewhere, whoever wrote the store. */
static bool is_plain(const char *hash, const char *label)
{
    return hash && label && strlen(hash) == HASH && strspn(hash, "0123456789abcdef") == HASH && *label && *label != '.' &&
           !strchr(label, '/') && strlen(label) < 200;
}

static enum rudd_status opinions_add(struct opinions *o, const char *hash, const char *label, struct rudd_error *err)
{
    if (!is_plain(hash, label))
        return rudd_fail(err, RUDD_FORMAT,
                         "the store has feedback \"%.80s\" on picture \"%.80s\", which name no folder and file",
                         label ? label : "", hash ? hash : "");
    if (o->count == o->capacity) {
        int capacity = o->capacity ? 2 * o->capacity : 256;
        struct opinion *items = rudd_realloc(o->items, sizeof *items * (size_t)capacity);
        if (!items) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d feedbacks", capacity);
        o->items = items;
        o->capacity = capacity;
    }
    struct opinion *item = &o->items[o->count];
    snprintf(item->hash, sizeof item->hash, "%s", hash);
    item->order = o->count;
    item->label = rudd_strdup(label);
    if (!item->label) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a label");
    o->count++;
    return RUDD_OK;
}

/* ---- the store --------------------------------------------------------------------------------------------------------------- */

static enum rudd_status read_sqlite(struct opinions *o, const char *path, struct rudd_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    enum rudd_status status = nn_library_load(&data_libsqlite_library, err, "--store %.300s: an SQLite file", path);
    if (status) return status;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    if (!code) sqlite3_busy_timeout(db, 5000);
    if (!code) code = sqlite3_prepare_v2(db, question, -1, &rows, NULL);
    while (!code && !status && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        status = opinions_add(o, (const char *)sqlite3_column_text(rows, 0), (const char *)sqlite3_column_text(rows, 1), err);
        code = SQLITE_OK;
    }
    if (!status && code != SQLITE_DONE)
        status = rudd_fail(err, RUDD_IO, "--store %s: %s; expected the file that rudd-serve writes", path, sqlite3_errmsg(db));
    sqlite3_finalize(rows);
    sqlite3_close(db);
    return status;
}

#ifdef HAVE_LIBPQ
static enum rudd_status read_postgres(struct opinions *o, const char *url, struct rudd_error *err)
{
    enum rudd_status status = nn_library_load(&data_libpq_library, err, "--store: it is in PostgreSQL");
    if (!status) status = data_store_check_url(url, err);
    if (status) return status;
    PGconn *connection = PQconnectdb(url);
    PGresult *rows = PQstatus(connection) == CONNECTION_OK ? PQexec(connection, question) : NULL;
    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        status = rudd_fail(err, RUDD_IO, "--store: PostgreSQL: %.600s", PQerrorMessage(connection));
    for (int i = 0; !status && i < PQntuples(rows); i++)
        status = opinions_add(o, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1), err);
    PQclear(rows);
    PQfinish(connection);
    return status;
}
#else
static enum rudd_status read_postgres(struct opinions *o, const char *url, struct rudd_error *err)
{
    (void)o, (void)url;
    return rudd_fail(err, RUDD_ARGUMENT, "this rudd was built without PostgreSQL; install libpq-dev and build it again");
}
#endif

/* ---- the folder --------------------------------------------------------------------------------------------------------------- */

static int by_hash(const void *a, const void *b)
{
    const struct opinion *x = a, *y = b;
    int c = strcmp(x->hash, y->hash);
    return c ? c : x->order - y->order;
}

/* The kept picture of this hash into OUT/<label>/; *found: it is there. */
static enum rudd_status place(bool *found, const char *out, const char *images, const struct opinion *o, bool link_it,
                              struct rudd_error *err)
{
    char from[4096], to[4096], ending[8];
    enum rudd_status status = RUDD_OK;
    *found = false;
    for (int i = 0; data_format_at(i) && !*found && !status; i++) {
        data_format_ending(ending, data_format_at(i));
        int n = snprintf(from, sizeof from, "%s/%.2s/%s.%s", images, o->hash, o->hash, ending);
        int m = snprintf(to, sizeof to, "%s/%s", out, o->label);
        if (n < 0 || m < 0 || (size_t)n >= sizeof from || (size_t)m + HASH + 8 >= sizeof to)
            return rudd_fail(err, RUDD_ARGUMENT, "%.100s: the path is too long", images);
        if (access(from, R_OK)) continue;
        *found = true;
        status = train_folder_make(to, err);
        if (status) break;
        snprintf(to + m, sizeof to - (size_t)m, "/%s.%s", o->hash, ending);
        if (link_it) {
            if (link(from, to))
                status =
                    rudd_fail(err, RUDD_IO, "%s: cannot be linked to %s: %s; copy without --link", to, from, strerror(errno));
        } else {
            uint8_t *bytes;
            size_t length;
            status = data_file_read(&bytes, &length, from, SIZE_MAX / 2, err);
            if (!status) {
                status = train_folder_write(to, bytes, length, err);
                rudd_free(bytes);
            }
        }
    }
    return status;
}

static enum rudd_status make_folder(const char *out, const char *images, struct opinions *o, bool link_it,
                                    struct rudd_error *err)
{
    int pictures = 0, missing = 0, changed = 0;
    enum rudd_status status = train_folder_claim(out, err);
    if (o->count) qsort(o->items, (size_t)o->count, sizeof *o->items, by_hash);
    for (int i = 0; i < o->count && !status; i++) {
        bool found;
        const struct opinion *item = &o->items[i];
        if (i + 1 < o->count && !strcmp(item->hash, item[1].hash)) { /* a newer one follows */
            changed += strcmp(item->label, item[1].label) != 0;
            continue;
        }
        status = place(&found, out, images, item, link_it, err);
        pictures += found;
        missing += !found;
    }
    if (!status)
        printf("%s: %d pictures from %d feedbacks; %d labels were changed later, %d pictures are not in %s\n", out, pictures,
               o->count, changed, missing, images);
    return status;
}

enum rudd_status train_cmd_data_feedback(int argc, char **argv, struct rudd_error *err)
{
    const char *store = NULL, *file = NULL, *images = NULL, *out = NULL;
    char where[DATA_STORE_WHERE];
    bool link_it = false, done;
    const struct nn_option rows[] = {
        {"out|o", NN_OPTION_REQUIRED, &out, "OUT", 0, 0, "new or empty folder for the class folders"},
        {"store", NN_OPTION_STRING, &store, "WHERE", 0, 0,
         "what rudd-serve --store says: an SQLite file (" DATA_STORE_FILE "), or "
         "postgresql://..."},
        {"store-file", NN_OPTION_STRING, &file, "FILE", 0, 0, "file with the URL of the store, for a URL with a password"},
        {"images", NN_OPTION_STRING, &images, "DIR", 0, 0, "the same as DIR"},
        {"link", NN_OPTION_FLAG, &link_it, NULL, 0, 0, "make hard links instead of copies"},
    };
    static const struct nn_example examples[] = {
        {"pictures with the labels that people gave them", "rudd data feedback kept --store rudd-serve.sqlite -o more"},
        {NULL, NULL},
    };
    struct nn_options options = {
        .usage = "rudd data feedback DIR -o OUT [--store rudd-serve.sqlite]",
        .about = "Makes a folder for training from the feedback that a server got. Each picture "
                 "of DIR (rudd-serve --keep-images) that has feedback goes to OUT/<label>/; the "
                 "newest label counts. The server may be running.",
        .examples = examples,
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
        .max_arguments = 1,
    };
    struct opinions o = {0};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        if (options.argument_count) images = options.arguments[0];
        if (!images) status = rudd_fail(err, RUDD_ARGUMENT, "no folder of pictures given: %s", options.usage);
        if (!status) status = data_store_where(where, store, file, err);
        if (!status) status = data_store_is_url(where) ? read_postgres(&o, where, err) : read_sqlite(&o, where, err);
        if (!status) status = make_folder(out, images, &o, link_it, err);
    }
    opinions_free(&o);
    nn_options_free(&options);
    return status;
}
