/* augment.c - one random view of a picture: a crop, at most one affine map, colour jitter, an erased patch.
 *
 *     draw box, flips, affine  -->  resample once  -->  RandAugment  -->  jitter in random order  -->  erase
 *
 * Without rotation, shift, zoom or shear the crop goes through data_resize, the filter the network is evaluated with. With any of them the
 * map from an output pixel to the picture is affine, and the filter follows it: a triangle in each direction of the source, stretched by
 * how far one output pixel reaches there, so that a large photograph is averaged and not merely sampled.
 *
 *     source = centre of box + (box / size) * inverse(shift, rotation * zoom, shear, flip) * (output - size / 2)
 *
 * What falls outside of the picture is the mean colour, as with NN_RESIZE_PAD.
 *
 * Sources: torchvision's RandomResizedCrop, ColorJitter, RandomErasing (their distributions; the generator is ours). */
#include "data/image/augment.h"
#include "data/image/colour.h"
#include "data/image/randaugment.h"
#include "nn/rng.h"

#include <math.h>
#include <string.h>

const struct data_augment data_augment_default = {.crop_min = 0.5,
                                                  .crop_max = 1,
                                                  .ratio_min = 3.0 / 4,
                                                  .ratio_max = 4.0 / 3,
                                                  .flip = 0.5,
                                                  .brightness = 0.2,
                                                  .contrast = 0.2,
                                                  .saturation = 0.2};

enum rudd_status data_augment_check(const struct data_augment *a, struct rudd_error *err)
{
    const struct {
        const char *name;
        double value, min, max;
    } rows[] = {
        {"crop_max", a->crop_max, 0, 1},
        {"crop_min", a->crop_min, 0, a->crop_max > 0 ? a->crop_max : 1},
        {"ratio_min", a->crop_max > 0 ? a->ratio_min : 1, 0.01, 100},
        {"ratio_max", a->crop_max > 0 ? a->ratio_max : 1, a->crop_max > 0 ? a->ratio_min : 1, 100},
        {"flip", a->flip, 0, 1},
        {"vflip", a->vflip, 0, 1},
        {"rotate", a->rotate, 0, 180},
        {"shift", a->shift, 0, 1},
        {"zoom", a->zoom, 0, 0.95},
        {"shear", a->shear, 0, 80},
        {"randaugment", a->randaugment, 0, 10},
        {"brightness", a->brightness, 0, 10},
        {"contrast", a->contrast, 0, 10},
        {"saturation", a->saturation, 0, 10},
        {"hue", a->hue, 0, 0.5},
        {"erase", a->erase, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max)) /* also for NaN */
            return rudd_fail(err, RUDD_ARGUMENT, "augmentation: %s is %g; %g to %g is possible",
                             rows[i].name, rows[i].value, rows[i].min, rows[i].max);
    return RUDD_OK;
}

/* ---- geometry --------------------------------------------------------------------------------------------------------------- */

/* A rectangle of the source; fractions, and for padding also places outside of it, are allowed. */
struct box {
    double x, y, w, h;
};

/* A rectangle of a random share of iw x ih and a random aspect; false if ten draws did not fit. */
static bool draw_rectangle(struct box *box, struct nn_rng *rng, int iw, int ih, double area_min,
                           double area_max, double ratio_min, double ratio_max)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        double area = (double)iw * ih * nn_rng_range(rng, area_min, area_max);
        double ratio = exp(nn_rng_range(rng, log(ratio_min), log(ratio_max)));
        double w = nearbyint(sqrt(area * ratio)), h = nearbyint(sqrt(area / ratio));
        if (w < 1 || w > iw || h < 1 || h > ih) continue;
        *box = (struct box){(double)nn_rng_below(rng, (uint64_t)(iw - w) + 1),
                            (double)nn_rng_below(rng, (uint64_t)(ih - h) + 1), w, h};
        return true;
    }
    return false;
}

static struct box draw_crop(struct nn_rng *rng, const struct data_image *image,
                            const struct data_augment *a)
{
    struct box box;
    if (draw_rectangle(&box, rng, image->w, image->h, a->crop_min, a->crop_max, a->ratio_min,
                       a->ratio_max))
        return box;
    /* The picture is too long or too tall for the aspects wanted: the middle of it, as large as
     * they allow. */
    double w = image->w, h = image->h, ratio = w / h;
    if (ratio < a->ratio_min)
        h = fmax(1, nearbyint(w / a->ratio_min));
    else if (ratio > a->ratio_max)
        w = fmax(1, nearbyint(h * a->ratio_max));
    return (struct box){floor((image->w - w) / 2), floor((image->h - h) / 2), w, h};
}

