/* zip.c - see zip.h. Fields are little-endian; offsets in comments are those of APPNOTE.TXT's tables. */
#include "weights/zip.h"
#include "weights/unpack.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, END64 = 56, LOCATOR64 = 20, MAX_ENTRIES = 1 << 20 };
/* Bits of the flags that change nothing for a reader: deflate's effort (1, 2), sizes behind the bytes (3), UTF-8 (11). */
enum { FLAG_DESCRIPTOR = 1 << 3, FLAGS_KNOWN = 1 << 1 | 1 << 2 | FLAG_DESCRIPTOR | 1 << 11 };

static uint16_t u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

static uint64_t u64(const unsigned char *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

/* Where the directory is and what it holds. */
struct directory {
    uint64_t begin, size, count;
};

/* ---- the end of the archive -------------------------------------------------------------------------------------- */

/* A field of the old end record must be the new one's or say "see there" with all ones. */
static bool agrees(uint64_t old, uint64_t all_ones, uint64_t now)
{
    return old == now || old == all_ones;
}

static enum rudd_status find_directory(struct directory *d, const unsigned char *p, size_t length, const char *path,
                                       struct rudd_error *err)
{
    if (length < END || u32(p + length - END) != 0x06054b50 || u16(p + length - END + 20))
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: the file is not complete: it begins as a zip archive and does not end as one; download it again",
                         path);
    const unsigned char *end = p + length - END;
    size_t limit = length - END; /* the directory ends here */
    *d = (struct directory){u32(end + 16), u32(end + 12), u16(end + 10)};
    bool one_disk = !u16(end + 4) && !u16(end + 6) && u16(end + 8) == u16(end + 10);
    if (limit >= LOCATOR64 && u32(end - LOCATOR64) == 0x07064b50) {
        const unsigned char *locator = end - LOCATOR64, *end64;
        limit -= LOCATOR64;
        if (limit < END64 || u64(locator + 8) != limit - END64)
            return rudd_fail(err, RUDD_FORMAT, "%s: its zip64 locator does not point to the record before it", path);
        limit -= END64;
        end64 = p + limit;
        if (u32(end64) != 0x06064b50 || u64(end64 + 4) != END64 - 12)
            return rudd_fail(err, RUDD_FORMAT, "%s: no zip64 end record of %d bytes where its locator points", path, END64);
        struct directory now = {u64(end64 + 48), u64(end64 + 40), u64(end64 + 32)};
        one_disk = one_disk && !u32(locator + 4) && u32(locator + 16) == 1 && !u32(end64 + 16) && !u32(end64 + 20) &&
                   u64(end64 + 24) == now.count;
        if (!agrees(d->begin, UINT32_MAX, now.begin) || !agrees(d->size, UINT32_MAX, now.size) ||
            !agrees(d->count, UINT16_MAX, now.count))
            return rudd_fail(err, RUDD_FORMAT, "%s: its zip64 end record and its end record contradict each other", path);
        *d = now;
    }
    if (!one_disk)
        return rudd_fail(err, RUDD_FORMAT, "%s: a part of an archive of several disks, or its entry counts differ", path);
    if (d->begin > limit || d->size != limit - d->begin)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: its directory of %" PRIu64 " bytes at byte %" PRIu64
                         " does not end where the end record begins (%zu)",
                         path, d->size, d->begin, limit);
    if (d->count > d->size / CENTRAL)
        return rudd_fail(err, RUDD_FORMAT, "%s: its directory has no room for the %" PRIu64 " entries that it claims", path,
                         d->count);
    if (d->count > MAX_ENTRIES)
        return rudd_fail(err, RUDD_LIMIT, "%s: %" PRIu64 " entries, at most %d are read", path, d->count, MAX_ENTRIES);
    return RUDD_OK;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* Replaces those of the values that are all ones by the 8-byte ones of the zip64 extra field, which has just these, in this order. False:
 * it is missing, or the extra fields do not tile their room. */
