/* efficientnet.c - the EfficientNet families as tables; walking one row by row builds the graph under timm's names.
 *
 *     stem 3x3/2 -> stages of blocks -> head 1x1 -> pool -> dropout -> classifier          "efficientnet_b4"
 *                                                              dropout -> fc1 -> SiLU -> dropout -> fc2   "efficientnet_b4+mlp256"
 *
 *     DS  depthwise-separable    dw k -> SE -> 1x1                         V1's first stage
 *     IR  inverted residual      1x1 expand -> dw k -> SE -> 1x1           + skip when stride 1 and widths agree
 *     CN  one convolution        3x3                                       V2's first stage
 *     ER  fused ("edge")         kxk expand -> 1x1                         V2's early stages
 *
 * V1: arXiv:1905.11946, table 1 and section 4.  V2-B0..B3: arXiv:2104.00298; figures as in timm's tf_efficientnetv2_b*. The tf_
 * variants differ in data only: padding SAME and epsilon 1e-3. */
#include "nn/graph.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* V2's first four stages, thinned to 15 convolutions, for small pictures and little data, where a deep network needs too many steps
 * before it learns at all. Not a published model; rudd's own, for `make demo` and for edge boxes. */
static const struct stage_row nano_stages[] = {
    {CN, 1, 3, 1, 16, 1, false}, {ER, 4, 3, 2, 32, 1, false}, {ER, 4, 3, 2, 48, 2, false}, {IR, 4, 3, 2, 96, 2, true}};

struct family {
    const struct stage_row *stages;
    int stage_count;
    double round_limit; /* rounding a width down may lose at most this share: 1 - limit */
};
static const struct family v1 = {v1_stages, sizeof v1_stages / sizeof *v1_stages, 0.9};
static const struct family v2 = {v2_stages, sizeof v2_stages / sizeof *v2_stages, 0.0};
static const struct family nano = {nano_stages, sizeof nano_stages / sizeof *nano_stages, 0.0};

