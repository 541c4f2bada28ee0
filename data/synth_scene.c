/* synth_scene.c - where the fish is, the light, the camera: the whole picture.
 *
 * The idea: everything that a photograph varies and a species does not is drawn here, so that none of it tells the species:
 *
 *     background --> shadow --> fish --> weeds or a dark frame in front --> haze --> light --> blur --> noise --> 8 bits -->
 * JPEG water | board | deck | grass                                                 colour cast, exposure, uneven
 *
 * One generator per picture, keyed (seed, species, index), is read in one fixed order. Noise fields are keyed by numbers drawn
 * from it. All lengths are shares of the picture's side, so that one key gives the same scene at every size. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* see synth_draw.c */
#endif
#include "data/synth_draw.h"
#include "data/image/jpeg_write.h"

#include <math.h>
#include <string.h>

struct scene {
    struct data_canvas canvas;
    float *scratch; /* [size,size,3] */
    struct nn_rng rng;
};

static void colour_of(float rgb[3], const float base[3], float spread, struct nn_rng *rng)
{
    float tone = 1 + spread * data_vary(rng);
    for (int k = 0; k < 3; k++) rgb[k] = data_clamp(base[k] * tone * (1 + .5f * spread * data_vary(rng)));
}

/* field[size,size] += amount * noise with features of `cell` picture sides, stretched along x. */
static void add_noise(float *field, int size, float cell, float stretch, float amount, uint32_t salt)
{
    float fx = 1 / (cell * stretch * (float)size), fy = 1 / (cell * (float)size);
    for (int i = 0; i < size; i++) {
        float y = ((float)i + .5f) * fy;
        int j0 = data_floor(y), last = 0;
        float v = y - (float)j0, left = 0, right = 0;
        v = v * v * (3 - 2 * v);
        for (int j = 0; j < size; j++) {
            float x = ((float)j + .5f) * fx;
            int i0 = data_floor(x);
            if (j == 0 || i0 != last) { /* a cell's corners serve all of its pixels in this row */
                left = data_mix(data_cell(i0, j0, salt), data_cell(i0, j0 + 1, salt), v);
                right = data_mix(data_cell(i0 + 1, j0, salt), data_cell(i0 + 1, j0 + 1, salt), v);
                last = i0;
            }
            float u = x - (float)i0;
            field[(size_t)i * (size_t)size + (size_t)j] += amount * data_mix(left, right, u * u * (3 - 2 * u));
        }
    }
}

/* A blade of weed or grass: a curved strip from (x0,y0) to (x1,y1), thinning to its tip. In picture sides. */
static void blade(struct data_canvas *canvas, float x0, float y0, float x1, float y1, float curve, float width,
                  const float rgb[3], float alpha)
{
    int n = canvas->size;
    float top = (y0 < y1 ? y0 : y1) * (float)n, low = (y0 < y1 ? y1 : y0) * (float)n;
    int from = top < 0 ? 0 : (int)top, to = low > (float)n ? n : (int)low;
    for (int i = from; i < to; i++) {
        float t = (((float)i + .5f) / (float)n - y0) / (y1 - y0), half = width * (float)n * (1 - .8f * t) * .5f;
        float centre = (data_mix(x0, x1, t) + curve * t * (1 - t)) * (float)n;
        int a = (int)(centre - half - 1), b = (int)(centre + half + 2);
        for (int j = a < 0 ? 0 : a; j < b && j < n; j++) {
            float d = fabsf((float)j + .5f - centre), cover = alpha * data_clamp(half - d + .5f),
                  shade = 1.1f - .4f * d / (half + .5f);
            float *c = canvas->rgb + ((size_t)i * (size_t)n + (size_t)j) * 3;
            for (int k = 0; k < 3; k++) c[k] = data_mix(c[k], rgb[k] * shade, cover);
        }
    }
}

static void weeds(struct scene *s, int count, float width, const float base[3], float alpha)
{
    for (int i = 0; i < count; i++) {
        float x = data_between(&s->rng, -.1f, 1.1f), lean = data_between(&s->rng, -.25f, .25f), rgb[3];
        float top = data_between(&s->rng, -.1f, .75f), curve = data_between(&s->rng, -.5f, .5f);
        colour_of(rgb, base, .45f, &s->rng);
        blade(&s->canvas, x, 1.05f, x + lean, top, curve, width * data_between(&s->rng, .5f, 1.5f), rgb, alpha);
    }
}

