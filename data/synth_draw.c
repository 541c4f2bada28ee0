/* synth_draw.c - one fish, shaded pixel by pixel.
 *
 * The idea: nothing is traced. Each pixel of the fish's surroundings is taken back through the pose to the fish's own frame
 * (x along the body, y down; see synth.h) and asked what lies there: layers from the far side to the near side, each with a
 * colour and a coverage that falls from 1 to 0 over one pixel at the layer's edge. That is the whole of antialiasing:
 *
 *     coverage = clamp(distance to the edge / pixel size + 1/2)
 *
 *     dorsal, anal, pelvic, tail fin  <  body: countershading, marks, scales, light  <  mouth, gill cover, eye  <  pectoral fin
 *
 * The outline is a cubic through the species' stations (Catmull & Rom 1974, non-uniform knots), sampled once per fish. Details
 * finer than two pixels fade out before they alias. Sources of the looks: species.c. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* the same bytes everywhere; gcc's ISO mode (-std=c11) does not contract */
#endif
#include "data/synth_draw.h"

#include <math.h>
#include <string.h>

/* ---- an individual ----------------------------------------------------------------------------------------------------------
 */

static float spline(const float y[DATA_STATIONS], float x)
{
    const float *k = data_stations;
    int i = 0;
    while (i < DATA_STATIONS - 2 && x > k[i + 1]) i++;
    float h = k[i + 1] - k[i], t = (x - k[i]) / h, slope = (y[i + 1] - y[i]) / h;
    float m0 = i > 0 ? (y[i + 1] - y[i - 1]) / (k[i + 1] - k[i - 1]) : 2 * slope;
    float m1 = i + 2 < DATA_STATIONS ? (y[i + 2] - y[i]) / (k[i + 2] - k[i]) : slope;
    float a = t * t * (3 - 2 * t);
    return data_mix(y[i], y[i + 1], a) + h * t * (1 - t) * (m0 * (1 - t) - m1 * t);
}

static void vary_fin(struct data_fin *fin, float spread, struct nn_rng *rng)
{
    float shift = .008f * data_vary(rng);
    fin->x0 += shift;
    fin->x1 += shift + .008f * data_vary(rng);
    fin->front *= spread;
    fin->back *= spread;
    fin->rake += .15f * data_vary(rng);
}

void data_fish_init(struct data_fish *f, const struct data_species *s, struct nn_rng *rng)
{
    f->s = *s;
    f->salt = (uint32_t)nn_rng_next(rng);

    /* +-9 % of depth at most, +-5 % typically: roach and Siberian roach (17 % apart) touch, pike and bream never do. */
    float deep = 1 + .09f * data_vary(rng), full = 1 + .06f * data_vary(rng);
    for (int i = 0; i < DATA_STATIONS; i++) {
        float body = data_step(0, .3f, data_stations[i]);
        f->s.back[i] *= data_mix(1, deep, body);
        f->s.belly[i] *= data_mix(1, deep * full, body);
    }
    for (int i = 0; i < DATA_OUTLINE + 2; i++) {
        float x = (float)(i < DATA_OUTLINE ? i : DATA_OUTLINE) / DATA_OUTLINE;
        f->back[i] = spline(f->s.back, x);
        f->belly[i] = spline(f->s.belly, x);
    }
    float spread = data_between(rng, .70f, 1.08f); /* fins are folded or raised together */
    vary_fin(&f->s.dorsal[0], spread, rng);
    vary_fin(&f->s.dorsal[1], spread, rng);
    vary_fin(&f->s.anal, data_mix(spread, 1, .3f), rng);
    f->s.tail_spread *= data_between(rng, .78f, 1.05f);
    f->s.tail_len *= 1 + .08f * data_vary(rng);
    f->s.fork += .06f * data_vary(rng);
    f->s.eye_r *= 1 + .10f * data_vary(rng);
    f->s.eye_x += .006f * data_vary(rng);
    f->s.scale_edge *= data_between(rng, .6f, 1.3f);
    f->s.sheen *= data_between(rng, .5f, 1.2f);
    f->s.pattern_strength *= data_between(rng, .65f, 1.1f);
    f->s.pattern_count *= 1 + .15f * data_vary(rng);

    const uint32_t rgb[DATA_PARTS] = {s->back_rgb, s->flank_rgb, s->belly_rgb,  s->iris_rgb,    s->dorsal_rgb,
                                      s->tail_rgb, s->anal_rgb,  s->pelvic_rgb, s->pectoral_rgb};
    float tone = 1 + .18f * data_vary(rng), warm = .14f * data_vary(rng); /* the water it grew up in */
    float fins = 1 + .30f * data_vary(rng);                               /* season and food: how colourful the fins are */
    for (int p = 0; p < DATA_PARTS; p++) {
        float *c = f->colour[p], saturation = p >= DATA_IRIS ? fins : 1, own = 1 + .06f * data_vary(rng), grey = 0;
        for (int k = 0; k < 3; k++) grey += c[k] = (float)(rgb[p] >> (16 - 8 * k) & 255) / 255;
        grey /= 3;
        for (int k = 0; k < 3; k++)
            c[k] = data_clamp((grey + (c[k] - grey) * saturation) * tone * own * (1 + warm * (float)(1 - k)));
    }
}

