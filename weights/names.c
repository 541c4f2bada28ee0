/* names.c - one network, several ways to call its parts: timm's names (canonical), torchvision's, lukemelas' and Keras'.
 *
 * A row gives one module in each dialect; the leaf (weight, bias, running_mean, running_var) is the same in all of them but Keras, which says
 * "/kernel", "/gamma" and so on. Places in a name are filled in from the parameter:
 *
 *     @  stage, 0 = stem (features.@)     %  block within its stage     #  block within the network     +  the same, counted from 1
 *     ~  stage, the stem the first     *  block within its stage, counted from 1
 *     &  block within its stage as a letter, from a     ^  "2" in EfficientNetV2, where Keras calls some layers so
 *
 * Keras' newer files may know their layers by class and number alone ("conv2d_3"): those names are counted, not looked up.
 *
 * The names of a dialect are generated for every parameter of a model, and foreign files are read by looking those up: so the
 * table serves both ways. A row without a name in a dialect is a part that the dialect's networks do not have: lukemelas' package has no V2.
 *
 * Sources: the state_dict()s of timm's and torchvision's efficientnet and mobilenetv2, github.com/lukemelas/EfficientNet-PyTorch,
 * keras.applications' efficientnet.py, efficientnet_v2.py, mobilenet_v2.py and resnet.py; for the order of numbered layers, Keras' ops/function.py
 * (map_graph). */
#include "nn/graph.h"
#include "weights/model_file.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Which modules a name stands among: "bn1" is another thing in each. */
enum place {
    OUTSIDE,   /* of all blocks */
    SEPARABLE, /* block without expansion: depthwise, 1x1; all of ResNet V2's */
    INVERTED,  /* block with expansion: 1x1, depthwise, 1x1 */
    FUSED,     /* block with a dense expansion: 3x3, 1x1 */
    SINGLE     /* block of one convolution */
};

