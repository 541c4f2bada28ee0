/* efficientnet.c - the EfficientNet families as tables; walking one row by row builds the graph under timm's names.
 *
 *     stem 3x3/2 -> stages of blocks -> head 1x1 -> pool -> dropout -> classifier          "efficientnet_b4"
 *                                                              dropout -> fc1 -> SiLU -> dropout -> fc2   "efficientnet_b4+mlp256"
 *
 *     DS  depthwise-separable    dw k -> SE -> 1x1                         V1's first stage
 *     IR  inverted residual      1x1 expand -> dw k -> SE -> 1x1           + skip when stride 1 and widths agree
 *     CN  one convolution        3x3                                       V2's first stage, + skip likewise
 *     ER  fused ("edge")         kxk expand -> 1x1                         V2's early stages
 *
 * MobileNetV2 is their ancestor: DS and IR without squeeze-and-excitation, and ReLU6 in the place of SiLU.
 *
 * MobileNetV2: arXiv:1801.04381, table 2.  V1: arXiv:1905.11946, table 1 and section 4.  V2: arXiv:2104.00298, table 4 (S); B0..B3 with figures as in timm's
 * tf_efficientnetv2_b*. The tf_ variants differ in data only: padding SAME and epsilon 1e-3; and V2-S, whose TensorFlow weights want pixels of
 * -1..1 and torchvision's ImageNet's mean and deviation. */
#include "nn/arch.h"
#include <math.h>
#include <stdio.h>

enum block { DS, IR, CN, ER };

struct stage_row {
    enum block block;
    int expand, k, stride, c, repeats;
    bool se;
};

static const struct stage_row v1_stages[] = {
    {DS, 1, 3, 1, 16, 1, true},  {IR, 6, 3, 2, 24, 2, true},  {IR, 6, 5, 2, 40, 2, true},  {IR, 6, 3, 2, 80, 3, true},
    {IR, 6, 5, 1, 112, 3, true}, {IR, 6, 5, 2, 192, 4, true}, {IR, 6, 3, 1, 320, 1, true},
};
static const struct stage_row v2_stages[] = {
    {CN, 1, 3, 1, 16, 1, false}, {ER, 4, 3, 2, 32, 2, false}, {ER, 4, 3, 2, 48, 2, false},
    {IR, 4, 3, 2, 96, 3, true},  {IR, 6, 3, 1, 112, 5, true}, {IR, 6, 3, 2, 192, 8, true},
};
static const struct stage_row v2s_stages[] = {
    {CN, 1, 3, 1, 24, 2, false}, {ER, 4, 3, 2, 48, 4, false}, {ER, 4, 3, 2, 64, 4, false},
    {IR, 4, 3, 2, 128, 6, true}, {IR, 6, 3, 1, 160, 9, true}, {IR, 6, 3, 2, 256, 15, true},
};

static const struct stage_row mobile_stages[] = {
    {DS, 1, 3, 1, 16, 1, false}, {IR, 6, 3, 2, 24, 2, false},  {IR, 6, 3, 2, 32, 3, false},  {IR, 6, 3, 2, 64, 4, false},
    {IR, 6, 3, 1, 96, 3, false}, {IR, 6, 3, 2, 160, 3, false}, {IR, 6, 3, 1, 320, 1, false},
};

/* V2's first four stages, thinned to 15 convolutions, for small pictures and little data, where a deep network needs too many steps
 * before it learns at all. Not a published model; rudd's own, for `make demo` and for edge boxes. */
static const struct stage_row nano_stages[] = {
    {CN, 1, 3, 1, 16, 1, false}, {ER, 4, 3, 2, 32, 1, false}, {ER, 4, 3, 2, 48, 2, false}, {IR, 4, 3, 2, 96, 2, true}};

struct net {
    const struct stage_row *stages;
    int stage_count, stem;
    enum kern_act act;
    double round_limit; /* rounding a width down may lose at most this share: 1 - limit */
};
#define NET(stages, stem, act, limit)                                                                                          \
    {                                                                                                                          \
        stages, sizeof stages / sizeof *stages, stem, act, limit                                                               \
    }
