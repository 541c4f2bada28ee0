/* randaugment.c - RandAugment's operations: tables of 256 values, colour factors, and affine maps.
 *
 * An affine map gives for each output pixel's centre a place in the picture, which is sampled from
 * its 2 x 2 or 4 x 4 neighbours without regard to scale (all maps here keep areas). Neighbours
 * beyond the edge repeat it; places beyond the edge are filled.
 *
 * Sources: timm's auto_augment.py (operations, levels, chances); Pillow's ImageOps.py, Geometry.c
 * (arithmetic). */
#include "data/image/randaugment.h"

#include "data/image/colour.h"
#include <math.h>
#include <string.h>

#define DATA_RANDAUGMENT_NAME(name, offset, scale, form) #name,
const char *const data_randaugment_names[DATA_RANDAUGMENT_COUNT] = {
    DATA_RANDAUGMENT_OPS(DATA_RANDAUGMENT_NAME)};
#undef DATA_RANDAUGMENT_NAME

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void stretch(uint8_t table[256], const int histogram[256])
{
    int lo = 0, hi = 255;
    while (lo < 255 && !histogram[lo]) lo++;
    while (hi > 0 && !histogram[hi]) hi--;
    if (hi <= lo) return;
    const double scale = 255.0 / (hi - lo), offset = -lo * scale;
    for (int v = 0; v < 256; v++) {
        double out = v * scale + offset;
        table[v] = out <= 0 ? 0 : out >= 255 ? 255 : (uint8_t)out;
    }
}

/* Towards equal shares of all values but the largest that occurs. A picture of fewer than 256 other
 * pixels stays. */
static void equalize(uint8_t table[256], const int histogram[256])
{
    int all = 0, last = 0;
    for (int v = 0; v < 256; v++) {
        all += histogram[v];
        if (histogram[v]) last = histogram[v];
    }
    const int step = (all - last) / 255;
    if (step == 0) return;
    for (int v = 0, sum = step / 2; v < 256; sum += histogram[v++])
        table[v] = sum / step > 255 ? 255 : (uint8_t)(sum / step);
}

static uint8_t map_value(enum data_randaugment_op op, int v, int argument)
{
    switch (op) {
    case DATA_RANDAUGMENT_Invert: return (uint8_t)(255 - v);
    case DATA_RANDAUGMENT_Posterize:
        return argument >= 8 ? (uint8_t)v : (uint8_t)(v & ~((1 << (8 - argument)) - 1));
    case DATA_RANDAUGMENT_Solarize: return v < argument ? (uint8_t)v : (uint8_t)(255 - v);
    default: /* SolarizeAdd */
        if (v >= 128) return (uint8_t)v;
        return v + argument > 255 ? 255 : (uint8_t)(v + argument);
    }
}

static void run_table(uint8_t *rgb, enum data_randaugment_op op, int argument, size_t pixels)
{
    for (size_t c = 0; c < 3; c++) {
        uint8_t table[256];
        int histogram[256] = {0};
        for (int v = 0; v < 256; v++) table[v] = (uint8_t)v;
        if (op == DATA_RANDAUGMENT_AutoContrast || op == DATA_RANDAUGMENT_Equalize) {
            for (size_t i = 0; i < pixels; i++) histogram[rgb[3 * i + c]]++;
            (op == DATA_RANDAUGMENT_Equalize ? equalize : stretch)(table, histogram);
        } else {
            for (int v = 0; v < 256; v++) table[v] = map_value(op, v, argument);
        }
        for (size_t i = 0; i < pixels; i++) rgb[3 * i + c] = table[rgb[3 * i + c]];
    }
}

/* ---- geometry ---------------------------------------------------------------------------------------------------- */

static double linear(const double v[2], double d)
{
    return v[0] + (v[1] - v[0]) * d;
}

/* Keys' cubic with a = -1, which Pillow has for transforms (for resizing it has -0.5). */
static double cubic(const double v[4], double d)
{
    double p1 = v[1], p2 = -v[0] + v[2], p3 = 2 * (v[0] - v[1]) + v[2] - v[3],
           p4 = -v[0] + v[1] - v[2] + v[3];
    return p1 + d * (p2 + d * (p3 + d * p4));
}

static int inside(int i, int size)
{
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* The pixel at place (x, y), which lies within the picture. */
static void sample(uint8_t *out, const uint8_t *rgb, int size, double x, double y,
                   enum nn_filter filter)
{
    const int taps = filter == NN_BILINEAR ? 2 : 4;
    x -= 0.5;
    y -= 0.5;
    const int x0 = (int)floor(x), y0 = (int)floor(y), before = taps / 2 - 1;
    const double dx = x - x0, dy = y - y0;
    for (int c = 0; c < 3; c++) {
        double rows[4];
        for (int i = 0; i < taps; i++) {
            const uint8_t *row = rgb + (size_t)inside(y0 - before + i, size) * (size_t)size * 3;
            double v[4];
            for (int j = 0; j < taps; j++) v[j] = row[3 * inside(x0 - before + j, size) + c];
            rows[i] = taps == 2 ? linear(v, dx) : cubic(v, dx);
        }
        double v = taps == 2 ? linear(rows, dy) : cubic(rows, dy);
        out[c] = v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)v;
    }
}

