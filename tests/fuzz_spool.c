/* fuzz_spool.c - the reader of the spool's file, and of the rows in it. What parses as a row is written again and must be the same bytes; the
 * file read in two windows must give the records of the file read in one. */
#include "serve/spool.h"
#include "serve/store_row.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_row(const uint8_t *bytes, size_t length)
{
    struct serve_row row;
    struct serve_bytes out = {0};
    if (serve_row_parse(&row, bytes, length, NULL)) return;
    if (serve_row_print(&out, row.kind, row.columns, NULL) || out.length != length || memcmp(out.data, bytes, length)) abort();
    rudd_free(out.data);
}

static void put32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(v >> 8 * i);
}

/* No fuzzer guesses checksums: whatever begins like a record becomes one, of at most 255 bytes. */
static void make_records(uint8_t *bytes, size_t n)
{
    enum { HEAD = 16 };
    for (size_t i = 0; i + HEAD <= n; i++) {
        size_t length = bytes[i + 4];
        if (memcmp(bytes + i, "RSPL", 4) || n - i - HEAD < length) continue;
        put32(bytes + i + 4, (uint32_t)length);
        put32(bytes + i + 8, (uint32_t)crc32(0, bytes + i + HEAD, (uInt)length));
        put32(bytes + i + 12, (uint32_t)crc32(0, bytes + i, 12));
        i += HEAD + length - 1;
    }
}

static void read_twice(const uint8_t *data, size_t size)
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = rudd_alloc(size + 1);
    memcpy(copy, data, size);
    make_records(copy, size);
    read_twice(data, size);
    read_twice(copy, size);
    try_row(data, size);
    rudd_free(copy);
    return 0;
}
