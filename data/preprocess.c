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

/* The window of `size` pixels at (x, y) of the picture as evaluation would see it at `side` pixels. */
static enum rudd_status window(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int side, int x,
                               int y, int size, struct rudd_error *err)
{
    struct data_placement at = data_place(image, p, side);
    struct data_resize *r = &at.resize;
    if (p->mode != NN_RESIZE_PAD) {
        r->cx += x;
        r->cy += y;
        r->cw = r->ch = size;
        return data_resize(out, image, r, err);
    }
    uint8_t *middle = rudd_alloc((size_t)r->w * (size_t)r->h * 3);
    if (!middle) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d x %d pixels", r->w, r->h);
    enum rudd_status status = data_resize(middle, image, r, err);
    for (int i = 0; i < size && !status; i++)
        for (int j = 0; j < size; j++) {
            int px = x + j - at.x, py = y + i - at.y;
            bool inside = px >= 0 && px < r->w && py >= 0 && py < r->h;
            for (int c = 0; c < 3; c++)
                out[((size_t)i * size + j) * 3 + c] =
                    inside ? middle[((size_t)py * r->w + px) * 3 + c] : data_mean_colour(p, c);
        }
    rudd_free(middle);
    return status;
}

/* A corner, from the top left along the rows. With NN_RESIZE_CROP there is more picture around the centre crop than the fraction says
 * on the long side: the corner is that of the picture. */
static enum rudd_status corner(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int size, int which,
                               struct rudd_error *err)
{
    struct nn_preprocess wider = *p;
    if (!(p->crop_fraction > 0.05 && p->crop_fraction < 1)) wider.crop_fraction = 0.875;
    const bool right = which & 1, bottom = which & 2;
    if (p->mode != NN_RESIZE_CROP) {
        int side = (int)nearbyint(size / wider.crop_fraction);
        return window(out, image, &wider, side, right ? side - size : 0, bottom ? side - size : 0, size, err);
    }
    struct data_placement at = data_place(image, &wider, size);
    const struct data_resize *r = &at.resize;
    return window(out, image, &wider, size, (right ? r->w - size : 0) - r->cx, (bottom ? r->h - size : 0) - r->cy, size, err);
}

enum rudd_status data_preprocess_view(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int size,
                                      int view, struct rudd_error *err)
{
    enum rudd_status status = data_preprocess_check(p, size, err);
    if (!status && (view < 0 || view >= DATA_VIEWS))
        status = rudd_fail(err, RUDD_ARGUMENT, "view %d of a picture; 0 to %d are possible", view, DATA_VIEWS - 1);
    if (status) return status;
    status = view < 2 ? window(out, image, p, size, 0, 0, size, err) : corner(out, image, p, size, (view - 2) % 4, err);
    if (!status && (view == 1 || view >= 6)) data_mirror(out, size, true, false);
    return status;
}

enum rudd_status data_preprocess(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int size,
                                 struct rudd_error *err)
{
    return data_preprocess_view(out, image, p, size, 0, err);
}

static void swap_pixels(uint8_t *a, uint8_t *b)
{
    uint8_t keep[3];
    memcpy(keep, a, 3);
    memcpy(a, b, 3);
    memcpy(b, keep, 3);
}

void data_mirror(uint8_t *rgb, int size, bool flip, bool vflip)
{
    size_t n = (size_t)size;
    for (size_t y = 0; flip && y < n; y++)
        for (size_t x = 0; x < n / 2; x++) swap_pixels(rgb + (y * n + x) * 3, rgb + (y * n + n - 1 - x) * 3);
    for (size_t y = 0; vflip && y < n / 2; y++)
        for (size_t x = 0; x < n; x++) swap_pixels(rgb + (y * n + x) * 3, rgb + ((n - 1 - y) * n + x) * 3);
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
