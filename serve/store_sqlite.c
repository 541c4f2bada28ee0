/* store_sqlite.c - the store in a file: see store_sql.h.
 *
 * Write-ahead log, so that readers (rudd data feedback, sqlite3, a backup) never stop the writer, and synchronous=FULL, so that a commit that
 * returned is on the disk. Statements are prepared once and kept by the address of their text.
 *
 * Sources: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous. */
#include "serve/store_sql.h"
#include "data/libsqlite.h"
#include "nn/library.h"
#include <stdio.h>
#include <string.h>

enum { STATEMENTS = 64, COLUMNS = 24 };

struct sqlite {
    struct serve_sql sql;
    sqlite3 *db;
    int count;
    struct {
        const char *text;
        sqlite3_stmt *prepared;
    } statements[STATEMENTS];
};

static enum rudd_status fail(const struct sqlite *s, int code, struct rudd_error *err)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM: return rudd_fail(err, RUDD_NO_MEMORY, "the store: out of memory");
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE: return rudd_fail(err, RUDD_MISMATCH, "the store refuses this: %s", sqlite3_errmsg(s->db));
    default: return rudd_fail(err, RUDD_IO, "the store: %s", sqlite3_errmsg(s->db));
    }
}

/* The statement of this text, prepared at its first use. */
static enum rudd_status prepare(sqlite3_stmt **prepared, struct sqlite *s, const char *text, struct rudd_error *err)
{
    for (int i = 0; i < s->count; i++)
        if (s->statements[i].text == text) {
            *prepared = s->statements[i].prepared;
            return RUDD_OK;
        }
    if (s->count == STATEMENTS) { /* never with the store's own statements, whose number is fixed */
        for (int i = 0; i < s->count; i++) sqlite3_finalize(s->statements[i].prepared);
        s->count = 0;
    }
    int code = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, prepared, NULL);
    if (code) return fail(s, code, err);
    s->statements[s->count].text = text;
    s->statements[s->count++].prepared = *prepared;
    return RUDD_OK;
}

static int bind(sqlite3_stmt *statement, int at, const struct serve_sql_value *v)
{
    switch (v->type) {
    case SERVE_SQL_INTEGER: return sqlite3_bind_int64(statement, at, v->integer);
    case SERVE_SQL_REAL: return sqlite3_bind_double(statement, at, v->real);
    case SERVE_SQL_TEXT: return sqlite3_bind_text64(statement, at, v->bytes, v->length, SQLITE_STATIC, SQLITE_UTF8);
    case SERVE_SQL_BLOB: return sqlite3_bind_blob64(statement, at, v->bytes ? v->bytes : "", v->length, SQLITE_STATIC);
    default: return sqlite3_bind_null(statement, at);
    }
}

static void read_column(struct serve_sql_value *v, sqlite3_stmt *statement, int i)
{
    *v = (struct serve_sql_value){.type = SERVE_SQL_NULL};
    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER: *v = serve_sql_integer(sqlite3_column_int64(statement, i)); break;
    case SQLITE_FLOAT: *v = serve_sql_real(sqlite3_column_double(statement, i)); break;
    case SQLITE_TEXT:
        v->type = SERVE_SQL_TEXT;
        v->bytes = sqlite3_column_text(statement, i);
        v->length = (size_t)sqlite3_column_bytes(statement, i);
        break;
    case SQLITE_BLOB:
        v->type = SERVE_SQL_BLOB;
        v->bytes = sqlite3_column_blob(statement, i);
        v->length = (size_t)sqlite3_column_bytes(statement, i);
        break;
    default: break;
    }
}

static enum rudd_status run(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                            serve_sql_row *row, void *user, struct rudd_error *err)
{
    struct sqlite *s = (struct sqlite *)sql;
    struct serve_sql_value columns[COLUMNS];
    sqlite3_stmt *statement;
    enum rudd_status status = prepare(&statement, s, text, err);
    if (status) return status;
    int code = SQLITE_OK;
    for (int i = 0; i < count && code == SQLITE_OK; i++) code = bind(statement, i + 1, &values[i]);
    if (code == SQLITE_OK)
        while ((code = sqlite3_step(statement)) == SQLITE_ROW && !status) {
            int n = sqlite3_column_count(statement);
            for (int i = 0; i < n && i < COLUMNS; i++) read_column(&columns[i], statement, i);
            if (row) status = row(user, columns, err);
        }
    if (!status && code != SQLITE_DONE) status = fail(s, code, err);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

static enum rudd_status defer(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                              struct rudd_error *err)
{
    return run(sql, text, values, count, NULL, NULL, err);
}

static int64_t changes(const struct serve_sql *sql)
{
    return sqlite3_changes(((const struct sqlite *)sql)->db);
}

static void close_sqlite(struct serve_sql *sql)
{
    struct sqlite *s = (struct sqlite *)sql;
    for (int i = 0; i < s->count; i++) sqlite3_finalize(s->statements[i].prepared);
    sqlite3_close(s->db);
    rudd_free(s);
}

static const struct serve_sql_driver driver = {
    .name = "sqlite",
    .begin = "BEGIN IMMEDIATE",
    .run = run,
    .defer = defer,
    .changes = changes,
    .close = close_sqlite,
};

enum rudd_status serve_sqlite_open(struct serve_sql **sql, const char *where, int time_limit_ms, struct rudd_error *err)
{
    enum rudd_status status = nn_library_load(&data_libsqlite_library, err, "%.300s: this store is an SQLite file", where);
    if (status) return status;
    struct sqlite *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
    s->sql.driver = &driver;
    int code = sqlite3_open_v2(where, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!code) sqlite3_busy_timeout(s->db, time_limit_ms);
    if (!code) code = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (code) {
        struct rudd_error why;
        status = fail(s, code, &why);
        rudd_fail(err, status, "%.300s: %.600s", where, why.message);
        close_sqlite(&s->sql);
        return status;
    }
    *sql = &s->sql;
    return RUDD_OK;
}
