/* store_sql.h - one connection to a database, whichever it is: what the store needs of SQL and no more.
 *
 * Both back ends take the same text: parameters are $1, $2, ... (numbered in the order of their first appearance, which is how SQLite counts them),
 * conflicts are ON CONFLICT, and types are spelled TEXT, BIGINT, DOUBLE PRECISION and BYTEA, which SQLite takes as affinities.
 *
 *     store_sqlite.c     a file, WAL, synchronous=FULL: a commit survives a power cut
 *     store_postgres.c   libpq; no wait is longer than the time limit
 *
 * A connection belongs to one thread at a time. */
#ifndef SERVE_STORE_SQL_H
#define SERVE_STORE_SQL_H

#include <stdbool.h>
#include "nn/rudd.h"

struct serve_sql_value {
    enum serve_sql_type { SERVE_SQL_NULL, SERVE_SQL_INTEGER, SERVE_SQL_REAL, SERVE_SQL_TEXT, SERVE_SQL_BLOB } type;
    int64_t integer;
    double real;
    const void *bytes; /* TEXT (UTF-8, no terminator promised in parameters; one is there in results) or BLOB */
    size_t length;
};

/* Shorthands for parameters. NULL text is NULL. */
struct serve_sql_value serve_sql_integer(int64_t value);
struct serve_sql_value serve_sql_real(double value);
struct serve_sql_value serve_sql_text(const char *text);
struct serve_sql_value serve_sql_blob(const void *bytes, size_t length); /* NULL bytes is NULL */
/* A result's text; NULL when it is not text. */
const char *serve_sql_get_text(const struct serve_sql_value *value);

/* Called for each row of a result; columns live as long as the call. A failure ends the statement with it. */
typedef enum rudd_status serve_sql_row(void *user, const struct serve_sql_value *columns, struct rudd_error *err);

struct serve_sql {
    const struct serve_sql_driver *driver;
};

/* Failures: RUDD_IO, the database is away, busy beyond the time limit, or full: the same may succeed later, on a new connection;
 * RUDD_MISMATCH: it refuses this statement or value for good, the connection lives. Inside a transaction either means: roll back. */
struct serve_sql_driver {
    const char *name;
    const char *begin;       /* a transaction that will write */
    const char *schema_lock; /* inside one: keeps others from migrating at the same time; NULL: begin does so */
    bool locks_rows; /* a sub-select that claims a row needs FOR UPDATE ... SKIP LOCKED, or two servers wait for each other */
    enum rudd_status (*run)(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                            serve_sql_row *row, void *user, struct rudd_error *err);
    /* The same inside a transaction, for a statement whose result nobody needs: it may be sent later, and its failure be that of the next run. */
    enum rudd_status (*defer)(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                              struct rudd_error *err);
    int64_t (*changes)(const struct serve_sql *sql); /* rows that the last statement inserted, updated or deleted */
    void (*close)(struct serve_sql *sql);
};

/* One statement; text must be a literal or live as long as the connection (prepared forms are kept by its address). values may be
 * NULL when count is 0; row NULL: rows are not looked at. */
enum rudd_status serve_sql_run(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                               serve_sql_row *row, void *user, struct rudd_error *err);
void serve_sql_close(struct serve_sql *sql); /* NULL is fine */

/* where: the file. Made if absent. time_limit_ms: how long another process's lock is waited for. */
enum rudd_status serve_sqlite_open(struct serve_sql **sql, const char *where, int time_limit_ms, struct rudd_error *err);
/* where: a connection string, postgresql://user@host:5432/database?...; the password comes from it, from PGPASSWORD or PGPASSFILE. No
 * message holds it. */
enum rudd_status serve_postgres_open(struct serve_sql **sql, const char *where, int time_limit_ms, struct rudd_error *err);

/* Brings the schema to the newest version: the migrations that are missing, in one transaction (store_schema.c). RUDD_MISMATCH: it
 * is newer than this program. */
enum rudd_status serve_store_migrate(struct serve_sql *sql, struct rudd_error *err);

#endif
