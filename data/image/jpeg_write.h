/* jpeg_write.h - RGB pixels to a JPEG file in memory. */
#ifndef DATA_JPEG_WRITE_H
#define DATA_JPEG_WRITE_H

#include "data/image/decode.h"

/* image to baseline JPEG, 4:2:0, quality 1..100 (clamped). *bytes is from rudd_alloc. Bytes depend
 * on the pixels, the quality and libjpeg alone. RUDD_NO_MEMORY, RUDD_ARGUMENT (a side of 0 or above
 * 65500). Thread-safe. */
enum rudd_status data_jpeg_write(uint8_t **bytes, size_t *length, const struct data_image *image,
                                 int quality, struct rudd_error *err);

#endif
