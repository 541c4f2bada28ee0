/* unpack.c - see unpack.h.
 *
 *     packed    |......in......|......in......| ...                           64 KiB at a time, read from the file
 *     unpacked  |  passed over  |      out, in place      |  passed over  |   all of it is summed
 *                               first       first+count             size */
#include "weights/unpack.h"
#include "nn/zlib.h"

#include <inttypes.h>
#include <string.h>

enum { IN = 1 << 16, PASSED = 1 << 14 };

struct unpacking {
    const struct weights_packed *packed;
    const struct weights_file *file;
    unsigned char *out;
    size_t first, count;
    z_stream z;
    size_t taken, given; /* bytes of packed that zlib has been shown, of unpacked ones that it has made */
    uint32_t crc;
    unsigned char in[IN], passed[PASSED];
};

static enum rudd_status read_packed(unsigned char *out, const struct weights_packed *p, size_t offset, size_t length,
                                    const struct weights_file *file, struct rudd_error *err)
{
    if (weights_in_map(file, p->bytes))
        return weights_read_bytes(out, file, (size_t)(p->bytes - (const unsigned char *)file->map) + offset, length, err);
    memcpy(out, p->bytes + offset, length);
    return RUDD_OK;
}

/* Where the next unpacked bytes go, at most *room of them: into out, or where nobody looks. */
static unsigned char *place_next(size_t *room, struct unpacking *u)
{
    const size_t end = u->first + u->count, left = u->packed->size - u->given;
    if (u->given >= u->first && u->given < end) {
        *room = end - u->given < INT32_MAX ? end - u->given : INT32_MAX; /* zlib counts in 32 bits */
        return u->out + (u->given - u->first);
    }
    *room = u->given < u->first ? u->first - u->given : left;
    if (*room > PASSED) *room = PASSED;
    return u->passed;
}

/* Until the end of the stream or of packed, or more comes than was said. */
static enum rudd_status run(int *result, struct unpacking *u, struct rudd_error *err)
{
    do {
        if (!u->z.avail_in && u->taken < u->packed->length) {
            const size_t left = u->packed->length - u->taken, n = left < IN ? left : IN;
            enum rudd_status status = read_packed(u->in, u->packed, u->taken, n, u->file, err);
            if (status) return status;
            u->z.next_in = u->in;
            u->z.avail_in = (uInt)n;
            u->taken += n;
        }
        size_t room;
        unsigned char *to = u->z.next_out = place_next(&room, u);
        u->z.avail_out = (uInt)room;
        *result = inflate(&u->z, Z_NO_FLUSH);
        const size_t made = room - u->z.avail_out;
        u->crc = (uint32_t)crc32_z(u->crc, to, made);
        u->given += made;
    } while (*result == Z_OK);
    return RUDD_OK;
}

enum rudd_status weights_unpack(void *out, size_t first, size_t count, const struct weights_packed *packed,
                                const struct weights_file *file, const char *where, struct rudd_error *err)
{
    if (!packed->deflated) return read_packed(out, packed, first, count, file, err);
    struct unpacking *u = rudd_zalloc(1, sizeof *u);
    int result = Z_MEM_ERROR;
    enum rudd_status status = RUDD_OK;
    if (u) {
        u->packed = packed;
        u->file = file;
        u->out = out;
        u->first = first;
        u->count = count;
        u->z.zalloc = nn_zlib_alloc;
        u->z.zfree = nn_zlib_free;
        result = inflateInit2(&u->z, -MAX_WBITS);
    }
    if (result == Z_OK) {
        status = run(&result, u, err);
        inflateEnd(&u->z);
    }
    if (!status && result == Z_MEM_ERROR) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to unpack it", where);
    if (!status && (result != Z_STREAM_END || u->z.avail_in || u->taken != packed->length || u->given != packed->size))
        status = rudd_fail(err, RUDD_FORMAT, "%s: its %zu bytes do not unpack to the %zu that it claims", where, packed->length,
                           packed->size);
    if (!status && u->crc != packed->crc)
        status = rudd_fail(err, RUDD_FORMAT, "%s: its bytes do not have the CRC %08" PRIx32 "; the file is damaged", where,
                           packed->crc);
    rudd_free(u);
    return status;
}
