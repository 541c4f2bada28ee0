/* codec.h - what decode.c dispatches to: one function per file format. Not for use outside data/.
 *
 * Each makes 8-bit RGB as stored (not yet upright) and says the EXIF orientation. Thread-safe; the image is written on success only. */
#ifndef DATA_CODEC_H
#define DATA_CODEC_H

#include "data/decode.h"

typedef enum rudd_status data_codec(struct data_image *image, int *orientation, const uint8_t *bytes, size_t length,
                                    const char *name, const struct data_limits *limits, struct rudd_error *err);
data_codec data_jpeg_decode, data_png_decode;

/* RUDD_LIMIT when w*h exceeds limits, or a side 65535 (JPEG's own bound): called with the header's figures before any allocation. */
enum rudd_status data_check_size(uint64_t w, uint64_t h, const char *name, const struct data_limits *limits,
                                 struct rudd_error *err);

/* Orientation tag (0x0112) of the first directory of a TIFF block, which is what EXIF is: 1..8; 1 when there is none, or when the
 * block is not well-formed: a picture is not refused for its annotations.
 *   1 upright  2 mirrored  3 turned by 180  4 upside down  5 transposed  6 needs a quarter turn clockwise  7 transverse  8 counter-
 *                                                                                                 Exif 2.3, section 4.6.4 A */
int data_exif_orientation(const uint8_t *tiff, size_t length);

#endif