static bool resolve_zip64(uint64_t *const values[], int count, const unsigned char *extra, size_t length)
{
    const unsigned char *field = NULL;
    size_t room = 0;
    while (length >= 4) { /* up to three bytes of padding are common */
        size_t size = u16(extra + 2);
        if (size > length - 4) return false;
        if (u16(extra) == 1) {
            field = extra + 4;
            room = size;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    for (int i = 0; i < count; i++) {
        if (*values[i] != UINT32_MAX) continue;
        if (room < 8) return false;
        *values[i] = u64(field);
        field += 8;
        room -= 8;
    }
    return true;
}

/* The local header must say what the directory says, sizes and CRC too unless they follow the bytes (then it may say 0). */
static enum rudd_status check_local(struct weights_zip_entry *e, const unsigned char *p, size_t limit, uint16_t method,
                                    const char *path, struct rudd_error *err)
{
    if (e->header > limit || limit - e->header < LOCAL || u32(p + e->header) != 0x04034b50)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: no local header at byte %zu", path, e->name, e->header);
    const unsigned char *local = p + e->header;
    size_t room = limit - e->header - LOCAL, name_length = u16(local + 26), extra_length = u16(local + 28);
    if (name_length + extra_length > room || e->packed.length > room - name_length - extra_length)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: its %zu bytes reach into the directory", path, e->name,
                         e->packed.length);
    uint64_t packed = u32(local + 18), size = u32(local + 22);
    bool later = e->flags & FLAG_DESCRIPTOR;
    if (!resolve_zip64((uint64_t *const[]){&size, &packed}, 2, local + LOCAL + name_length, extra_length) ||
        u16(local + 6) != e->flags || u16(local + 8) != method || name_length != strlen(e->name) ||
        memcmp(local + LOCAL, e->name, name_length) || !(u32(local + 14) == e->packed.crc || (later && !u32(local + 14))) ||
        !(packed == e->packed.length || (later && !packed)) || !(size == e->packed.size || (later && !size)))
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: its local header and the directory contradict each other", path,
                         e->name);
    e->packed.bytes = local + LOCAL + name_length + extra_length;
    return RUDD_OK;
}

/* One record of the directory, at c, of which room bytes are left; *used of them are it. */
static enum rudd_status parse_entry(struct weights_zip_entry *e, size_t *used, const unsigned char *c, size_t room,
                                    const unsigned char *p, size_t limit, const char *path, struct rudd_error *err)
{
    if (room < CENTRAL || u32(c) != 0x02014b50)
        return rudd_fail(err, RUDD_FORMAT, "%s: its directory has no entry at byte %zu", path, (size_t)(c - p));
    size_t name_length = u16(c + 28), extra_length = u16(c + 30), comment_length = u16(c + 32);
    *used = CENTRAL + name_length + extra_length + comment_length;
    if (*used > room) return rudd_fail(err, RUDD_FORMAT, "%s: its directory ends within an entry", path);

    e->name = rudd_alloc(name_length + 1);
    if (!e->name) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for names of entries", path);
    memcpy(e->name, c + CENTRAL, name_length);
    e->name[name_length] = 0;
    if (!name_length || strlen(e->name) != name_length || !weights_name_is_printable(e->name))
        return rudd_fail(err, RUDD_FORMAT, "%s: entry name \"%.40s\" is empty, has control characters or more than %d bytes",
                         path, e->name, WEIGHTS_MAX_NAME);

    uint16_t method = u16(c + 10);
    uint64_t packed = u32(c + 20), size = u32(c + 24), header = u32(c + 42);
    e->flags = u16(c + 8);
    e->packed.crc = u32(c + 16);
    e->packed.deflated = method == Z_DEFLATED;
    if (e->flags & ~FLAGS_KNOWN)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: flags %#x; encrypted and patched entries are not read", path, e->name,
                         e->flags);
    if (method && !e->packed.deflated)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: compression method %d; stored (0) and deflated (8) are read", path,
                         e->name, method);
    if (!resolve_zip64((uint64_t *const[]){&size, &packed, &header}, 3, c + CENTRAL + name_length, extra_length) || u16(c + 34))
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: its extra fields are broken, or it is on another disk", path,
                         e->name);
    if (!e->packed.deflated && size != packed)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: stored, but of %" PRIu64 " bytes in %" PRIu64, path, e->name, size,
                         packed);
    /* Deflate's densest code turns 1 bit into 129 bytes. */
    if (packed > limit || header > limit || (e->packed.deflated && size / 1032 > packed))
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: claims to unpack %" PRIu64 " bytes to %" PRIu64 "; nothing does",
                         path, e->name, packed, size);
    e->packed.length = (size_t)packed;
    e->packed.size = (size_t)size;
    e->header = (size_t)header;
    return check_local(e, p, limit, method, path, err);
}

static int by_place(const void *a, const void *b)
{
    const struct weights_zip_entry *s = a, *t = b;
    return (s->header > t->header) - (s->header < t->header);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_zip_entry *)a)->name, ((const struct weights_zip_entry *)b)->name);
}

/* Entries, in order of place, must tile the archive up to the directory, but for the descriptors behind some. */
static enum rudd_status check_tiling(struct weights_zip *zip, const unsigned char *p, size_t limit, struct rudd_error *err)
{
    qsort(zip->entries, (size_t)zip->entry_count, sizeof *zip->entries, by_place);
    size_t end = 0;
    bool descriptor = false;
    for (int i = 0; i <= zip->entry_count; i++) {
        const struct weights_zip_entry *e = &zip->entries[i];
        const size_t begin = i < zip->entry_count ? e->header : limit;
        if (begin < end)
            return rudd_fail(err, RUDD_FORMAT, "%s: entry %s starts at byte %zu, the one before ends at %zu; they overlap",
                             zip->path, e->name, begin, end);
        size_t gap = begin - end; /* a descriptor: [signature,] CRC, two sizes of 4 or 8 bytes */
        if (gap && !(descriptor && (gap == 12 || gap == 16 || gap == 20 || gap == 24)))
            return rudd_fail(err, RUDD_FORMAT, "%s: %zu bytes from byte %zu on belong to no entry", zip->path, gap, end);
        if (i == zip->entry_count) break;
        end = (size_t)(e->packed.bytes - p) + e->packed.length;
        descriptor = e->flags & FLAG_DESCRIPTOR;
    }
    return RUDD_OK;
}

