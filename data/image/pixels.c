/* pixels.c - pixels as programs have them, into RGB: grey three times, alpha dropped, as Pillow's
 * convert("RGB") does it. */
#include "data/image/pixels.h"

/* An order of channels: bytes of a pixel, and where red, green and blue are among them. */
struct order {
    int bytes, r, g, b;
};
static const struct order orders[] = {
    [RUDD_RGB] = {3, 0, 1, 2},  [RUDD_BGR] = {3, 2, 1, 0},  [RUDD_RGBA] = {4, 0, 1, 2},
    [RUDD_BGRA] = {4, 2, 1, 0}, [RUDD_GRAY] = {1, 0, 0, 0},
};

enum rudd_status data_pixels_rgb(struct data_image *image, uint8_t **made,
                                 const struct rudd_pixels *pixels, struct rudd_error *err)
{
    const int w = pixels->width, h = pixels->height;
    *made = NULL;
    if (!pixels->data || w < 1 || h < 1)
        return rudd_fail(err, RUDD_ARGUMENT, "a picture of %d x %d pixels%s", w, h,
                         pixels->data ? "" : " at NULL");
    if ((int)pixels->order < 0 || (size_t)pixels->order >= sizeof orders / sizeof *orders)
        return rudd_fail(err, RUDD_ARGUMENT, "pixels in order %d; expected RUDD_RGB to RUDD_GRAY",
                         (int)pixels->order);
    const struct order o = orders[pixels->order];
    const ptrdiff_t row = (ptrdiff_t)w * o.bytes, stride = pixels->stride ? pixels->stride : row;
    if ((stride < 0 ? -stride : stride) < row)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "a stride of %td bytes; a row of %d pixels has %td, and 0 stands for that",
                         pixels->stride, w, row);
    *image = (struct data_image){.w = w, .h = h, .rgb = (uint8_t *)pixels->data}; /* read only */
    if (pixels->order == RUDD_RGB && stride == row) return RUDD_OK;
    if ((size_t)w > SIZE_MAX / 3 / (size_t)h)
        return rudd_fail(err, RUDD_LIMIT, "a picture of %d x %d pixels is too large", w, h);
    *made = rudd_alloc((size_t)w * (size_t)h * 3);
    if (!*made)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a picture of %d x %d pixels", w, h);
    uint8_t *to = image->rgb = *made;
    for (int y = 0; y < h; y++) {
        const uint8_t *from = (const uint8_t *)pixels->data + stride * y;
        for (int x = 0; x < w; x++, from += o.bytes, to += 3) {
            to[0] = from[o.r];
            to[1] = from[o.g];
            to[2] = from[o.b];
        }
    }
    return RUDD_OK;
}
