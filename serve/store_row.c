/* store_row.c - see store_row.h. */
#include "serve/store_row.h"
#include <string.h>

static const struct {
    int columns;
    const char *text;
} kinds[SERVE_ROW_KINDS] = {
    [SERVE_ROW_PREDICTION] =
        {13, "INSERT INTO predictions (id, time, image_hash, model, model_version, model_sha256, class, confidence,"
             " top, latency_ms, cached, request_id, client)"
             " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING"},
    [SERVE_ROW_FEEDBACK] = {8, "INSERT INTO feedback (id, time, prediction_id, image_hash, label, comment, request_id, client)"
                               " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET time = excluded.time"
                               " WHERE excluded.time > feedback.time"},
    /* An item that is finished already keeps its first outcome. */
    [SERVE_ROW_ITEM] =
        {6, "UPDATE job_items SET state = $1, result = $2, code = $3, detail = $4, image = NULL, claimed_until = NULL"
            " WHERE job_id = $5 AND item = $6 AND state IN ('queued', 'running')"},
};

static void put(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t take(const uint8_t *in, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)in[i] << 8 * i;
    return value;
}

enum rudd_status serve_row_print(struct serve_bytes *out, enum serve_row_kind kind, const struct serve_sql_value *columns,
                                 struct rudd_error *err)
{
    uint8_t head[9] = {(uint8_t)kind, (uint8_t)kinds[kind].columns};
    enum rudd_status status = serve_bytes_add(out, head, 2, SIZE_MAX);
    for (int i = 0; i < kinds[kind].columns && !status; i++) {
        const struct serve_sql_value *v = &columns[i];
        bool sized = v->type == SERVE_SQL_TEXT || v->type == SERVE_SQL_BLOB;
        uint64_t bits = (uint64_t)v->integer;
        if (v->type == SERVE_SQL_REAL) memcpy(&bits, &v->real, sizeof bits);
        if (sized) {
            if (v->length > UINT32_MAX)
                return rudd_fail(err, RUDD_LIMIT, "a value of %zu bytes is too long to be stored", v->length);
            bits = v->length;
        }
        head[0] = (uint8_t)v->type;
        put(head + 1, bits, 8);
        status = serve_bytes_add(out, head, v->type == SERVE_SQL_NULL ? 1 : sized ? 5 : 9, SIZE_MAX);
        if (!status && sized) status = serve_bytes_add(out, v->bytes, v->length, SIZE_MAX);
    }
    return status ? rudd_fail(err, status, "out of memory for a row of the store") : RUDD_OK;
}

/* RFC 3629, and no zero byte: PostgreSQL takes neither anything else. */
static bool is_text(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t c = s[i++];
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4) return false;
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        /* The second byte shuts out overlong forms, surrogates and what lies beyond U+10FFFF. */
        uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, low = 0x80, high = 0xbf)
            if (i == n || s[i] < low || s[i++] > high) return false;
    }
    return true;
}

static bool parse_column(struct serve_sql_value *v, const uint8_t *bytes, size_t length, size_t *at)
{
    static const int sizes[] = {
        [SERVE_SQL_NULL] = 0, [SERVE_SQL_INTEGER] = 8, [SERVE_SQL_REAL] = 8, [SERVE_SQL_TEXT] = 4, [SERVE_SQL_BLOB] = 4};
    *v = (struct serve_sql_value){.type = SERVE_SQL_NULL};
    if (*at == length || bytes[*at] > SERVE_SQL_BLOB) return false;
    v->type = (enum serve_sql_type)bytes[(*at)++];
    if (length - *at < (size_t)sizes[v->type]) return false;
    uint64_t bits = take(bytes + *at, sizes[v->type]);
    *at += (size_t)sizes[v->type];
    if (v->type == SERVE_SQL_INTEGER) v->integer = (int64_t)bits;
    if (v->type == SERVE_SQL_REAL) memcpy(&v->real, &bits, sizeof bits);
    if (v->type != SERVE_SQL_TEXT && v->type != SERVE_SQL_BLOB) return true;
    if (length - *at < bits) return false;
    v->bytes = bytes + *at;
    v->length = (size_t)bits;
    *at += v->length;
    return v->type == SERVE_SQL_BLOB || is_text(v->bytes, v->length);
}

enum rudd_status serve_row_parse(struct serve_row *row, const uint8_t *bytes, size_t length, struct rudd_error *err)
{
    size_t at = 2;
    if (length < at || bytes[0] < SERVE_ROW_PREDICTION || bytes[0] >= SERVE_ROW_KINDS || bytes[1] != kinds[bytes[0]].columns)
        return rudd_fail(err, RUDD_FORMAT, "a row of the store is of no known kind; a newer rudd-serve may have written it");
    row->kind = (enum serve_row_kind)bytes[0];
    row->count = bytes[1];
    for (int i = 0; i < row->count; i++)
        if (!parse_column(&row->columns[i], bytes, length, &at))
            return rudd_fail(err, RUDD_FORMAT, "a row of the store breaks off or is no text at its column %d", i + 1);
    return at == length ? RUDD_OK : rudd_fail(err, RUDD_FORMAT, "a row of the store has %zu bytes too many", length - at);
}

enum rudd_status serve_row_write(struct serve_sql *sql, const struct serve_row *row, struct rudd_error *err)
{
    return sql->driver->defer(sql, kinds[row->kind].text, row->columns, row->count, err);
}
