/* synth_draw.h - between synth_scene.c and synth_draw.c: the canvas, one individual fish, its pose. */
#ifndef DATA_SYNTH_DRAW_H
#define DATA_SYNTH_DRAW_H

#include "data/synth.h"
#include "nn/rng.h"

/* Squares of [size,size,3] floats; 0..1 is black to white as displayed, more is highlight until the camera clips it. */
struct data_canvas {
    int size;
    float *rgb;
};

/* ---- small arithmetic that both files draw with -----------------------------------------------------------------------------
 */

static inline float data_clamp(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}
static inline float data_mix(float a, float b, float t)
{
    return a + (b - a) * t;
}
/* 0 below lo, 1 above hi, 3t^2 - 2t^3 between; lo > hi falls. */
static inline float data_step(float lo, float hi, float x)
{
    float t = data_clamp((x - lo) / (hi - lo));
    return t * t * (3 - 2 * t);
}
static inline int data_floor(float x)
{
    int i = (int)x;
    return i - (x < (float)i);
}
/* 0..1 at every integer, 1 half-way: the wave for rays and stripes. */
static inline float data_wave(float x)
{
    float t = x - (float)data_floor(x);
    t = t < .5f ? 2 * t : 2 - 2 * t;
    return t * t * (3 - 2 * t);
}
/* Random bits for a cell of an integer lattice: multiply and shift, after Wellons' hash prospector. */
static inline uint32_t data_hash(int x, int y, uint32_t salt)
{
    uint32_t h = (uint32_t)x * 0x9e3779b1u ^ (uint32_t)y * 0x85ebca77u ^ salt * 0xc2b2ae3du;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return h ^ h >> 15;
}
/* A number in [0,1) for such a cell. */
static inline float data_cell(int x, int y, uint32_t salt)
{
    return (float)(data_hash(x, y, salt) >> 8) * 0x1p-24f;
}
/* Value noise: smooth, 0..1, features about one unit wide. */
static inline float data_noise(float x, float y, uint32_t salt)
{
    int i = data_floor(x), j = data_floor(y);
    float u = x - (float)i, v = y - (float)j;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    return data_mix(data_mix(data_cell(i, j, salt), data_cell(i + 1, j, salt), u),
                    data_mix(data_cell(i, j + 1, salt), data_cell(i + 1, j + 1, salt), u), v);
}
/* Between -1 and 1, mean 0, most near 0: the sum of three uniform numbers stands for a normal one without libm. */
static inline float data_vary(struct nn_rng *rng)
{
    return (float)((nn_rng_uniform(rng) + nn_rng_uniform(rng) + nn_rng_uniform(rng)) * 2 / 3 - 1);
}
static inline float data_between(struct nn_rng *rng, float lo, float hi)
{
    return (float)nn_rng_range(rng, lo, hi);
}

/* ---- the fish ---------------------------------------------------------------------------------------------------------------
 */

enum { DATA_OUTLINE = 128 };
enum data_part {
    DATA_BACK,
    DATA_FLANK,
    DATA_BELLY,
    DATA_IRIS,
    DATA_DORSAL,
    DATA_TAIL,
    DATA_ANAL,
    DATA_PELVIC,
    DATA_PECTORAL,
    DATA_PARTS
};

struct data_fish {
    struct data_species s;                                 /* the species with this individual's numbers */
    float back[DATA_OUTLINE + 2], belly[DATA_OUTLINE + 2]; /* its outline, sampled along x = 0..1 */
    float colour[DATA_PARTS][3];
    uint32_t salt; /* of its spots and scales */
};

/* Fish to canvas: bend, perspective, mirror, turn, scale, move.
 * The middle of the fish (x = 0.55) comes to (cx, cy); one standard length is `length` pixels. */
struct data_pose {
    float cx, cy, length, cosine, sine;
    bool mirror;
    float bend;        /* of the axis: y = bend * (x - 0.45)^2 */
    float perspective; /* the head's end is larger (> 0) or smaller by this share */
    float light_y;     /* height of the light: 0 from the viewer, 1 from above */
    float wet;         /* strength of highlights */
};

/* An individual: body depth, colours, fins, marks vary about the species' values, so that neighbours overlap. */
void data_fish_init(struct data_fish *f, const struct data_species *s, struct nn_rng *rng);
/* Antialiased, over what the canvas holds. */
void data_fish_draw(struct data_canvas *canvas, const struct data_fish *f, const struct data_pose *pose);
/* Darkens the canvas by up to strength under the fish's outline moved by (dx, dy) pixels, edges soft over `soft` pixels. */
void data_fish_shadow(struct data_canvas *canvas, const struct data_fish *f, const struct data_pose *pose, float dx, float dy,
                      float soft, float strength);

#endif
