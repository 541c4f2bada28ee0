/* loader.h - batches ahead of time: worker threads decode, augment and normalise pictures while the network computes.
 *
 *     order for (seed, epoch) --> slots of a ring of `depth` batches, filled by threads in any order --> handed out strictly in
 * order
 *
 * A picture that cannot be read is named, counted and left out of its batch; it never stops a run.
 * One that is damaged but readable is named, too. No memory for a picture does stop a run: else
 * what is learned would depend on the machine. What a batch holds depends on (seed, epoch, options)
 * alone. The caller uses a loader from one thread. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "data/image/augment.h"
#include "data/sets/sampling.h"

/* Where floats come from that are not a picture's pixels: read fills out [floats] for an item of
 * the set in an epoch. note, "" before, is for what is wrong with the item although it could be
 * read. Several workers call it at a time, numbered from 0; it must depend on item and epoch alone.
 */
struct data_source {
    enum rudd_status (*read)(float *out, char note[DATA_NOTE], void *user, int item, uint64_t epoch,
                             int worker, struct rudd_error *err);
    void *user;
    size_t floats;
};

struct data_loader_options {
    int batch, image_size;
    int threads; /* workers; <= 0: one a processor (kern_processors), at most 8 */
    int depth; /* batches ahead; 0: 2; -1: none, a batch is loaded while the caller waits for it */
    bool shuffle; /* by (seed, epoch) */
    bool drop_last;
    enum data_sampling sampling;
    /* without augmentation: each picture in the first so many of its views (preprocess.h), one
     * after another; 0: 1 */
    int views;
    uint64_t seed;
    const struct data_augment *augment; /* NULL: the evaluation path */
    struct nn_preprocess preprocess;
    struct data_limits limits; /* of pictures; all 0: data_limits_default */
    struct data_source source; /* read NULL: the pictures themselves */
};

struct data_batch {
    const float *x;    /* [n, size, size, 3] normalised, or the source's [n, floats] */
    const int *labels; /* [n] */
    const int *items;  /* [n] indices into set->items */
    int n;             /* all valid until the next call */
};

struct data_loader;
/* set must outlive the loader. */
enum rudd_status data_loader_create(struct data_loader **loader, const struct data_set *set,
                                    const struct data_loader_options *options,
                                    struct rudd_error *err);
void data_loader_destroy(struct data_loader *loader);
/* What such a loader will take: its batches, and on each thread a picture as large as the largest
 * of the set. Looks at the size of every file and into a few. */
struct data_loader_needs {
    size_t bytes;
    int threads;
};
struct data_loader_needs data_loader_needs(const struct data_set *set,
                                           const struct data_loader_options *options);
/* Starts (or restarts) at batch `first` of an epoch. */
void data_loader_start(struct data_loader *loader, uint64_t epoch, int first);
/* The next batch; false at the end of the epoch, or when there was no memory for a picture. n may
 * be below the batch size (bad pictures, last batch) but is never 0. */
bool data_loader_next(struct data_loader *loader, struct data_batch *batch);
/* After false: RUDD_OK at the end, else RUDD_NO_MEMORY. data_loader_start tries again. */
enum rudd_status data_loader_status(const struct data_loader *loader, struct rudd_error *err);
/* The number, within the epoch, of the batch that data_loader_next tries next: where
 * data_loader_start goes on. */
int data_loader_position(const struct data_loader *loader);
int data_loader_batches(const struct data_loader *loader); /* per epoch, at most */

/* One picture as a loader with these options sees it in an epoch: file -> view -> x [size,size,3].
 * key stands for the picture in the choice of the view; square [size,size,3] is scratch; note as a
 * data_image's, filled on success. Thread-safe. */
enum rudd_status data_loader_picture(float *x, uint8_t *square, char note[DATA_NOTE],
                                     const char *path, const struct data_loader_options *options,
                                     uint64_t epoch, uint64_t key, struct rudd_error *err);

/* Pictures that could not be read since creation: how many distinct ones, and the i-th one's
 * message. */
int data_loader_bad_count(const struct data_loader *loader);
const char *data_loader_bad(const struct data_loader *loader, int i);
/* The same of those that could, but have something wrong: "PATH: NOTE" (data_image). */
int data_loader_note_count(const struct data_loader *loader);
const char *data_loader_note(const struct data_loader *loader, int i);

#endif
