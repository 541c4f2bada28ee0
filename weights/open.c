/* open.c - the public interface's view of a model: open, ask, close (nn/rudd.h). Sessions are in data/predict.c. */
#include "nn/rudd.h"
#include "weights/model_file.h"

enum rudd_status rudd_model_open(rudd_model **model, const char *path, struct rudd_error *err)
{
    return weights_model_load(model, path, &(struct weights_load_options){.predict_only = true}, NULL, err);
}

enum rudd_status rudd_model_open_bytes(rudd_model **model, const void *bytes, size_t length, struct rudd_error *err)
{
    const struct weights_load_options options = {
        .predict_only = true, .bytes = bytes ? bytes : "", .length = bytes ? length : 0};
    return weights_model_load(model, "model in memory", &options, NULL, err);
}

const char *rudd_version(void)
{
    return RUDD_VERSION;
}

int rudd_version_number(void)
{
    return RUDD_VERSION_NUMBER;
}

void rudd_model_close(rudd_model *model)
{
    nn_model_destroy(model);
}

int rudd_model_class_count(const rudd_model *model)
{
    return model->class_count;
}

const char *rudd_model_class_name(const rudd_model *model, int index)
{
    return index >= 0 && index < model->class_count ? model->classes[index].name : NULL;
}

const char *rudd_model_class_words(const rudd_model *model, int index, enum rudd_words words)
{
    if (index < 0 || index >= model->class_count) return NULL;
    const struct nn_class *c = &model->classes[index];
    return words == RUDD_LATIN ? c->latin : words == RUDD_ENGLISH ? c->en : words == RUDD_RUSSIAN ? c->ru : NULL;
}

int rudd_model_feature_count(const rudd_model *model)
{
    return nn_model_feature_count(model);
}

const char *rudd_model_arch(const rudd_model *model)
{
    return model->arch;
}

double rudd_model_temperature(const rudd_model *model)
{
    return model->temperature;
}

int rudd_model_image_size(const rudd_model *model)
{
    return model->preprocess.image_size;
}
