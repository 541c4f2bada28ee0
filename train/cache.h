/* cache.h - activations on disk: one file of fixed-size records, found by what they were computed from.
 *
 *     header   "RUDDACT1"  recipe[32]  u64 numbers  u32 bytes of a number (2: float16, 4: float32)  u32 0 ..  u32 CRC-32     64 bytes
 *     record   key[32]  u32 CRC-32 of key and numbers  numbers x 2 or 4 bytes
 *     record   ...                                                              integers and numbers are little-endian
 *
 * The recipe is the hash of everything that all records share: network, frozen weights, frontier, preprocessing. The key is a SHA-256 too,
 * of what this record alone was computed from: a picture's file, a view of it. Records are only ever appended. A file that a process left in the middle of
 * a record, at whatever byte, loses that record and no other; a record is checked when the file is opened and again when it is read.
 * Nothing is synced: what a power cut takes is computed again.
 *
 * One process at a time appends: opening waits until no other holds the file, train_cache_share lets the next one in. Reading goes on
 * without a lock, since records never move. */
#ifndef TRAIN_CACHE_H
#define TRAIN_CACHE_H

#include <stdbool.h>
#include "nn/rudd.h"

enum { TRAIN_CACHE_HASH = 32 };

struct train_cache_form {
    uint8_t recipe[TRAIN_CACHE_HASH];
    uint64_t numbers; /* of a record, at least 1 */
    int bytes;        /* 2: float16, rounded to the nearest and at most 65504; 4: float32 */
};

/* Bytes of a record of so many numbers. */
size_t train_cache_record_bytes(uint64_t numbers, int bytes);

struct train_cache;
/* Opens the file, or makes it. Its time of change says when it was used last. One of another form, or none of ours, is begun anew. RUDD_IO; RUDD_CANCELLED when a signal came while
 * waiting for another process. */
enum rudd_status train_cache_open(struct train_cache **cache, const char *path, const struct train_cache_form *form,
                                  struct rudd_error *err);
void train_cache_close(struct train_cache *cache);
/* Appending is over; other processes may append. */
void train_cache_share(struct train_cache *cache);

long train_cache_count(const struct train_cache *cache); /* records */
/* The record of this key; -1: there is none. */
long train_cache_find(const struct train_cache *cache, const uint8_t key[TRAIN_CACHE_HASH]);
/* Adds a record of form->numbers numbers; one that is there already stays as it is. On failure (full disk) nothing is added. */
enum rudd_status train_cache_append(struct train_cache *cache, const uint8_t key[TRAIN_CACHE_HASH], const float *numbers,
                                    struct rudd_error *err);
/* out [form->numbers]. RUDD_IO, RUDD_FORMAT when the record has been damaged since. May be called by many threads while nobody appends. */
enum rudd_status train_cache_read(float *out, const struct train_cache *cache, long record, struct rudd_error *err);

#endif