/* ---- backgrounds ------------------------------------------------------------------------------------------------------------
 */

static void water(struct scene *s)
{
    static const float waters[4][3] = {{.32f, .44f, .30f}, {.25f, .42f, .50f}, {.42f, .38f, .24f}, {.45f, .55f, .52f}};
    static const float bottoms[2][3] = {{.45f, .40f, .32f}, {.36f, .33f, .24f}};
    static const float weed[3] = {.20f, .34f, .14f};
    float up[3], low[3], ground[3];
    const float *base = waters[nn_rng_below(&s->rng, 4)];
    colour_of(up, base, .35f, &s->rng);
    float dim = data_between(&s->rng, .35f, .85f), floor_at = data_between(&s->rng, .55f, 1.35f);
    for (int k = 0; k < 3; k++) low[k] = up[k] * dim;
    colour_of(ground, bottoms[nn_rng_below(&s->rng, 2)], .3f, &s->rng);

    int n = s->canvas.size;
    float *ripple = s->scratch, *gravel = s->scratch + (size_t)n * (size_t)n;
    memset(ripple, 0, 2 * (size_t)n * (size_t)n * sizeof *ripple);
    uint32_t salt = (uint32_t)nn_rng_next(&s->rng);
    add_noise(ripple, n, .16f, 1.8f, .65f, salt);
    add_noise(ripple, n, .07f, 1.6f, .35f, salt + 1);
    add_noise(gravel, n, .030f, 1.3f, .6f, salt + 2);
    add_noise(gravel, n, .012f, 1.2f, .4f, salt + 3);
    float caustics = data_between(&s->rng, 0, .8f), grit = data_between(&s->rng, .3f, 1.1f);
    for (int i = 0; i < n; i++) {
        float y = ((float)i + .5f) / (float)n;
        for (int j = 0; j < n; j++) {
            size_t p = (size_t)i * (size_t)n + (size_t)j;
            float net = 1 - fabsf(ripple[p] - .5f) * 9; /* bright lines where the surface focuses light: noise near its mean */
            float light = .85f + .3f * ripple[p] + (net > 0 ? net * caustics * .5f : 0);
            float bottom = data_step(floor_at - .03f, floor_at + .05f, y + .25f * (ripple[p] - .5f));
            for (int k = 0; k < 3; k++)
                s->canvas.rgb[p * 3 + (size_t)k] =
                    light *
                    data_mix(data_mix(up[k], low[k], y), ground[k] * (1 - .5f * grit + grit * gravel[p]), bottom * .85f);
        }
    }
    if (nn_rng_uniform(&s->rng) < .6) weeds(s, 2 + (int)nn_rng_below(&s->rng, 9), .025f, weed, .8f);
}

/* A board with a printed rule, as in surveys. */
static void board(struct scene *s)
{
    static const float boards[4][3] = {{.86f, .86f, .83f}, {.80f, .76f, .52f}, {.55f, .62f, .70f}, {.62f, .50f, .36f}};
    static const float table[3] = {.35f, .34f, .33f};
    float face[3], around[3];
    colour_of(face, boards[nn_rng_below(&s->rng, 4)], .2f, &s->rng);
    colour_of(around, table, .6f, &s->rng);
    int n = s->canvas.size;
    memset(s->scratch, 0, (size_t)n * (size_t)n * sizeof *s->scratch);
    uint32_t salt = (uint32_t)nn_rng_next(&s->rng);
    add_noise(s->scratch, n, .35f, 1, .5f, salt);
    add_noise(s->scratch, n, .02f, 6, .5f, salt + 1);
    float top = data_between(&s->rng, -.3f, .18f), low = data_between(&s->rng, .82f, 1.3f),
          rule = data_between(&s->rng, top + .02f, .22f);
    float ticks = data_between(&s->rng, 18, 45), slope = data_between(&s->rng, -.10f, .10f),
          dirt = data_between(&s->rng, .05f, .35f);
    bool below = nn_rng_below(&s->rng, 2);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            size_t p = (size_t)i * (size_t)n + (size_t)j;
            float x = ((float)j + .5f) / (float)n, y = ((float)i + .5f) / (float)n + slope * (x - .5f), pixel = 1 / (float)n;
            float on = data_clamp((y - top) / pixel) * data_clamp((low - y) / pixel), u = x * ticks, r = below ? 1 - y : y;
            float mark = data_floor(u) % 5 == 0 ? .07f : .04f;
            float line = data_clamp(1.5f - fabsf(u - (float)data_floor(u) - .5f) / (ticks * pixel) * 1.2f) *
                         data_clamp((r - rule) / pixel) * data_clamp((rule + mark - r) / pixel);
            for (int k = 0; k < 3; k++)
                s->canvas.rgb[p * 3 + (size_t)k] =
                    data_mix(around[k], face[k] * (1 - dirt * s->scratch[p]), on) * (1 - .7f * line * on);
        }
}

