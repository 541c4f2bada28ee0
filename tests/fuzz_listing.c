/* fuzz_listing.c - lists of labels, of any bytes: CSV, or COCO where the first byte is odd. Rows that
 * are accepted have a file, are sorted by it and name it once. */
#include "data/sets/listing.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct data_rows_read read;
    struct rudd_error err;
    if (!size) return 0;
    const char *name = data[0] & 1 ? "list.json" : "list.csv";
    if (data_listing_read(&read, (const char *)data + 1, size - 1, name, &err)) return 0;
    for (int i = 0; i < read.count; i++) {
        if (!read.rows[i].file[0]) __builtin_trap();
        if (i && strcmp(read.rows[i - 1].file, read.rows[i].file) >= 0) __builtin_trap();
    }
    data_listing_free(&read);
    return 0;
}
