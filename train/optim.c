/* optim.c - parameter groups over the optimiser kernels: see optim.h. */
#include "train/optim.h"

#include "kernels/kern.h"
#include <math.h>
#include <string.h>

enum rudd_status train_optim_init(struct train_optim *optim, const struct nn_model *model, const bool *trains,
                                  const struct train_optim_options *options, struct rudd_error *err)
{
    struct train_optim fresh = {
        .options = *options, .model = model, .trains = trains, .moment_count = options->kind == TRAIN_ADAMW ? 2 : 1};
    for (int i = 0; i < fresh.moment_count; i++)
        if (!(fresh.moments[i] = rudd_zalloc(model->value_count, sizeof(float)))) {
            train_optim_free(&fresh);
            return rudd_fail(err, RUDD_NO_MEMORY, "optimiser: no memory for %zu moments", model->value_count);
        }
    *optim = fresh;
    return RUDD_OK;
}

void train_optim_free(struct train_optim *optim)
{
    for (int i = 0; i < TRAIN_MOMENTS; i++) rudd_free(optim->moments[i]);
    memset(optim, 0, sizeof *optim);
}

double train_optim_norm(const struct train_optim *optim, const float *grads)
{
    double total = 0, part;
    for (int i = 0; i < optim->model->param_count; i++) {
        const struct nn_param *p = &optim->model->params[i];
        if (!optim->trains[i]) continue;
        kern_table()->sumsq_f32(&part, grads + p->offset, p->count);
        total += part;
    }
    return sqrt(total);
}

static bool decays(const struct nn_param *p)
{
    return p->kind == NN_CONV_WEIGHT || p->kind == NN_DWCONV_WEIGHT || p->kind == NN_LINEAR_WEIGHT;
}

double train_optim_step(struct train_optim *optim, float *values, const float *grads, double lr_factor, double g_scale)
{
    const struct train_optim_options *o = &optim->options;
    const struct nn_model *model = optim->model;
    const int head = nn_model_stage_count(model) - 1;
    const float beta1 = 0.9f, beta2 = 0.999f; /* the corrections below use the floats too: 1 - 0.999f is off by 5e-5 */

    double norm = train_optim_norm(optim, grads) * g_scale;
    if (!isfinite(norm)) return norm;
    if (o->clip_norm > 0 && norm > o->clip_norm) g_scale *= o->clip_norm / (norm + 1e-6); /* PyTorch's guard against 0 */

    double t = (double)++optim->steps;
    struct kern_adamw adamw = {.beta1 = beta1,
                               .beta2 = beta2,
                               .eps = 1e-8f,
                               .bias1 = (float)(1 - pow(beta1, t)),
                               .bias2 = (float)(1 - pow(beta2, t)),
                               .g_scale = (float)g_scale};
    struct kern_sgd sgd = {.momentum = (float)o->momentum, .g_scale = (float)g_scale, .nesterov = o->momentum > 0};
    for (int i = 0; i < model->param_count; i++) {
        const struct nn_param *p = &model->params[i];
        if (!optim->trains[i]) continue;
        float lr = (float)((p->stage == head ? o->head_lr : o->lr) * lr_factor);
        float decay = decays(p) ? (float)o->weight_decay : 0;
        size_t at = p->offset;
        if (o->kind == TRAIN_ADAMW) {
            adamw.lr = lr;
            adamw.decay = decay;
            kern_table()->adamw_f32(values + at, optim->moments[0] + at, optim->moments[1] + at, grads + at, p->count, &adamw);
        } else {
            sgd.lr = lr;
            sgd.decay = decay;
            kern_table()->sgd_f32(values + at, optim->moments[0] + at, grads + at, p->count, &sgd);
        }
    }
    return norm;
}