/* Planks of wood, or wet metal plates. */
static void deck(struct scene *s)
{
    static const float decks[4][3] = {{.52f, .40f, .28f}, {.48f, .50f, .52f}, {.30f, .36f, .32f}, {.66f, .64f, .58f}};
    float face[3];
    colour_of(face, decks[nn_rng_below(&s->rng, 4)], .35f, &s->rng);
    int n = s->canvas.size;
    float *grain = s->scratch, *wet = s->scratch + (size_t)n * (size_t)n;
    memset(grain, 0, 2 * (size_t)n * (size_t)n * sizeof *grain);
    uint32_t salt = (uint32_t)nn_rng_next(&s->rng);
    add_noise(grain, n, .012f, 12, .6f, salt);
    add_noise(grain, n, .05f, 3, .4f, salt + 1);
    add_noise(wet, n, .14f, 1.4f, 1, salt + 2);
    float planks = data_between(&s->rng, 2, 7), t = data_between(&s->rng, -.5f, .5f), shine = data_between(&s->rng, 0, .5f);
    float cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            size_t p = (size_t)i * (size_t)n + (size_t)j;
            float v = (((float)j + .5f) * sine + ((float)i + .5f) * cosine) / (float)n * planks;
            int plank = data_floor(v);
            float seam = data_step(0, .06f, v - (float)plank) * data_step(1, .97f, v - (float)plank);
            float light = (.75f + .35f * grain[p]) * (.85f + .3f * data_cell(plank, 0, salt)) * (.4f + .6f * seam);
            float gloss = shine * data_step(.62f, .80f, wet[p]);
            for (int k = 0; k < 3; k++) s->canvas.rgb[p * 3 + (size_t)k] = face[k] * light + gloss * .6f;
        }
}

static void grass(struct scene *s)
{
    static const float earth[3] = {.26f, .27f, .14f}, green[3] = {.33f, .45f, .17f};
    float ground[3];
    colour_of(ground, earth, .4f, &s->rng);
    int n = s->canvas.size;
    memset(s->scratch, 0, (size_t)n * (size_t)n * sizeof *s->scratch);
    uint32_t salt = (uint32_t)nn_rng_next(&s->rng);
    add_noise(s->scratch, n, .10f, 1, .5f, salt);
    add_noise(s->scratch, n, .02f, 1, .5f, salt + 1);
    for (size_t p = 0; p < (size_t)n * (size_t)n; p++)
        for (size_t k = 0; k < 3; k++) s->canvas.rgb[p * 3 + k] = ground[k] * (.5f + s->scratch[p]);
    for (int i = 0; i < 170; i++) {
        float x = data_between(&s->rng, -.05f, 1.05f), y = data_between(&s->rng, .05f, 1.25f), rgb[3];
        float tall = data_between(&s->rng, .10f, .32f), lean = data_between(&s->rng, -.14f, .14f);
        colour_of(rgb, green, .5f, &s->rng);
        blade(&s->canvas, x, y, x + lean, y - tall, .5f * lean, .016f, rgb, .9f);
    }
}

/* ---- light and camera -------------------------------------------------------------------------------------------------------
 */

/* out[i] = (1-2w) in[i] + w (in[i-step] + in[i+step]) for i of first..last-1. */
static void mix3(float *restrict out, const float *restrict in, size_t first, size_t last, size_t step, float w)
{
    for (size_t i = first; i < last; i++) out[i] = (1 - 2 * w) * in[i] + w * (in[i - step] + in[i + step]);
}

