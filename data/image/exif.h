/* exif.h - what a camera wrote beside the pixels: which way up it was held, when and where.
 *
 * Two forms exist, and a file may hold both. EXIF is a TIFF block of tags. XMP is XML text. Each
 * format has its own place for them (metadata.c). Which one decides is as in Pillow's
 * ImageOps.exif_transpose: XMP is asked only where EXIF has no orientation tag. */
#ifndef DATA_EXIF_H
#define DATA_EXIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_exif {
    int orientation; /* 1..8 (codec.h); 1 when nothing valid is said */
    char time[20];   /* "YYYY-MM-DD HH:MM:SS", by the camera's clock; "": unknown */
    bool has_position;
    double latitude, longitude; /* degrees, north and east positive; 0 without a position */
};

/* All that the bytes of a JPEG, PNG, WebP or TIFF file say. Time is DateTimeOriginal of the Exif
 * directory, else DateTime. Values that make no sense, such as month 13 or latitude 91, count as
 * not said. No bytes are an error; without memory for a compressed text, what it says is missing.
 * Thread-safe. */
void data_image_exif(struct data_exif *exif, const uint8_t *bytes, size_t length);

/* The orientation alone of such a file, for decoders. -1: no memory. */
int data_image_orientation(const uint8_t *bytes, size_t length);

/* The orientation that the text of an XMP packet states, 1..8. 0: none. */
int data_xmp_orientation(const uint8_t *xmp, size_t length);

#endif
