/* optim.h - from gradients to steps: parameter groups, clipping, AdamW, SGD, RMSprop and Lion.
 *
 *     group      learning rate                       decay
 *     stage s    lr * layer_decay^max(1, top - s)    weight_decay for weights of convolutions, 0 for norms and biases
 *     classifier head_lr                             weight_decay for its weight, 0 for its bias
 *
 * where top is the stage of the head convolution, which counts with the last stage of blocks: timm's groups (param_groups_layer_decay
 * over group_matcher(coarse=True)).
 *
 *     kind       moments, and what they start at     weight decay                     constants
 *     adamw      mean 0, mean square 0               w *= 1 - lr*decay                beta 0.9, 0.999, eps 1e-8
 *     sgd        momentum 0                          g += decay*w                     Nesterov's form
 *     rmsprop    momentum 0, mean square 1           g += decay*w                     alpha 0.9, eps 1e-3 (EfficientNet's own)
 *     lion       mean 0                              w *= 1 - lr*decay                beta 0.9, 0.99
 *
 * Stages may join late (first_stage): a parameter's bias correction counts its own steps, as PyTorch's does. Values, gradients and
 * moments are blocks of the model's layout (nn/model.h). Order of all sums is fixed: the same gradients give the same bits for any
 * number of threads.
 *
 * Sources: AdamW arXiv:1711.05101, Nesterov momentum as PyTorch writes it, RMSprop as timm's RMSpropTF, Lion arXiv:2302.06675,
 * layer-wise decay ULMFiT arXiv:1801.06146, section 3.2; clipping by global norm arXiv:1211.5063.
 * Not here: the schedule (schedule.h), averaging (ema.h). One optimiser belongs to one thread. */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "nn/model.h"

enum train_optim_kind { TRAIN_ADAMW, TRAIN_SGD, TRAIN_RMSPROP, TRAIN_LION, TRAIN_LBFGS /* no steps: head_fit.h */ };

struct train_optim_options {
    enum train_optim_kind kind;
    double lr, head_lr;
    double layer_decay; /* 1: every stage learns at lr */
    double weight_decay;
    double momentum;  /* of sgd and rmsprop */
    double clip_norm; /* of the scaled gradient of all groups together; 0: none */
};

enum { TRAIN_MOMENTS = 2 };
#define TRAIN_NEVER UINT64_MAX

struct train_optim {
    struct train_optim_options options;
    const struct nn_model *model; /* its parameter table only; values are passed to each step */
    const bool *trains;           /* [param_count], the caller's: what learns sooner or later */
    int first_stage;              /* stages below rest; 0 at first, the caller's to change between steps */
    float *moments[TRAIN_MOMENTS];
    int moment_count;
    uint64_t steps;  /* taken so far */
    uint64_t *began; /* [stage_count] steps taken before the stage's first; TRAIN_NEVER: none yet */
    int stage_count;
};

/* model and trains must outlive it. RUDD_NO_MEMORY. */
enum rudd_status train_optim_init(struct train_optim *optim, const struct nn_model *model, const bool *trains,
                                  const struct train_optim_options *options, struct rudd_error *err);
size_t train_optim_bytes(const struct nn_model *model, enum train_optim_kind kind); /* of the moments that one takes */
void train_optim_free(struct train_optim *optim);

/* The rate of a stage, before the schedule's factor. */
double train_optim_rate(const struct train_optim *optim, int stage);

/* One step on values, with gradient g_scale * grads, learning rates times lr_factor, and momentum (beta1 of adamw and lion) in
 * place of the optimiser's own unless 0. Returns the gradient's norm before clipping; when that is not finite nothing is changed. */
double train_optim_step(struct train_optim *optim, float *values, const float *grads, double lr_factor, double momentum,
                        double g_scale);

/* The norm alone: sqrt(sum over what learns now, in table order). */
double train_optim_norm(const struct train_optim *optim, const float *grads);

#endif