/* Each pass mixes a pixel with its neighbours, weights w, 1-2w, w, along rows and then columns: variance 2w per pass. The
 * picture's rim, one pixel, stays as it is along the axis that leaves the picture. */
static void blur(struct scene *s, float sigma)
{
    size_t row = (size_t)s->canvas.size * 3, all = row * (size_t)s->canvas.size;
    for (float left = sigma * sigma; left > .02f; left -= .6f) {
        float w = (left < .6f ? left : .6f) * .5f;
        memcpy(s->scratch, s->canvas.rgb, all * sizeof(float));
        for (size_t i = 0; i < all; i += row) mix3(s->scratch, s->canvas.rgb, i + 3, i + row - 3, 3, w);
        mix3(s->canvas.rgb, s->scratch, row, all - row, row, w);
    }
}

/* Cast, exposure, a gradient of light across the picture, sensor noise; to 8 bits. */
static void expose(uint8_t *out, struct scene *s)
{
    int n = s->canvas.size;
    float gain[3], exposure = data_between(&s->rng, .68f, 1.30f), noise = data_between(&s->rng, 0, .07f);
    float gx = data_between(&s->rng, -.35f, .35f), gy = data_between(&s->rng, -.35f, .35f),
          contrast = data_between(&s->rng, .75f, 1.2f);
    float warm = .11f * data_vary(&s->rng), tint = .06f * data_vary(&s->rng);
    gain[0] = exposure * (1 + warm);
    gain[1] = exposure * (1 + tint);
    gain[2] = exposure * (1 - warm);
    uint32_t salt = (uint32_t)nn_rng_next(&s->rng);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float light = (1 + gx * ((float)j / (float)n - .5f) + gy * ((float)i / (float)n - .5f)) * contrast;
            uint32_t grain = data_hash(j, i, salt); /* 3 x 10 of its bits: one uniform number a channel */
            size_t p = ((size_t)i * (size_t)n + (size_t)j) * 3;
            for (size_t k = 0; k < 3; k++, grain >>= 10) {
                float v = s->canvas.rgb[p + k] * light * gain[k] + .45f * (1 - contrast) +
                          noise * ((float)(grain & 1023) * 0x1p-10f - .5f);
                out[p + k] = (uint8_t)(data_clamp(v) * 255 + .5f);
            }
        }
}

static void pose_init(struct data_pose *pose, struct scene *s, bool swims)
{
    float n = (float)s->canvas.size, length = data_between(&s->rng, .62f, .81f);
    float t = (swims ? .16f : .12f) * data_vary(&s->rng) *
              1.6f; /* tangent of half the angle: up to about +-29 degrees, mostly within 12 */
    pose->cosine = (1 - t * t) / (1 + t * t);
    pose->sine = 2 * t / (1 + t * t);
    pose->length = length * n;
    /* The whole fish, tail included, is about 1.22 long, its middle at 0.61; at most a little of it leaves the picture. */
    float room = .5f * (1 - 1.20f * length);
    pose->mirror = nn_rng_below(&s->rng, 2);
    float aim = pose->mirror ? .06f : -.06f;
    pose->cx = n * (.5f + aim * length + room * data_between(&s->rng, -1, 1));
    pose->cy = n * (.5f + data_between(&s->rng, -.13f, .13f));
    pose->bend = data_vary(&s->rng) * (swims ? .22f : .14f);
    pose->perspective = .22f * data_vary(&s->rng);
    pose->light_y = data_between(&s->rng, .15f, .75f);
    pose->wet = data_between(&s->rng, .3f, 1.2f);
}

static void haze(struct scene *s, float amount)
{
    static const float murk[3] = {.40f, .47f, .36f};
    float rgb[3];
    colour_of(rgb, murk, .4f, &s->rng);
    size_t count = (size_t)s->canvas.size * (size_t)s->canvas.size;
    for (size_t p = 0; p < count; p++)
        for (size_t k = 0; k < 3; k++) s->canvas.rgb[p * 3 + k] = data_mix(s->canvas.rgb[p * 3 + k], rgb[k], amount);
}

