/* fuzz_spool.c - the reader of the spool's file, and of the rows in it. What parses as a row is written again and must be the same bytes; the
 * file read in two windows must give the records of the file read in one. */
#include "serve/spool.h"
#include "serve/store_row.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_row(const uint8_t *bytes, size_t length)
{
    struct serve_row row;
    struct serve_bytes out = {0};
    if (serve_row_parse(&row, bytes, length, NULL)) return;
    if (serve_row_print(&out, row.kind, row.columns, NULL) || out.length != length || memcmp(out.data, bytes, length)) abort();
    rudd_free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length, at = 0, records = 0, again = 0, cut = size / 2;
    uint64_t skipped = 0, other = 0;
    for (const uint8_t *payload; (payload = serve_spool_parse(&length, &at, &skipped, data, size, true)); records++)
        try_row(payload, length);
    if (at != size) abort();

    at = 0;
    while (serve_spool_parse(&length, &at, &other, data, cut, false)) again++;
    while (serve_spool_parse(&length, &at, &other, data, size, true)) again++;
    if (records != again || skipped != other) abort();
    if (size) try_row(data, size);
    return 0;
}
