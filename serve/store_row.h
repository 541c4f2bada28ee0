/* store_row.h - one row on its way to the database, as bytes: in the queue and in the spool alike.
 *
 *     kind u8 | columns u8 | column ...        column: type u8 | 8 bytes little-endian (INTEGER, REAL as its bits)
 *                                                             | length u32, bytes (TEXT, BLOB)   | nothing (NULL)
 *
 * The kind names the statement that writes it. Each can be run twice with the same end. */
#ifndef SERVE_STORE_ROW_H
#define SERVE_STORE_ROW_H

#include "serve/bytes.h"
#include "serve/store.h"

enum serve_row_kind { SERVE_ROW_PREDICTION = 1, SERVE_ROW_FEEDBACK, SERVE_ROW_ITEM, SERVE_ROW_KINDS };
enum { SERVE_ROW_COLUMNS = 16 };

struct serve_row {
    enum serve_row_kind kind;
    int count;
    struct serve_sql_value columns[SERVE_ROW_COLUMNS]; /* texts and blobs point into the bytes it was parsed from */
};

enum rudd_status serve_row_print(struct serve_bytes *out, enum serve_row_kind kind, const struct serve_sql_value *columns,
                                 struct rudd_error *err);
/* Pure. RUDD_FORMAT unless the bytes are exactly one row of a known kind with that kind's columns and valid UTF-8 in its texts. */
enum rudd_status serve_row_parse(struct serve_row *row, const uint8_t *bytes, size_t length, struct rudd_error *err);
/* The row of a prediction, with the present time. */
enum rudd_status serve_store_log_row(struct serve_bytes *row, const struct serve_store_prediction *prediction);
enum rudd_status serve_row_write(struct serve_sql *sql, const struct serve_row *row, struct rudd_error *err);

#endif