static const struct net v1 = NET(v1_stages, 32, KERN_ACT_SILU, 0.9), v2 = NET(v2_stages, 32, KERN_ACT_SILU, 0),
                        v2s = NET(v2s_stages, 24, KERN_ACT_SILU, 0), nano = NET(nano_stages, 32, KERN_ACT_SILU, 0),
                        mobile = NET(mobile_stages, 32, KERN_ACT_RELU6, 0.9);

static nn_describe describe;

#define ROW(name, net, width, depth, size, crop, half, pad, eps)                                                               \
    {                                                                                                                          \
        name, NN_EFFICIENTNET, describe, &net, width, depth, size, crop, half, pad, eps                                        \
    }
#define V1_ROW(b, width, depth, size, crop)                                                                                    \
    ROW("efficientnet_b" #b, v1, width, depth, size, crop, false, NN_PAD_SYMMETRIC, 1e-5f),                                    \
        ROW("tf_efficientnet_b" #b, v1, width, depth, size, crop, false, NN_PAD_SAME, 1e-3f)
#define V2_ROW(b, width, depth, size, crop)                                                                                    \
    ROW("tf_efficientnetv2_b" #b, v2, width, depth, size, crop, false, NN_PAD_SAME, 1e-3f)
#define MOBILE_ROW(percent, width)                                                                                             \
    {                                                                                                                          \
        "mobilenetv2_" percent, NN_MOBILENETV2, describe, &mobile, width, 1.0, 224, 0.875, false, NN_PAD_SYMMETRIC, 1e-5f      \
    }
static const struct nn_arch rows[] = {
    V1_ROW(0, 1.0, 1.0, 224, 0.875),
    V1_ROW(1, 1.0, 1.1, 240, 0.882),
    V1_ROW(2, 1.1, 1.2, 260, 0.890),
    V1_ROW(3, 1.2, 1.4, 300, 0.904),
    V1_ROW(4, 1.4, 1.8, 380, 0.922),
    V1_ROW(5, 1.6, 2.2, 456, 0.934),
    V1_ROW(6, 1.8, 2.6, 528, 0.942),
    V1_ROW(7, 2.0, 3.1, 600, 0.949),
    V2_ROW(0, 1.0, 1.0, 224, 0.875),
    V2_ROW(1, 1.0, 1.1, 240, 0.882),
    V2_ROW(2, 1.1, 1.2, 260, 0.890),
    V2_ROW(3, 1.2, 1.4, 300, 0.904),
    /* Published weights under timm's names are TensorFlow's; the symmetric ones are torchvision's, with its epsilon. */
    ROW("tf_efficientnetv2_s", v2s, 1.0, 1.0, 384, 1.0, true, NN_PAD_SAME, 1e-3f),
    ROW("efficientnetv2_s", v2s, 1.0, 1.0, 384, 1.0, false, NN_PAD_SYMMETRIC, 1e-3f),
    MOBILE_ROW("035", 0.35),
    MOBILE_ROW("050", 0.5),
    MOBILE_ROW("075", 0.75),
    MOBILE_ROW("100", 1.0),
    MOBILE_ROW("130", 1.3), /* Keras' alone */
    MOBILE_ROW("140", 1.4),
    ROW("rudd_nano", nano, 1.0, 1.0, 80, 0.875, false, NN_PAD_SYMMETRIC, 1e-5f),
};
enum { ROWS = sizeof rows / sizeof *rows, HEAD = 1280 };

const struct nn_arch *nn_efficientnet_row(int i)
{
    return i < ROWS ? &rows[i] : NULL;
}

/* Width scaled and rounded to the nearest multiple of 8, but never losing more than 1 - limit.        arXiv:1905.11946's
 * released code */
static int scale_width(int c, const struct nn_arch *v)
{
    double scaled = c * v->width;
    int rounded = (int)(scaled + 4) / 8 * 8;
    if (rounded < 8) rounded = 8;
    if (rounded < ((const struct net *)v->net)->round_limit * scaled) rounded += 8;
    return rounded;
}

static int scale_depth(int repeats, const struct nn_arch *v)
{
    return (int)ceil(repeats * v->depth - 1e-9);
}

/* convolution -> batch norm -> activation */
static int conv_bn(struct nn_builder *b, int x, const char *block, const char *conv, const char *bn, int oc, int k, int stride,
                   bool depthwise, enum kern_act act)
{
    char name[NN_NAME];
    snprintf(name, sizeof name, "%.40s%.40s", block, conv);
    x = depthwise ? nn_build_dwconv(b, x, name, k, stride) : nn_build_conv(b, x, name, oc, k, stride, false);
    snprintf(name, sizeof name, "%.40s%.40s", block, bn);
    x = nn_build_batchnorm(b, x, name);
    return act == KERN_ACT_NONE ? x : nn_build_act(b, x, act);
}

/* x * sigmoid(W2 silu(W1 pool(x)))                                                                    arXiv:1709.01507, eq. 2-4
 */
static int squeeze_excite(struct nn_builder *b, int x, const char *block, int c, int reduced)
{
    char name[NN_NAME];
    int s = nn_build_pool(b, x);
    snprintf(name, sizeof name, "%.40sse.conv_reduce", block);
    s = nn_build_act(b, nn_build_conv(b, s, name, reduced, 1, 1, true), KERN_ACT_SILU);
    snprintf(name, sizeof name, "%.40sse.conv_expand", block);
    s = nn_build_act(b, nn_build_conv(b, s, name, c, 1, 1, true), KERN_ACT_SIGMOID);
    return nn_build_scale(b, x, s);
}

static int build_block(struct nn_builder *b, int x, const char *block, const struct stage_row *row, enum kern_act act, int ic,
                       int oc, int stride, float depth)
{
    int skip = x, mid = ic * row->expand;
    switch (row->block) {
    case DS:
        x = conv_bn(b, x, block, "conv_dw", "bn1", ic, row->k, stride, true, act);
        if (row->se) x = squeeze_excite(b, x, block, ic, ic / 4);
        x = conv_bn(b, x, block, "conv_pw", "bn2", oc, 1, 1, false, KERN_ACT_NONE);
        break;
    case IR:
        x = conv_bn(b, x, block, "conv_pw", "bn1", mid, 1, 1, false, act);
        x = conv_bn(b, x, block, "conv_dw", "bn2", mid, row->k, stride, true, act);
        if (row->se) x = squeeze_excite(b, x, block, mid, ic / 4);
        x = conv_bn(b, x, block, "conv_pwl", "bn3", oc, 1, 1, false, KERN_ACT_NONE);
        break;
    case CN: x = conv_bn(b, x, block, "conv", "bn1", oc, row->k, stride, false, act); break;
    case ER:
        x = conv_bn(b, x, block, "conv_exp", "bn1", mid, row->k, stride, false, act);
        x = conv_bn(b, x, block, "conv_pwl", "bn2", oc, 1, 1, false, KERN_ACT_NONE);
        break;
    }
    return stride == 1 && ic == oc ? nn_build_add(b, x, skip, depth) : x;
}

static void describe(struct nn_builder *b, const void *what)
{
    const struct nn_arch_spec *spec = what;
    const struct nn_arch *v = spec->arch;
    const struct net *f = v->net;
    int blocks = 0, block = 0;
    for (int s = 0; s < f->stage_count; s++) blocks += scale_depth(f->stages[s].repeats, v);

    b->stage = 0;
    int ic = scale_width(f->stem, v);
    int x = conv_bn(b, nn_build_input(b), "", "conv_stem", "bn1", ic, 3, 2, false, f->act);
    for (int s = 0; s < f->stage_count; s++) {
        const struct stage_row *row = &f->stages[s];
        int oc = scale_width(row->c, v), repeats = scale_depth(row->repeats, v);
        b->stage = s + 1;
        for (int r = 0; r < repeats; r++, block++) {
            char name[NN_NAME];
            snprintf(name, sizeof name, "blocks.%d.%d.", s, r);
            x = build_block(b, x, name, row, f->act, ic, oc, r ? 1 : row->stride, (float)block / (float)blocks);
            ic = oc;
        }
    }
    b->stage++;
    const int head = scale_width(HEAD, v); /* a thinner network keeps its whole head */
    x = conv_bn(b, x, "", "conv_head", "bn2", head > HEAD ? head : HEAD, 1, 1, false, f->act);
    nn_build_classifier(b, x, "classifier", spec->hidden);
}
