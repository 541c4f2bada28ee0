/* store_postgres.c - the store in PostgreSQL: see store_sql.h.
 *
 * libpq is used without blocking: every wait for the server is a poll with a deadline, after which the connection is given up. Statements are
 * prepared once per connection, named by their place in a table that is searched by the address of their text. Parameters are sent as text
 * (BYTEA in binary), results come as text.
 * Rows are deferred: a commit's statements go out together in pipeline mode, and one wait is for all of them, not one for each.
 *
 * Sources: postgresql.org/docs/15/libpq-async.html, libpq-pipeline-mode.html. */
#include "serve/store_sql.h"

#include "data/store/where.h"
#include <string.h>

#ifndef HAVE_LIBPQ

enum rudd_status serve_postgres_open(struct serve_sql **sql, const char *where, int time_limit_ms, struct rudd_error *err)
{
    (void)sql, (void)where, (void)time_limit_ms;
    return rudd_fail(err, RUDD_ARGUMENT, "this rudd-serve was built without PostgreSQL; install libpq-dev and build it again");
}

#else

#include "data/libpq.h"
#include "nn/library.h"
#include "serve/clock.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* Types of pg_type.dat, which never change. */
enum { STATEMENTS = 64, COLUMNS = 24, OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_FLOAT8 = 701 };

struct postgres {
    struct serve_sql sql;
    PGconn *connection;
    int time_limit_ms, count;
    int64_t changes;
    int pending;                   /* deferred statements whose results were not taken: the connection is in pipeline mode */
    const char *texts[STATEMENTS]; /* prepared, as "s<index>" */
};

/* libpq's messages have several lines; ours have one. */
static enum rudd_status fail(enum rudd_status status, const char *message, struct rudd_error *err)
{
    char line[600];
    size_t n = 0;
    for (; *message && n + 1 < sizeof line; message++) line[n++] = *message == '\n' || *message == '\t' ? ' ' : *message;
    while (n && line[n - 1] == ' ') n--;
    line[n] = 0;
    return rudd_fail(err, status, "the store: %s", *line ? line : "no answer from PostgreSQL");
}

/* Waits for the socket; false: the deadline has passed. */
static bool wait_for(PGconn *connection, short events, double deadline)
{
    struct pollfd p = {.fd = PQsocket(connection), .events = events};
    double rest = deadline - serve_now_ms();
    return p.fd >= 0 && rest > 0 && poll(&p, 1, (int)rest + 1) > 0;
}

/* Sends what is buffered and takes one result; NULL: there is none left, or *status is set. */
static PGresult *next_result(struct postgres *s, double deadline, enum rudd_status *status, struct rudd_error *err)
{
    for (int more; (more = PQflush(s->connection));) {
        if (more < 0 || !wait_for(s->connection, POLLIN | POLLOUT, deadline) || !PQconsumeInput(s->connection)) {
            *status = fail(RUDD_IO, more < 0 ? PQerrorMessage(s->connection) : "PostgreSQL takes too long", err);
            return NULL;
        }
    }
    while (PQisBusy(s->connection)) {
        bool ready = wait_for(s->connection, POLLIN, deadline);
        if (!ready || !PQconsumeInput(s->connection)) {
            *status = fail(RUDD_IO, ready ? PQerrorMessage(s->connection) : "PostgreSQL takes too long", err);
            return NULL;
        }
    }
    return PQgetResult(s->connection);
}

/* What a failed result means: SQLSTATE classes 22 (data), 23 (constraint), 42 (syntax, access) will not get better by trying again. */
static enum rudd_status judge(const struct postgres *s, const PGresult *result, struct rudd_error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool lasting = state && PQstatus(s->connection) == CONNECTION_OK &&
                   (!strncmp(state, "22", 2) || !strncmp(state, "23", 2) || !strncmp(state, "42", 2));
    return fail(lasting ? RUDD_MISMATCH : RUDD_IO, PQresultErrorMessage(result), err);
}