/* out pixel at (x, y) = place (a[0] x + a[1] y + a[2], a[3] x + a[4] y + a[5]) of the picture
 * before */
static void warp(uint8_t *rgb, uint8_t *scratch, const double a[6], const struct nn_preprocess *p,
                 int size)
{
    memcpy(scratch, rgb, (size_t)size * (size_t)size * 3);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++, rgb += 3) {
            double sx = a[0] * (x + 0.5) + a[1] * (y + 0.5) + a[2],
                   sy = a[3] * (x + 0.5) + a[4] * (y + 0.5) + a[5];
            if (sx >= 0 && sx < size && sy >= 0 && sy < size)
                sample(rgb, scratch, size, sx, sy, p->filter);
            else
                for (int c = 0; c < 3; c++) rgb[c] = data_mean_colour(p, c);
        }
}

static void rotate(uint8_t *rgb, uint8_t *scratch, double degrees, const struct nn_preprocess *p,
                   int size)
{
    if (degrees == 0) return;
    /* Clockwise, since it leads from the output back; about the middle. Positive angles and 15
     * digits, for Pillow's very bits. */
    double turn = -(degrees < 0 ? degrees + 360 : degrees) * (3.141592653589793 / 180),
           middle = size / 2.0;
    double c = nearbyint(cos(turn) * 1e15) / 1e15, s = nearbyint(sin(turn) * 1e15) / 1e15;
    const double a[6] = {c,  s, -c * middle - s * middle + middle,
                         -s, c, s * middle - c * middle + middle};
    warp(rgb, scratch, a, p, size);
}

void data_randaugment_run(uint8_t *rgb, uint8_t *scratch, enum data_randaugment_op op,
                          double argument, const struct nn_preprocess *p, int size)
{
    const size_t pixels = (size_t)size * (size_t)size;
    double a[6] = {1, 0, 0, 0, 1, 0};
    switch (op) {
    case DATA_RANDAUGMENT_Color: data_saturation(rgb, pixels, (float)argument); return;
    case DATA_RANDAUGMENT_Contrast: data_contrast(rgb, pixels, (float)argument); return;
    case DATA_RANDAUGMENT_Brightness: data_brightness(rgb, pixels, (float)argument); return;
    case DATA_RANDAUGMENT_Sharpness:
        data_sharpness(rgb, scratch, size, size, (float)argument);
        return;
    case DATA_RANDAUGMENT_Rotate: rotate(rgb, scratch, argument, p, size); return;
    case DATA_RANDAUGMENT_ShearX: a[1] = argument; break;
    case DATA_RANDAUGMENT_ShearY: a[3] = argument; break;
    case DATA_RANDAUGMENT_TranslateX: a[2] = argument * size; break;
    case DATA_RANDAUGMENT_TranslateY: a[5] = argument * size; break;
    default: run_table(rgb, op, (int)argument, pixels); return;
    }
    warp(rgb, scratch, a, p, size);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static double draw_argument(struct nn_rng *rng, enum data_randaugment_op op, double magnitude)
{
#define DATA_RANDAUGMENT_LEVEL(name, offset, scale, form) {offset, scale, form},
    static const struct {
        double offset, scale;
        int form;
    } rows[] = {DATA_RANDAUGMENT_OPS(DATA_RANDAUGMENT_LEVEL)};
#undef DATA_RANDAUGMENT_LEVEL
    double level = fmax(0, fmin(10, magnitude + 0.5 * nn_rng_normal(rng)));
    double argument = rows[op].offset + level / 10 * rows[op].scale;
    if (rows[op].form == DATA_WHOLE) return trunc(argument);
    return rows[op].form == DATA_SIGNED && nn_rng_uniform(rng) < 0.5 ? -argument : argument;
}

enum rudd_status data_randaugment(uint8_t *rgb, struct nn_rng *rng, double magnitude,
                                  const struct nn_preprocess *p, int size, struct rudd_error *err)
{
    uint8_t *scratch = rudd_alloc((size_t)size * (size_t)size * 3);
    if (!scratch)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to augment a picture of %d x %d pixels",
                         size, size);
    for (int i = 0; i < 2; i++) {
        enum data_randaugment_op op =
            (enum data_randaugment_op)nn_rng_below(rng, DATA_RANDAUGMENT_COUNT);
        if (nn_rng_uniform(rng) < 0.5)
            data_randaugment_run(rgb, scratch, op, draw_argument(rng, op, magnitude), p, size);
    }
    rudd_free(scratch);
    return RUDD_OK;
}
