/* imagenet.h - the names of ImageNet's 1,000 classes (ILSVRC 2012), for files that bring none.
 *
 * The list is torchvision's (_IMAGENET_CATEGORIES in torchvision/models/_meta.py, BSD-3-Clause). The
 * Makefile embeds weights/imagenet_classes.txt, one name a line. TensorFlow's, Keras' and timm's
 * weights of 1,000 classes have the same order: that of the WordNet numbers. All names differ:
 * torchvision calls the bird "crane bird" and the machine "crane", one dog "Cardigan" and the jacket
 * "cardigan". */
#ifndef WEIGHTS_NAMES_IMAGENET_H
#define WEIGHTS_NAMES_IMAGENET_H

#include "nn/model.h"

enum { WEIGHTS_IMAGENET_CLASSES = 1000 };
extern const unsigned char weights_imagenet_text[]; /* the file, with a 0 behind it */
extern const size_t weights_imagenet_text_size;

/* Gives the model, which has 1,000 classes, their names. RUDD_NO_MEMORY. */
enum rudd_status weights_imagenet_name(struct nn_model *model, struct rudd_error *err);

#endif
