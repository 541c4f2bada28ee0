/* hf_folder.h - a model as a Hugging Face folder, in the form of timm's save_for_hf: what hubs hold and timm.create_model("local-dir:DIR") loads.
 *
 *     DIR/model.safetensors (or pytorch_model.bin ...)    tensors
 *     DIR/config.json                                     everything that tensors do not say:
 *
 *     config.json                        rudd
 *     architecture                       arch; a training tag ("tf_efficientnet_b0.ns_jft_in1k") is dropped
 *     num_classes                        classes
 *     label_names, label_descriptions    names and English words of the classes
 *     model_args.pad_type, .bn_eps       conventions, where they are not the architecture's own
 *     pretrained_cfg.input_size, crop_pct, crop_mode, interpolation, mean, std    preprocess
 *
 * Older files hold what is in pretrained_cfg beside the rest. Model arguments that would change the network in another way are refused by name.
 *
 * weights_model_load (model_file.h) takes such a folder: what options say wins, then config.json, then the weights file's metadata.
 *
 * Not here: the hub itself, sharded weights, transformers' own configurations. */
#ifndef WEIGHTS_HF_FOLDER_H
#define WEIGHTS_HF_FOLDER_H

#include <jansson.h>
#include "weights/model_file.h"

/* What a config.json says. */
struct weights_hf {
    json_t *json;
    char arch[NN_ARCH];
    enum weights_pad pad; /* WEIGHTS_PAD_AUTO, and 0: not said */
    float bn_eps;
    json_t *preprocess; /* in rudd's words (metadata.h) */
    const char **names; /* [class_count], json's; NULL: not said */
    int class_count;
};
/* bytes need not outlive hf. RUDD_FORMAT for what is no such config, RUDD_MISMATCH for what rudd cannot do; where starts the message. */
enum rudd_status weights_hf_parse(struct weights_hf *hf, const void *bytes, size_t length, const char *where,
                                  struct rudd_error *err);
void weights_hf_free(struct weights_hf *hf);

/* Writes such a folder: all of it or nothing. It must be new or empty, its parent must exist. RUDD_ARGUMENT: it is not, or timm has no such network. */
enum rudd_status weights_hf_write(const char *folder, const struct nn_model *model, enum weights_dtype dtype,
                                  struct rudd_error *err);

#endif
