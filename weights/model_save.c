/* model_save.c - a model becomes a file that timm (or torchvision, or lukemelas' package) and rudd itself load as it is. */
#include <string.h>
#include "weights/golden.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

/* What the writer needs for parameter i; its name lies in name. */
static void describe_tensor(struct weights_tensor *t, char *name, const struct nn_param *p, const float *values)
{
    *t = (struct weights_tensor){
        .name = name, .dtype = WEIGHTS_F32, .rank = p->rank, .count = p->count, .data = values + p->offset};
    for (int k = 0; k < p->rank; k++) t->shape[k] = p->shape[k];
}

enum rudd_status weights_model_save(const char *path, const struct nn_model *model, const float *values,
                                    enum weights_dialect dialect, struct rudd_error *err)
{
    size_t count = (size_t)model->param_count;
    struct weights_tensor *tensors = rudd_zalloc(count, sizeof *tensors);
    char(*names)[NN_NAME] = rudd_zalloc(count, sizeof *names);
    struct weights_metadata metadata = {.count = 0};
    char *golden = NULL;
    enum rudd_status status = values ? RUDD_OK : nn_model_need_values(model, err);
    if (status) goto out;
    if (!tensors || !names) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %zu tensors", path, count);
    for (int i = 0; i < model->param_count && !status; i++) {
        if (!weights_param_name(names[i], model, i, dialect))
            status = rudd_fail(err, RUDD_ARGUMENT, "%s has no %s in %s's naming; expected timm names for this family",
                               model->arch, names[i], weights_dialect_name(dialect));
        describe_tensor(&tensors[i], names[i], &model->params[i], values ? values : model->values);
    }
    if (!status) status = weights_metadata_make(&metadata, model, err);
    if (!status) status = weights_golden_make(&golden, model, values, err);
    if (!status && golden) status = weights_metadata_add(&metadata, "rudd.golden", golden, err);
    if (!status) status = weights_write(path, tensors, model->param_count, metadata.entries, metadata.count, err);
out:
    rudd_free(golden);
    weights_metadata_free(&metadata);
    rudd_free(names);
    rudd_free(tensors);
    return status;
}
