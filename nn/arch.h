/* arch.h - what the families' tables have in common: a row for each architecture, and the classifier that all of them end with.
 *
 *     arch.c  names and rows  --describe-->  efficientnet.c (EfficientNet and MobileNetV2), resnet.c
 *
 * For nn's own families; everyone else goes by names (nn/model.h). */
#ifndef NN_ARCH_H
#define NN_ARCH_H

#include "nn/graph.h"

struct nn_arch {
    const char *name;
    enum nn_family family;
    nn_describe *describe; /* of a struct nn_arch_spec */
    const void *net;       /* describe's own: the family's stages */
    double width, depth;   /* describe's own: multipliers */
    int image_size;
    double crop_fraction;
    bool half; /* pixels to -1..1 (mean and std 0.5); else ImageNet's mean and std */
    enum nn_pad pad;
    float bn_eps;
};

/* An architecture, and the width of the classifier's hidden layer; 0: none. */
struct nn_arch_spec {
    const struct nn_arch *arch;
    int hidden;
};

/* Row i of a file's table; NULL past the end. */
const struct nn_arch *nn_efficientnet_row(int i);
const struct nn_arch *nn_resnet_row(int i);

/* pool -> dropout -> linear `name`; or with hidden units pool -> dropout -> name.fc1 -> SiLU -> dropout -> name.fc2. Begins the next stage
 * before the first linear layer. */
int nn_build_classifier(struct nn_builder *b, int x, const char *name, int hidden);

#endif
