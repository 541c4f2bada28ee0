/* fuzz_zip.c - any bytes as a zip archive with weights (.npz, .pth): what is accepted can be read to the last element. A mutation's sums are put
 * right most of the time, since one that only breaks them shows nothing new. */
#include "weights/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t length, size_t room); /* libFuzzer's */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct weights_file f;
    struct rudd_error err;
    if (length < 4 || memcmp(bytes, "PK\3\4", 4) || weights_parse(&f, bytes, length, "fuzz", &err)) return 0;
    for (int i = 0; i < f.tensor_count; i++) {
        const struct weights_tensor *t = &f.tensors[i];
        float *values = malloc(t->count * sizeof *values + 1);
        if (!values || weights_find(&f, t->name) != t) abort();
        if (weights_read_f32(values, &f, t, NULL)) abort(); /* it was checked when it was opened */
        free(values);
    }
    weights_close(&f);
    return 0;
}

/* The CRC of an entry's contents, as far as they can be had. */
static uint32_t sum(const struct weights_zip_entry *e)
{
    static unsigned char out[1 << 16];
    if (!e->packed.deflated) return (uint32_t)crc32_z(0, e->packed.bytes, e->packed.length);
    z_stream z = {
        .next_in = (Bytef *)e->packed.bytes, .avail_in = (uInt)e->packed.length, .next_out = out, .avail_out = sizeof out};
    if (inflateInit2(&z, -MAX_WBITS)) return 0;
    inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return (uint32_t)crc32_z(0, out, sizeof out - z.avail_out);
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t room, unsigned seed)
{
    struct weights_zip zip;
    length = LLVMFuzzerMutate(bytes, length, room);
    if (seed % 8 == 0 || weights_zip_open(&zip, bytes, length, "mutation", NULL)) return length;
    for (int i = 0; i < zip.entry_count; i++) {
        const struct weights_zip_entry *e = &zip.entries[i];
        const size_t name_length = strlen(e->name);
        const uint32_t crc = sum(e);
        if (!(e->flags & 8)) put32(bytes + e->header + 14, crc);
        /* Its record in the directory: the one with this name. */
        for (size_t at = length; at-- > e->header + 30 + name_length;)
            if (length - at > 46 + name_length && !memcmp(bytes + at, "PK\1\2", 4) &&
                !memcmp(bytes + at + 46, e->name, name_length)) {
                put32(bytes + at + 16, crc);
                break;
            }
    }
    weights_zip_close(&zip);
    return length;
}
