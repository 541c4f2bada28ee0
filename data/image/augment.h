/* augment.h - random views of a picture for training.
 *
 * Every random choice is drawn from a counter-based generator keyed by (seed, epoch, image index): threads and their timing
 * change nothing. All geometry is one map, resampled once; colour afterwards on the small picture. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "data/image/preprocess.h"

struct data_augment {
    double crop_min,
        crop_max; /* random resized crop: share of the area; crop_max 0: none (the evaluation path instead) */
    double ratio_min, ratio_max; /* aspect of the crop, 3/4 .. 4/3 */
    double flip, vflip;          /* probabilities */
    double rotate;               /* degrees, +- */
    double shift;                /* share of the side, +- */
    double zoom;                 /* scale 1-z .. 1+z */
    double shear;                /* degrees, +- */
    double
        randaugment; /* magnitude 0..10 of RandAugment (randaugment.h), before the colours; 0: off */
    double brightness, contrast, saturation, hue; /* torchvision's ColorJitter strengths */
    double erase; /* probability of random erasing, arXiv:1708.04896 */
};
/* crop 0.5-1, ratio 3/4-4/3, flip 0.5, jitter 0.2 (no hue). */
extern const struct data_augment data_augment_default;

/* RUDD_ARGUMENT, naming the figure, unless 0 <= crop_min <= crop_max <= 1, 0 < ratio_min <= ratio_max, probabilities, shift, hue <=
 * 0.5 and zoom < 1 are in their ranges, and angles below 90 (shear) or 180 degrees. */
enum rudd_status data_augment_check(const struct data_augment *a, struct rudd_error *err);

/* One view of image: out [size,size,3], for key (seed, epoch, index). Equal arguments give equal bytes. Thread-safe. */
enum rudd_status data_augment_view(uint8_t *out, const struct data_image *image,
                                   const struct data_augment *a, const struct nn_preprocess *p,
                                   int size, uint64_t seed, uint64_t epoch, uint64_t index,
                                   struct rudd_error *err);

#endif