/* ---- layers -----------------------------------------------------------------------------------------------------------------
 */

struct layers {
    float rgb[3], alpha; /* colour times alpha, as Porter & Duff 1984 */
};

static void over(struct layers *l, const float rgb[3], float shade, float alpha)
{
    for (int k = 0; k < 3; k++) l->rgb[k] = l->rgb[k] * (1 - alpha) + rgb[k] * shade * alpha;
    l->alpha = l->alpha * (1 - alpha) + alpha;
}

/* 1 while a pattern of so many cycles per standard length can be seen at this pixel size, 0 when it would alias. */
static float visible(float cycles, float pixel)
{
    return data_clamp(2 - 4 * cycles * pixel);
}

static float outline(const float samples[DATA_OUTLINE + 2], float x)
{
    float t = data_clamp(x) * DATA_OUTLINE;
    int i = (int)t;
    return data_mix(samples[i], samples[i + 1], t - (float)i);
}

static float edge(float distance, float pixel)
{
    return data_clamp(distance / pixel + .5f);
}

/* Rows of spots: 1 inside. x and y in cells; odd rows are shifted; each spot stays within its cell. */
static float spots(float x, float y, float radius, float stretch, uint32_t salt)
{
    int j = data_floor(y);
    x += (j & 1) ? .5f : 0;
    int i = data_floor(x);
    uint32_t h = data_hash(i, j, salt); /* where in its cell, and how large: 10 bits each */
    float dx = x - (float)i - .35f - .3f * 0x1p-10f * (float)(h & 1023),
          dy = y - (float)j - .35f - .3f * 0x1p-10f * (float)(h >> 10 & 1023);
    float r = radius * (.65f + .5f * 0x1p-10f * (float)(h >> 20 & 1023));
    return data_step(r * r * 1.3f, r * r * .5f, dx * dx / (stretch * stretch) + dy * dy);
}

/* Dark marks on fins: rows of spots in the fin's own coordinates. */
static float fin_marks(const struct data_fish *f, float along, float out, float pixel)
{
    float strength = f->s.fin_marks * visible(10, pixel);
    return strength > 0 ? strength * spots(along * 30, out * 36 + .2f, .48f, 1.2f, f->salt ^ 77u) : 0;
}

