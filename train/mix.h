/* mix.h - mixup and CutMix: each picture of a batch blended with another one, its target likewise.
 *
 *     partner of picture i in a batch of n: n-1-i      one lambda, and one kind, for the whole batch (timm's batch mode)
 *
 *     mixup   x_i' = lambda x_i + (1-lambda) x_partner                                    arXiv:1710.09412, eq. 1
 *     CutMix  a rectangle of x_partner stands in x_i; lambda is the share of x_i left     arXiv:1905.04899, eq. 1
 *     both    q_i' = lambda q_i + (1-lambda) q_partner        lambda ~ Beta(alpha, alpha)
 *
 * CutMix's rectangle has the sides sqrt(1-lambda) * size about a centre drawn over the picture; what lies outside is cut off, and lambda
 * follows what is left (timm's correct_lam). With both kinds on, each batch draws one, as likely as the other.
 *
 * All is drawn from the key (seed, epoch, batch): a resumed run draws the same. */
#ifndef TRAIN_MIX_H
#define TRAIN_MIX_H

#include <stdbool.h>
#include <stdint.h>

struct train_mix_options {
    double mixup, cutmix; /* alphas; 0: off */
};

/* What one batch got. */
struct train_mix {
    double lambda; /* 1: left as it is */
    bool cut;      /* the rectangle [x0, x1) x [y0, y1) is the partner's; else all is blended */
    int x0, y0, x1, y1;
};

/* For pictures of size x size pixels. lambda is 1 when both are off. */
struct train_mix train_mix_draw(const struct train_mix_options *options, uint64_t seed, uint64_t epoch, uint64_t batch,
                                int size);
/* x [n, size, size, 3], in place. The middle picture of an odd batch is its own partner and stays. */
void train_mix_pixels(float *x, const struct train_mix *mix, int n, int size);
/* q [n, classes] of target mass, in place; sums over the batch stay, and so does inv_norm of nn_targets. */
void train_mix_targets(float *q, const struct train_mix *mix, int n, int classes);

#endif
