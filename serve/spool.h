/* spool.h - rows that wait on disk while the database is away: a file of records, appended and synced in groups, read back in order.
 *
 *     record   "RSPL" | length u32 | crc32 of the payload u32 | crc32 of these twelve bytes u32 | payload        (little-endian)
 *
 * A power cut leaves at most a torn last group, none of which was acknowledged. Bytes that are no record are skipped up to the next one, and
 * counted. The file is locked, so that two servers never share one; it is emptied when all of it is in the database. If the server dies
 * before that it is read again from its start: writing rows twice must do no harm.
 *
 * One thread at a time. Not here: what a record holds (store_row.h). */
#ifndef SERVE_SPOOL_H
#define SERVE_SPOOL_H

#include "serve/bytes.h"

enum { SERVE_SPOOL_RECORD = 4 << 20 }; /* bytes of payload at most */

/* The next record of bytes [n] at or after *at: its payload, with *at moved behind it; NULL: there is none, and *at is where to go on when
 * more follows these bytes (last false), or n. *skipped grows by the bytes passed over. Pure. */
const uint8_t *serve_spool_parse(size_t *length, size_t *at, uint64_t *skipped, const uint8_t *bytes, size_t n, bool last);

struct serve_spool;
/* Makes the file if absent. RUDD_LIMIT: another process holds it. max: bytes that it may grow to. path is copied. */
enum rudd_status serve_spool_open(struct serve_spool **spool, const char *path, size_t max, struct rudd_error *err);
void serve_spool_close(struct serve_spool *spool); /* NULL is fine. The file stays. */

/* Adds a record to the group being gathered. RUDD_LIMIT: with it the file would be larger than max, or, unless `vital`, would leave less than
 * an eighth of max for vital records. */
enum rudd_status serve_spool_add(struct serve_spool *spool, const void *payload, size_t length, bool vital,
                                 struct rudd_error *err);
/* Writes and syncs the group: on RUDD_OK all of it is durable, else none of it is in the file. */
enum rudd_status serve_spool_commit(struct serve_spool *spool, struct rudd_error *err);

/* The oldest record not yet read; *payload lives until the next call. Sets *length 0 and *payload NULL at the end. */
enum rudd_status serve_spool_next(const uint8_t **payload, size_t *length, struct serve_spool *spool, struct rudd_error *err);
void serve_spool_rewind(struct serve_spool *spool); /* back to the last serve_spool_accept, or the start */
void serve_spool_accept(struct serve_spool *spool); /* what was read is in the database. At the end: empties the file. */

uint64_t serve_spool_bytes(const struct serve_spool *spool);
uint64_t serve_spool_rows(const struct serve_spool *spool); /* not yet accepted */
uint64_t serve_spool_skipped(const struct serve_spool *spool);

#endif