/* A fin on the edge of the body. side: -1 on the back, +1 on the belly. */
static void unpaired_fin(struct layers *l, const struct data_fish *f, const struct data_fin *fin, int side,
                         const float colour[3], float x, float y, float pixel)
{
    const float *samples = side < 0 ? f->back : f->belly;
    float sy = (float)side * y, h = sy - outline(samples, x);
    if (h > fin->front + pixel || h < -.04f || x < fin->x0 - .05f || x > fin->x1 + .20f) return; /* an absent fin has front 0 */
    float base = x - fin->rake * (h > 0 ? h : 0);
    h = sy - outline(samples, base);
    float width = fin->x1 - fin->x0, t = (base - fin->x0) / width, u = data_clamp(t);
    float height, rays = width * 90;
    if (fin->spiny) {
        height = data_mix(fin->front, fin->back, u * u) * data_mix(.55f, 1, data_step(0, .22f, u)) * (1 - .30f * u * (1 - u));
        rays = 13;
        height *= 1 - .20f * (1 - data_wave(u * rays + .5f)) * visible(rays / width, pixel);
    } else {
        height = data_mix(fin->front, fin->back, u * (1.45f - .45f * u)) * data_mix(.7f, 1, data_step(0, .10f, u));
    }
    float cover = edge(height - h, pixel) * edge(t * width, pixel) * edge((1 - t) * width, pixel) * edge(h + .03f, pixel);
    if (cover <= 0) return;
    float shade = 1.02f - .26f * data_wave(u * rays) * visible(rays / width, pixel) + .12f * data_clamp(h / height);
    if (side < 0) shade *= 1 - .65f * fin_marks(f, x, h, pixel);
    over(l, colour, shade, cover * .93f);
    /* The black eye-spot at the end of a perch's first dorsal fin: barred, spiny, and without marks of its own. */
    if (fin->spiny && side < 0 && f->s.pattern == DATA_BARS && f->s.fin_marks == 0)
        over(l, (const float[3]){.06f, .07f, .06f}, 1, cover * .85f * data_step(.68f, .82f, u) * data_step(.98f, .92f, u));
}

/* A fin on a stalk: a fan from (0,0) towards (cosine, sine). */
static void paired_fin(struct layers *l, const float colour[3], float x, float y, float cosine, float sine, float len,
                       float pixel)
{
    float u = (x * cosine + y * sine) / len, v = (y * cosine - x * sine) / len;
    if (u < -.1f || u > 1.1f || fabsf(v) > .6f) return;
    float half = .06f + .40f * u, q = v / half;
    float cover =
        edge((half - fabsf(v)) * len, pixel) * edge((1 - .22f * q * q - .12f * q - u) * len, pixel) * edge(u * len, pixel);
    if (cover <= 0) return;
    over(l, colour, 1.05f - .25f * data_wave(q * 4) * visible(8 / len, pixel), cover * .9f);
}

static void tail_fin(struct layers *l, const struct data_fish *f, float x, float y, float pixel)
{
    const struct data_species *s = &f->s;
    float root = (f->back[DATA_OUTLINE] + f->belly[DATA_OUTLINE]) * .5f;
    float u = (x - .975f) / s->tail_len;
    if (u < -.1f || u > 1.15f) return;
    float grown = u > 0 ? data_clamp(u) : 0;
    float half = s->fork >= 0 ? root + (s->tail_spread - root) * grown * (1.5f - .5f * grown)
                              : data_mix(root, s->tail_spread, data_step(0, .55f, grown));
    float q = y / half, a = fabsf(q);
    /* Forked: the middle rays are short. Rounded: the outer ones are. */
    float end = s->fork >= 0 ? 1 - s->fork * (1 - a * (.55f + .45f * a)) : 1 + s->fork * a * a * a;
    if (q > 0 && s->fork > .5f) end += .05f * a; /* lower lobe longer, as in breams */
    float cover = edge((1 - a) * half, pixel) * edge((end - u) * s->tail_len, pixel) * edge((x - .965f), pixel);
    if (cover <= 0) return;
    float shade = 1.04f - .26f * data_wave(q * 8) * visible(8 / half, pixel) - .10f * data_step(.75f, 1, u / end);
    shade *= 1 - .60f * fin_marks(f, x, y + .5f, pixel);
    over(l, f->colour[DATA_TAIL], shade, cover * .95f);
}

