/* zip_write.c - an archive of stored entries: local header and bytes of each, then the directory. See zip.h. */
#include "weights/zip.h"
#include <string.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, UTF8 = 1 << 11, VERSION = 20, NEW_YEAR_1980 = 1 << 5 | 1 };

/* What the directory will say of an entry. */
struct weights_zip_written {
    const char *name;
    size_t length, offset; /* of its bytes; of its local header */
    uint32_t crc;
};

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
static void put_common(unsigned char *p, const struct weights_zip_written *e)
{
    memset(p, 0, 26);
    put16(p, VERSION);
    put16(p + 2, UTF8);
    put16(p + 8, NEW_YEAR_1980); /* zip cannot say "no date", and the same model is to give the same bytes */
    put32(p + 10, e->crc);
    put32(p + 14, e->length);
    put32(p + 18, e->length);
    put16(p + 22, strlen(e->name));
}

enum rudd_status weights_zip_begin(struct weights_zip_writer *w, const char *path, int entries, struct rudd_error *err)
{
    struct weights_zip_writer begun = {.room = entries};
    if (entries > UINT16_MAX)
        return rudd_fail(err, RUDD_LIMIT, "%s: %d entries; an archive holds %d here", path, entries, UINT16_MAX);
    begun.entries = rudd_zalloc((size_t)entries, sizeof *begun.entries);
    if (!begun.entries) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %d entries", path, entries);
    enum rudd_status status = weights_replace_begin(&begun.file, path, err);
    if (status)
        rudd_free(begun.entries);
    else
        *w = begun;
    return status;
}

enum rudd_status weights_zip_add(struct weights_zip_writer *w, const char *name, const void *const parts[2],
                                 const size_t lengths[2], struct rudd_error *err)
{
    struct weights_zip_written *e = &w->entries[w->count];
    const size_t name_length = strlen(name), length = lengths[0] + lengths[1], whole = LOCAL + name_length + length;
    if (name_length > UINT16_MAX || w->count == w->room)
        return rudd_fail(err, RUDD_ARGUMENT, "%s: entry %.80s: its name is too long, or it is one more than %d", w->file.path,
                         name, w->room);
    w->directory += CENTRAL + name_length;
    if (length > UINT32_MAX || w->offset + whole + w->directory > UINT32_MAX)
        return rudd_fail(err, RUDD_LIMIT, "%s: entry %s: an archive holds less than 4 GiB here", w->file.path, name);
    *e = (struct weights_zip_written){.name = name, .length = length, .offset = w->offset};
    for (int k = 0; k < 2; k++)
        if (lengths[k]) e->crc = (uint32_t)crc32_z(e->crc, parts[k], lengths[k]);
    unsigned char local[LOCAL];
    put32(local, 0x04034b50);
    put_common(local + 4, e);
    enum rudd_status status = weights_replace_write(&w->file, local, sizeof local, err);
    if (!status) status = weights_replace_write(&w->file, name, name_length, err);
    for (int k = 0; k < 2 && !status; k++) status = weights_replace_write(&w->file, parts[k], lengths[k], err);
    w->count++;
    w->offset += whole;
    return status;
}

enum rudd_status weights_zip_end(struct weights_zip_writer *w, enum rudd_status status, struct rudd_error *err)
{
    for (int i = 0; i < w->count && !status; i++) {
        const struct weights_zip_written *e = &w->entries[i];
        unsigned char central[CENTRAL] = {0};
        put32(central, 0x02014b50);
        put16(central + 4, VERSION);
        put_common(central + 6, e);
        put32(central + 42, e->offset);
        status = weights_replace_write(&w->file, central, sizeof central, err);
        if (!status) status = weights_replace_write(&w->file, e->name, strlen(e->name), err);
    }
    unsigned char end[END] = {0};
    put32(end, 0x06054b50);
    put16(end + 8, (size_t)w->count);
    put16(end + 10, (size_t)w->count);
    put32(end + 12, w->directory);
    put32(end + 16, w->offset);
    if (!status) status = weights_replace_write(&w->file, end, sizeof end, err);
    rudd_free(w->entries);
    return weights_replace_end(&w->file, status, err);
}
