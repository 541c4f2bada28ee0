/* colour.c - brightness, contrast, saturation, sharpness and hue as Pillow computes them.
 *
 * The first four are one operation, a blend of the picture with a duller version of itself:
 *
 *     out = dull + factor * (picture - dull),  cut (not rounded) to 0..255
 *     dull:  brightness black | contrast the mean grey | saturation the pixel's grey | sharpness the smoothed picture
 *
 * Hue goes through Pillow's 8-bit HSV, losses included.
 *
 * Source: Pillow's Blend.c, Filter.c, Convert.c (L24, rgb2hsv, hsv2rgb), ImageEnhance.py; torchvision's functional_pil.adjust_hue. */
#include "data/image/colour.h"

#include <math.h>
#include <string.h>

/* Rec. 601 luma in 16-bit fractions. */
static int grey(const uint8_t *p)
{
    return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

static uint8_t blend(int dull, int v, float factor)
{
    float out = (float)dull + factor * (float)(v - dull);
    return out <= 0 ? 0 : out >= 255 ? 255 : (uint8_t)out;
}

void data_brightness(uint8_t *rgb, size_t count, float factor)
{
    for (size_t i = 0; i < 3 * count; i++) rgb[i] = blend(0, rgb[i], factor);
}

void data_contrast(uint8_t *rgb, size_t count, float factor)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += (uint64_t)grey(rgb + 3 * i);
    int mean = count ? (int)((double)sum / (double)count + 0.5) : 0;
    for (size_t i = 0; i < 3 * count; i++) rgb[i] = blend(mean, rgb[i], factor);
}

void data_saturation(uint8_t *rgb, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++) {
        int dull = grey(rgb + 3 * i);
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = blend(dull, rgb[3 * i + c], factor);
    }
}

/* Pillow's SMOOTH, the mean with weight 5 in the middle and 1 around, of one sample whose rows are
 * `row` bytes apart. Sums run from the last row to the first, in float: the order is part of the
 * contract. */
static uint8_t smooth(const uint8_t *at, ptrdiff_t row)
{
    static const float one = 1.0f / 13, five = 5.0f / 13;
    float sum = 0.5f;
    for (int y = 1; y >= -1; y--) {
        const uint8_t *v = at + y * row;
        sum += (float)v[-3] * one + (float)v[0] * (y ? one : five) + (float)v[3] * one;
    }
    return sum >= 255 ? 255 : (uint8_t)sum;
}

void data_sharpness(uint8_t *rgb, uint8_t *scratch, int w, int h, float factor)
{
    const ptrdiff_t row = (ptrdiff_t)w * 3;
    memcpy(scratch, rgb, (size_t)row * (size_t)h);
    for (ptrdiff_t y = 1; y < h - 1; y++)
        for (ptrdiff_t i = y * row + 3; i < (y + 1) * row - 3; i++)
            rgb[i] = blend(smooth(scratch + i, row), scratch[i], factor);
}

struct hsv {
    uint8_t h, s, v;
};

static struct hsv to_hsv(const uint8_t *p)
{
    int r = p[0], g = p[1], b = p[2];
    int most = r > g ? r : g, least = r < g ? r : g;
    if (b > most) most = b;
    if (b < least) least = b;
    if (most == least) return (struct hsv){0, 0, (uint8_t)most};

    float range = (float)(most - least), s = range / (float)most;
    float rc = (float)(most - r) / range, gc = (float)(most - g) / range,
          bc = (float)(most - b) / range, h;
    if (r == most)
        h = bc - gc;
    else if (g == most)
        h = (float)(2.0 + (double)rc - (double)bc);
    else
        h = (float)(4.0 + (double)gc - (double)rc);
    h = (float)fmod(h / 6.0 + 1.0, 1.0); /* h / 6 may be negative */
    return (struct hsv){(uint8_t)(int)(h * 255.0), (uint8_t)(int)(s * 255.0), (uint8_t)most};
}

static uint8_t nearest(double v)
{
    v = round(v);
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)v;
}

static void from_hsv(uint8_t *out, struct hsv in)
{
    double sector = (double)((float)in.h * 6.0 / 255.0);
    int i = (int)floor(sector);
    float f = (float)(sector - (float)i), fs = (float)((float)in.s / 255.0);
    uint8_t v = in.v, p = nearest((float)v * (1.0 - fs)), q = nearest((float)v * (1.0 - fs * f)),
            t = nearest((float)v * (1.0 - fs * (1.0 - f)));
    const uint8_t table[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    for (int c = 0; c < 3; c++) out[c] = in.s == 0 ? v : table[i % 6][c];
}

void data_hue(uint8_t *rgb, size_t count, double shift)
{
    int turn = (int)(shift * 255); /* towards 0, then modulo 256: numpy's uint8(shift * 255) */
    for (size_t i = 0; turn != 0 && i < count; i++) {
        struct hsv p = to_hsv(rgb + 3 * i);
        p.h = (uint8_t)(p.h + turn);
        from_hsv(rgb + 3 * i, p);
    }
}