/* What multiplies (below 1) or lightens (above 1) the skin at (x, y); across: -1 back .. +1 belly. */
static float marks(const struct data_fish *f, float x, float y, float across)
{
    const struct data_species *s = &f->s;
    float n = s->pattern_count, strength = s->pattern_strength, above = data_step(.85f, .45f, across);
    switch (s->pattern) {
    case DATA_PLAIN: break;
    case DATA_BARS: {
        float wobble = data_noise(x * 7, y * 9, f->salt) - .5f, broken = data_noise(x * 30, y * 22, f->salt + 1);
        float wave = data_wave((x - .14f) * n + .55f * wobble + .12f * across);
        /* Many bars (zander) are faint and broken, few (perch) are wedges that narrow downwards. */
        float wide = data_mix(.35f, .75f, data_clamp((across + .6f) * .7f)), whole = data_step(11, 8, n);
        float bar = data_step(wide - .22f, wide + .22f, wave) * data_mix(data_step(.25f, .65f, broken), 1, whole);
        return 1 - strength * .75f * bar * data_step(.70f, .10f, across) * data_step(.20f, .30f, x);
    }
    case DATA_LIGHT_SPOTS:
        return 1 + strength * .95f * above * data_step(-.98f, -.6f, across) * spots(x * n, y * n * 2.1f, .30f, 1.5f, f->salt);
    case DATA_DARK_SPOTS: {
        float patch = data_step(.52f, .72f, data_noise(x * 11, y * 13, f->salt + 2));
        return 1 - strength * above * data_clamp(.85f * spots(x * n, y * n * 1.2f, .34f, 1, f->salt) + .35f * patch);
    }
    case DATA_BLOTCHES: {
        float dy = (across + .08f) * .55f, row = spots(x * n, .5f + dy, .34f, 1.15f, f->salt & ~1u);
        float small = spots(x * 34, y * 34, .26f, 1, f->salt + 3) * data_step(.05f, -.25f, across);
        return 1 - strength * data_clamp(row * data_step(s->head * .6f, s->head, x) + .65f * small);
    }
    case DATA_MOTTLE: {
        float blot = data_noise(x * n * 1.5f, y * n * 1.9f, f->salt), fine = data_noise(x * n * 4, y * n * 4.4f, f->salt + 4);
        float lit = data_step(.55f, .85f, data_noise(x * n * 3.1f, y * n * 3.5f, f->salt + 5));
        return 1 -
               strength * (.75f * data_step(.42f, .62f, .65f * blot + .35f * fine) - .55f * lit) * data_step(1, .5f, across);
    }
    }
    return 1;
}

/* Scales: a staggered lattice, each with a dark rim towards the tail and a brightness of its own. */
static float scales(const struct data_fish *f, float x, float across, float depth, float pixel)
{
    float rows = f->s.scales, size = depth / rows, clear = visible(.5f / size, pixel);
    if (clear <= 0 || x < f->s.head + .01f) return 1;
    float v = across * (1 + .25f * across * across) * rows * .4f, u = x / (size * 1.25f);
    int j = data_floor(v);
    u += (j & 1) ? .5f : 0;
    int i = data_floor(u);
    float du = u - (float)i, dv = v - (float)j - .5f;
    float rim = data_step(.18f, .0f, fabsf(du - (1 - 2 * dv * dv) * .95f));
    return 1 + clear * f->s.scale_edge * (.45f * (data_cell(i, j, f->salt) - .45f) + .30f * du - .55f * rim);
}

