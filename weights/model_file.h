/* model_file.h - model files <-> models: the native form, foreign names, and what does not fit.
 *
 * The native form is safetensors with timm's tensor names in PyTorch's layout and a __metadata__ map (metadata.h),
 * "format":"pt" among it, so that timm loads it as it is. PyTorch's batch norms take the absence of num_batches_tracked for 0:
 * none is written, those found are ignored. Tensors named "rudd.*" belong to checkpoints (optimiser state) and are ignored too.
 *
 * Foreign dialects differ only in names (names.c): timm, torchvision, lukemelas. The dialect and, where nothing says it, the
 * architecture are recognised from names and shapes (recognise.c). */
#ifndef WEIGHTS_MODEL_FILE_H
#define WEIGHTS_MODEL_FILE_H

#include "nn/model.h"
#include "weights/safetensors.h"

enum weights_dialect {
    WEIGHTS_TIMM,
    WEIGHTS_TORCHVISION,
    WEIGHTS_LUKEMELAS,
    WEIGHTS_KERAS,          /* layers by name; another layout, too: keras.h */
    WEIGHTS_KERAS_NUMBERED, /* layers by class and number */
    WEIGHTS_DIALECTS
};
const char *weights_dialect_name(enum weights_dialect d);

/* The dialect's name for parameter i of the model, into out[NN_NAME]. False when the dialect has no such part (lukemelas'
 * package has no V2); out then holds timm's name. */
bool weights_param_name(char out[NN_NAME], const struct nn_model *model, int i, enum weights_dialect d);

/* Everything of a weights file that does not fit its model, all at once, under the file's own names. */
struct weights_report {
    char **missing, **extra, **misshapen; /* a line each: name, found shape, expected shape */
    int missing_count, extra_count, misshapen_count;
    enum weights_dialect dialect;
    bool arch_guessed;        /* no option and no metadata said it: found from names and shapes, conventions by its family */
    bool classifier_replaced; /* the class count differed and was allowed to: the classifier is fresh */
    bool imagenet_names;      /* the file names none of its 1,000 classes: they have ImageNet's names (names/imagenet.h) */
    const char *
        preprocess_of; /* whose mean and deviation the model has, where no metadata said it and it may be another's; else NULL */
};
void weights_report_free(struct weights_report *report);

enum weights_pad { WEIGHTS_PAD_AUTO, WEIGHTS_PAD_SYMMETRIC, WEIGHTS_PAD_SAME };
/* What the variance of a Keras Normalization layer is (keras.h); NONE: the layer is left out. */
enum weights_keras_norm { WEIGHTS_KERAS_AUTO, WEIGHTS_KERAS_VARIANCE, WEIGHTS_KERAS_STD, WEIGHTS_KERAS_NONE };

/* All zeros: everything as the file says. */
struct weights_load_options {
    const char *arch; /* NULL: from metadata or recognised from names and shapes */
    int head_hidden; /* units of a hidden layer in the classifier, which is replaced if it has another; 0: as arch or else the file says */
    int class_count;      /* 0: as in the file; else the model has this many, and a classifier of another size is replaced */
    bool allow_missing;   /* missing tensors are initialised (listed in the report) instead of refused */
    bool predict_only;    /* values stay in the file, which stays open, until the first plan reads them (nn/model.h) */
    bool hash;            /* fill model->sha256; about 0.3 s for 77 MB, so only for those who show or record it */
    uint64_t seed;        /* for what is initialised */
    enum weights_pad pad; /* AUTO: by metadata or family */
    int pad_size; /* SAME padding as at pictures of this side (nn_model_freeze_pads); 0: by metadata or dialect, or by the picture where pad is given */
    float bn_eps; /* 0: by metadata or family */
    enum weights_keras_norm keras_norm;
    /* The file's contents, which outlive the model; path then only names them. NULL: read the file. */
    const void *bytes;
    size_t length;
};
/* Loads path, a weights file, a run's folder or a Hugging Face folder (hf_folder.h), into a fresh model. options and report may be NULL. When tensors do not fit: RUDD_MISMATCH, message with counts
 * and three names of each sort, or with the architecture that does fit. The report is filled on success and on RUDD_MISMATCH, and is always safe to free. A replaced
 * classifier drops the file's class names, metrics, run and dataset: they described another model. */
enum rudd_status weights_model_load(struct nn_model **model, const char *path, const struct weights_load_options *options,
                                    struct weights_report *report, struct rudd_error *err);
/* The same of the file alone, or of a run's folder, without the config.json that may lie beside it. */
enum rudd_status weights_model_load_file(struct nn_model **model, const char *path, const struct weights_load_options *options,
                                         struct weights_report *report, struct rudd_error *err);

/* "[32,3,3,3]" into text; returns it. */
const char *weights_param_shape_text(char text[WEIGHTS_SHAPE_TEXT], const struct nn_param *p);
/* Whether t holds floats in the shape that the parameter has in a dialect. */
bool weights_fits(const struct weights_tensor *t, const struct nn_param *p, enum weights_dialect d);

/* Which dialect and architecture an open file holds. *arch NULL: found out and set to static text (nn_arch_name), *guessed when
 * only shapes told; otherwise it is the caller's choice and stays. RUDD_MISMATCH when nothing tells. */
enum rudd_status weights_recognise(const char **arch, enum weights_dialect *dialect, bool *guessed,
                                   const struct weights_file *file, struct rudd_error *err);

/* *arch: the architecture of which nine tensors in ten, its classifier's aside, are in file as they should be; NULL: none. */
enum rudd_status weights_recognise_most(const char **arch, const struct weights_file *file, struct rudd_error *err);

/* How a model's tensors are called and stored. */
struct weights_form {
    enum weights_dialect dialect;
    enum weights_dtype dtype; /* WEIGHTS_F32, WEIGHTS_F16 or WEIGHTS_BF16: the first ones, in the order of these words */
};
#define WEIGHTS_STORAGE "float32|float16|bfloat16"

/* Writes the model (values: NULL for the model's own, in memory or still in the file that it was opened from; or a block of the same layout, such as an
 * average) under the dialect's names, with the native metadata, in float32. Atomic as weights_write. RUDD_ARGUMENT when the dialect has no names for this
 * family, or the values are neither here nor there any more (nn/model.h, prepared). */
enum rudd_status weights_model_save(const char *path, const struct nn_model *model, const float *values,
                                    enum weights_dialect dialect, struct rudd_error *err);
/* The same in any form. Values are rounded to the nearest, halves to even; RUDD_LIMIT, naming the tensor, for one beyond the dtype's largest. */
enum rudd_status weights_model_save_as(const char *path, const struct nn_model *model, const float *values,
                                       struct weights_form form, struct rudd_error *err);

#endif
