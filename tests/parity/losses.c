/* losses.c - the C side of parity_loss.py: float32 arrays on standard input, results as raw bytes on standard output.
 *
 *     loss N CLASSES GAMMA A T       < logits, q, teacher [N,CLASSES]             -> float64 loss, float32 gradient [N,CLASSES]
 *     mix N SIZE CLASSES MIXUP CUTMIX BATCH  < x [N,SIZE,SIZE,3], q [N,CLASSES]   -> float64 lambda, cut, x0, y0, x1, y1; x, q */
#include "nn/rudd.h"
#include "train/loss.h"
#include "train/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `total` floats from standard input, NULL without them. */
static float *read_floats(size_t total)
{
    float *x = rudd_alloc(total * sizeof *x);
    if (x && fread(x, sizeof *x, total, stdin) == total) return x;
    rudd_free(x);
    return NULL;
}

static int run_loss(char **argv)
{
    const int n = atoi(argv[0]), classes = atoi(argv[1]);
    const struct train_loss loss = {atof(argv[2]), atof(argv[3]), atof(argv[4])};
    const size_t count = (size_t)n * (size_t)classes;
    float *x = read_floats(3 * count);
    if (!x) return 1;
    double sum = train_loss_run(x, x, x + count, x + 2 * count, &loss, n, classes);
    fwrite(&sum, sizeof sum, 1, stdout);
    fwrite(x, sizeof *x, count, stdout);
    rudd_free(x);
    return 0;
}

static int run_mix(char **argv)
{
    const int n = atoi(argv[0]), size = atoi(argv[1]), classes = atoi(argv[2]);
    const struct train_mix_options options = {atof(argv[3]), atof(argv[4])};
    const size_t pixels = (size_t)n * (size_t)size * (size_t)size * 3, count = pixels + (size_t)n * (size_t)classes;
    float *x = read_floats(count);
    if (!x) return 1;
    const struct train_mix mix = train_mix_draw(&options, 1, 1, (uint64_t)atoi(argv[5]), size);
    train_mix_pixels(x, &mix, n, size);
    train_mix_targets(x + pixels, &mix, n, classes);
    const double drawn[] = {mix.lambda, mix.cut, mix.x0, mix.y0, mix.x1, mix.y1};
    fwrite(drawn, sizeof drawn, 1, stdout);
    fwrite(x, sizeof *x, count, stdout);
    rudd_free(x);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "loss") == 0) return run_loss(argv + 2);
    if (argc == 8 && strcmp(argv[1], "mix") == 0) return run_mix(argv + 2);
    return 2;
}