static void body(struct layers *l, const struct data_fish *f, const struct data_pose *pose, float x, float y, float pixel)
{
    float top = outline(f->back, x), low = outline(f->belly, x), half = (top + low) * .5f;
    float above = y + top, below = low - y;
    float cover = edge(above < below ? above : below, pixel) * edge(x + .004f, pixel) * edge(1 - x, pixel);
    if (cover <= 0) return;
    const struct data_species *s = &f->s;
    float across = (y - (low - top) * .5f) / half;
    across = across < -1 ? -1 : across > 1 ? 1 : across;
    float to_flank = data_step(-.95f, -.25f, across), to_belly = data_step(.25f, .95f, across), rgb[3];
    for (int k = 0; k < 3; k++)
        rgb[k] =
            data_mix(data_mix(f->colour[DATA_BACK][k], f->colour[DATA_FLANK][k], to_flank), f->colour[DATA_BELLY][k], to_belly);

    float head = data_step(s->head + .02f, s->head - .02f, x + .05f * across * across);
    float shade = marks(f, x, y, across) * scales(f, x, across, s->back[4] + s->belly[4], pixel);
    float line = across + .10f - .25f * (x - .5f) * (x - .5f); /* the lateral line, a row of pores */
    if (s->pattern != DATA_MOTTLE)
        shade *=
            1 - .16f * (1 - head) * data_step(.06f + pixel / half, .02f, fabsf(line)) * data_mix(.4f, 1, data_wave(x * 45));
    /* The gill cover: a crescent edge with a shadow behind it. */
    float rim = x - s->head + .06f * across * across;
    shade *= 1 - .26f * data_step(.012f + pixel, 0, fabsf(rim)) * data_step(.95f, .6f, fabsf(across));
    shade *= 1 - .15f * data_step(.010f + pixel, 0, fabsf(rim + .30f * s->head)) * data_step(.2f, .5f, across);

    float nz = sqrtf(1 - .96f * across * across);
    float lit = nz * (1 - .45f * pose->light_y) - across * .75f * pose->light_y;
    float glint = nz * .82f - across * .57f;
    glint = glint > .6f ? (glint - .6f) * 2.5f : 0;
    float streak = data_noise(x * 14, across * 5, f->salt + 9);
    over(l, rgb, shade * (.50f + .58f * (lit > 0 ? lit : 0)), cover);
    over(l, (const float[3]){1, 1, 1}, 1, cover * glint * glint * pose->wet * data_mix(.10f, .55f, s->sheen) * streak);
}

static void face(struct layers *l, const struct data_fish *f, float x, float y, float pixel)
{
    const struct data_species *s = &f->s;
    if (x > s->head) return;
    static const float dark[3] = {.07f, .06f, .05f};

    /* The mouth: from the tip of the snout to its corner. */
    float tip = s->mouth_y - s->gape * s->mouth_up, cleft = y - data_mix(tip, s->mouth_y, data_clamp(x / s->gape));
    float inside = edge(s->gape - x, pixel) * edge(x + .01f, pixel) * edge(y + outline(f->back, x), pixel) *
                   edge(outline(f->belly, x) - y, pixel);
    over(l, dark, 1, .75f * inside * data_step(.006f + .8f * pixel, .001f, fabsf(cleft)));

    if (s->barbel > 0) {
        float u = (y - s->mouth_y) / s->barbel, bx = s->gape * .8f + .45f * s->barbel * u * u;
        over(l, f->colour[DATA_FLANK], .75f,
             edge((.5f - fabsf(u - .5f)) * s->barbel, pixel) * edge(.008f * (1.2f - u) - fabsf(x - bx) + .3f * pixel, pixel));
    }
    float dx = x - s->eye_x, dy = y - s->eye_y, r = sqrtf(dx * dx + dy * dy);
    if (r > s->eye_r + 2 * pixel) return;
    over(l, dark, 1.5f, edge(s->eye_r * 1.10f - r, pixel) * .7f);
    over(l, f->colour[DATA_IRIS], 1.1f, edge(s->eye_r - r, pixel));
    over(l, dark, .5f, edge(s->eye_r * .52f - r, pixel));
    dx += .25f * s->eye_r, dy += .30f * s->eye_r;
    over(l, (const float[3]){1, 1, 1}, 1, .8f * edge(s->eye_r * .18f - sqrtf(dx * dx + dy * dy), pixel));
}

/* ---- canvas to fish ---------------------------------------------------------------------------------------------------------
 */

/* The fish's own coordinates of a canvas position, and the size of a pixel there. */
static float to_fish(float *x, float *y, const struct data_pose *p, float px, float py)
{
    float dx = (px - p->cx) / p->length, dy = (py - p->cy) / p->length;
    float u = dx * p->cosine + dy * p->sine, v = dy * p->cosine - dx * p->sine;
    if (p->mirror) u = -u;
    float zoom = 1 - p->perspective * u;
    *x = .55f + u;
    *y = v / zoom - p->bend * (*x - .45f) * (*x - .45f);
    return 1 / (p->length * zoom);
}