/* The rectangle of the source that evaluation would show; larger than the picture when it pads. */
static struct box evaluation_box(const struct data_image *image, const struct nn_preprocess *p,
                                 int size)
{
    struct data_placement at = data_place(image, p, size);
    double sx = (double)image->w / at.resize.w, sy = (double)image->h / at.resize.h;
    return (struct box){(at.resize.cx - at.x) * sx, (at.resize.cy - at.y) * sy, size * sx,
                        size * sy};
}

/* source = origin + m * (output pixel's centre) */
struct affine {
    double origin[2], m[2][2];
};

static double degrees(struct nn_rng *rng, double most)
{
    return nn_rng_range(rng, -most, most) * (3.141592653589793 / 180);
}

static struct affine draw_affine(struct nn_rng *rng, const struct data_augment *a,
                                 const struct box *box, bool flip, bool vflip, int size)
{
    double turn = degrees(rng, a->rotate), shear = tan(degrees(rng, a->shear));
    double scale = 1 / nn_rng_range(rng, 1 - a->zoom, 1 + a->zoom);
    double dx = nn_rng_range(rng, -a->shift, a->shift) * size,
           dy = nn_rng_range(rng, -a->shift, a->shift) * size;
    double c = cos(turn) * scale, s = sin(turn) * scale;
    /* rotation and zoom after shear along x, then flips, all about the middle of the output;
     * columns scaled to the box */
    double fx = flip ? -1 : 1, fy = vflip ? -1 : 1, kx = box->w / size, ky = box->h / size;
    struct affine t = {
        .m = {{fx * kx * (c + shear * s), fx * kx * (shear * c - s)}, {fy * ky * s, fy * ky * c}}};
    double mx = size / 2.0 + dx, my = size / 2.0 + dy;
    t.origin[0] = box->x + box->w / 2 - t.m[0][0] * mx - t.m[0][1] * my;
    t.origin[1] = box->y + box->h / 2 - t.m[1][0] * mx - t.m[1][1] * my;
    return t;
}

/* Triangle weights around `at` with half-width reach: pixels first .. first+count-1, clipped to 0
 * .. n-1 by the caller. */
static int triangle(float *w, int *first, double at, double reach)
{
    *first = (int)floor(at - reach + 0.5);
    int last = (int)ceil(at + reach - 0.5) - 1;
    for (int i = *first; i <= last; i++) w[i - *first] = (float)(1 - fabs(i + 0.5 - at) / reach);
    return last - *first + 1;
}

static void sample(uint8_t *out, const struct data_image *image, const uint8_t fill[3], double x,
                   double y, const double reach[2], float *wx, float *wy)
{
    for (int c = 0; c < 3; c++) out[c] = fill[c];
    if (x < -reach[0] || y < -reach[1] || x > image->w + reach[0] || y > image->h + reach[1])
        return;
    int x0, y0, nx = triangle(wx, &x0, x, reach[0]), ny = triangle(wy, &y0, y, reach[1]);
    float sum[3] = {0}, all = 0, inside = 0;
    for (int i = 0; i < ny; i++) {
        float row[3] = {0}, weight = 0;
        for (int j = 0; j < nx; j++) {
            all += wx[j] * wy[i];
            if (x0 + j < 0 || x0 + j >= image->w || y0 + i < 0 || y0 + i >= image->h) continue;
            const uint8_t *px = image->rgb + ((size_t)(y0 + i) * image->w + (x0 + j)) * 3;
            for (int c = 0; c < 3; c++) row[c] += wx[j] * (float)px[c];
            weight += wx[j];
        }
        for (int c = 0; c < 3; c++) sum[c] += wy[i] * row[c];
        inside += wy[i] * weight;
    }
    if (!(all > 0)) return;
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)fminf(255, (sum[c] + (all - inside) * (float)fill[c]) / all + 0.5f);
}

static enum rudd_status resample(uint8_t *out, const struct data_image *image,
                                 const struct affine *t, const struct nn_preprocess *p, int size,
                                 struct rudd_error *err)
{
    uint8_t fill[3];
    double reach[2];
    for (int c = 0; c < 3; c++) fill[c] = data_mean_colour(p, c);
    for (int d = 0; d < 2; d++)
        reach[d] = fmax(1, sqrt(t->m[d][0] * t->m[d][0] + t->m[d][1] * t->m[d][1]));