struct variant {
    const char *name;
    const struct family *family;
    double width, depth;
    int image_size;
    double crop_fraction;
    enum nn_pad pad;
    float bn_eps;
};
#define V1_ROW(b, width, depth, size, crop, eps)                                                                               \
    {"efficientnet_b" #b, &v1, width, depth, size, crop, NN_PAD_SYMMETRIC, eps},                                               \
    {                                                                                                                          \
        "tf_efficientnet_b" #b, &v1, width, depth, size, crop, NN_PAD_SAME, 1e-3f                                              \
    }
#define V2_ROW(b, width, depth, size, crop)                                                                                    \
    {                                                                                                                          \
        "tf_efficientnetv2_b" #b, &v2, width, depth, size, crop, NN_PAD_SAME, 1e-3f                                            \
    }
static const struct variant variants[] = {
    V1_ROW(0, 1.0, 1.0, 224, 0.875, 1e-5f),
    V1_ROW(1, 1.0, 1.1, 240, 0.882, 1e-5f),
    V1_ROW(2, 1.1, 1.2, 260, 0.890, 1e-5f),
    V1_ROW(3, 1.2, 1.4, 300, 0.904, 1e-5f),
    V1_ROW(4, 1.4, 1.8, 380, 0.922, 1e-5f),
    V1_ROW(5, 1.6, 2.2, 456, 0.934, 1e-3f),
    V1_ROW(6, 1.8, 2.6, 528, 0.942, 1e-3f),
    V1_ROW(7, 2.0, 3.1, 600, 0.949, 1e-3f),
    V2_ROW(0, 1.0, 1.0, 224, 0.875),
    V2_ROW(1, 1.0, 1.1, 240, 0.882),
    V2_ROW(2, 1.1, 1.2, 260, 0.890),
    V2_ROW(3, 1.2, 1.4, 300, 0.904),
    {"rudd_nano", &nano, 1.0, 1.0, 80, 0.875, NN_PAD_SYMMETRIC, 1e-5f},
};
enum { VARIANTS = sizeof variants / sizeof *variants, STEM = 32, HEAD = 1280 };

const char *nn_arch_name(int index)
{
    return index >= 0 && index < VARIANTS ? variants[index].name : NULL;
}

/* Width scaled and rounded to the nearest multiple of 8, but never losing more than 1 - limit.        arXiv:1905.11946's
 * released code */
static int scale_width(int c, const struct variant *v)
{
    double scaled = c * v->width;
    int rounded = (int)(scaled + 4) / 8 * 8;
    if (rounded < 8) rounded = 8;
    if (rounded < v->family->round_limit * scaled) rounded += 8;
    return rounded;
}

static int scale_depth(int repeats, const struct variant *v)
{
    return (int)ceil(repeats * v->depth - 1e-9);
}

/* convolution -> batch norm -> SiLU (linear: no SiLU) */
static int conv_bn(struct nn_builder *b, int x, const char *block, const char *conv, const char *bn, int oc, int k, int stride,
                   bool depthwise, bool linear)
{
    char name[NN_NAME];
    snprintf(name, sizeof name, "%.40s%.40s", block, conv);
    x = depthwise ? nn_build_dwconv(b, x, name, k, stride) : nn_build_conv(b, x, name, oc, k, stride, false);
    snprintf(name, sizeof name, "%.40s%.40s", block, bn);
    x = nn_build_batchnorm(b, x, name);
    return linear ? x : nn_build_act(b, x, KERN_ACT_SILU);
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

static int build_block(struct nn_builder *b, int x, const char *block, const struct stage_row *row, int ic, int oc, int stride,
                       float depth)
{
    int skip = x, mid = ic * row->expand;
    switch (row->block) {
    case DS:
        x = conv_bn(b, x, block, "conv_dw", "bn1", ic, row->k, stride, true, false);
        if (row->se) x = squeeze_excite(b, x, block, ic, ic / 4);
        x = conv_bn(b, x, block, "conv_pw", "bn2", oc, 1, 1, false, true);
        break;
    case IR:
        x = conv_bn(b, x, block, "conv_pw", "bn1", mid, 1, 1, false, false);
        x = conv_bn(b, x, block, "conv_dw", "bn2", mid, row->k, stride, true, false);
        if (row->se) x = squeeze_excite(b, x, block, mid, ic / 4);
        x = conv_bn(b, x, block, "conv_pwl", "bn3", oc, 1, 1, false, true);
        break;
    case CN: x = conv_bn(b, x, block, "conv", "bn1", oc, row->k, stride, false, false); break;
    case ER:
        x = conv_bn(b, x, block, "conv_exp", "bn1", mid, row->k, stride, false, false);
        x = conv_bn(b, x, block, "conv_pwl", "bn2", oc, 1, 1, false, true);
        break;
    }
    return stride == 1 && ic == oc ? nn_build_add(b, x, skip, depth) : x;
}

/* A variant, and the width of the classifier's hidden layer; 0: none. */
struct spec {
    const struct variant *variant;
    int hidden;
};

static void describe(struct nn_builder *b, const void *what)
{
    const struct spec *spec = what;
    const struct variant *v = spec->variant;
    const struct family *f = v->family;
    int blocks = 0, block = 0;
    for (int s = 0; s < f->stage_count; s++) blocks += scale_depth(f->stages[s].repeats, v);

    b->stage = 0;
    int ic = scale_width(STEM, v);
    int x = conv_bn(b, nn_build_input(b), "", "conv_stem", "bn1", ic, 3, 2, false, false);
    for (int s = 0; s < f->stage_count; s++) {
        const struct stage_row *row = &f->stages[s];
        int oc = scale_width(row->c, v), repeats = scale_depth(row->repeats, v);
        b->stage = s + 1;
        for (int r = 0; r < repeats; r++, block++) {
            char name[NN_NAME];
            snprintf(name, sizeof name, "blocks.%d.%d.", s, r);
            x = build_block(b, x, name, row, ic, oc, r ? 1 : row->stride, (float)block / (float)blocks);
            ic = oc;
        }
    }
    b->stage++;
    x = conv_bn(b, x, "", "conv_head", "bn2", scale_width(HEAD, v), 1, 1, false, false);
    x = nn_build_dropout(b, nn_build_pool(b, x));
    b->stage++;
    if (spec->hidden) {
        x = nn_build_act(b, nn_build_linear(b, x, "classifier.fc1", spec->hidden), KERN_ACT_SILU);
        nn_build_linear(b, nn_build_dropout(b, x), "classifier.fc2", b->model->class_count);
    } else {
        nn_build_linear(b, x, "classifier", b->model->class_count);
    }
}

static const char hidden_mark[] = "+mlp";

bool nn_arch_parse(size_t *base, int *hidden, const char *arch)
{
    const char *mark = strstr(arch, hidden_mark);
    *base = mark ? (size_t)(mark - arch) : strlen(arch);
    *hidden = 0;
    if (!mark) return true;
    const char *digits = mark + strlen(hidden_mark);
    const size_t count = strspn(digits, "0123456789");
    if (count < 1 || count > 5 || digits[count]) return false;
    *hidden = (int)strtol(digits, NULL, 10);
    return *hidden > 0 && *hidden <= NN_MAX_HIDDEN;
}

void nn_arch_print(char out[NN_ARCH], const char *arch, int hidden)
{
    const int base = (int)strcspn(arch, "+");
    if (hidden)
        snprintf(out, NN_ARCH, "%.*s%s%d", base, arch, hidden_mark, hidden);
    else
        snprintf(out, NN_ARCH, "%.*s", base, arch);
}

enum rudd_status nn_model_describe(struct nn_model **model, const char *arch, int class_count, struct rudd_error *err)
{
    const struct variant *v = NULL;
    struct spec spec = {0};
    size_t base;
    const bool parsed = nn_arch_parse(&base, &spec.hidden, arch);
    for (int i = 0; i < VARIANTS; i++)
        if (!strncmp(arch, variants[i].name, base) && !variants[i].name[base]) v = &variants[i];
    if (!parsed)
        return rudd_fail(err, RUDD_ARGUMENT, "architecture '%.60s': expected +mlpN at its end, N of 1..%d hidden units", arch,
                         NN_MAX_HIDDEN);
    if (!v)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "unknown architecture '%.60s'; known are efficientnet_b0..b7, tf_efficientnet_b0..b7, "
                         "tf_efficientnetv2_b0..b3, rudd_nano",
                         arch);
    spec.variant = v;
    char name[NN_ARCH];
    nn_arch_print(name, v->name, spec.hidden);
    enum rudd_status status = nn_model_outline(model, name, describe, &spec, class_count, err);
    if (status) return status;
    (*model)->bn_eps = v->bn_eps;
    (*model)->pad = v->pad;
    (*model)->preprocess.image_size = v->image_size;
    (*model)->preprocess.crop_fraction = v->crop_fraction;
    return RUDD_OK;
}
