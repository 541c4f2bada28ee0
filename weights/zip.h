/* zip.h - a strict reader of zip archives in memory (.pth, .npz, .keras), and a writer of stored ones.
 *
 *     | local header, name, extra | bytes | [descriptor] | local header ... | central directory | [zip64 end, locator] | end |
 *
 * The reader believes the central directory, and only where everything else agrees with it: the end record is the last thing in the
 * file, local headers say the same, entries tile the file up to the directory (no overlap, no hidden bytes), names are printable and
 * occur once. Stored and deflated entries, zip64. What an archive unpacks to is bounded before anything is unpacked: no entry by more
 * than deflate can do, all together by weights_count_unpacked's rule. Nothing is ever written to a path that an archive names.
 *
 * Source: PKWARE's APPNOTE.TXT 6.3.10. Not here: encryption, other methods, several disks, comments of the archive. */
#ifndef WEIGHTS_ZIP_H
#define WEIGHTS_ZIP_H

#include "weights/file.h"
#include "weights/replace.h"

struct weights_zip_entry {
    char *name;
    struct weights_packed packed; /* as in the archive */
    const unsigned char *bytes;   /* [packed.size] unpacked and checked; NULL until weights_zip_read */
    bool checked;                 /* by weights_zip_check */

    size_t header; /* of its local header, from the archive's start */
    uint16_t flags;
};
struct weights_zip {
    const char *path;                  /* the caller's, for messages */
    size_t length;                     /* of the archive */
    struct weights_zip_entry *entries; /* sorted by name */
    int entry_count;
};

/* The archive's table; bytes and name must outlive zip. RUDD_FORMAT for anything out of order, RUDD_LIMIT for more than a million entries.
 * *zip is unchanged on failure. */
enum rudd_status weights_zip_open(struct weights_zip *zip, const void *bytes, size_t length, const char *name,
                                  struct rudd_error *err);
void weights_zip_close(struct weights_zip *zip);
/* NULL if absent. */
struct weights_zip_entry *weights_zip_find(const struct weights_zip *zip, const char *name);
/* Copies the first length bytes, which it has, to head, and is sure that the entry unpacks to what it says: RUDD_FORMAT when the CRC or the size is
 * wrong. Nothing that is unpacked stays, but each call counts for weights_count_unpacked: the caller will have it unpacked again. */
enum rudd_status weights_zip_check(struct weights_zip_entry *entry, const struct weights_zip *zip, struct weights_file *file,
                                   void *head, size_t length, struct rudd_error *err);
/* Fills entry->bytes, once: where they lie in the archive, or unpacked into a block of file. Errors as above. */
enum rudd_status weights_zip_read(struct weights_zip_entry *entry, const struct weights_zip *zip, struct weights_file *file,
                                  struct rudd_error *err);

/* An archive of stored entries, written atomically (replace.h), entry by entry:
 *
 *     status = weights_zip_begin(&w, path, entries, err);
 *     if (status) return status;
 *     if (!status) status = weights_zip_add(&w, name, parts, lengths, err);      at most as often as said
 *     return weights_zip_end(&w, status, err);
 *
 * The same entries give the same bytes. */
struct weights_zip_writer {
    struct weights_replacement file;
    struct weights_zip_written *entries;
    int count, room;
    size_t offset, directory; /* bytes written; bytes that the directory will take */
};
/* RUDD_LIMIT from 65536 entries on. When it succeeds, weights_zip_end must follow. */
enum rudd_status weights_zip_begin(struct weights_zip_writer *w, const char *path, int entries, struct rudd_error *err);
/* An entry of the two parts, one behind the other. name must live until the end. RUDD_LIMIT where the archive would reach 4 GiB. */
enum rudd_status weights_zip_add(struct weights_zip_writer *w, const char *name, const void *const parts[2],
                                 const size_t lengths[2], struct rudd_error *err);
/* Commits when status is RUDD_OK, else removes what was written. Returns the final status. */
enum rudd_status weights_zip_end(struct weights_zip_writer *w, enum rudd_status status, struct rudd_error *err);

#endif
