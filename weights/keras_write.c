/* keras_write.c - a model as Keras 3's .weights.h5.
 *
 *     layers/conv2d/vars/0                @name "stem_conv"    the layers that have variables, by class and number, each with its own name
 *     layers/normalization/vars/0 1 2                          EfficientNet V1: mean, variance and count of the preprocessing within
 *     @rudd.arch ...                                           the model file's metadata
 *
 * Keras counts its layers in the order of the network, so those of one class are numbered as ours are. Sources: see keras.h. */
#include "weights/hdf5.h"
#include "weights/keras.h"
#include "weights/supply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NORMALIZATION = 3 }; /* tensors */

/* A supply of a model's tensors and those of its preprocessing, under Keras' paths. */
struct keras_supply {
    struct weights_supply supply;
    struct weights_model_supply model;
    struct weights_tensor *tensors;
    char (*names)[WEIGHTS_MAX_NAME + 1];
    float mean[3], variance[3];
    int32_t count;
    struct weights_meta *texts;
    int text_count;
};

static enum rudd_status fetch(const void **bytes, struct weights_supply *supply, int i, struct rudd_error *err)
{
    struct keras_supply *k = (struct keras_supply *)supply;
    const void *const own[NORMALIZATION] = {k->mean, k->variance, &k->count};
    const int extra = i - k->model.supply.count;
    if (extra < 0) return weights_fetch(bytes, &k->model.supply, i, err);
    *bytes = own[extra];
    return RUDD_OK;
}

static void add_normalization(struct keras_supply *k)
{
    static const char *const variables[NORMALIZATION] = {"mean", "variance", "count"};
    const struct nn_preprocess *p = &k->model.model->preprocess;
    for (int c = 0; c < 3; c++) {
        k->mean[c] = p->mean[c];
        k->variance[c] = p->std[c] * p->std[c];
    }
    for (int v = 0; v < NORMALIZATION; v++) {
        const int i = k->supply.count++;
        char name[NN_NAME];
        snprintf(name, sizeof name, "normalization/%s", variables[v]);
        weights_keras_place(k->names[i], name);
        k->tensors[i] = (struct weights_tensor){.name = k->names[i],
                                                .dtype = v < 2 ? WEIGHTS_F32 : WEIGHTS_I32,
                                                .rank = v < 2,
                                                .shape = {3},
                                                .count = v < 2 ? 3 : 1};
    }
}

static enum rudd_status add_text(struct keras_supply *k, const char *place, size_t length, const char *key, const char *value,
                                 struct rudd_error *err)
{
    struct weights_meta *m = &k->texts[k->text_count++];
    m->key = rudd_alloc(length + strlen(key) + 2);
    m->value = rudd_strdup(value);
    if (!m->key || !m->value) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the attributes of Keras weights");
    sprintf(m->key, "%.*s@%s", (int)length, place, key);
    return RUDD_OK;
}

/* Parameter i's place, and, with the first of a layer, what the layer is called. */
static enum rudd_status add_param(struct keras_supply *k, int i, struct rudd_error *err)
{
    char name[NN_NAME];
    const struct nn_model *m = k->model.model;
    if (!weights_param_name(name, m, i, WEIGHTS_KERAS))
        return rudd_fail(err, RUDD_ARGUMENT, "keras.applications has no %s; expected a network that it has", m->arch);
    k->tensors[i] = k->model.supply.tensors[i];
    weights_keras_place(k->names[i], k->tensors[i].name);
    k->tensors[i].name = k->names[i];
    k->supply.count++;
    const size_t length = strlen(k->names[i]);
    if (k->names[i][length - 1] != '0') return RUDD_OK;
    name[strcspn(name, "/")] = 0;
    return add_text(k, k->names[i], length - 2, "name", name, err);
}

static void keras_supply_free(struct keras_supply *k)
{
    for (int i = 0; i < k->text_count; i++) {
        rudd_free(k->texts[i].key);
        rudd_free(k->texts[i].value);
    }
    rudd_free(k->texts);
    rudd_free(k->names);
    rudd_free(k->tensors);
    weights_model_supply_free(&k->model);
}

enum rudd_status weights_keras_write(const char *path, const struct nn_model *model, struct rudd_error *err)
{
    struct keras_supply k = {.supply = {.fetch = fetch}};
    struct weights_metadata metadata = {.count = 0};
    const size_t most = (size_t)model->param_count + NORMALIZATION;
    enum rudd_status status =
        weights_model_supply_init(&k.model, model, NULL, (struct weights_form){WEIGHTS_KERAS_NUMBERED, WEIGHTS_F32}, err);
    if (status) return status;
    k.supply.tensors = k.tensors = rudd_zalloc(most, sizeof *k.tensors);
    k.names = rudd_zalloc(most, sizeof *k.names);
    k.texts = rudd_zalloc(most + WEIGHTS_METADATA_KEYS, sizeof *k.texts);
    if (!k.tensors || !k.names || !k.texts)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %zu tensors", path, most);
    for (int i = 0; i < model->param_count && !status; i++) status = add_param(&k, i, err);
    if (!status && weights_keras_normalises(model)) add_normalization(&k);
    if (!status) status = weights_model_metadata(&metadata, &k.model, err);
    for (int i = 0; i < metadata.count && !status; i++)
        status = add_text(&k, "", 0, metadata.entries[i].key, metadata.entries[i].value, err);
    if (!status) status = weights_hdf5_write(path, &k.supply, k.texts, k.text_count, err);
    weights_metadata_free(&metadata);
    keras_supply_free(&k);
    return status;
}
