/* zip_write.c - an archive of stored entries: local header and bytes of each, then the directory. See zip.h. */
#include "weights/replace.h"
#include "weights/zip.h"
#include <string.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, UTF8 = 1 << 11, VERSION = 20, NEW_YEAR_1980 = 1 << 5 | 1 };

static void put16(unsigned char *p, size_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, size_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

/* The 26 bytes that a local header and the directory have in common: version to extra length. */
static void put_common(unsigned char *p, const struct weights_zip_member *m, uint32_t crc)
{
    const size_t length = m->lengths[0] + m->lengths[1];
    memset(p, 0, 26);
    put16(p, VERSION);
    put16(p + 2, UTF8);
    put16(p + 8, NEW_YEAR_1980); /* zip cannot say "no date"; the same model gives the same bytes */
    put32(p + 10, crc);
    put32(p + 14, length);
    put32(p + 18, length);
    put16(p + 22, strlen(m->name));
}

/* The local header with its name and bytes, at *offset, which moves on. */
static enum rudd_status write_entry(struct weights_replacement *r, const struct weights_zip_member *m, uint32_t *crc,
                                    size_t *offset, struct rudd_error *err)
{
    unsigned char local[LOCAL];
    const size_t name_length = strlen(m->name);
    *crc = 0;
    for (int k = 0; k < 2; k++)
        if (m->lengths[k]) *crc = (uint32_t)crc32_z(*crc, m->parts[k], m->lengths[k]);
    put32(local, 0x04034b50);
    put_common(local + 4, m, *crc);
    enum rudd_status status = weights_replace_write(r, local, sizeof local, err);
    if (!status) status = weights_replace_write(r, m->name, name_length, err);
    for (int k = 0; k < 2 && !status; k++) status = weights_replace_write(r, m->parts[k], m->lengths[k], err);
    *offset += LOCAL + name_length + m->lengths[0] + m->lengths[1];
    return status;
}

/* The directory's record of an entry whose local header is at offset. */
static enum rudd_status write_record(struct weights_replacement *r, const struct weights_zip_member *m, uint32_t crc,
                                     size_t offset, struct rudd_error *err)
{
    unsigned char central[CENTRAL] = {0};
    put32(central, 0x02014b50);
    put16(central + 4, VERSION);
    put_common(central + 6, m, crc);
    put32(central + 42, offset);
    enum rudd_status status = weights_replace_write(r, central, sizeof central, err);
    if (!status) status = weights_replace_write(r, m->name, strlen(m->name), err);
    return status;
}

enum rudd_status weights_zip_write(const char *path, const struct weights_zip_member *members, int count,
                                   struct rudd_error *err)
{
    size_t total = END, offset = 0, directory = 0;
    for (int i = 0; i < count; i++)
        total += LOCAL + CENTRAL + 2 * strlen(members[i].name) + members[i].lengths[0] + members[i].lengths[1];
    if (total > UINT32_MAX || count > UINT16_MAX)
        return rudd_fail(err, RUDD_LIMIT, "%s: %zu bytes in %d entries; an archive holds 4 GiB and 65535 here", path, total,
                         count);
    uint32_t *crcs = rudd_zalloc((size_t)count, sizeof *crcs);
    if (!crcs) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %d entries", path, count);

    struct weights_replacement r;
    enum rudd_status status = weights_replace_begin(&r, path, err);
    if (status) goto out;
    for (int i = 0; i < count && !status; i++) status = write_entry(&r, &members[i], &crcs[i], &directory, err);
    for (int i = 0; i < count && !status; i++) {
        status = write_record(&r, &members[i], crcs[i], offset, err);
        offset += LOCAL + strlen(members[i].name) + members[i].lengths[0] + members[i].lengths[1];
    }
    unsigned char end[END] = {0};
    put32(end, 0x06054b50);
    put16(end + 8, (size_t)count);
    put16(end + 10, (size_t)count);
    put32(end + 12, total - END - directory);
    put32(end + 16, directory);
    if (!status) status = weights_replace_write(&r, end, sizeof end, err);
    status = weights_replace_end(&r, status, err);
out:
    rudd_free(crcs);
    return status;
}
