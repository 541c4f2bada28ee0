/* randaugment.h - RandAugment: a few operations drawn at random, at one common strength. arXiv:1909.13719
 *
 * The set of operations, their strengths and probabilities are timm's rand-m<M>-mstd0.5; each operation equals Pillow's to the last bit.
 * A picture is [size, size, 3] 8-bit RGB, changed in place. Thread-safe. */
#ifndef DATA_RANDAUGMENT_H
#define DATA_RANDAUGMENT_H

#include "data/image/preprocess.h"
#include "nn/rng.h"

/* One row per operation, by timm's name:   name    argument at level 0..10: offset + scale * level/10   form
 *   form  0 as it is, DATA_WHOLE rounded towards 0, DATA_SIGNED of either sign */
enum { DATA_WHOLE = 1, DATA_SIGNED = 2 };
#define DATA_RANDAUGMENT_OPS(ROW)                                                                  \
    ROW(AutoContrast, 0, 0, 0)           /* each channel's range becomes 0..255 */                 \
    ROW(Equalize, 0, 0, 0)               /* each channel's values become equally frequent */       \
    ROW(Invert, 0, 0, 0)                 /* 255 - v */                                             \
    ROW(Rotate, 0, 30, DATA_SIGNED)      /* degrees, counter-clockwise */                          \
    ROW(Posterize, 0, 4, DATA_WHOLE)     /* bits kept */                                           \
    ROW(Solarize, 0, 256, DATA_WHOLE)    /* values from here on are inverted */                    \
    ROW(SolarizeAdd, 0, 110, DATA_WHOLE) /* added to values below 128 */                           \
    ROW(Color, 0.1, 1.8, 0)              /* factors of colour.h */                                 \
    ROW(Contrast, 0.1, 1.8, 0)                                                                     \
    ROW(Brightness, 0.1, 1.8, 0)                                                                   \
    ROW(Sharpness, 0.1, 1.8, 0)                                                                    \
    ROW(ShearX, 0, 0.3, DATA_SIGNED) /* pixels per row */                                          \
    ROW(ShearY, 0, 0.3, DATA_SIGNED)                                                               \
    ROW(TranslateX, 0, 0.45, DATA_SIGNED) /* shares of the side */                                 \
    ROW(TranslateY, 0, 0.45, DATA_SIGNED)
#define DATA_RANDAUGMENT_NAME(name, offset, scale, form) DATA_RANDAUGMENT_##name,
enum data_randaugment_op { DATA_RANDAUGMENT_OPS(DATA_RANDAUGMENT_NAME) DATA_RANDAUGMENT_COUNT };
#undef DATA_RANDAUGMENT_NAME
extern const char *const data_randaugment_names[DATA_RANDAUGMENT_COUNT];

/* One operation with its argument. Geometric ones resample by p's filter and fill with its mean colour. scratch [size, size, 3]
 * overlaps nothing; its contents are lost. */
void data_randaugment_run(uint8_t *rgb, uint8_t *scratch, enum data_randaugment_op op,
                          double argument, const struct nn_preprocess *p, int size);

/* Twice: any operation; with probability 1/2 it is run, at a level from Normal(magnitude, 0.5) cut to 0..10. RUDD_NO_MEMORY. */
enum rudd_status data_randaugment(uint8_t *rgb, struct nn_rng *rng, double magnitude,
                                  const struct nn_preprocess *p, int size, struct rudd_error *err);

#endif