static const struct {
    enum nn_family family;
    enum place place;
    const char *dialects[4]; /* by enum weights_dialect; timm's without the block */
} modules[] = {
    {NN_EFFICIENTNET, OUTSIDE, {"conv_stem", "features.@.0", "_conv_stem", "stem_conv"}},
    {NN_EFFICIENTNET, OUTSIDE, {"bn1", "features.@.1", "_bn0", "stem_bn"}},
    {NN_EFFICIENTNET, OUTSIDE, {"conv_head", "features.@.0", "_conv_head", "top_conv"}},
    {NN_EFFICIENTNET, OUTSIDE, {"bn2", "features.@.1", "_bn1", "top_bn"}},
    {NN_EFFICIENTNET, OUTSIDE, {"classifier", "classifier.1", "_fc", "predictions"}},

    {NN_EFFICIENTNET, SEPARABLE, {"conv_dw", "features.@.%.block.0.0", "_blocks.#._depthwise_conv", "block@&_dwconv"}},
    {NN_EFFICIENTNET, SEPARABLE, {"bn1", "features.@.%.block.0.1", "_blocks.#._bn1", "block@&_bn"}},
    {NN_EFFICIENTNET, SEPARABLE, {"se.conv_reduce", "features.@.%.block.1.fc1", "_blocks.#._se_reduce", "block@&_se_reduce"}},
    {NN_EFFICIENTNET, SEPARABLE, {"se.conv_expand", "features.@.%.block.1.fc2", "_blocks.#._se_expand", "block@&_se_expand"}},
    {NN_EFFICIENTNET, SEPARABLE, {"conv_pw", "features.@.%.block.2.0", "_blocks.#._project_conv", "block@&_project_conv"}},
    {NN_EFFICIENTNET, SEPARABLE, {"bn2", "features.@.%.block.2.1", "_blocks.#._bn2", "block@&_project_bn"}},

    {NN_EFFICIENTNET, INVERTED, {"conv_pw", "features.@.%.block.0.0", "_blocks.#._expand_conv", "block@&_expand_conv"}},
    {NN_EFFICIENTNET, INVERTED, {"bn1", "features.@.%.block.0.1", "_blocks.#._bn0", "block@&_expand_bn"}},
    {NN_EFFICIENTNET, INVERTED, {"conv_dw", "features.@.%.block.1.0", "_blocks.#._depthwise_conv", "block@&_dwconv^"}},
    {NN_EFFICIENTNET, INVERTED, {"bn2", "features.@.%.block.1.1", "_blocks.#._bn1", "block@&_bn"}},
    {NN_EFFICIENTNET, INVERTED, {"se.conv_reduce", "features.@.%.block.2.fc1", "_blocks.#._se_reduce", "block@&_se_reduce"}},
    {NN_EFFICIENTNET, INVERTED, {"se.conv_expand", "features.@.%.block.2.fc2", "_blocks.#._se_expand", "block@&_se_expand"}},
    {NN_EFFICIENTNET, INVERTED, {"conv_pwl", "features.@.%.block.3.0", "_blocks.#._project_conv", "block@&_project_conv"}},
    {NN_EFFICIENTNET, INVERTED, {"bn3", "features.@.%.block.3.1", "_blocks.#._bn2", "block@&_project_bn"}},

    {NN_EFFICIENTNET, FUSED, {"conv_exp", "features.@.%.block.0.0", NULL, "block@&_expand_conv"}},
    {NN_EFFICIENTNET, FUSED, {"bn1", "features.@.%.block.0.1", NULL, "block@&_expand_bn"}},
    {NN_EFFICIENTNET, FUSED, {"conv_pwl", "features.@.%.block.1.0", NULL, "block@&_project_conv"}},
    {NN_EFFICIENTNET, FUSED, {"bn2", "features.@.%.block.1.1", NULL, "block@&_project_bn"}},

    {NN_EFFICIENTNET, SINGLE, {"conv", "features.@.%.block.0.0", NULL, "block@&_project_conv"}},
    {NN_EFFICIENTNET, SINGLE, {"bn1", "features.@.%.block.0.1", NULL, "block@&_project_bn"}},

    {NN_MOBILENETV2, OUTSIDE, {"conv_stem", "features.0.0", NULL, "Conv1"}},
    {NN_MOBILENETV2, OUTSIDE, {"bn1", "features.0.1", NULL, "bn_Conv1"}},
    {NN_MOBILENETV2, OUTSIDE, {"conv_head", "features.18.0", NULL, "Conv_1"}},
    {NN_MOBILENETV2, OUTSIDE, {"bn2", "features.18.1", NULL, "Conv_1_bn"}},
    {NN_MOBILENETV2, OUTSIDE, {"classifier", "classifier.1", NULL, "predictions"}},

    {NN_MOBILENETV2, SEPARABLE, {"conv_dw", "features.+.conv.0.0", NULL, "expanded_conv_depthwise"}},
    {NN_MOBILENETV2, SEPARABLE, {"bn1", "features.+.conv.0.1", NULL, "expanded_conv_depthwise_BN"}},
    {NN_MOBILENETV2, SEPARABLE, {"conv_pw", "features.+.conv.1", NULL, "expanded_conv_project"}},
    {NN_MOBILENETV2, SEPARABLE, {"bn2", "features.+.conv.2", NULL, "expanded_conv_project_BN"}},

    {NN_MOBILENETV2, INVERTED, {"conv_pw", "features.+.conv.0.0", NULL, "block_#_expand"}},
    {NN_MOBILENETV2, INVERTED, {"bn1", "features.+.conv.0.1", NULL, "block_#_expand_BN"}},
    {NN_MOBILENETV2, INVERTED, {"conv_dw", "features.+.conv.1.0", NULL, "block_#_depthwise"}},
    {NN_MOBILENETV2, INVERTED, {"bn2", "features.+.conv.1.1", NULL, "block_#_depthwise_BN"}},
    {NN_MOBILENETV2, INVERTED, {"conv_pwl", "features.+.conv.2", NULL, "block_#_project"}},
    {NN_MOBILENETV2, INVERTED, {"bn3", "features.+.conv.3", NULL, "block_#_project_BN"}},

    {NN_RESNETV2, OUTSIDE, {"stem.conv", NULL, NULL, "conv1_conv"}},
    {NN_RESNETV2, OUTSIDE, {"norm", NULL, NULL, "post_bn"}},
    {NN_RESNETV2, OUTSIDE, {"head.fc", NULL, NULL, "predictions"}},

    {NN_RESNETV2, SEPARABLE, {"norm1", NULL, NULL, "conv~_block*_preact_bn"}},
    {NN_RESNETV2, SEPARABLE, {"downsample.conv", NULL, NULL, "conv~_block*_0_conv"}},
    {NN_RESNETV2, SEPARABLE, {"conv1", NULL, NULL, "conv~_block*_1_conv"}},
    {NN_RESNETV2, SEPARABLE, {"norm2", NULL, NULL, "conv~_block*_1_bn"}},
    {NN_RESNETV2, SEPARABLE, {"conv2", NULL, NULL, "conv~_block*_2_conv"}},
    {NN_RESNETV2, SEPARABLE, {"norm3", NULL, NULL, "conv~_block*_2_bn"}},
    {NN_RESNETV2, SEPARABLE, {"conv3", NULL, NULL, "conv~_block*_3_conv"}},
};
enum { MODULES = sizeof modules / sizeof *modules };

