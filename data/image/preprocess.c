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
#include "data/image/preprocess.h"
#include "data/image/codec.h"
#include "data/image/resize.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* A side under the scale that brings the shorter side to `to`. */
static int scaled(int to, int side, int shorter)
{
    return (int)nearbyint((double)((int64_t)to * side) / shorter);
}

struct data_placement data_place(const struct data_image *image, const struct nn_preprocess *p,
                                 int size)
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
        int side = (int)nearbyint(size / p->crop_fraction),
            shorter = image->w < image->h ? image->w : image->h;
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

enum rudd_status data_preprocess_check(const struct nn_preprocess *p, int size,
                                       struct rudd_error *err)
{
    if (size < 1 || size > 8192)
        return rudd_fail(err, RUDD_ARGUMENT, "image size %d; 1 to 8192 are possible", size);
    if (p->mode == NN_RESIZE_CROP && !(p->crop_fraction > 0.05 && p->crop_fraction <= 1))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "crop fraction %g; above 0.05 and at most 1 are possible",
                         p->crop_fraction);
    return RUDD_OK;
}

int data_reduction(int w, int h, const struct nn_preprocess *p, int size)
{
    const struct data_image shape = {w, h, NULL};
    const struct data_resize r = data_place(&shape, p, size).resize;
    int by = p->reduce > 0 ? 8 : 1;
    while (by > 1 && (w < by * p->reduce * r.w || h < by * p->reduce * r.h)) by /= 2;
    return by;
}

/* One view of one picture, whose rows come from memory or from a decoder. */
struct view {
    struct data_rows rows; /* the first member: what a decoder knows of it */
    const struct nn_preprocess *p;
    int size, which;
    uint8_t *out;
    int w, h,
        reduced; /* the picture, upright, and by how much its decoder reduces it: 1, 2, 4, 8 */

    /* NN_RESIZE_PAD: the whole of the picture, of which the view shows `size` pixels from (x, y) of
     * the padded square on. */
    uint8_t *middle;
    struct data_placement at;
    int x, y;
    struct data_resizer *resizer;
    double resize_ms;
};

/* Where the view lies in a picture of w x h pixels as evaluation sees it. Corners count from the
 * top left along the rows. With NN_RESIZE_CROP there is more picture around the centre crop than
 * the fraction says on the long side: the corner is that of the picture. */
static void place(struct view *v, int w, int h)
{
    const struct data_image shape = {w, h, NULL};
    const bool corner = v->which >= 2, right = (v->which - 2) & 1, bottom = (v->which - 2) % 4 & 2;
    struct nn_preprocess p = *v->p;
    struct data_resize *r = &v->at.resize;
    int side = v->size;
    if (corner && !(p.crop_fraction > 0.05 && p.crop_fraction < 1)) p.crop_fraction = 0.875;
    if (corner && p.mode != NN_RESIZE_CROP) {
        side = (int)nearbyint(v->size / p.crop_fraction);
        v->x = right ? side - v->size : 0;
        v->y = bottom ? side - v->size : 0;
    }
    v->at = data_place(&shape, &p, side);
    if (corner && p.mode == NN_RESIZE_CROP) {
        v->x = (right ? r->w - v->size : 0) - r->cx;
        v->y = (bottom ? r->h - v->size : 0) - r->cy;
    }
    if (p.mode == NN_RESIZE_PAD) return;
    r->cx += v->x;
    r->cy += v->y;
    r->cw = r->ch = v->size;
}

static int view_reduction(struct data_rows *rows, int w, int h)
{
    struct view *v = (struct view *)rows;
    v->w = w;
    v->h = h;
    return v->reduced = data_reduction(w, h, v->p, v->size);
}

/* The box of a reduced picture. Sides are rounded up, so the last pixel as stored may be there in
 * part only; a turn can make it the first. */
