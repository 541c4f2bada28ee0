/* resnet.c - ResNet-50 V2 as a table; walking it builds the graph under timm's names.
 *
 *     stem 7x7/2 -> max pool 3x3/2 -> four stages of blocks -> batch norm, ReLU -> pool -> dropout -> classifier
 *
 *     block    p = relu(bn1(x))      conv3 1x1( relu(bn3( conv2 3x3( relu(bn2( conv1 1x1(p) )) ) )) ) + shortcut
 *     shortcut of a stage's first block: 1x1 of p; of others: x, thinned where the block strides (a max pool of one pixel)
 *
 * Pre-activated: a batch norm stands before its convolution and cannot be folded into it; those that follow one can.
 *
 * Two networks go by that name. Keras': the last block of a stage strides, the stem, the shortcuts and the blocks' last convolutions have
 * biases, and the border of the max pool counts as 0. timm's: the first block strides, no biases, the border does not count, and the
 * classifier is stored as a 1x1 convolution.
 *
 * Identity Mappings in Deep Residual Networks, arXiv:1603.05027, figure 1b and section 3; keras.applications' resnet.py; timm's resnetv2.py. */
#include "nn/arch.h"
#include <stdio.h>

enum { STAGES = 4, STEM = 64, EXPANSION = 4 };

struct net {
    int repeats[STAGES];
    bool keras;
};
static const struct net keras50 = {{3, 4, 6, 3}, true}, timm50 = {{3, 4, 6, 3}, false};

static nn_describe describe;

static const struct nn_arch rows[] = {
    {"resnet50v2", NN_RESNETV2, describe, &keras50, 1.0, 1.0, 224, 0.875, true, NN_PAD_SYMMETRIC, 1.001e-5f},
    {"resnetv2_50", NN_RESNETV2, describe, &timm50, 1.0, 1.0, 224, 0.95, true, NN_PAD_SYMMETRIC, 1e-5f},
};
enum { ROWS = sizeof rows / sizeof *rows };

const struct nn_arch *nn_resnet_row(int i)
{
    return i < ROWS ? &rows[i] : NULL;
}

static int norm_relu(struct nn_builder *b, int x, const char *block, const char *norm)
{
    char name[NN_NAME];
    snprintf(name, sizeof name, "%.40s%.40s", block, norm);
    return nn_build_act(b, nn_build_batchnorm(b, x, name), KERN_ACT_RELU);
}

static int conv(struct nn_builder *b, int x, const char *block, const char *which, int oc, int k, int stride, bool bias)
{
    char name[NN_NAME];
    snprintf(name, sizeof name, "%.40s%.40s", block, which);
    return nn_build_conv(b, x, name, oc, k, stride, bias);
}

static int build_block(struct nn_builder *b, int x, const char *block, int mid, int stride, bool first, bool bias, float depth)
{
    int p = norm_relu(b, x, block, "norm1"), skip = x;
    if (first)
        skip = conv(b, p, block, "downsample.conv", EXPANSION * mid, 1, stride, bias);
    else if (stride > 1)
        skip = nn_build_maxpool(b, x, 1, stride, false);
    p = norm_relu(b, conv(b, p, block, "conv1", mid, 1, 1, false), block, "norm2");
    p = norm_relu(b, conv(b, p, block, "conv2", mid, 3, stride, false), block, "norm3");
    return nn_build_add(b, conv(b, p, block, "conv3", EXPANSION * mid, 1, 1, bias), skip, depth);
}

static void describe(struct nn_builder *b, const void *what)
{
    const struct nn_arch_spec *spec = what;
    const struct net *net = spec->arch->net;
    int blocks = 0, block = 0;
    for (int s = 0; s < STAGES; s++) blocks += net->repeats[s];

    b->stage = 0;
    int x = conv(b, nn_build_input(b), "", "stem.conv", STEM, 7, 2, net->keras);
    x = nn_build_maxpool(b, x, 3, 2, net->keras);
    for (int s = 0; s < STAGES; s++) {
        const int last = net->repeats[s] - 1;
        b->stage = s + 1;
        for (int r = 0; r <= last; r++, block++) {
            char name[NN_NAME];
            snprintf(name, sizeof name, "stages.%d.blocks.%d.", s, r);
            const bool strides = net->keras ? r == last && s < STAGES - 1 : r == 0 && s > 0;
            x = build_block(b, x, name, STEM << s, strides ? 2 : 1, r == 0, net->keras, (float)block / (float)blocks);
        }
    }
    b->stage++;
    x = norm_relu(b, x, "", "norm");
    x = nn_build_classifier(b, x, "head.fc", spec->hidden);
    if (!net->keras && !spec->hidden && !b->status) b->model->params[b->model->graph->nodes[x].weight].rank = 4;
}
