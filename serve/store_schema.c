/* store_schema.c - the tables of the store, and how an older store becomes one of today.
 *
 * One table of migrations in one spelling of SQL that both back ends read (store_sql.h). A migration that was ever released is never edited: what
 * changes is a new row at the end. rudd_migrations says which have run. Times are seconds since 1970 (to_timestamp(time) in PostgreSQL,
 * datetime(time,'unixepoch') in SQLite); hashes are SHA-256 in hexadecimal. */
#include "serve/store_sql.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const struct {
    int version;
    const char *text;
} migrations[] = {
    {1, "CREATE TABLE predictions (id TEXT PRIMARY KEY, time DOUBLE PRECISION NOT NULL, image_hash TEXT NOT NULL,"
        " model TEXT NOT NULL, model_version TEXT NOT NULL, model_sha256 TEXT NOT NULL, class TEXT NOT NULL,"
        " confidence DOUBLE PRECISION NOT NULL, top TEXT NOT NULL, latency_ms DOUBLE PRECISION NOT NULL,"
        " cached BIGINT NOT NULL, request_id TEXT, client TEXT)"},
    {2, "CREATE INDEX predictions_by_time ON predictions (time)"},
    {3, "CREATE INDEX predictions_by_image ON predictions (image_hash)"},
    /* No reference to predictions: feedback outlives the log's retention, and may come before what it speaks of is replayed. */
    {4, "CREATE TABLE feedback (id TEXT PRIMARY KEY, time DOUBLE PRECISION NOT NULL, prediction_id TEXT, image_hash TEXT,"
        " label TEXT NOT NULL, comment TEXT, request_id TEXT, client TEXT)"},
    {5, "CREATE INDEX feedback_by_time ON feedback (time)"},
    {6, "CREATE TABLE jobs (id TEXT PRIMARY KEY, time DOUBLE PRECISION NOT NULL, items BIGINT NOT NULL, options TEXT,"
        " request_id TEXT, client TEXT)"},
    {7, "CREATE TABLE job_items (job_id TEXT NOT NULL, item BIGINT NOT NULL, name TEXT, url TEXT, image BYTEA,"
        " state TEXT NOT NULL, result TEXT, code TEXT, detail TEXT, owner TEXT, claimed_until DOUBLE PRECISION,"
        " PRIMARY KEY (job_id, item))"},
    {8, "CREATE INDEX job_items_by_state ON job_items (state)"},
    {9, "CREATE INDEX jobs_by_time ON jobs (time)"},
};
enum { MIGRATIONS = sizeof migrations / sizeof *migrations };

static enum rudd_status read_version(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    *(int64_t *)user = columns[0].integer;
    return RUDD_OK;
}

/* Inside a transaction that keeps others out. */
static enum rudd_status migrate(struct serve_sql *sql, struct rudd_error *err)
{
    int64_t version = 0;
    enum rudd_status status = RUDD_OK;
    if (sql->driver->schema_lock) status = serve_sql_run(sql, sql->driver->schema_lock, NULL, 0, NULL, NULL, err);
    if (!status)
        status = serve_sql_run(sql,
                               "CREATE TABLE IF NOT EXISTS rudd_migrations"
                               " (version BIGINT PRIMARY KEY, time DOUBLE PRECISION NOT NULL)",
                               NULL, 0, NULL, NULL, err);
    if (!status)
        status =
            serve_sql_run(sql, "SELECT COALESCE(MAX(version), 0) FROM rudd_migrations", NULL, 0, read_version, &version, err);
    if (!status && version > migrations[MIGRATIONS - 1].version)
        return rudd_fail(err, RUDD_MISMATCH, "the store has schema %" PRId64 ", this program knows %d; use a newer rudd-serve",
                         version, migrations[MIGRATIONS - 1].version);
    for (int i = 0; i < MIGRATIONS && !status; i++) {
        if (migrations[i].version <= version) continue;
        const struct serve_sql_value row[] = {serve_sql_integer(migrations[i].version), serve_sql_real((double)time(NULL))};
        status = serve_sql_run(sql, migrations[i].text, NULL, 0, NULL, NULL, err);
        if (!status) status = serve_sql_run(sql, "INSERT INTO rudd_migrations VALUES ($1, $2)", row, 2, NULL, NULL, err);
    }
    return status;
}

enum rudd_status serve_store_migrate(struct serve_sql *sql, struct rudd_error *err)
{
    enum rudd_status status = serve_sql_run(sql, sql->driver->begin, NULL, 0, NULL, NULL, err);
    if (status) return status;
    status = migrate(sql, err);
    if (!status) return serve_sql_run(sql, "COMMIT", NULL, 0, NULL, NULL, err);
    serve_sql_run(sql, "ROLLBACK", NULL, 0, NULL, NULL, NULL);
    return status;
}