const char *weights_param_shape_text(char text[WEIGHTS_SHAPE_TEXT], const struct nn_param *p)
{
    return weights_shape_text(text, p->rank, (const int64_t[]){p->shape[0], p->shape[1], p->shape[2], p->shape[3]});
}

const char *weights_dialect_name(enum weights_dialect d)
{
    static const char *const names[] = {"timm", "torchvision", "lukemelas", "Keras", "Keras (numbered)"};
    return names[d];
}

/* Length of "blocks.S.B." or "stages.S.blocks.B." at the start of a name; 0 if it is none of a block's. */
static size_t block_prefix(const char *name)
{
    const bool stages = !strncmp(name, "stages.", 7);
    if (!stages && strncmp(name, "blocks.", 7)) return 0;
    const char *p = name + 7;
    for (int numbers = 0; numbers < 2; numbers++) {
        if (stages && numbers) {
            if (strncmp(p, "blocks.", 7)) return 0;
            p += 7;
        }
        while (isdigit((unsigned char)*p)) p++;
        if (*p++ != '.') return 0;
    }
    return (size_t)(p - name);
}

/* The block of parameter i: its number over the network and within its stage, and of which sort it is. */
struct block {
    int index, index_in_stage;
    enum place place;
};

/* A block's sort shows by the convolution that only this sort has. */
static enum place place_of(const char *convolution, enum place so_far)
{
    if (!strcmp(convolution, "conv_exp.weight")) return FUSED;
    if (!strcmp(convolution, "conv.weight")) return SINGLE;
    return !strcmp(convolution, "conv_pwl.weight") && so_far != FUSED ? INVERTED : so_far;
}

static struct block find_block(const struct nn_model *model, int i)
{
    struct block b = {-1, -1, SEPARABLE};
    const char *own = model->params[i].name, *previous = "";
    size_t own_length = block_prefix(own), previous_length = 0;
    for (int j = 0; j < model->param_count; j++) {
        const char *name = model->params[j].name;
        size_t length = block_prefix(name);
        if (!length) continue;
        if (j <= i && (length != previous_length || strncmp(name, previous, length))) {
            b.index++;
            b.index_in_stage += model->params[j].stage == model->params[i].stage;
        }
        if (length == own_length && !strncmp(name, own, length)) b.place = place_of(name + length, b.place);
        previous = name;
        previous_length = length;
    }
    return b;
}

/* What Keras calls a parameter within its layer. */
static const char *keras_leaf(enum nn_param_kind kind)
{
    switch (kind) {
    case NN_CONV_WEIGHT:
    case NN_DWCONV_WEIGHT:
    case NN_LINEAR_WEIGHT: return "/kernel";
    case NN_BN_WEIGHT: return "/gamma";
    case NN_BN_BIAS: return "/beta";
    case NN_BN_MEAN: return "/moving_mean";
    case NN_BN_VAR: return "/moving_variance";
    case NN_BIAS: break;
    }
    return "/bias";
}

