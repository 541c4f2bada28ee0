/* model.h - a model in memory: what it is (architecture, conventions, labels) and its parameters, in one block, under timm's
 * names.
 *
 *     params[i] : name "blocks.1.0.conv_dw.weight", kind, shape (PyTorch's: OIHW), offset into values and into any block alike
 *     values    : |conv_stem.weight|bn1.weight|bn1.bias|bn1.running_mean|...|classifier.bias|      float32, in graph order
 *
 * Gradients, moments and averages are blocks of the same layout, so one offset serves all. Numeric conventions (epsilon,
 * padding, preprocessing, labels) are data of the model file, never code: they live here.
 *
 * Whoever only predicts never holds the values: they stay where they come from (a source: the open file, or a seed) until the first
 * plan reads them, one operation at a time, straight into the form that its kernels want. That form belongs to the model and
 * serves all its plans.
 *
 *     described --+-- nn_model_allocate, or source + nn_model_read_values --> values     trains, is saved, predicts
 *                 +-- source -----------------first plan--------------------> prepared   predicts only
 *
 * Thread-safety: a model is read-only while plans run on it, except for the training plan that owns it. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <stdbool.h>
#include "nn/rudd.h"

enum { NN_NAME = 96, NN_ARCH = 48, NN_MAX_CLASSES = 65536, NN_MAX_HIDDEN = 65536 };

enum nn_pad { NN_PAD_SYMMETRIC, NN_PAD_SAME };

/* What stands before the network. */
enum nn_resize_mode {
    NN_RESIZE_CROP,   /* short side to round(image_size / crop_fraction), centre crop */
    NN_RESIZE_SQUASH, /* both sides to image_size, aspect lost */
    NN_RESIZE_PAD     /* long side to image_size, centred on the mean colour */
};
enum nn_filter { NN_BICUBIC, NN_BILINEAR };
struct nn_preprocess {
    int image_size;
    enum nn_resize_mode mode;
    enum nn_filter filter;
    double crop_fraction; /* NN_RESIZE_CROP only; 224/256 = 0.875 */
    /* 0: JPEGs are decoded at their full size; else at 1/8, 1/4 or 1/2 of it, if sides stay this many times too long. */
    double reduce;
    float mean[3], std[3]; /* of pixels scaled to 0..1 */
};

/* A class of the label map. name is the key (folder name); the rest may be NULL. */
struct nn_class {
    char *name, *latin, *en, *ru;
};

enum nn_param_kind {
    NN_CONV_WEIGHT,   /* [oc, ic, k, k] */
    NN_DWCONV_WEIGHT, /* [c, 1, k, k] */
    NN_LINEAR_WEIGHT, /* [out, in], or stored as a convolution's: [out, in, 1, 1] */
    NN_BIAS,          /* [c] of a convolution or linear layer */
    NN_BN_WEIGHT,
    NN_BN_BIAS,
    NN_BN_MEAN, /* running statistics: saved and loaded, never trained */
    NN_BN_VAR
};
struct nn_param {
    char name[NN_NAME];
    enum nn_param_kind kind;
    int rank;
    int shape[4];         /* beyond rank: 1 */
    size_t count, offset; /* in floats; each offset a multiple of 16 */
    int stage;            /* 0 stem, 1..N stages, N+1 head convolution, N+2 classifier */
};

struct nn_graph; /* nn/graph.h */
struct nn_model;

/* Where values lie that are not in memory; the first member of whatever knows more (weights/model_load.c). */
struct nn_source {
    /* out [params[param].count]. Several threads may read at the same time. */
    enum rudd_status (*read)(float *out, struct nn_source *source, const struct nn_model *model, int param,
                             struct rudd_error *err);
    void (*close)(struct nn_source *source); /* frees it */
};

struct nn_model {
    char arch[NN_ARCH]; /* "tf_efficientnetv2_b0", "tf_efficientnetv2_b0+mlp256" */
    float bn_eps;
    enum nn_pad pad;
    int pad_size; /* nn_model_freeze_pads; 0: padding fits the picture */
    struct nn_preprocess preprocess;
    struct nn_class *classes;
    int class_count;
    double temperature;            /* logits / this give honest probabilities (arXiv:1706.04599); 0: not fitted */
    char *metrics, *run, *dataset; /* metadata carried along: JSON text, run id, data-set root hash; may be NULL */
    char *golden;                  /* the file's own answer to a known input (weights/golden.h); NULL: it has none */
    char *sha256;                  /* of the file it came from, hex; NULL when new */
    struct nn_graph *graph;        /* unfused, resolution-independent */
    struct nn_param *params;
    int param_count;
    size_t value_count;       /* floats in values, padding included */
    float *values;            /* NULL: nowhere (described), in source, or prepared */
    struct nn_source *source; /* the model's own; closed when values or prepared have been made of it */
    float *prepared;          /* weights as inference plans read them, all plans the same (nn/prepare.c); NULL: none yet */
};

