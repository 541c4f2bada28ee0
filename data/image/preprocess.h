/* preprocess.h - the one path from pixels to the network's input, for training, evaluation, prediction and serving alike.
 *
 *     image [h,w,3] u8 --resize, crop (nn_preprocess.mode)--> [S,S,3] u8 --/255, -mean, /std--> [S,S,3] float32
 */
#ifndef DATA_PREPROCESS_H
#define DATA_PREPROCESS_H

#include "data/image/resize.h"

/* RUDD_ARGUMENT unless size is 1..8192 and the crop fraction, where it counts, lies in (0.05, 1].
 */
enum rudd_status data_preprocess_check(const struct nn_preprocess *p, int size,
                                       struct rudd_error *err);

/* The part of the S x S output that the picture fills, and how: resize makes the rectangle whose
 * corner is at (x, y). x, y are 0 and the rectangle is the whole, except with NN_RESIZE_PAD. p and
 * size have been checked. */
struct data_placement {
    struct data_resize resize;
    int x, y;
};
struct data_placement data_place(const struct data_image *image, const struct nn_preprocess *p,
                                 int size);

/* What stands where there is no picture: round(255 * mean), 0 once normalised. */
uint8_t data_mean_colour(const struct nn_preprocess *p, int channel);

/* out [S,S,3] with S = size; equal to Pillow's resize (without reducing_gap) and crop to the last
 * bit. Thread-safe. */
enum rudd_status data_preprocess(uint8_t *out, const struct data_image *image,
                                 const struct nn_preprocess *p, int size, struct rudd_error *err);
/* The same picture otherwise, for averages over several views:
 *     0 as data_preprocess    1 its mirror    2 .. 5 the corners (top left, top right, bottom left, bottom right)    6 .. 9 their mirrors
 * Corners are the windows of size S at the corners of the picture brought to S / crop fraction (the short side with NN_RESIZE_CROP, else
 * both; 0.875 where the fraction is 1 or none). RUDD_ARGUMENT for other views. */
enum { DATA_VIEWS = 10 };
enum rudd_status data_preprocess_view(uint8_t *out, const struct data_image *image,
                                      const struct nn_preprocess *p, int size, int view,
                                      struct rudd_error *err);
/* What there is to say of a picture beside its pixels. */
struct data_reading {
    double resize_ms;     /* that were not decoding */
    char note[DATA_NOTE]; /* as a data_image's */
};
/* data_image_decode and data_preprocess_view in one, to the same bits (with p->reduce, where it
 * applies: almost): a JPEG's rows are resized as they are decoded, so that the picture is never
 * whole in memory. name is for messages; limits and reading may be NULL. */
enum rudd_status data_preprocess_bytes(uint8_t *out, const void *bytes, size_t length,
                                       const char *name, const struct data_limits *limits,
                                       const struct nn_preprocess *p, int size, int view,
                                       struct data_reading *reading, struct rudd_error *err);
/* By how much the decoder of a JPEG of w x h upright pixels may reduce it for this preprocessing:
 * the largest of 8, 4, 2 that leaves both sides at least p->reduce times as long as they are
 * resized to; else 1, as always when p->reduce is 0. The same for training, evaluation and serving;
 * libjpeg's scaled inverse DCT averages more exactly than a short filter, and costs less than the
 * full picture. */
int data_reduction(int w, int h, const struct nn_preprocess *p, int size);
/* data_image_read, reduced so. */
enum rudd_status data_image_read_for(struct data_image *image, const char *path,
                                     const struct data_limits *limits,
                                     const struct nn_preprocess *p, int size,
                                     struct rudd_error *err);
/* A small copy of a picture, for people: upright, whole, the longer side `side` pixels. A JPEG is
 * reduced while it is decoded. name is for messages, limits may be NULL. Free with data_image_free.
 */
enum rudd_status data_thumbnail(struct data_image *small, const void *bytes, size_t length,
                                const char *name, const struct data_limits *limits, int side,
                                struct rudd_error *err);
/* flip: left for right, vflip: top for bottom; rgb [size,size,3], in place. */
void data_mirror(uint8_t *rgb, int size, bool flip, bool vflip);
/* out[i,c] = (rgb[i,c]/255 - mean[c]) / std[c] for count pixels. */
void data_normalise(float *out, const uint8_t *rgb, size_t count, const struct nn_preprocess *p);

#endif
