/* resize.h - antialiased image resize, bit-equal to Pillow's Image.resize for 8-bit RGB. */
#ifndef DATA_RESIZE_H
#define DATA_RESIZE_H

#include "data/decode.h"
#include "nn/model.h"

/* The source's box [left, right) x [top, bottom) becomes w x h pixels, of which the window of cw x ch pixels at (cx, cy) is made.
 * Whole source: box {0, 0, image->w, image->h}; whole result: window 0, 0, w, h. */
struct data_resize {
    enum nn_filter filter;
    float left, top, right, bottom; /* 0 <= left < right <= image->w; float32 and fractions as in Pillow */
    int w, h;
    int cx, cy, cw, ch; /* inside w x h */
};

/* out [ch, cw, 3], overlaps nothing. Equal to image.resize((w, h), filter, box).crop((cx, cy, cx+cw, cy+ch)) to the last bit, at the
 * price of the window only. RUDD_ARGUMENT for boxes and windows outside their picture. Thread-safe. */
enum rudd_status data_resize(uint8_t *out, const struct data_image *image, const struct data_resize *r, struct rudd_error *err);

#endif