/* Architectures by timm's names: efficientnet_b0..b7, tf_efficientnet_b0..b7, tf_efficientnetv2_b0..b3 and _s, efficientnetv2_s
 * (torchvision's), mobilenetv2_035, _050, _075, _100, _130 and _140, resnetv2_50, resnet50v2 (Keras'); and rudd_nano, a small one of our own for learning from nothing on small pictures. NULL past the end. */
const char *nn_arch_name(int index);
/* Architectures of one family are built of the same blocks under the same names. */
enum nn_family { NN_EFFICIENTNET, NN_MOBILENETV2, NN_RESNETV2 };
enum nn_family nn_arch_family(const char *arch); /* of a known architecture, its hidden layer's mark allowed */
/* "efficientnet_b4+mlp256" is efficientnet_b4 whose classifier has a hidden layer of 256 units (SiLU, the plan's dropout before both layers).
 * *base: characters before the mark; *hidden 0: no such layer. False: a mark without a number of 1..NN_MAX_HIDDEN. */
bool nn_arch_parse(size_t *base, int *hidden, const char *arch);
/* arch, its own mark left out, with that of hidden units; 0: none. */
void nn_arch_print(char out[NN_ARCH], const char *arch, int hidden);

/* Builds the graph and the parameter table of arch with the default conventions of that family (epsilon, padding, image size,
 * mean and std) and class_count classes named "class_0", ...; values are initialised by nn_model_init_params with seed 0.
 * RUDD_ARGUMENT for an unknown arch (the message lists those known) or class_count outside 1..NN_MAX_CLASSES. */
enum rudd_status nn_model_create(struct nn_model **model, const char *arch, int class_count, struct rudd_error *err);
void nn_model_destroy(struct nn_model *model);

/* nn_model_create in its steps, for those who only look at names and shapes (values stays NULL: cheap), and for loaders that
 * write every value themselves. nn_model_allocate gives values, all 0, where there are none. */
enum rudd_status nn_model_describe(struct nn_model **model, const char *arch, int class_count, struct rudd_error *err);
enum rudd_status nn_model_allocate(struct nn_model *model, struct rudd_error *err);
/* Gives a described model its source: values drawn as nn_model_init_params does, when they are read. */
enum rudd_status nn_model_draw_later(struct nn_model *model, uint64_t seed, struct rudd_error *err);
/* Values from the source, which is closed. On failure the model is as it was. */
enum rudd_status nn_model_read_values(struct nn_model *model, struct rudd_error *err);
/* RUDD_ARGUMENT when values are not in memory, so that nobody trains, saves or exports what is not there. */
enum rudd_status nn_model_need_values(const struct nn_model *model, struct rudd_error *err);

/* Fresh parameters, convolutions N(0, sqrt(2/fan_out)) as timm, linear U(+-1/sqrt(fan_in)) as PyTorch, norms 1 and 0. Only
 * those with which[i] (which NULL: all). Deterministic by seed and parameter name. */
void nn_model_init_params(struct nn_model *model, uint64_t seed, const bool *which);
/* The same for one parameter: out [params[param].count]. */
void nn_model_draw(float *out, const struct nn_model *model, int param, uint64_t seed);

/* Index of the parameter of that name; -1 if there is none. */
int nn_model_find(const struct nn_model *model, const char *name);

/* Takes over copies of count classes (name required, the rest may be NULL); count must be the model's. */
enum rudd_status nn_model_set_classes(struct nn_model *model, const struct nn_class *classes, int count,
                                      struct rudd_error *err);
/* Replaces *field (metrics, run, dataset, golden or sha256) by a copy of text; text may be NULL. */
enum rudd_status nn_model_set_text(char **field, const char *text, struct rudd_error *err);

/* SAME padding as it would be at pictures of size*size, whatever the pictures are: what programs do that compute it once, when the network is
 * built. A multiple of 32 stands for programs that take every side for even. 0: by the picture again. Before any plan. RUDD_NO_MEMORY. */
enum rudd_status nn_model_freeze_pads(struct nn_model *model, int size, struct rudd_error *err);

size_t nn_model_parameter_count(const struct nn_model *model); /* trainable: without running statistics */
/* Multiply-adds of convolutions and linear layers for one image of size*size. */
uint64_t nn_model_macs(const struct nn_model *model, int size);
/* The same, and in each [param_count] those of every weight; 0 for other parameters. each may be NULL. */
uint64_t nn_model_macs_each(uint64_t *each, const struct nn_model *model, int size);

/* First trainable stage for --freeze: "none" -> 0, "all" -> the classifier's; "stem" freezes the stem, "1".."N" up to and
 * including that stage, "head" the head convolution too. -1 for anything else. */
int nn_model_freeze_stage(const struct nn_model *model, const char *text);
int nn_model_stage_count(const struct nn_model *model); /* the classifier's stage number + 1 */
/* Numbers of a picture that the classifier's stage reads; 0: it reads more than one value. */
int nn_model_feature_count(const struct nn_model *model);

#endif
