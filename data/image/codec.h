/* codec.h - what decode.c dispatches to: one function per file format. Not for use outside data/.
 *
 * Each makes 8-bit RGB as stored (not yet upright) and says the orientation. A file that is damaged
 * but readable leaves image->note. Thread-safe; the image is written on success only. */
#ifndef DATA_CODEC_H
#define DATA_CODEC_H

#include <stdbool.h>
#include "data/image/decode.h"

typedef enum rudd_status data_codec(struct data_image *image, int *orientation,
                                    const uint8_t *bytes, size_t length, const char *name,
                                    const struct data_limits *limits, struct rudd_error *err);
data_codec data_jpeg_decode, data_png_decode, data_bmp_decode;
/* Where their libraries were there when rudd was built (formats.c). */
data_codec data_webp_decode, data_gif_decode, data_tiff_decode, data_heif_decode;

/* Takes a picture row by row as it is decoded, so that it need never be whole in memory. */
struct data_rows {
    /* NULL, or: by how much a decoder that can may reduce an upright picture of w x h pixels: 1, 2,
     * 4 or 8. Sides are rounded up. */
    int (*reduction)(struct data_rows *to, int w, int h);
    /* Columns of the stored picture, as it comes out of the decoder, that are read: [first, last).
     * Others may hold anything. The decoder says all of them; begin may say fewer. */
    int first, last;
    /* Once, before any row: the size of the upright picture, reduced, and how it is stored. A
     * failure ends the decoding. */
    enum rudd_status (*begin)(struct data_rows *to, int w, int h, int orientation,
                              struct rudd_error *err);
    /* Stored rows y .. y+count-1, [count, stored width, 3]; from 0 on, in order. */
    void (*add)(struct data_rows *to, const uint8_t *rgb, int y, int count);
    char note[DATA_NOTE]; /* as a data_image's; set by the decoder, "" before */
};
/* As data_image_decode, into *to; the rows of a picture that turns out to be broken have been added
 * in part. */
enum rudd_status data_image_rows(struct data_rows *to, const void *bytes, size_t length,
                                 const char *name, const struct data_limits *limits,
                                 struct rudd_error *err);
enum rudd_status data_jpeg_rows(struct data_rows *to, const uint8_t *bytes, size_t length,
                                const char *name, const struct data_limits *limits,
                                struct rudd_error *err);

/* What a refusal of a picture whose data end early goes on with: the option that reads it. */
const char *data_truncated_hint(const struct data_limits *limits);

/* RUDD_LIMIT when w*h exceeds limits, or a side 65535 (JPEG's own bound): called with the header's
 * figures before any allocation. */
enum rudd_status data_check_size(uint64_t w, uint64_t h, const char *name,
                                 const struct data_limits *limits, struct rudd_error *err);

/* Orientation tag (0x0112) of the first directory of a TIFF block, which is what EXIF is: 1..8; 1 when there is none, or when the
 * block is not well-formed: a picture is not refused for its annotations.
 *   1 upright  2 mirrored  3 turned by 180  4 upside down  5 transposed  6 needs a quarter turn clockwise  7 transverse  8 counter-
 *                                                                                                 Exif 2.3, section 4.6.4 A */
int data_exif_orientation(const uint8_t *tiff, size_t length);

/* Pixel (x, y) of the upright picture is stored at column (transpose ? y : x), counted from the
 * right if flip_column, and row (transpose ? x : y), counted from below if flip_row. */
struct data_turn {
    bool transpose, flip_column, flip_row;
};
struct data_turn data_turn_of(int orientation); /* 1..8 */
/* The upright picture of in [ih, iw, 3]. */
void data_turn_rgb(uint8_t *restrict out, const uint8_t *restrict in, int iw, int ih,
                   struct data_turn t);

/* Turns a stored picture in place. */
enum rudd_status data_make_upright(struct data_image *image, int orientation, const char *name,
                                   struct rudd_error *err);

#endif
