/* model_file.h - model files <-> models: the native form, foreign names, and what does not fit.
 *
 * The native form is safetensors with timm's tensor names in PyTorch's layout and a __metadata__ map: rudd.arch, rudd.classes
 * (JSON list of
 * {"name", "latin", "en", "ru"}), rudd.preprocess, rudd.conventions (epsilon, padding), rudd.metrics, rudd.run, rudd.dataset;
 * and "format":"pt", so that timm loads it as it is.
 *
 * Foreign dialects differ only in names (names.c): timm, torchvision, lukemelas. The dialect and, where nothing says it, the
 * architecture are recognised from names and shapes. */
#ifndef WEIGHTS_MODEL_FILE_H
#define WEIGHTS_MODEL_FILE_H

#include "nn/model.h"
#include "weights/safetensors.h"

enum weights_dialect { WEIGHTS_TIMM, WEIGHTS_TORCHVISION, WEIGHTS_LUKEMELAS };
const char *weights_dialect_name(enum weights_dialect d);

/* The dialect's name for parameter i of the model, into out[NN_NAME]. */
void weights_param_name(char out[NN_NAME], const struct nn_model *model, int i, enum weights_dialect d);

/* Everything of a weights file that does not fit its model, all at once. */
struct weights_report {
    char **missing, **extra, **misshapen; /* a line each: name, found shape, expected shape */
    int missing_count, extra_count, misshapen_count;
    enum weights_dialect dialect;
    bool classifier_replaced; /* the class count differed and was allowed to: the classifier is fresh */
};
void weights_report_free(struct weights_report *report);

struct weights_load_options {
    const char *arch;   /* NULL: from metadata or recognised from names and shapes */
    int class_count;    /* 0: as in the file; else the model has this many, and a classifier of another size is replaced */
    bool allow_missing; /* missing tensors are initialised (listed in the report) instead of refused */
    uint64_t seed;      /* for what is initialised */
    int pad;            /* -1: by family or metadata; else enum nn_pad */
    float bn_eps;       /* 0: by family or metadata */
};
/* Loads path into a fresh model. options and report may be NULL. When tensors do not fit: RUDD_MISMATCH, message with counts
 * and as many names as it holds, report with all of them. num_batches_tracked is ignored. */
enum rudd_status weights_model_load(struct nn_model **model, const char *path, const struct weights_load_options *options,
                                    struct weights_report *report, struct rudd_error *err);

/* Writes the model (values: NULL for model->values, or a block of the same layout, such as an average) under the dialect's
 * names, with the native metadata. Atomic as weights_write. */
enum rudd_status weights_model_save(const char *path, const struct nn_model *model, const float *values,
                                    enum weights_dialect dialect, struct rudd_error *err);

#endif
