/* mix.c - mixup and CutMix: see mix.h. */
#include "train/mix.h"

#include "nn/rng.h"
#include <math.h>
#include <stddef.h>

static const uint64_t MIX = UINT64_MAX - 1; /* in the place of a picture's index: no picture has it */

/* Logarithm of a number from Gamma(a, 1). Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; below 1 by
 * Gamma(a) = Gamma(a+1) * U^(1/a), which underflows for small a unless it is a logarithm. */
static double log_gamma(struct nn_rng *rng, double a)
{
    double below = 0;
    if (a < 1) {
        below = log(1 - nn_rng_uniform(rng)) / a; /* 1 - [0, 1): its logarithm is finite */
        a += 1;
    }
    const double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double z = nn_rng_normal(rng), v = 1 + c * z, u = 1 - nn_rng_uniform(rng);
        if (v <= 0) continue;
        v = v * v * v;
        if (log(u) < 0.5 * z * z + d - d * v + d * log(v)) return log(d * v) + below;
    }
}

/* From Beta(alpha, alpha): g / (g + h) of two gammas. */
static double draw_beta(struct nn_rng *rng, double alpha)
{
    double g = log_gamma(rng, alpha), h = log_gamma(rng, alpha);
    return 1 / (1 + exp(h - g));
}

static int clip(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

struct train_mix train_mix_draw(const struct train_mix_options *options, uint64_t seed, uint64_t epoch, uint64_t batch,
                                int size)
{
    struct train_mix mix = {.lambda = 1};
    if (options->mixup <= 0 && options->cutmix <= 0) return mix;
    struct nn_rng rng;
    nn_rng_init(&rng, seed, epoch << 32 | batch, MIX);
    bool second = nn_rng_uniform(&rng) < 0.5;
    mix.cut = options->cutmix > 0 && (options->mixup <= 0 || second);
    mix.lambda = draw_beta(&rng, mix.cut ? options->cutmix : options->mixup);
    if (!mix.cut) return mix;

    int side = (int)(size * sqrt(1 - mix.lambda));
    int cx = (int)nn_rng_below(&rng, (uint64_t)size), cy = (int)nn_rng_below(&rng, (uint64_t)size);
    mix.x0 = clip(cx - side / 2, size);
    mix.x1 = clip(cx + (side + 1) / 2, size);
    mix.y0 = clip(cy - side / 2, size);
    mix.y1 = clip(cy + (side + 1) / 2, size);
    mix.lambda = 1 - (double)(mix.x1 - mix.x0) * (mix.y1 - mix.y0) / ((double)size * size);
    return mix;
}

/* Both become their blend with the other. */
static void blend(float *a, float *b, double lambda, size_t count)
{
    const float keep = (float)lambda, take = (float)(1 - lambda);
    for (size_t i = 0; i < count; i++) {
        float x = a[i], y = b[i];
        a[i] = keep * x + take * y;
        b[i] = keep * y + take * x;
    }
}

static void exchange(float *a, float *b, const struct train_mix *mix, int size)
{
    for (int y = mix->y0; y < mix->y1; y++)
        for (size_t i = ((size_t)y * (size_t)size + (size_t)mix->x0) * 3, end = i + (size_t)(mix->x1 - mix->x0) * 3; i < end;
             i++) {
            float keep = a[i];
            a[i] = b[i];
            b[i] = keep;
        }
}

void train_mix_pixels(float *x, const struct train_mix *mix, int n, int size)
{
    const size_t count = (size_t)size * (size_t)size * 3;
    if (mix->lambda == 1) return;
    for (int i = 0; i < n / 2; i++) {
        float *a = x + (size_t)i * count, *b = x + (size_t)(n - 1 - i) * count;
        if (mix->cut)
            exchange(a, b, mix, size);
        else
            blend(a, b, mix->lambda, count);
    }
}

void train_mix_targets(float *q, const struct train_mix *mix, int n, int classes)
{
    if (mix->lambda == 1) return;
    for (int i = 0; i < n / 2; i++)
        blend(q + (size_t)i * (size_t)classes, q + (size_t)(n - 1 - i) * (size_t)classes, mix->lambda, (size_t)classes);
}