/* "conv2d_3/kernel": the class of parameter i's layer and how many of that class come before it. Keras lists layers by their distance from the output:
 * so as our graph has them, but for a shortcut's convolution, which comes right before the one that its result is added to. */
static bool numbered_name(char out[NN_NAME], const struct nn_model *model, int i)
{
    static const char *const classes[] = {[NN_CONV_WEIGHT] = "conv2d",
                                          [NN_DWCONV_WEIGHT] = "depthwise_conv2d",
                                          [NN_LINEAR_WEIGHT] = "dense",
                                          [NN_BN_WEIGHT] = "batch_normalization"};
    int first = i, before = 0;
    while (model->params[first].kind >= NN_BIAS && model->params[first].kind != NN_BN_WEIGHT) first--;
    const enum nn_param_kind kind = model->params[first].kind;
    for (int j = 0; j < first; j++) before += model->params[j].kind == kind;
    for (const struct nn_node *nodes = model->graph->nodes, *n = nodes; n < nodes + model->graph->count; n++) {
        if (kind != NN_CONV_WEIGHT || n->op != NN_ADD || nodes[n->in[1]].op != NN_CONV) continue;
        const int shortcut = nodes[n->in[1]].weight, last = nodes[n->in[0]].weight;
        for (int j = shortcut + 1; j < last && first == shortcut; j++) before += model->params[j].kind == kind;
        if (first > shortcut && first < last) before--;
    }
    int n = snprintf(out, NN_NAME, before ? "%s_%d" : "%s", classes[kind], before);
    snprintf(out + n, NN_NAME - (size_t)n, "%s", keras_leaf(model->params[i].kind));
    return true;
}

bool weights_param_name(char out[NN_NAME], const struct nn_model *model, int i, enum weights_dialect d)
{
    const struct nn_param *p = &model->params[i];
    snprintf(out, NN_NAME, "%s", p->name);
    if (d == WEIGHTS_TIMM) return true;
    const enum nn_family family = nn_arch_family(model->arch);
    if (family == NN_RESNETV2 && strncmp(model->arch, "resnet50v2", 10))
        return false; /* timm's is another network than Keras' */
    if (d == WEIGHTS_KERAS_NUMBERED) return numbered_name(out, model, i);

    size_t prefix = block_prefix(p->name);
    struct block block = {0, 0, OUTSIDE};
    if (prefix) block = find_block(model, i);
    const char *module = p->name + prefix, *leaf = strrchr(p->name, '.');
    size_t module_length = (size_t)(leaf - module);
    const char *pattern = NULL;
    for (int m = 0; m < MODULES && !pattern; m++) {
        const char *timm = modules[m].dialects[WEIGHTS_TIMM];
        if (modules[m].family == family && modules[m].place == block.place && strlen(timm) == module_length &&
            !strncmp(timm, module, module_length))
            pattern = modules[m].dialects[d];
    }
    if (!pattern) return false;

    size_t n = 0;
    for (const char *c = pattern; *c; c++) {
        int number = *c == '@'   ? p->stage
                     : *c == '%' ? block.index_in_stage
                     : *c == '#' ? block.index
                     : *c == '+' ? block.index + 1
                     : *c == '~' ? p->stage + 1
                     : *c == '*' ? block.index_in_stage + 1
                                 : -1;
        if (*c == '^' && !strstr(model->arch, "efficientnetv2")) continue;
        const char letter = *c == '&' ? (char)('a' + block.index_in_stage) : *c == '^' ? '2' : *c;
        n += (size_t)(number < 0 ? snprintf(out + n, NN_NAME - n, "%c", letter) : snprintf(out + n, NN_NAME - n, "%d", number));
    }
    snprintf(out + n, NN_NAME - n, "%s", d == WEIGHTS_KERAS ? keras_leaf(p->kind) : leaf);
    return true;
}