enum rudd_status weights_zip_open(struct weights_zip *zip, const void *bytes, size_t length, const char *name,
                                  struct rudd_error *err)
{
    const unsigned char *p = bytes;
    struct weights_zip opened = {.path = name, .length = length};
    struct directory d = {0, 0, 0};
    enum rudd_status status = find_directory(&d, p, length, name, err);
    if (status) return status;
    opened.entries = rudd_zalloc((size_t)d.count, sizeof *opened.entries);
    if (!opened.entries) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %" PRIu64 " entries", name, d.count);

    size_t at = (size_t)d.begin, end = at + (size_t)d.size, used = 0;
    for (uint64_t i = 0; i < d.count && !status; i++, at += used)
        status = parse_entry(&opened.entries[opened.entry_count++], &used, p + at, end - at, p, (size_t)d.begin, name, err);
    if (!status && at != end)
        status = rudd_fail(err, RUDD_FORMAT, "%s: %zu bytes follow the directory's last entry", name, end - at);
    if (!status) status = check_tiling(&opened, p, (size_t)d.begin, err);
    if (!status) qsort(opened.entries, (size_t)opened.entry_count, sizeof *opened.entries, by_name);
    for (int i = 1; i < opened.entry_count && !status; i++)
        if (!by_name(&opened.entries[i - 1], &opened.entries[i]))
            status = rudd_fail(err, RUDD_FORMAT, "%s: two entries are called %s", name, opened.entries[i].name);
    if (status)
        weights_zip_close(&opened);
    else
        *zip = opened;
    return status;
}

void weights_zip_close(struct weights_zip *zip)
{
    for (int i = 0; i < zip->entry_count; i++) rudd_free(zip->entries[i].name);
    rudd_free(zip->entries);
    memset(zip, 0, sizeof *zip);
}

struct weights_zip_entry *weights_zip_find(const struct weights_zip *zip, const char *name)
{
    const struct weights_zip_entry wanted = {.name = (char *)name};
    return zip->entry_count ? bsearch(&wanted, zip->entries, (size_t)zip->entry_count, sizeof wanted, by_name) : NULL;
}

/* ---- contents ---------------------------------------------------------------------------------------------------- */

/* Of e's bytes where they lie; copies the first of them. */
static enum rudd_status check_stored(struct weights_zip_entry *e, const char *where, struct rudd_error *err)
{
    const struct weights_packed *p = &e->packed;
    if (crc32_z(0, p->bytes, p->size) != p->crc)
        return rudd_fail(err, RUDD_FORMAT, "%s: its bytes do not have the CRC %08" PRIx32 "; the file is damaged", where,
                         p->crc);
    e->bytes = p->bytes;
    return RUDD_OK;
}

enum rudd_status weights_zip_check(struct weights_zip_entry *entry, const struct weights_zip *zip, struct weights_file *file,
                                   void *head, size_t length, struct rudd_error *err)
{
    char where[1024];
    snprintf(where, sizeof where, "%.480s: entry %s", zip->path, entry->name);
    if (!entry->packed.deflated) {
        enum rudd_status status = entry->bytes ? RUDD_OK : check_stored(entry, where, err);
        if (!status && length) memcpy(head, entry->bytes, length);
        return status;
    }
    enum rudd_status status = weights_count_unpacked(file, entry->packed.size, zip->length, err);
    if (!status && (length || !entry->checked)) status = weights_unpack(head, 0, length, &entry->packed, file, where, err);
    if (!status) entry->checked = true;
    return status;
}

enum rudd_status weights_zip_read(struct weights_zip_entry *entry, const struct weights_zip *zip, struct weights_file *file,
                                  struct rudd_error *err)
{
    char where[1024];
    if (entry->bytes) return RUDD_OK;
    snprintf(where, sizeof where, "%.480s: entry %s", zip->path, entry->name);
    if (!entry->packed.deflated) return check_stored(entry, where, err);
    void *block;
    enum rudd_status status = weights_add_block(&block, file, entry->packed.size, zip->length, err);
    if (!status) status = weights_unpack(block, 0, entry->packed.size, &entry->packed, file, where, err);
    if (!status) entry->bytes = block;
    return status;
}
