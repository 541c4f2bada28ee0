/* store_images.h - the pictures that predictions were made of, kept in a folder when that is asked for.
 *
 *     DIR/ab/ab34...ef.jpg        the first two digits of the SHA-256, all of them, and
 *                                 the format's usual ending (.jpg, .png, .webp ..)
 *
 * A thread of its own writes them, each to a temporary name first; a picture that is there is not written again, but its time is
 * renewed. What comes faster than the disk takes it is dropped and counted: a picture is no reason to answer late.
 *
 * With an age limit, files that were last sent longer ago are deleted, at the start and every hour; nothing that is not named as above is touched. */
#ifndef SERVE_STORE_IMAGES_H
#define SERVE_STORE_IMAGES_H

#include "serve/bytes.h"

struct serve_images;
/* Makes the folder if absent (its parent must be there). folder is copied. days: the age limit; 0: none. */
enum rudd_status serve_images_create(struct serve_images **images, const char *folder, int days, struct rudd_error *err);
void serve_images_destroy(struct serve_images *images); /* writes what waits; NULL is fine */

/* Takes the picture's bytes over (*bytes is empty afterwards), or drops them. hash: 64 digits. Thread-safe, never waits. */
void serve_images_keep(struct serve_images *images, const char *hash, struct serve_bytes *bytes);

struct serve_images_stats {
    uint64_t kept, known, dropped, failed, expired;
};
void serve_images_get_stats(struct serve_images_stats *stats, struct serve_images *images);

#endif
