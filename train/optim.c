/* optim.c - parameter groups over the optimiser kernels: see optim.h. */
#include "train/optim.h"

#include "kernels/kern.h"
#include "kernels/team.h"
#include <math.h>
#include <string.h>

static const struct {
    int moments;
    float start[TRAIN_MOMENTS];
} kinds[] = {[TRAIN_ADAMW] = {2, {0, 0}},
             [TRAIN_SGD] = {1, {0}},
             [TRAIN_RMSPROP] = {2, {0, 1}},
             [TRAIN_LION] = {1, {0}},
             [TRAIN_LBFGS] = {0, {0}}};

enum rudd_status train_optim_init(struct train_optim *optim, const struct nn_model *model, const bool *trains,
                                  const struct train_optim_options *options, struct rudd_error *err)
{
    struct train_optim fresh = {.options = *options,
                                .model = model,
                                .trains = trains,
                                .moment_count = kinds[options->kind].moments,
                                .stage_count = nn_model_stage_count(model)};
    bool all = (fresh.began = rudd_alloc(sizeof *fresh.began * (size_t)fresh.stage_count)) != NULL;
    for (int i = 0; all && i < fresh.moment_count; i++) {
        float start = kinds[options->kind].start[i];
        all = (fresh.moments[i] = rudd_zalloc(model->value_count, sizeof(float))) != NULL;
        for (size_t k = 0; all && start != 0 && k < model->value_count; k++) fresh.moments[i][k] = start;
    }
    if (!all) {
        train_optim_free(&fresh);
        return rudd_fail(err, RUDD_NO_MEMORY, "optimiser: no memory for %zu moments", model->value_count);
    }
    for (int s = 0; s < fresh.stage_count; s++) fresh.began[s] = TRAIN_NEVER;
    *optim = fresh;
    return RUDD_OK;
}

size_t train_optim_bytes(const struct nn_model *model, enum train_optim_kind kind)
{
    return (size_t)kinds[kind].moments * model->value_count * sizeof(float);
}

void train_optim_free(struct train_optim *optim)
{
    for (int i = 0; i < TRAIN_MOMENTS; i++) rudd_free(optim->moments[i]);
    rudd_free(optim->began);
    memset(optim, 0, sizeof *optim);
}

double train_optim_rate(const struct train_optim *optim, int stage)
{
    const struct train_optim_options *o = &optim->options;
    const int head = optim->stage_count - 1, above = head - 1 - stage;
    return stage == head ? o->head_lr : o->lr * pow(o->layer_decay, above > 1 ? above : 1);
}

static bool learns(const struct train_optim *optim, int i)
{
    return optim->trains[i] && optim->model->params[i].stage >= optim->first_stage;
}

double train_optim_norm(const struct train_optim *optim, const float *grads)
{
    double total = 0, part;
    for (int i = 0; i < optim->model->param_count; i++) {
        const struct nn_param *p = &optim->model->params[i];
        if (!learns(optim, i)) continue;
        kern_table()->sumsq_f32(&part, grads + p->offset, p->count);
        total += part;
    }
    return sqrt(total);
}

static bool decays(const struct nn_param *p)
{
    return p->kind == NN_CONV_WEIGHT || p->kind == NN_DWCONV_WEIGHT || p->kind == NN_LINEAR_WEIGHT;
}

/* What a step is to one parameter. */
struct pace {
    float lr, momentum, decay, g_scale;
    double t; /* its own steps, this one included */
};

static void step_param(struct train_optim *optim, const struct nn_param *p, float *values, const float *grads,
                       const struct pace *a)
{
    float *w = values + p->offset, *m = optim->moments[0] + p->offset;
    float *v = optim->moments[1] ? optim->moments[1] + p->offset : NULL;
    const float *g = grads + p->offset;
    switch (optim->options.kind) {
    case TRAIN_ADAMW: {
        const float beta2 = 0.999f; /* the corrections use the floats too: 1 - 0.999f is off by 5e-5 */
        struct kern_adamw s = {.lr = a->lr,
                               .beta1 = a->momentum,
                               .beta2 = beta2,
                               .eps = 1e-8f,
                               .decay = a->decay,
                               .bias1 = (float)(1 - pow(a->momentum, a->t)),
                               .bias2 = (float)(1 - pow(beta2, a->t)),
                               .g_scale = a->g_scale};
        kern_table()->adamw_f32(w, m, v, g, p->count, &s);
        break;
    }
    case TRAIN_SGD: {
        struct kern_sgd s = {a->lr, a->momentum, a->decay, a->g_scale, .nesterov = a->momentum > 0};
        kern_table()->sgd_f32(w, m, g, p->count, &s);
        break;
    }
    case TRAIN_RMSPROP: {
        struct kern_rmsprop s = {a->lr, .alpha = 0.9f, .momentum = a->momentum, .eps = 1e-3f, a->decay, a->g_scale};
        kern_table()->rmsprop_f32(w, m, v, g, p->count, &s);
        break;
    }
    case TRAIN_LBFGS: break;
    case TRAIN_LION: {
        struct kern_lion s = {a->lr, .beta1 = a->momentum, .beta2 = 0.99f, a->decay, a->g_scale};
        kern_table()->lion_f32(w, m, g, p->count, &s);
        break;
    }
    }
}

double train_optim_step(struct train_optim *optim, float *values, const float *grads, double lr_factor, double momentum,
                        double g_scale)
{
    const struct train_optim_options *o = &optim->options;
    const struct nn_model *model = optim->model;
    kern_team_begin();
    double norm = train_optim_norm(optim, grads) * g_scale;
    if (!isfinite(norm)) {
        kern_team_end();
        return norm;
    }
    if (o->clip_norm > 0 && norm > o->clip_norm) g_scale *= o->clip_norm / (norm + 1e-6); /* PyTorch's guard against 0 */

    bool has_betas = o->kind == TRAIN_ADAMW || o->kind == TRAIN_LION;
    if (momentum == 0) momentum = has_betas ? 0.9 : o->momentum;
    for (int s = optim->first_stage; s < optim->stage_count; s++)
        if (optim->began[s] == TRAIN_NEVER) optim->began[s] = optim->steps;
    optim->steps++;
    for (int i = 0; i < model->param_count; i++) {
        const struct nn_param *p = &model->params[i];
        if (!learns(optim, i)) continue;
        struct pace pace = {.lr = (float)(train_optim_rate(optim, p->stage) * lr_factor),
                            .momentum = (float)momentum,
                            .decay = decays(p) ? (float)o->weight_decay : 0,
                            .g_scale = (float)g_scale,
                            .t = (double)(optim->steps - optim->began[p->stage])};
        step_param(optim, p, values, grads, &pace);
    }
    kern_team_end();
    return norm;
}
