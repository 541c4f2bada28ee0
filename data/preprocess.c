/* preprocess.c - from a picture to what the network was trained to see.
 *
 *     crop     +-----------+          squash   +-----------+          pad      +-----------+
 *              | |#######| |                   |###########|                   |  colour   |
 *              | |#######| |                   |###########|                   |###########|
 *              +-----------+                   +-----------+                   |  colour   |
 *      short side to S/fraction,        both sides to S               long side to S, rest is the mean colour
 *      the middle S x S of it
 *
 * crop rounds the long side to the nearest (halves to even) and the offset down; pad rounds both as Pillow's ImageOps.pad. These
 * choices are part of the contract: one pixel of offset moves logits. (torchvision cuts the long side and rounds the offset.)
 * Only the window that is kept is resampled. */
#include "data/preprocess.h"
#include "data/resize.h"

#include <math.h>
#include <string.h>

/* A side under the scale that brings the shorter side to `to`. */
static int scaled(int to, int side, int shorter)
{
    return (int)nearbyint((double)((int64_t)to * side) / shorter);
}

struct data_placement data_place(const struct data_image *image, const struct nn_preprocess *p, int size)
{
    struct data_placement at = {.resize = {.filter = p->filter,
                                           .right = (float)image->w,
                                           .bottom = (float)image->h,
                                           .w = size,
                                           .h = size,
                                           .cw = size,
                                           .ch = size}};
    struct data_resize *r = &at.resize;
    if (p->mode == NN_RESIZE_CROP) {
        int side = (int)nearbyint(size / p->crop_fraction), shorter = image->w < image->h ? image->w : image->h;
        r->w = scaled(side, image->w, shorter);
        r->h = scaled(side, image->h, shorter);
        r->cx = (r->w - size) / 2;
        r->cy = (r->h - size) / 2;
    } else if (p->mode == NN_RESIZE_PAD) {
        int longer = image->w > image->h ? image->w : image->h;
        r->w = (int)nearbyint((double)image->w / longer * size);
        r->h = (int)nearbyint((double)image->h / longer * size);
        r->cw = r->w += r->w == 0; /* a line of pixels keeps one */
        r->ch = r->h += r->h == 0;
        at.x = (int)nearbyint((size - r->w) / 2.0);
        at.y = (int)nearbyint((size - r->h) / 2.0);
    }
    return at;
}

enum rudd_status data_preprocess_check(const struct nn_preprocess *p, int size, struct rudd_error *err)
{
    if (size < 1 || size > 8192) return rudd_fail(err, RUDD_ARGUMENT, "image size %d; 1 to 8192 are possible", size);
    if (p->mode == NN_RESIZE_CROP && !(p->crop_fraction > 0.05 && p->crop_fraction <= 1))
        return rudd_fail(err, RUDD_ARGUMENT, "crop fraction %g; above 0.05 and at most 1 are possible", p->crop_fraction);
    return RUDD_OK;
}

enum rudd_status data_preprocess(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int size,
                                 struct rudd_error *err)
{
    enum rudd_status status = data_preprocess_check(p, size, err);
    if (status) return status;

    struct data_placement at = data_place(image, p, size);
    const struct data_resize *r = &at.resize;
    if (p->mode != NN_RESIZE_PAD) return data_resize(out, image, r, err);

    uint8_t *middle = rudd_alloc((size_t)r->w * r->h * 3);
    if (!middle) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d x %d pixels", r->w, r->h);
    status = data_resize(middle, image, r, err);
    if (!status) {
        for (size_t i = 0; i < (size_t)size * size * 3; i++) out[i] = data_mean_colour(p, (int)(i % 3));
        for (int y = 0; y < r->h; y++)
            memcpy(out + ((size_t)(at.y + y) * size + at.x) * 3, middle + (size_t)y * r->w * 3, (size_t)r->w * 3);
    }
    rudd_free(middle);
    return status;
}

uint8_t data_mean_colour(const struct nn_preprocess *p, int channel)
{
    return (uint8_t)nearbyintf(255 * p->mean[channel]);
}

void data_normalise(float *out, const uint8_t *rgb, size_t count, const struct nn_preprocess *p)
{
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) out[3 * i + c] = ((float)rgb[3 * i + c] / 255.0f - p->mean[c]) / p->std[c];
}