static void shrink_box(struct data_resize *r, const struct view *v, int w, int h, int orientation)
{
    const struct data_turn turn = data_turn_of(orientation);
    const float by = (float)v->reduced, fw = (float)v->w / by, fh = (float)v->h / by;
    const float x = (turn.transpose ? turn.flip_row : turn.flip_column) ? (float)w - fw : 0;
    const float y = (turn.transpose ? turn.flip_column : turn.flip_row) ? (float)h - fh : 0;
    r->left = x;
    r->right = x + fw;
    r->top = y;
    r->bottom = y + fh;
}

static enum rudd_status view_begin(struct data_rows *rows, int w, int h, int orientation,
                                   struct rudd_error *err)
{
    struct view *v = (struct view *)rows;
    struct data_resize *r = &v->at.resize;
    if (v->reduced > 1) {
        place(v, v->w, v->h);
        shrink_box(r, v, w, h, orientation);
    } else {
        place(v, w, h);
    }
    if (v->p->mode == NN_RESIZE_PAD && !(v->middle = rudd_alloc((size_t)r->w * (size_t)r->h * 3)))
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d x %d pixels", r->w, r->h);
    enum rudd_status status =
        data_resizer_create(&v->resizer, v->middle ? v->middle : v->out, w, h, orientation, r, err);
    if (!status) data_resizer_columns(&rows->first, &rows->last, v->resizer);
    return status;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void view_add(struct data_rows *rows, const uint8_t *rgb, int y, int count)
{
    struct view *v = (struct view *)rows;
    const double started = now_ms();
    data_resizer_rows(v->resizer, rgb, y, count);
    v->resize_ms += now_ms() - started;
}

static void pad(const struct view *v)
{
    const struct data_resize *r = &v->at.resize;
    const int size = v->size;
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            int px = v->x + j - v->at.x, py = v->y + i - v->at.y;
            bool inside = px >= 0 && px < r->w && py >= 0 && py < r->h;
            for (int c = 0; c < 3; c++)
                v->out[((size_t)i * size + j) * 3 + c] =
                    inside ? v->middle[((size_t)py * r->w + px) * 3 + c]
                           : data_mean_colour(v->p, c);
        }
}

/* After the last row, or a failure, which it passes on. */
static enum rudd_status view_end(struct view *v, enum rudd_status status)
{
    if (!status && v->middle) pad(v);
    if (!status && (v->which == 1 || v->which >= 6)) data_mirror(v->out, v->size, true, false);
    data_resizer_destroy(v->resizer);
    rudd_free(v->middle);
    return status;
}

static enum rudd_status view_init(struct view *v, uint8_t *out, const struct nn_preprocess *p,
                                  int size, int which, struct rudd_error *err)
{
    enum rudd_status status = data_preprocess_check(p, size, err);
    if (status) return status;
    if (which < 0 || which >= DATA_VIEWS)
        return rudd_fail(err, RUDD_ARGUMENT, "view %d of a picture; 0 to %d are possible", which,
                         DATA_VIEWS - 1);
    *v = (struct view){.rows = {.reduction = p->reduce > 0 ? view_reduction : NULL,
                                .begin = view_begin,
                                .add = view_add},
                       .p = p,
                       .size = size,
                       .which = which,
                       .out = out};
    return RUDD_OK;
}

enum rudd_status data_preprocess_view(uint8_t *out, const struct data_image *image,
                                      const struct nn_preprocess *p, int size, int view,
                                      struct rudd_error *err)
{
    struct view v;
    enum rudd_status status = view_init(&v, out, p, size, view, err);
    if (status) return status;
    status = view_begin(&v.rows, image->w, image->h, 1, err);
    if (!status) view_add(&v.rows, image->rgb, 0, image->h);
    return view_end(&v, status);
}

enum rudd_status data_preprocess_bytes(uint8_t *out, const void *bytes, size_t length,
                                       const char *name, const struct data_limits *limits,
                                       const struct nn_preprocess *p, int size, int view,
                                       struct data_reading *reading, struct rudd_error *err)
{
    struct view v;
    enum rudd_status status = view_init(&v, out, p, size, view, err);
    if (status) return status;
    status = data_image_rows(&v.rows, bytes, length, name, limits, err);
    if (reading) {
        reading->resize_ms = v.resize_ms;
        memcpy(reading->note, v.rows.note, sizeof reading->note);
    }
    return view_end(&v, status);
}

