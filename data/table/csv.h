/* csv.h - comma-separated values from bytes, a row at a time.
 *
 * RFC 4180: fields may stand in double quotes, "" inside them is one quote, and quoted fields may
 * hold separators and line ends. The separator is found in the first line: comma, semicolon or tab,
 * whichever is there most often outside quotes. A UTF-8 byte order mark is dropped; lines end in
 * LF or CR LF; blank lines are passed over; blanks around a field without quotes do not belong to
 * it. Text is bytes: its encoding is the reader's affair, but UTF-16 is refused by name.
 * Memory is bounded by the longest row. */
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include <stdbool.h>
#include "nn/rudd.h"

enum { DATA_CSV_FIELDS = 4096 }; /* at most in a row */

struct data_csv {
    const char *name; /* for messages */
    const char *at, *end;
    char separator;
    int line; /* of the row that was read last, from 1 */
    int next_line;
    char **fields; /* of that row, each ends with 0; valid until the next one is read */
    int count;
    size_t *starts; /* of the fields in text */
    char *text;
    size_t length, room;
};

/* bytes must outlive the reader. RUDD_FORMAT: UTF-16. data_csv_end in any case. */
enum rudd_status data_csv_begin(struct data_csv *csv, const char *bytes, size_t length,
                                const char *name, struct rudd_error *err);
/* The next row; *more is false behind the last. RUDD_FORMAT with the line: a quote that never ends,
 * text behind a closing quote, a 0 byte, too many fields. */
enum rudd_status data_csv_next(struct data_csv *csv, bool *more, struct rudd_error *err);
void data_csv_end(struct data_csv *csv);

#endif
