/* metadata.h - where a file keeps its EXIF and its XMP. Not for use outside data/image. */
#ifndef DATA_METADATA_H
#define DATA_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_span {
    const uint8_t *at; /* NULL: not there */
    size_t length;
};
struct data_metadata {
    struct data_span exif; /* a TIFF block, without the "Exif\0\0" before it */
    struct data_span xmp;  /* XML text, any encoding */
    uint8_t *owned[2];     /* what was unpacked for the two; NULL where they lie in the file */
};

/* Finds both in a JPEG, PNG, WebP or TIFF file, by its first bytes; none in anything else. The
 * spans point into bytes or into *m. false: no memory. data_metadata_free in any case.
 * Thread-safe. */
bool data_metadata_find(struct data_metadata *m, const uint8_t *bytes, size_t length);
void data_metadata_free(struct data_metadata *m);

/* Value of tag 700, the XMP packet, in the first directory of a TIFF block. */
struct data_span data_tiff_xmp(const uint8_t *tiff, size_t length);

#endif
