/* gradients.c - one training step of a model file, for comparison with PyTorch's (networks.py, compare_step).
 *
 *     gradients MODEL DIALECT BATCH SIZE MOMENTUM OUT     < x [BATCH,SIZE,SIZE,3] float32
 *
 * DIALECT is timm, torchvision ...; picture n is of class (7n + 3) % classes, the loss is the mean cross-entropy, MOMENTUM that of batch-norm statistics.
 * OUT, safetensors under the dialect's names: what each parameter's gradient is, what each statistic has become; "logits", "loss". */
#include "nn/plan.h"
#include "weights/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum weights_dialect dialect_of(const char *word)
{
    int d = 0;
    while (d < WEIGHTS_LUKEMELAS && strcmp(word, weights_dialect_name((enum weights_dialect)d)) != 0) d++;
    return (enum weights_dialect)d;
}

/* Everything that OUT holds, in tensors [param_count + 2], which points into the model and grads. */
static void describe(struct weights_tensor *tensors, char (*names)[NN_NAME], const struct nn_model *m, const float *grads,
                     enum weights_dialect dialect)
{
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        const bool statistic = p->kind == NN_BN_MEAN || p->kind == NN_BN_VAR;
        weights_param_name(names[i], m, i, dialect);
        tensors[i] = (struct weights_tensor){.name = names[i], .dtype = WEIGHTS_F32, .rank = p->rank, .count = p->count};
        for (int k = 0; k < p->rank; k++) tensors[i].shape[k] = p->shape[k];
        tensors[i].data = (statistic ? m->values : grads) + p->offset;
    }
}

static enum rudd_status step(struct nn_model *m, char **argv, struct rudd_error *err)
{
    const int batch = atoi(argv[3]), size = atoi(argv[4]), count = m->param_count;
    const struct nn_plan_options options = {
        .batch = batch, .image_size = size, .train = true, .bn_momentum = strtof(argv[5], NULL)};
    struct nn_plan *plan;
    enum rudd_status status = nn_plan_create(&plan, m, &options, err);
    if (status) return status;
    const size_t floats = (size_t)batch * nn_plan_input_floats(plan), logits = (size_t)batch * (size_t)m->class_count;
    float *grads = rudd_zalloc(m->value_count, sizeof *grads), *q = rudd_alloc(logits * sizeof *q);
    int *labels = rudd_alloc((size_t)batch * sizeof *labels);
    struct weights_tensor *tensors = rudd_zalloc((size_t)count + 2, sizeof *tensors);
    char(*names)[NN_NAME] = rudd_zalloc((size_t)count, sizeof *names);
    if (!grads || !q || !labels || !tensors || !names || fread(nn_plan_input(plan), sizeof(float), floats, stdin) != floats) {
        status = rudd_fail(err, RUDD_ARGUMENT, "no memory, or less than %zu floats on standard input", floats);
    } else {
        for (int n = 0; n < batch; n++) labels[n] = (7 * n + 3) % m->class_count;
        nn_plan_forward(plan, batch);
        const double inv_norm = nn_targets(q, labels, NULL, 0, batch, m->class_count);
        const float loss = (float)nn_plan_backward(plan, grads, q, inv_norm, batch);
        describe(tensors, names, m, grads, dialect_of(argv[2]));
        tensors[count] = (struct weights_tensor){.name = "loss", .dtype = WEIGHTS_F32, .count = 1, .data = &loss};
        tensors[count + 1] = (struct weights_tensor){
            .name = "logits", .dtype = WEIGHTS_F32, .rank = 2, .count = logits, .data = nn_plan_logits(plan)};
        tensors[count + 1].shape[0] = batch;
        tensors[count + 1].shape[1] = m->class_count;
        status = weights_write(argv[6], tensors, count + 2, NULL, 0, err);
    }
    rudd_free(names);
    rudd_free(tensors);
    rudd_free(labels);
    rudd_free(q);
    rudd_free(grads);
    nn_plan_destroy(plan);
    return status;
}

int main(int argc, char **argv)
{
    struct rudd_error err;
    struct nn_model *model;
    if (argc != 7) return 2;
    enum rudd_status status = weights_model_load(&model, argv[1], NULL, NULL, &err);
    if (!status) {
        status = step(model, argv, &err);
        nn_model_destroy(model);
    }
    if (status) fprintf(stderr, "%s\n", err.message);
    return status != RUDD_OK;
}
