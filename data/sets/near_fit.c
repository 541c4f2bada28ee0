/* near_fit.c - see near_fit.h.
 *
 * Luma decides where the parts lie over each other: its correlation is smooth, so a search that
 * moves one edge at a time finds the best place. Gradients decide whether they show the same: two
 * fish of one shape before white have a luma correlation of 0.98, but their gradients differ. */
#include "data/sets/near_fit.h"

#include <math.h>

enum { SIDE = DATA_NEAR_SIDE, SAMPLES = 2 * NEAR_FIT };
static const float most_cut = 0.12f; /* of a side: a tenth, and what sampling adds */

/* Along one axis: sample k lies between cells at[k] and at[k] + 1. */
struct axis {
    int at[SAMPLES];
    float share[SAMPLES]; /* of the second cell */
};

static void lay(struct axis *axis, float before, float behind)
{
    const float step = (1 - before - behind) * SIDE / SAMPLES;
    for (int k = 0; k < SAMPLES; k++) {
        float x = before * SIDE + ((float)k + 0.5f) * step - 0.5f;
        if (x < 0) x = 0;
        if (x > SIDE - 1) x = SIDE - 1;
        axis->at[k] = x < SIDE - 2 ? (int)x : SIDE - 2;
        axis->share[k] = x - (float)axis->at[k];
    }
}

static void normalise(float *v, int n)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    const float mean = (float)(sum / n);
    for (int i = 0; i < n; i++) {
        v[i] -= mean;
        squares += (double)v[i] * v[i];
    }
    const float scale = squares > 1e-9 ? (float)(1 / sqrt(squares)) : 0;
    for (int i = 0; i < n; i++) v[i] *= scale;
}

void near_patch_make(struct near_patch *patch, const uint8_t *luma, const struct near_part *part,
                     bool mirrored)
{
    struct axis x, y;
    float rows[SIDE][NEAR_FIT];
    lay(&x, part->cut[0], part->cut[1]);
    lay(&y, part->cut[2], part->cut[3]);
    for (int r = 0; r < SIDE; r++) {
        const uint8_t *row = luma + r * SIDE;
        for (int k = 0; k < NEAR_FIT; k++) {
            const int a = x.at[2 * k], b = x.at[2 * k + 1];
            const float s = x.share[2 * k], t = x.share[2 * k + 1];
            rows[r][mirrored ? NEAR_FIT - 1 - k : k] =
                (1 - s) * row[a] + s * row[a + 1] + (1 - t) * row[b] + t * row[b + 1];
        }
    }
    for (int k = 0; k < NEAR_FIT; k++) {
        const int a = y.at[2 * k], b = y.at[2 * k + 1];
        const float s = y.share[2 * k], t = y.share[2 * k + 1];
        for (int c = 0; c < NEAR_FIT; c++)
            patch->v[k * NEAR_FIT + c] = (1 - s) * rows[a][c] + s * rows[a + 1][c] +
                                         (1 - t) * rows[b][c] + t * rows[b + 1][c];
    }
    normalise(patch->v, NEAR_FIT * NEAR_FIT);
}

static double luma_fit(const struct near_patch *a, const struct near_patch *b)
{
    float sums[8] = {0};
    for (int i = 0; i < NEAR_FIT * NEAR_FIT; i += 8)
        for (int k = 0; k < 8; k++) sums[k] += a->v[i + k] * b->v[i + k];
    double sum = 0;
    for (int k = 0; k < 8; k++) sum += sums[k];
    return sum;
}

enum { APART = 2, DIFFERENCES = NEAR_FIT - APART, GRADIENTS = 2 * DIFFERENCES * DIFFERENCES };

/* Differences to the cell two further left, then to the one two further up: what is between them
 * does not matter, so they bear a place that is half a cell off. */
static void gradients(float *out, const struct near_patch *p)
{
    for (int y = 0; y < DIFFERENCES; y++)
        for (int x = 0; x < DIFFERENCES; x++) {
            const float *at = p->v + (y + APART) * NEAR_FIT + x + APART;
            out[y * DIFFERENCES + x] = at[0] - at[-APART];
            out[(DIFFERENCES + y) * DIFFERENCES + x] = at[0] - at[-APART * NEAR_FIT];
        }
    normalise(out, GRADIENTS);
}

static double gradient_fit(const struct near_patch *a, const struct near_patch *b)
{
    float x[GRADIENTS], y[GRADIENTS];
    double sum = 0;
    gradients(x, a);
    gradients(y, b);
    for (int i = 0; i < GRADIENTS; i++) sum += (double)x[i] * y[i];
    return sum;
}

double near_fit(const uint8_t *of, struct near_part *part, const struct near_patch *whole,
                double least, double enough)
{
    struct near_patch best_patch, patch;
    near_patch_make(&best_patch, of, part, false);
    double best = luma_fit(&best_patch, whole);
    if (best < least) return -1;
    const double first = gradient_fit(&best_patch, whole);
    if (first >= enough) return first; /* frames of a fixed camera need not be moved */
    for (float step = 0.025f; step > 0.006f; step /= 2)
        for (int edge = 0, still = 0; still < 8; edge = (edge + 1) % 8) {
            struct near_part moved = *part;
            float *cut = &moved.cut[edge / 2];
            *cut += edge % 2 ? -step : step;
            if (*cut < 0) *cut = 0;
            if (*cut > most_cut) *cut = most_cut;
            still++;
            if (*cut == part->cut[edge / 2]) continue;
            near_patch_make(&patch, of, &moved, false);
            const double fit = luma_fit(&patch, whole);
            if (fit <= best + 1e-6) continue;
            best = fit;
            best_patch = patch;
            *part = moved;
            still = 0;
        }
    return gradient_fit(&best_patch, whole);
}
