/* keras.h - what Keras' files have that others do not: two ways of paths, another layout of values, preprocessing inside the network.
 *
 *     written by                     path in the file                              becomes
 *     Keras 1, 2: .h5                stem_conv/stem_conv/kernel:0                  stem_conv/kernel
 *     whole models: .h5              model_weights/block1a_dwconv/.../kernel       block1a_dwconv/kernel
 *     Keras 2.12+, 3: .weights.h5    layers/conv2d_3/vars/0  @name "stem_conv"     stem_conv/kernel
 *     the same, without @name        layers/conv2d_3/vars/0                        conv2d_3/kernel
 *     a network within a network     layers/functional/layers/conv2d/vars/0        likewise
 *
 *     layout      Keras          here
 *     conv2d      [k,k,in,out]   [out,in,k,k]
 *     depthwise   [k,k,c,1]      [c,1,k,k]
 *     dense       [in,out]       [out,in]
 *
 * What belongs to training (the optimiser, metrics) is left out. A file with one dense layer, whatever its user called it, has that for its
 * classifier.
 *
 * Sources: keras/src/saving/saving_lib.py, keras/src/legacy/saving/legacy_h5_format.py, keras/src/applications/. */
#ifndef WEIGHTS_KERAS_H
#define WEIGHTS_KERAS_H

#include "nn/model.h"
#include "weights/model_file.h"

/* HDF5 bytes as Keras' weights, under the names of the right column. */
weights_parser weights_keras_parse;

bool weights_is_keras(enum weights_dialect d);

/* The shape of p as the dialect has it; its rank is p's. */
void weights_dialect_shape(int64_t shape[4], const struct nn_param *p, enum weights_dialect d);
/* Values [count] of p from Keras' layout into ours, and back. out and in do not overlap. */
void weights_from_keras(float *restrict out, const float *restrict in, const struct nn_param *p);
void weights_to_keras(float *restrict out, const float *restrict in, const struct nn_param *p);

/* Whether the network of keras.applications normalises by variables: EfficientNet V1 does; V2 by constants, the others not at all. */
bool weights_keras_normalises(const struct nn_model *model);

/* Takes over the preprocessing that the file's Normalization layer does:
 *
 *     (x - mean) / sqrt(variance)        as Keras computes
 *     (x - mean) / variance              files for the ImageNet weights of EfficientNet hold the deviation in that slot; their networks divide by
 *                                        its root once more                                     tensorflow/tensorflow issue 49930
 *
 * AUTO: a deviation if it is ImageNet's. x is pixels of 0..1 in the network's own layer, and in one that a user put before another network, unless
 * its numbers are those of pixels of 0..255. *found false: the file has no such layer, or NONE was asked for, and nothing changes.
 * RUDD_FORMAT: it holds no three numbers above 0. RUDD_MISMATCH: several layers, of which the file does not say how they follow each other. */
enum rudd_status weights_keras_preprocess(struct nn_model *model, bool *found, const struct weights_file *file,
                                          enum weights_keras_norm norm, struct rudd_error *err);

/* The conventions of keras.applications' network of that architecture: epsilon, padding, and the preprocessing that stands before or in it. */
void weights_keras_conventions(struct nn_model *model);

/* The place in a .weights.h5 of a variable called "conv2d_3/kernel": "layers/conv2d_3/vars/0". */
void weights_keras_place(char out[WEIGHTS_MAX_NAME + 1], const char *numbered);

/* Writes model as the .weights.h5 that Keras 3 loads into the same network of keras.applications, float32. The model file's metadata come along as
 * attributes of the root group, which Keras ignores. RUDD_ARGUMENT: keras.applications has no such network. */
enum rudd_status weights_keras_write(const char *path, const struct nn_model *model, struct rudd_error *err);

#endif
