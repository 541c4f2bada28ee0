/* plan.h - a plan: the flat list of steps that computes a graph, with every buffer at a fixed offset of ONE block of memory.
 *
 *     graph --passes--> nodes --shapes for (batch, size)--> steps --lifetimes--> offsets --> run
 *
 * Everything is decided in nn_plan_create; running allocates nothing and cannot fail. A training plan has its backward steps in
 * the same list, planned by the same planner. Weights are used from model->values; forms that kernels want (folded batch norm,
 * packed panels) are made by prepare steps into the plan's own memory: call nn_plan_prepare after the model's values changed (training
 * plans do it by themselves at each forward). When the model's values are not in memory, an inference plan uses model->prepared, which
 * the first one makes and which belongs to the model: the model must outlive its plans.
 *
 * Thread-safety: one thread at a time per plan. */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include <stdatomic.h>
#include "kernels/text.h"
#include "nn/model.h"

struct nn_plan_options {
    int batch, image_size;
    bool train;        /* keep activations, add backward steps, batch statistics, dropout */
    int freeze_stage;  /* train: parameters of stages below are constants, their batch norms use running statistics */
    bool freeze_bn;    /* train: all batch norms use running statistics (their weight and bias still learn) */
    bool unfused;      /* infer: no folding or fusing, the plain graph; for tests */
    float dropout;     /* train: before the classifier */
    float drop_path;   /* train: stochastic depth of the last block, growing linearly from 0; arXiv:1603.09382 */
    float bn_momentum; /* train: running = running*(1-m) + batch*m; 0.1 in PyTorch, 0.01 in TensorFlow */
    int first_stage;   /* above 0: the part that starts with this stage; its input is the activation that the stage reads */
    int end_stage;     /* above 0: the part below this stage; its output is the activation that the stage would read */
    /* Bytes for the plan's block and prepared weights; 0: none. A training plan computes again what it cannot keep. */
    size_t memory_limit;
    bool features; /* infer: keeps what the classifier's stage reads (nn_plan_features) */
};

struct nn_plan;
/* RUDD_LIMIT when the block would exceed memory_limit (says both figures), RUDD_ARGUMENT for sizes the network cannot take and for
 * training a model whose values are not in memory; what reading its source says. Plans of one model may be created by many threads
 * at a time. */
enum rudd_status nn_plan_create(struct nn_plan **plan, struct nn_model *model, const struct nn_plan_options *options,
                                struct rudd_error *err);
void nn_plan_destroy(struct nn_plan *plan);

float *nn_plan_input(struct nn_plan *plan); /* [batch, size, size, 3] NHWC, normalised; filled by the caller before each run */
const float *nn_plan_logits(const struct nn_plan *plan); /* [batch, classes]; of a part with end_stage, its output */
/* Floats of one image in nn_plan_input and in nn_plan_logits. */
size_t nn_plan_input_floats(const struct nn_plan *plan);
/* What the last stage, the classifier with its hidden layer if it has one, read in the last run:
 * [batch, nn_plan_feature_floats]. NULL and 0 unless the plan was made with `features`. */
const float *nn_plan_features(const struct nn_plan *plan);
size_t nn_plan_feature_floats(const struct nn_plan *plan);
size_t nn_plan_output_floats(const struct nn_plan *plan);
size_t nn_plan_bytes(const struct nn_plan *plan);        /* of the one block: activations and scratch */
size_t nn_plan_weight_bytes(const struct nn_plan *plan); /* of the prepared weights, its own or the model's */
int nn_plan_batch(const struct nn_plan *plan);

/* A training plan keeps what backward needs, or computes it again, block by block (recompute.h); the gradients are the same, bit for bit.
 * How many blocks do: */
enum nn_recompute { NN_RECOMPUTE_NOTHING, NN_RECOMPUTE_ELEMENTWISE, NN_RECOMPUTE_ALL };
int nn_plan_recomputes(const struct nn_plan *plan, enum nn_recompute level);

void nn_plan_prepare(struct nn_plan *plan);
/* Forward over the first n <= batch images. */
void nn_plan_forward(struct nn_plan *plan, int n);
/* From now on a forward run ends before its next step once *stop is true, and leaves logits without a
 * meaning. Another thread may set it at any time. NULL: runs are not stopped. */
void nn_plan_set_stop(struct nn_plan *plan, const atomic_bool *stop);
/* p [n, classes] = softmax of the logits. */
void nn_plan_softmax(const struct nn_plan *plan, float *p, int n);

/* What one step did, for RUDD_TRACE (trace.h): the operation, the kernel that had most of its work, that kernel's shape in this run, the
 * time it took and the least work it had. */
struct nn_trace {
    const char *op;            /* "conv", "dwconv", "batchnorm", ... */
    const char *kernel, *tier; /* its row of kernels.def: "expand_dw_f32", "avx512" */
    char shape[KERN_TEXT];
    bool backward;
    int node;
    size_t offset; /* bytes from the block's start to its output, backward to the gradient of its input */
    double seconds, flops, bytes;
};
typedef void nn_trace_fn(void *user, const struct nn_trace *t);
/* Calls fn after every step of every run; NULL: no longer. Timing costs two clock readings a step. */
void nn_plan_set_trace(struct nn_plan *plan, nn_trace_fn *fn, void *user);

/* ---- training plans ---------------------------------------------------------------------------------------------- */

/* Keys the dropout and drop-path masks of the next forward: they depend on (seed, step, layer, image) alone. */
void nn_plan_set_step(struct nn_plan *plan, uint64_t seed, uint64_t step);

/* After nn_plan_forward(n), with q [n, classes] of target mass (see nn_targets):
 *     loss = -inv_norm * sum q log softmax(logits)                                                             (returned)
 *     grads += dloss/dparameter for every trainable parameter (model layout; the caller zeroes it; accumulation over calls is a
 * sum) Running statistics of unfrozen batch norms in model->values are updated. */
double nn_plan_backward(struct nn_plan *plan, float *grads, const float *q, double inv_norm, int n);

/* The same for a loss of the caller's own: fill nn_plan_logits_grad [n, classes] with dloss/dlogits, then backpropagate. */
float *nn_plan_logits_grad(struct nn_plan *plan);
void nn_plan_backpropagate(struct nn_plan *plan, float *grads, int n);

/* Loss of the last forward without gradients (any plan). */
double nn_plan_loss(const struct nn_plan *plan, const float *q, double inv_norm, int n);

/* Target mass for labels [n] with label smoothing s and optional class weights w [classes] (NULL: 1):
 *     q[n,c] = w[c] * ((1-s)*[c == label] + s/classes)     returns inv_norm = 1 / sum_n w[label_n]
 * which together are PyTorch's CrossEntropyLoss(weight, label_smoothing), mean reduction. arXiv:1512.00567, section 7. */
double nn_targets(float *q, const int *labels, const float *class_weights, float smoothing, int n, int classes);

/* The fewest values from which a batch norm of this plan takes a channel's mean and variance: batch x
 * height x width where the picture has become smallest. 0: none does, they are frozen. */
int nn_plan_norm_values(const struct nn_plan *plan);

/* Whether parameter i receives gradients in this plan. */
bool nn_plan_trains(const struct nn_plan *plan, int i);

#endif
