/* optim.h - from gradients to steps: parameter groups, clipping, AdamW and SGD.
 *
 *     group      learning rate   decay
 *     backbone   lr              weight_decay for weights of convolutions, 0 for norms and biases
 *     classifier head_lr         weight_decay for its weight, 0 for its bias
 *
 * Values, gradients and moments are blocks of the model's layout (nn/model.h). Order of all sums is fixed: the same gradients
 * give the same bits for any number of threads.
 *
 * Sources: AdamW arXiv:1711.05101, Nesterov momentum as PyTorch writes it, clipping by global norm arXiv:1211.5063.
 * Not here: the schedule (schedule.h), averaging (ema.h). One optimiser belongs to one thread. */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "nn/model.h"

enum train_optim_kind { TRAIN_ADAMW, TRAIN_SGD };

struct train_optim_options {
    enum train_optim_kind kind;
    double lr, head_lr;
    double weight_decay;
    double momentum;  /* SGD, Nesterov's form; AdamW has beta 0.9 and 0.999, eps 1e-8 */
    double clip_norm; /* of the scaled gradient of all groups together; 0: none */
};

enum { TRAIN_MOMENTS = 2 }; /* AdamW: first and second; SGD: momentum alone */

struct train_optim {
    struct train_optim_options options;
    const struct nn_model *model; /* its parameter table only; values are passed to each step */
    const bool *trains;           /* [param_count], the caller's */
    float *moments[TRAIN_MOMENTS];
    int moment_count;
    uint64_t steps; /* taken so far; AdamW's bias correction depends on it */
};

/* Moments start at 0. model and trains must outlive it. RUDD_NO_MEMORY. */
enum rudd_status train_optim_init(struct train_optim *optim, const struct nn_model *model, const bool *trains,
                                  const struct train_optim_options *options, struct rudd_error *err);
void train_optim_free(struct train_optim *optim);

/* One step on values, with gradient g_scale * grads and learning rates times lr_factor. Returns the gradient's norm before
 * clipping; when that is not finite nothing is changed. */
double train_optim_step(struct train_optim *optim, float *values, const float *grads, double lr_factor, double g_scale);

/* The norm alone: sqrt(sum over trained parameters, in table order). */
double train_optim_norm(const struct train_optim *optim, const float *grads);

#endif
