/* resize.h - antialiased image resize, bit-equal to Pillow's Image.resize for 8-bit RGB. */
#ifndef DATA_RESIZE_H
#define DATA_RESIZE_H

#include "data/image/decode.h"
#include "nn/model.h"

/* The source's box [left, right) x [top, bottom) becomes w x h pixels, of which the window of cw x
 * ch pixels at (cx, cy) is made. Whole source: box {0, 0, image->w, image->h}; whole result: window
 * 0, 0, w, h. */
struct data_resize {
    enum nn_filter filter;
    float left, top, right,
        bottom; /* 0 <= left < right <= image->w; float32 and fractions as in Pillow */
    int w, h;
    int cx, cy, cw, ch; /* inside w x h */
};

/* out [ch, cw, 3], overlaps nothing. Equal to image.resize((w, h), filter, box).crop((cx, cy,
 * cx+cw, cy+ch)) to the last bit, at the price of the window only. RUDD_ARGUMENT for boxes and
 * windows outside their picture. Thread-safe. */
enum rudd_status data_resize(uint8_t *out, const struct data_image *image,
                             const struct data_resize *r, struct rudd_error *err);

/* The same for a picture whose rows come one after another, so that it need never be whole in
 * memory; the result is equal to the last bit. */
struct data_resizer;
/* w, h and r are those of the upright picture; rows will come as it is stored under this
 * orientation (1..8, codec.h). out [ch, cw, 3], upright, is complete when the last row was given;
 * it must outlive that. */
enum rudd_status data_resizer_create(struct data_resizer **resizer, uint8_t *out, int w, int h,
                                     int orientation, const struct data_resize *r,
                                     struct rudd_error *err);
/* The stored columns that are read: [*first, *last) of every row. */
void data_resizer_columns(int *first, int *last, const struct data_resizer *resizer);
/* Stored rows y .. y+count-1, rgb [count, stored width, 3]; calls follow each other without gaps
 * from row 0 on. */
void data_resizer_rows(struct data_resizer *resizer, const uint8_t *rgb, int y, int count);
void data_resizer_destroy(struct data_resizer *resizer); /* NULL is fine */

#endif