static enum rudd_status read_row(const PGresult *result, int row, serve_sql_row *fn, void *user, struct rudd_error *err)
{
    struct serve_sql_value columns[COLUMNS];
    unsigned char *blobs[COLUMNS] = {NULL};
    enum rudd_status status = RUDD_OK;
    int n = PQnfields(result) < COLUMNS ? PQnfields(result) : COLUMNS;
    for (int i = 0; i < n; i++) {
        const char *text = PQgetvalue(result, row, i);
        columns[i] = (struct serve_sql_value){.type = SERVE_SQL_NULL};
        if (PQgetisnull(result, row, i)) continue;
        switch (PQftype(result, i)) {
        case OID_INT8:
        case OID_INT4: columns[i] = serve_sql_integer(strtoll(text, NULL, 10)); break;
        case OID_FLOAT8: columns[i] = serve_sql_real(strtod(text, NULL)); break;
        case OID_BYTEA:
            blobs[i] = PQunescapeBytea((const unsigned char *)text, &columns[i].length);
            if (!blobs[i]) status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a row of the store");
            columns[i].type = SERVE_SQL_BLOB;
            columns[i].bytes = blobs[i];
            break;
        default: columns[i] = serve_sql_text(text); columns[i].length = (size_t)PQgetlength(result, row, i);
        }
    }
    if (!status) status = fn(user, columns, err);
    for (int i = 0; i < n; i++) PQfreemem(blobs[i]);
    return status;
}

/* Takes all results of what was sent. */
static enum rudd_status take_results(struct postgres *s, double deadline, serve_sql_row *row, void *user,
                                     struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (PGresult *result; (result = next_result(s, deadline, &status, err)); PQclear(result)) {
        ExecStatusType kind = PQresultStatus(result);
        if (status) continue;
        if (kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK) status = judge(s, result, err);
        s->changes = strtoll(PQcmdTuples(result), NULL, 10);
        for (int i = 0; row && !status && kind == PGRES_TUPLES_OK && i < PQntuples(result); i++)
            status = read_row(result, i, row, user, err);
    }
    return status;
}

/* Sends what was deferred and takes its results. The first failure is everybody's: the server skips what comes behind it. */
static enum rudd_status settle(struct postgres *s, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK, lost = RUDD_OK;
    double deadline = serve_now_ms() + s->time_limit_ms;
    bool synced = !s->pending;
    if (synced) return RUDD_OK;
    s->pending = 0;
    if (!PQpipelineSync(s->connection)) lost = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    while (!synced && !lost) {
        PGresult *result = next_result(s, deadline, &lost, err); /* NULL between two statements, too */
        ExecStatusType kind = result ? PQresultStatus(result) : PGRES_COMMAND_OK;
        if (!lost && PQstatus(s->connection) != CONNECTION_OK) lost = fail(RUDD_IO, PQerrorMessage(s->connection), err);
        synced = kind == PGRES_PIPELINE_SYNC;
        if (!synced && !lost && !status && kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK &&
            kind != PGRES_PIPELINE_ABORTED)
            status = judge(s, result, err);
        PQclear(result);
    }
    if (!lost && !PQexitPipelineMode(s->connection)) lost = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    return lost ? lost : status;
}

/* The name of the statement of this text, prepared at its first use. */
static enum rudd_status prepare(char name[16], struct postgres *s, const char *text, double deadline, struct rudd_error *err)
{
    int at = 0;
    while (at < s->count && s->texts[at] != text) at++;
    snprintf(name, 16, "s%d", at);
    if (at < s->count) return RUDD_OK;
    if (at == STATEMENTS) return rudd_fail(err, RUDD_LIMIT, "the store has more than %d statements", STATEMENTS);
    enum rudd_status settled = settle(s, err);
    if (settled) return settled;
    if (!PQsendPrepare(s->connection, name, text, 0, NULL)) return fail(RUDD_IO, PQerrorMessage(s->connection), err);
    enum rudd_status status = take_results(s, deadline, NULL, NULL, err);
    if (!status) s->texts[s->count++] = text;
    return status;
}

/* libpq wants texts with terminators, which parameters may lack: they are copied into one block. */
static char *parameter_block(const char *pointers[COLUMNS], int lengths[COLUMNS], int formats[COLUMNS],
                             const struct serve_sql_value *values, int count)
{
    size_t size = 1;
    for (int i = 0; i < count; i++) size += 32 + values[i].length;
    char *block = rudd_alloc(size), *at = block;
    for (int i = 0; block && i < count; i++) {
        const struct serve_sql_value *v = &values[i];
        size_t n = 0;
        pointers[i] = v->type == SERVE_SQL_NULL ? NULL : at;
        formats[i] = v->type == SERVE_SQL_BLOB;
        if (v->type == SERVE_SQL_INTEGER) n = (size_t)snprintf(at, 32, "%" PRId64, v->integer);
        if (v->type == SERVE_SQL_REAL) n = (size_t)snprintf(at, 32, "%.17g", v->real);
        if (v->type == SERVE_SQL_TEXT || v->type == SERVE_SQL_BLOB) {
            n = v->length;
            if (n) memcpy(at, v->bytes, n);
        }
        lengths[i] = (int)n;
        at[n] = 0;
        at += n + 1;
    }
    return block;
}

