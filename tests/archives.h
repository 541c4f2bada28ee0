/* archives.h - zip archives made in memory, byte by byte, so that tests can say something false in any field. */
#ifndef TESTS_ARCHIVES_H
#define TESTS_ARCHIVES_H

#include <stdint.h>
#include <string.h>
#include <zlib.h>

/* What one entry is and says; zeros: a stored one that tells the truth. */
struct entry {
    const char *name;
    const void *bytes; /* as in the archive */
    size_t length;
    size_t unpacked; /* 0: length */
    uint32_t crc;    /* 0: of the bytes */
    int method;      /* 8: bytes are deflated */
    int flags;       /* bit 3: sizes and CRC follow the bytes, in a descriptor */
};

static inline size_t put(unsigned char *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) out[i] = (unsigned char)(value >> 8 * i);
    return (size_t)size;
}

/* What local header and directory have in common, from the version on: 26 bytes. */
static inline size_t put_common(unsigned char *out, const struct entry *e, int local)
{
    const int later = local && e->flags & 8;
    const uint32_t crc = e->crc ? e->crc : (uint32_t)crc32(0, e->bytes, (uInt)e->length);
    size_t n = put(out, 20, 2);
    n += put(out + n, (uint64_t)e->flags, 2);
    n += put(out + n, (uint64_t)e->method, 2);
    n += put(out + n, 0x00210000, 4);
    n += put(out + n, later ? 0 : crc, 4);
    n += put(out + n, later ? 0 : e->length, 4);
    n += put(out + n, later ? 0 : e->unpacked ? e->unpacked : e->length, 4);
    n += put(out + n, strlen(e->name), 2);
    return n + put(out + n, 0, 2);
}

/* An archive of the entries; zip64: with the larger end records too, as torch.save writes. Returns its length; out must hold
 * 150 bytes more for each entry than its name twice and its bytes, and 98. */
static inline size_t make_zip(unsigned char *out, const struct entry *entries, int count, int zip64)
{
    size_t n = 0, headers[64], directory;
    for (int i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        headers[i] = n;
        n += put(out + n, 0x04034b50, 4);
        n += put_common(out + n, e, 1);
        memcpy(out + n, e->name, strlen(e->name));
        n += strlen(e->name);
        if (e->length) memcpy(out + n, e->bytes, e->length);
        n += e->length;
        if (e->flags & 8) {
            n += put(out + n, 0x08074b50, 4);
            n += put(out + n, crc32(0, e->bytes, (uInt)e->length), 4);
            n += put(out + n, e->length, 4);
            n += put(out + n, e->length, 4);
        }
    }
    directory = n;
    for (int i = 0; i < count; i++) {
        n += put(out + n, 0x02014b50, 4);
        n += put(out + n, 20, 2);
        n += put_common(out + n, &entries[i], 0);
        n += put(out + n, 0, 8); /* no comment, first disk, no attributes */
        n += put(out + n, 0, 2);
        n += put(out + n, headers[i], 4);
        memcpy(out + n, entries[i].name, strlen(entries[i].name));
        n += strlen(entries[i].name);
    }
    const size_t end = n;
    if (zip64) {
        n += put(out + n, 0x06064b50, 4);
        n += put(out + n, 44, 8);
        n += put(out + n, 45 | 45 << 16, 4);
        n += put(out + n, 0, 8);
        n += put(out + n, (uint64_t)count, 8);
        n += put(out + n, (uint64_t)count, 8);
        n += put(out + n, end - directory, 8);
        n += put(out + n, directory, 8);
        n += put(out + n, 0x07064b50, 4);
        n += put(out + n, 0, 4);
        n += put(out + n, end, 8);
        n += put(out + n, 1, 4);
    }
    n += put(out + n, 0x06054b50, 4);
    n += put(out + n, 0, 4);
    n += put(out + n, (uint64_t)count, 2);
    n += put(out + n, (uint64_t)count, 2);
    n += put(out + n, end - directory, 4);
    n += put(out + n, directory, 4);
    return n + put(out + n, 0, 2);
}

/* Raw deflate of in; returns the length in out [room], 0 when it does not fit. */
static inline size_t deflated(unsigned char *out, size_t room, const void *in, size_t length)
{
    z_stream z = {.next_in = (Bytef *)in, .avail_in = (uInt)length, .next_out = out, .avail_out = (uInt)room};
    if (deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
    const int result = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return result == Z_STREAM_END ? room - z.avail_out : 0;
}

/* A .npy file of these header words and values; returns its length. */
static inline size_t make_npy(unsigned char *out, const char *descr, const char *order, const char *shape, const void *values,
                              size_t length)
{
    char header[256] = "";
    strcat(strcat(strcat(header, "{'descr': '"), descr), "', 'fortran_order': ");
    strcat(strcat(strcat(strcat(header, order), ", 'shape': "), shape), ", }\n");
    memcpy(out, "\x93NUMPY\1", 8);
    size_t n = 8 + put(out + 8, strlen(header), 2);
    memcpy(out + n, header, strlen(header));
    n += strlen(header);
    if (length) memcpy(out + n, values, length);
    return n + length;
}

#endif