/* Rows and columns that the fish can reach: x -0.05..1.32, y +-0.45 of a standard length. */
static void bounds(int box[4], int size, const struct data_pose *p, float margin)
{
    float ax = .80f * p->length * fabsf(p->cosine) + .47f * p->length * fabsf(p->sine) + margin;
    float ay = .80f * p->length * fabsf(p->sine) + .47f * p->length * fabsf(p->cosine) + margin;
    float lo[2] = {p->cx - ax, p->cy - ay}, hi[2] = {p->cx + ax + 1, p->cy + ay + 1};
    for (int i = 0; i < 2; i++) {
        box[i] = lo[i] < 0 ? 0 : (int)lo[i];
        box[2 + i] = hi[i] > (float)size ? size : hi[i] < 0 ? 0 : (int)hi[i];
    }
}

void data_fish_draw(struct data_canvas *canvas, const struct data_fish *f, const struct data_pose *pose)
{
    const struct data_species *s = &f->s;
    int box[4];
    bounds(box, canvas->size, pose, 1);
    float tall = s->dorsal[0].front > s->dorsal[1].front ? s->dorsal[0].front : s->dorsal[1].front;
    tall = tall > s->tail_spread ? tall : s->tail_spread;
    for (int i = box[1]; i < box[3]; i++)
        for (int j = box[0]; j < box[2]; j++) {
            float x, y, pixel = to_fish(&x, &y, pose, (float)j + .5f, (float)i + .5f);
            if (x < -.04f || x > 1.34f || y < -.02f - outline(f->back, x) - tall || y > .17f + outline(f->belly, x)) continue;
            struct layers l = {{0, 0, 0}, 0};
            unpaired_fin(&l, f, &s->dorsal[0], -1, f->colour[DATA_DORSAL], x, y, pixel);
            unpaired_fin(&l, f, &s->dorsal[1], -1, f->colour[DATA_DORSAL], x, y, pixel);
            unpaired_fin(&l, f, &s->anal, 1, f->colour[DATA_ANAL], x, y, pixel);
            paired_fin(&l, f->colour[DATA_PELVIC], x - s->pelvic_x, y - outline(f->belly, s->pelvic_x) + .02f, .72f, .694f,
                       s->pelvic_len, pixel);
            tail_fin(&l, f, x, y, pixel);
            if (x < 1.02f) body(&l, f, pose, x, y, pixel);
            face(&l, f, x, y, pixel);
            paired_fin(&l, f->colour[DATA_PECTORAL], x - s->head - .012f, y - .45f * outline(f->belly, s->head), .94f, .341f,
                       s->pectoral_len * .85f, pixel);
            if (l.alpha <= 0) continue;
            float *c = canvas->rgb + ((size_t)i * (size_t)canvas->size + (size_t)j) * 3;
            for (int k = 0; k < 3; k++) c[k] = c[k] * (1 - l.alpha) + l.rgb[k];
        }
}

void data_fish_shadow(struct data_canvas *canvas, const struct data_fish *f, const struct data_pose *pose, float dx, float dy,
                      float soft, float strength)
{
    struct data_pose moved = *pose;
    moved.cx += dx;
    moved.cy += dy;
    int box[4];
    bounds(box, canvas->size, &moved, soft);
    for (int i = box[1]; i < box[3]; i++)
        for (int j = box[0]; j < box[2]; j++) {
            float x, y, pixel = soft * to_fish(&x, &y, &moved, (float)j + .5f, (float)i + .5f);
            float above = y + outline(f->back, x), below = outline(f->belly, x) - y;
            float cover = edge(above < below ? above : below, pixel) * edge(x, pixel) * edge(1.12f - x, pixel);
            if (cover <= 0) continue;
            float *c = canvas->rgb + ((size_t)i * (size_t)canvas->size + (size_t)j) * 3;
            for (int k = 0; k < 3; k++) c[k] *= 1 - strength * cover;
        }
}