/* What stands between the camera and the fish: a few blades, or the dark edge of a tank or a hatch. */
static void in_front(struct scene *s, bool swims)
{
    static const float weed[3] = {.17f, .27f, .12f};
    if (nn_rng_uniform(&s->rng) < (swims ? .35 : .12)) weeds(s, 1 + (int)nn_rng_below(&s->rng, 2), .022f, weed, .9f);
    if (nn_rng_uniform(&s->rng) < .15) {
        int n = s->canvas.size, from = (int)(data_between(&s->rng, .90f, .97f) * (float)n);
        bool right = nn_rng_below(&s->rng, 2), upright = nn_rng_below(&s->rng, 2);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                int at = upright ? j : i;
                if ((right ? at : n - 1 - at) < from) continue;
                for (size_t k = 0; k < 3; k++) s->canvas.rgb[((size_t)i * (size_t)n + (size_t)j) * 3 + k] *= .25f;
            }
    }
}

static void compose(struct scene *s, int species)
{
    static void (*const backgrounds[])(struct scene *) = {water, water, board, deck, grass};
    size_t place = (size_t)nn_rng_below(&s->rng, sizeof backgrounds / sizeof *backgrounds);
    bool swims = backgrounds[place] == water;
    backgrounds[place](s);

    struct data_fish fish;
    struct data_pose pose;
    data_fish_init(&fish, &data_species[species], &s->rng);
    pose_init(&pose, s, swims);
    float n = (float)s->canvas.size, dx = data_between(&s->rng, -.02f, .02f), dark = data_between(&s->rng, .25f, .6f);
    if (!swims) data_fish_shadow(&s->canvas, &fish, &pose, n * dx, n * .02f, n * .035f, dark);
    data_fish_draw(&s->canvas, &fish, &pose);
    in_front(s, swims);
    if (swims) haze(s, data_between(&s->rng, 0, .38f));
}

/* ---- the picture ------------------------------------------------------------------------------------------------------------
 */

/* The picture into image; how strongly its file is to be compressed into *quality. */
static enum rudd_status draw(struct data_image *image, int *quality, int species, int size, uint64_t seed, uint64_t index,
                             struct rudd_error *err)
{
    if (species < 0 || species >= DATA_SPECIES_COUNT)
        return rudd_fail(err, RUDD_ARGUMENT, "species %d does not exist; there are 0..%d", species, DATA_SPECIES_COUNT - 1);
    if (size < DATA_SYNTH_MIN || size > DATA_SYNTH_MAX)
        return rudd_fail(err, RUDD_ARGUMENT, "pictures of %d x %d pixels cannot be drawn; sizes are %d..%d", size, size,
                         DATA_SYNTH_MIN, DATA_SYNTH_MAX);
    size_t values = (size_t)size * (size_t)size * 3;
    struct scene s = {.canvas = {size, rudd_alloc(values * sizeof(float))}};
    s.scratch = rudd_alloc(values * sizeof(float));
    uint8_t *rgb = rudd_alloc(values);
    enum rudd_status status = RUDD_OK;
    if (s.canvas.rgb && s.scratch && rgb) {
        nn_rng_init(&s.rng, seed, (uint64_t)species, index);
        compose(&s, species);
        blur(&s, data_between(&s.rng, 0, .0045f) * (float)size);
        expose(rgb, &s);
        *quality = 72 + (int)nn_rng_below(&s.rng, 24);
        *image = (struct data_image){size, size, rgb};
        rgb = NULL;
    } else {
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a picture of %d x %d pixels", size, size);
    }
    rudd_free(s.canvas.rgb);
    rudd_free(s.scratch);
    rudd_free(rgb);
    return status;
}

enum rudd_status data_synth_picture(struct data_image *image, int species, int size, uint64_t seed, uint64_t index,
                                    struct rudd_error *err)
{
    int quality;
    return draw(image, &quality, species, size, seed, index, err);
}

enum rudd_status data_synth_jpeg(uint8_t **bytes, size_t *length, int species, int size, uint64_t seed, uint64_t index,
                                 struct rudd_error *err)
{
    struct data_image image;
    int quality;
    enum rudd_status status = draw(&image, &quality, species, size, seed, index, err);
    if (status) return status;
    status = data_jpeg_write(bytes, length, &image, quality, err);
    rudd_free(image.rgb);
    return status;
}