    size_t taps = (size_t)(2 * fmax(reach[0], reach[1])) + 4;
    float *w = rudd_alloc(2 * taps * sizeof *w);
    if (!w)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to turn a picture of %d x %d pixels",
                         image->w, image->h);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            double sx = t->origin[0] + t->m[0][0] * (x + 0.5) + t->m[0][1] * (y + 0.5);
            double sy = t->origin[1] + t->m[1][0] * (x + 0.5) + t->m[1][1] * (y + 0.5);
            sample(out + ((size_t)y * size + x) * 3, image, fill, sx, sy, reach, w, w + taps);
        }
    rudd_free(w);
    return RUDD_OK;
}

static enum rudd_status draw_geometry(uint8_t *out, struct nn_rng *rng,
                                      const struct data_image *image, const struct data_augment *a,
                                      const struct nn_preprocess *p, int size,
                                      struct rudd_error *err)
{
    bool crop = a->crop_max > 0;
    struct box box = crop ? draw_crop(rng, image, a) : evaluation_box(image, p, size);
    bool flip = nn_rng_uniform(rng) < a->flip, vflip = nn_rng_uniform(rng) < a->vflip;
    if (a->rotate > 0 || a->shift > 0 || a->zoom > 0 || a->shear > 0) {
        struct affine t = draw_affine(rng, a, &box, flip, vflip, size);
        return resample(out, image, &t, p, size, err);
    }
    struct data_resize r = {p->filter,
                            (float)box.x,
                            (float)box.y,
                            (float)(box.x + box.w),
                            (float)(box.y + box.h),
                            size,
                            size,
                            0,
                            0,
                            size,
                            size};
    enum rudd_status status =
        crop ? data_resize(out, image, &r, err) : data_preprocess(out, image, p, size, err);
    if (!status) data_mirror(out, size, flip, vflip);
    return status;
}

/* ---- colour and erasing ------------------------------------------------------------------------------------------------------- */

static void jitter(uint8_t *rgb, struct nn_rng *rng, const struct data_augment *a, size_t pixels)
{
    int order[4];
    nn_rng_permutation(rng, order, 4);
    for (int i = 0; i < 4; i++) {
        double strength[4] = {a->brightness, a->contrast, a->saturation, a->hue},
               s = strength[order[i]];
        float factor = (float)nn_rng_range(rng, fmax(0, 1 - s), 1 + s);
        if (s == 0) continue;
        switch (order[i]) {
        case 0: data_brightness(rgb, pixels, factor); break;
        case 1: data_contrast(rgb, pixels, factor); break;
        case 2: data_saturation(rgb, pixels, factor); break;
        case 3: data_hue(rgb, pixels, (double)factor - 1); break;
        }
    }
}

static void erase(uint8_t *rgb, struct nn_rng *rng, const struct data_augment *a,
                  const struct nn_preprocess *p, int size)
{
    struct box box;
    if (nn_rng_uniform(rng) >= a->erase ||
        !draw_rectangle(&box, rng, size, size, 0.02, 0.33, 0.3, 3.3))
        return;
    for (size_t y = (size_t)box.y; y < (size_t)(box.y + box.h); y++)
        for (size_t x = (size_t)box.x; x < (size_t)(box.x + box.w); x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * (size_t)size + x) * 3 + (size_t)c] = data_mean_colour(p, c);
}

enum rudd_status data_augment_view(uint8_t *out, const struct data_image *image,
                                   const struct data_augment *a, const struct nn_preprocess *p,
                                   int size, uint64_t seed, uint64_t epoch, uint64_t index,
                                   struct rudd_error *err)
{
    enum rudd_status status = data_augment_check(a, err);
    if (!status) status = data_preprocess_check(p, size, err);
    if (status) return status;
    struct nn_rng rng;
    nn_rng_init(&rng, seed, epoch, index);
    status = draw_geometry(out, &rng, image, a, p, size, err);
    if (!status && a->randaugment > 0)
        status = data_randaugment(out, &rng, a->randaugment, p, size, err);
    if (status) return status;
    jitter(out, &rng, a, (size_t)size * (size_t)size);
    erase(out, &rng, a, p, size);
    return RUDD_OK;
}
