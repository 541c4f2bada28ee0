/* preprocess.h - the one path from pixels to the network's input, for training, evaluation, prediction and serving alike.
 *
 *     image [h,w,3] u8 --resize, crop (nn_preprocess.mode)--> [S,S,3] u8 --/255, -mean, /std--> [S,S,3] float32
 */
#ifndef DATA_PREPROCESS_H
#define DATA_PREPROCESS_H

#include "data/decode.h"
#include "nn/model.h"

/* out [S,S,3] with S = size; equal to Pillow's resize(reducing_gap none) + crop to the last bit. */
enum rudd_status data_preprocess(uint8_t *out, const struct data_image *image, const struct nn_preprocess *p, int size,
                                 struct rudd_error *err);
/* out[i,c] = (rgb[i,c]/255 - mean[c]) / std[c] for count pixels. */
void data_normalise(float *out, const uint8_t *rgb, size_t count, const struct nn_preprocess *p);

#endif