enum rudd_status data_thumbnail(struct data_image *small, const void *bytes, size_t length,
                                const char *name, const struct data_limits *limits, int side,
                                struct rudd_error *err)
{
    const struct nn_preprocess whole = {
        .image_size = side, .mode = NN_RESIZE_PAD, .filter = NN_BICUBIC, .reduce = 2};
    struct view v;
    enum rudd_status status = view_init(&v, NULL, &whole, side, 0, err);
    if (status) return status;
    status = data_image_rows(&v.rows, bytes, length, name, limits, err);
    if (!status) { /* what a view pads is the picture itself */
        *small = (struct data_image){v.at.resize.w, v.at.resize.h, v.middle};
        v.middle = NULL;
    }
    return view_end(&v, status);
}

/* ---- whole pictures, reduced ---------------------------------------------------------------- */

struct whole {
    struct data_rows rows;
    const struct nn_preprocess *p;
    int size, orientation;
    struct data_image stored;
};

static int whole_reduction(struct data_rows *rows, int w, int h)
{
    const struct whole *v = (struct whole *)rows;
    return data_reduction(w, h, v->p, v->size);
}

static enum rudd_status whole_begin(struct data_rows *rows, int w, int h, int orientation,
                                    struct rudd_error *err)
{
    struct whole *v = (struct whole *)rows;
    const bool sideways = data_turn_of(orientation).transpose;
    v->orientation = orientation;
    v->stored = (struct data_image){sideways ? h : w, sideways ? w : h,
                                    rudd_alloc((size_t)w * (size_t)h * 3), ""};
    return v->stored.rgb ? RUDD_OK
                         : rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d x %d pixels", w, h);
}

static void whole_add(struct data_rows *rows, const uint8_t *rgb, int y, int count)
{
    const struct whole *v = (struct whole *)rows;
    const size_t stride = (size_t)v->stored.w * 3;
    memcpy(v->stored.rgb + (size_t)y * stride, rgb, (size_t)count * stride);
}

enum rudd_status data_image_read_for(struct data_image *image, const char *path,
                                     const struct data_limits *limits,
                                     const struct nn_preprocess *p, int size,
                                     struct rudd_error *err)
{
    if (!(p->reduce > 0)) return data_image_read(image, path, limits, err);
    struct whole v = {
        .rows = {.reduction = whole_reduction, .begin = whole_begin, .add = whole_add},
        .p = p,
        .size = size};
    uint8_t *bytes = NULL;
    size_t length;
    enum rudd_status status = data_image_load(&bytes, &length, path, limits, err);
    if (!status) status = data_image_rows(&v.rows, bytes, length, path, limits, err);
    rudd_free(bytes);
    if (!status) status = data_make_upright(&v.stored, v.orientation, path, err);
    memcpy(v.stored.note, v.rows.note, sizeof v.stored.note);
    if (status)
        data_image_free(&v.stored);
    else
        *image = v.stored;
    return status;
}

enum rudd_status data_preprocess(uint8_t *out, const struct data_image *image,
                                 const struct nn_preprocess *p, int size, struct rudd_error *err)
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
        for (size_t x = 0; x < n / 2; x++)
            swap_pixels(rgb + (y * n + x) * 3, rgb + (y * n + n - 1 - x) * 3);
    for (size_t y = 0; vflip && y < n / 2; y++)
        for (size_t x = 0; x < n; x++)
            swap_pixels(rgb + (y * n + x) * 3, rgb + ((n - 1 - y) * n + x) * 3);
}

uint8_t data_mean_colour(const struct nn_preprocess *p, int channel)
{
    return (uint8_t)nearbyintf(255 * p->mean[channel]);
}

void data_normalise(float *out, const uint8_t *rgb, size_t count, const struct nn_preprocess *p)
{
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = ((float)rgb[3 * i + c] / 255.0f - p->mean[c]) / p->std[c];
}
