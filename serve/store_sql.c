/* store_sql.c - what both back ends share: see store_sql.h. */
#include "serve/store_sql.h"
#include <string.h>

struct serve_sql_value serve_sql_integer(int64_t value)
{
    return (struct serve_sql_value){.type = SERVE_SQL_INTEGER, .integer = value};
}

struct serve_sql_value serve_sql_real(double value)
{
    return (struct serve_sql_value){.type = SERVE_SQL_REAL, .real = value};
}

struct serve_sql_value serve_sql_text(const char *text)
{
    if (!text) return (struct serve_sql_value){.type = SERVE_SQL_NULL};
    return (struct serve_sql_value){.type = SERVE_SQL_TEXT, .bytes = text, .length = strlen(text)};
}

struct serve_sql_value serve_sql_blob(const void *bytes, size_t length)
{
    if (!bytes) return (struct serve_sql_value){.type = SERVE_SQL_NULL};
    return (struct serve_sql_value){.type = SERVE_SQL_BLOB, .bytes = bytes, .length = length};
}

const char *serve_sql_get_text(const struct serve_sql_value *value)
{
    return value->type == SERVE_SQL_TEXT ? value->bytes : NULL;
}

enum rudd_status serve_sql_run(struct serve_sql *sql, const char *text, const struct serve_sql_value *values, int count,
                               serve_sql_row *row, void *user, struct rudd_error *err)
{
    return sql->driver->run(sql, text, values, count, row, user, err);
}

void serve_sql_close(struct serve_sql *sql)
{
    if (sql) sql->driver->close(sql);
}