static enum rudd_status send_prepared(struct postgres *s, const char *text, const struct serve_sql_value *values, int count,
                                      bool later, struct rudd_error *err)
{
    const char *pointers[COLUMNS];
    int lengths[COLUMNS], formats[COLUMNS];
    char name[16];
    enum rudd_status status = prepare(name, s, text, serve_now_ms() + s->time_limit_ms, err);
    if (status) return status;
    char *block = parameter_block(pointers, lengths, formats, values, count);
    if (!block) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a row of the store");
    if ((later && !s->pending && !PQenterPipelineMode(s->connection)) ||
        !PQsendQueryPrepared(s->connection, name, count, pointers, lengths, formats, 0))
        status = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    else
        s->pending += later;
    rudd_free(block);
    return status;
}

static enum rudd_status defer(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                              struct rudd_error *err)
{
    return send_prepared((struct postgres *)sql, text, values, count, true, err);
}

static enum rudd_status run(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                            serve_sql_row *row, void *user, struct rudd_error *err)
{
    struct postgres *s = (struct postgres *)sql;
    enum rudd_status status = settle(s, err);
    if (status) return status;
    if (count) /* what has no parameters runs seldom, or is BEGIN and COMMIT: nothing to prepare */
        status = send_prepared(s, text, values, count, false, err);
    else if (!PQsendQuery(s->connection, text))
        status = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    return status ? status : take_results(s, serve_now_ms() + s->time_limit_ms, row, user, err);
}

static int64_t changes(const struct serve_sql *sql)
{
    return ((const struct postgres *)sql)->changes;
}

static void close_postgres(struct serve_sql *sql)
{
    struct postgres *s = (struct postgres *)sql;
    PQfinish(s->connection);
    rudd_free(s);
}

/* The key of the advisory lock is "rudd" in ASCII. */
static const struct serve_sql_driver driver = {
    .name = "postgresql",
    .begin = "BEGIN",
    .schema_lock = "SELECT pg_advisory_xact_lock(1920296036)",
    .locks_rows = true,
    .run = run,
    .defer = defer,
    .changes = changes,
    .close = close_postgres,
};

/* libpq prints notices ("relation exists already") to stderr unless told otherwise. */
static void ignore_notice(void *user, const PGresult *result)
{
    (void)user, (void)result;
}

static enum rudd_status connect_within(struct postgres *s, double deadline, struct rudd_error *err)
{
    for (PostgresPollingStatusType want = PGRES_POLLING_WRITING; want != PGRES_POLLING_OK;) {
        if (want == PGRES_POLLING_FAILED) return fail(RUDD_IO, PQerrorMessage(s->connection), err);
        if (!wait_for(s->connection, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
            return fail(RUDD_IO, "PostgreSQL takes too long to connect", err);
        want = PQconnectPoll(s->connection);
    }
    return RUDD_OK;
}

enum rudd_status serve_postgres_open(struct serve_sql **sql, const char *where, int time_limit_ms, struct rudd_error *err)
{
    static const char *const keys[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *const values[] = {where, "rudd-serve", "UTF8", NULL};
    enum rudd_status status = nn_library_load(&data_libpq_library, err, "the store is in PostgreSQL");
    if (!status) status = data_store_check_url(where, err);
    if (status) return status;
    struct postgres *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
    s->sql.driver = &driver;
    s->time_limit_ms = time_limit_ms;
    s->connection = PQconnectStartParams(keys, values, 1);
    if (!s->connection)
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the store");
    else if (PQstatus(s->connection) == CONNECTION_BAD)
        status = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    if (!status) {
        PQsetNoticeReceiver(s->connection, ignore_notice, NULL);
        status = connect_within(s, serve_now_ms() + time_limit_ms, err);
    }
    if (!status && PQsetnonblocking(s->connection, 1)) status = fail(RUDD_IO, PQerrorMessage(s->connection), err);
    if (status) {
        close_postgres(&s->sql);
        return status;
    }
    *sql = &s->sql;
    return RUDD_OK;
}

#endif
