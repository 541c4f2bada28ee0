/* pixels.h - pixels as programs have them (rudd.h), into RGB. */
#ifndef DATA_IMAGE_PIXELS_H
#define DATA_IMAGE_PIXELS_H

#include "data/image/decode.h"

/* The picture as packed RGB. *image borrows the caller's pixels where they are that already and
 * *made is NULL; else *made holds them, to be freed with rudd_free. RUDD_ARGUMENT: no pixels, a size
 * below 1, a stride that is shorter than a row, or an unknown order. RUDD_LIMIT: more bytes than the
 * machine can address. RUDD_NO_MEMORY. */
enum rudd_status data_pixels_rgb(struct data_image *image, uint8_t **made,
                                 const struct rudd_pixels *pixels, struct rudd_error *err);

#endif
