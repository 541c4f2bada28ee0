/* metadata.h - what a model file says about itself, as JSON: read strictly, written and shown from one place.
 *
 *     key               value
 *     format            "pt"; architecture: as rudd.arch, for other readers
 *     rudd.arch         timm's name of the architecture
 *     rudd.classes      [{"name", "latin", "en", "ru"}, ...] or plain strings; one per class, in order
 *     rudd.preprocess   {"image_size", "mode", "filter", "crop_fraction", "mean", "std", and "reduce" where it is on}
 *     rudd.conventions  {"bn_eps", "pad", and "pad_size" where padding is frozen}
 *     rudd.temperature  a number: softmax(logits / it) are calibrated probabilities; fitted on validation pictures
 *     rudd.metrics      JSON text of the evaluation;   rudd.run: run id;   rudd.dataset: root hash
 *     rudd.golden       the network's answer to a known input (golden.h); model files only */
#ifndef WEIGHTS_METADATA_H
#define WEIGHTS_METADATA_H

#include <jansson.h>
#include "nn/model.h"
#include "weights/safetensors.h"

/* The words of these files for pads, resize modes and filters, by enum; option tables join them with '|'. */
extern const char *const weights_pad_words[2], *const weights_mode_words[3], *const weights_filter_words[2];

/* New references; NULL when out of memory. Floats are written with as many digits as float32 needs. */
json_t *weights_preprocess_json(const struct nn_preprocess *p);
json_t *weights_classes_json(const struct nn_model *model);
json_t *weights_conventions_json(const struct nn_model *model);

/* Keys absent from json keep their value in *p. RUDD_FORMAT, and *p unchanged, for wrong types, unknown keys and senseless
 * values. where starts the message. */
enum rudd_status weights_preprocess_parse(struct nn_preprocess *p, const json_t *json, const char *where,
                                          struct rudd_error *err);

/* Takes over conventions, preprocess, classes, metrics, run and dataset of a file, where it has them. own_classes false: only
 * conventions and preprocess, the file's classes being another model's. On failure some fields may be set: the model is the
 * loader's, not yet its caller's. */
enum rudd_status weights_metadata_read(struct nn_model *model, const struct weights_file *file, bool own_classes,
                                       struct rudd_error *err);
/* The number of classes that rudd.classes lists; 0 when the file has none. */
enum rudd_status weights_metadata_class_count(int *count, const struct weights_file *file, struct rudd_error *err);

/* All of the table above for a model, but the golden answer, which takes a run of the network; weights_metadata_free gives it back. */
enum { WEIGHTS_METADATA_KEYS = 11 };
struct weights_metadata {
    struct weights_meta entries[WEIGHTS_METADATA_KEYS];
    int count;
};
enum rudd_status weights_metadata_make(struct weights_metadata *metadata, const struct nn_model *model, struct rudd_error *err);
/* One more entry; copies. */
enum rudd_status weights_metadata_add(struct weights_metadata *metadata, const char *key, const char *value,
                                      struct rudd_error *err);
void weights_metadata_free(struct weights_metadata *metadata);

#endif
