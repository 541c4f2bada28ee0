/* near_fit.h - how well one look lies over another: the decision behind near.h. Not for use outside
 * data/sets. */
#ifndef DATA_NEAR_FIT_H
#define DATA_NEAR_FIT_H

#include "data/sets/near.h"

/* A part of a picture: what is cut off at its left, right, top and bottom, as shares of its sides.
 */
struct near_part {
    float cut[4];
};

enum { NEAR_FIT = 24 };
/* A part of a look, sampled: zero mean, unit norm. */
struct near_patch {
    float v[NEAR_FIT * NEAR_FIT];
};
void near_patch_make(struct near_patch *patch, const uint8_t *luma, const struct near_part *part,
                     bool mirrored);

/* The best correlation of gradients of `whole` (mirrored or not) with parts of `of`, beginning at
 * *part, which becomes the best one. Gives up at -1 where the first correlation of luma is below
 * `least`, and looks no further where a place has a correlation of gradients of `enough`. */
double near_fit(const uint8_t *of, struct near_part *part, const struct near_patch *whole,
                double least, double enough);

#endif
