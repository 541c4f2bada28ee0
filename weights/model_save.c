/* model_save.c - a model becomes a file that timm (or torchvision, or lukemelas' package) and rudd itself load as it is. */
#include "weights/golden.h"
#include "weights/metadata.h"
#include "weights/model_file.h"
#include "weights/supply.h"

/* What the file will hold, as the source of the network that gives its golden answer. */
struct stored {
    struct nn_source source;
    struct weights_model_supply *supply;
};

static enum rudd_status read_stored(float *out, struct nn_source *source, const struct nn_model *model, int param,
                                    struct rudd_error *err)
{
    (void)model;
    return weights_model_supply_read(out, ((struct stored *)source)->supply, param, err);
}

static void leave_open(struct nn_source *source)
{
    (void)source; /* the model's own source is still to be read */
}

enum rudd_status weights_model_metadata(struct weights_metadata *metadata, struct weights_model_supply *supply,
                                        struct rudd_error *err)
{
    struct stored stored = {{read_stored, leave_open}, supply};
    char *golden = NULL;
    enum rudd_status status = weights_metadata_make(metadata, supply->model, err);
    if (status) return status;
    status = weights_golden_make(&golden, supply->model, &stored.source, err);
    if (!status && golden) status = weights_metadata_add(metadata, "rudd.golden", golden, err);
    if (status) weights_metadata_free(metadata);
    rudd_free(golden);
    return status;
}

enum rudd_status weights_model_write(const char *path, weights_writer *writer, const struct nn_model *model,
                                     const float *values, struct weights_form form, struct rudd_error *err)
{
    struct weights_model_supply supply;
    struct weights_metadata metadata;
    enum rudd_status status = weights_model_supply_init(&supply, model, values, form, err);
    if (status) return status;
    status = weights_model_metadata(&metadata, &supply, err);
    if (!status) {
        status = writer(path, &supply.supply, metadata.entries, metadata.count, err);
        weights_metadata_free(&metadata);
    }
    weights_model_supply_free(&supply);
    return status;
}

enum rudd_status weights_model_save_as(const char *path, const struct nn_model *model, const float *values,
                                       struct weights_form form, struct rudd_error *err)
{
    return weights_model_write(path, weights_safetensors_write, model, values, form, err);
}

enum rudd_status weights_model_save(const char *path, const struct nn_model *model, const float *values,
                                    enum weights_dialect dialect, struct rudd_error *err)
{
    return weights_model_save_as(path, model, values, (struct weights_form){dialect, WEIGHTS_F32}, err);
}
