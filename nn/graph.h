/* graph.h - the network as a list of operations, free of resolution and batch: what a description builds and passes rewrite.
 *
 * Each node makes one value, named by the node's index; inputs have lower indices, so the list is a topological order.
 *
 *     input -> conv -> batchnorm(silu) -> dwconv -> batchnorm(silu) -+-> pool -> conv(silu) -> conv(sigmoid) -+-> conv -> ...
 *                                                                    +---------------- scale <----------------+
 *
 * A linear layer is a 1x1 convolution over a 1x1 image. For nn, for writers of foreign formats in
 * weights, and for tests; everyone else runs plans. */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include "kernels/kern.h"
#include "nn/model.h"

enum nn_op {
    NN_INPUT,     /* [n, size, size, 3]; of a part of a network, the activation before it: sides ceil(size / stride) */
    NN_CONV,      /* dense convolution; + bias, or after passes + folded batch norm, act, residual, in[1] scaling in[0] */
    NN_DWCONV,    /* depthwise convolution; likewise without residual; + after passes the expansion before it */
    NN_BATCHNORM, /* + act after passes */
    NN_ACT,
    NN_POOL,    /* global average: [n,h,w,c] -> [n,1,1,c] */
    NN_MAXPOOL, /* k x k windows, stride apart */
    NN_SCALE,   /* in[0] [n,h,w,c] times in[1] [n,1,1,c] */
    NN_ADD,     /* in[0] (branch, subject to stochastic depth) + in[1] (skip) */
    NN_DROPOUT, /* inverted dropout, only while training */
    NN_OP_COUNT
};

/* A pointwise convolution that a depthwise one has taken in: parameter indices, -1: none. */
struct nn_expand {
    int weight, bias, bn;
    enum kern_act act;
};

struct nn_node {
    enum nn_op op;
    int in[2];        /* nodes; -1: none */
    int weight, bias; /* parameter indices; -1: none */
    int bn;       /* NN_BATCHNORM, or folded into a convolution: first of weight, bias, running_mean, running_var; -1: none */
    int residual; /* fused addition after act: node; -1: none */
    struct nn_expand expand; /* NN_DWCONV after passes */
    int c;                   /* output channels */
    int k, stride;           /* convolutions, NN_MAXPOOL, NN_INPUT */
    bool zeros;              /* NN_MAXPOOL: what lies outside the image counts as 0, and not as nothing */
    int pad_first,
        pad_total; /* strided convolutions of a model with frozen padding: pixels before, and in all; -1: by the rule and the size */
    enum kern_act act;
    float depth; /* NN_ADD: block index / block count, 0..1: scales the drop-path rate */
    int stage;
    bool frozen; /* set by passes in a training plan: a constant function, run as in inference */
};

enum { NN_ONE_PIXEL = 1 << 24 }; /* stride of an input that is one pixel whatever the size: larger than any side */

struct nn_graph {
    struct nn_node *nodes;
    int count, capacity;
    int output;
};

/* ---- building ---------------------------------------------------------------------------------------------------- */

/* Collects nodes and parameters; a failed allocation is remembered in status and everything after it is a no-op. */
struct nn_builder {
    struct nn_model *model;
    enum rudd_status status;
    int stage;
    int param_capacity;
};
/* Each returns the new node's index. name is the parameter prefix ("blocks.1.0.conv_dw"); k odd. */
int nn_build_input(struct nn_builder *b);
int nn_build_conv(struct nn_builder *b, int x, const char *name, int oc, int k, int stride, bool bias);
int nn_build_dwconv(struct nn_builder *b, int x, const char *name, int k, int stride);
int nn_build_batchnorm(struct nn_builder *b, int x, const char *name);
int nn_build_act(struct nn_builder *b, int x, enum kern_act act);
int nn_build_pool(struct nn_builder *b, int x);
int nn_build_maxpool(struct nn_builder *b, int x, int k, int stride, bool zeros);
int nn_build_scale(struct nn_builder *b, int x, int s);
int nn_build_add(struct nn_builder *b, int branch, int skip, float depth);
int nn_build_dropout(struct nn_builder *b, int x);
int nn_build_linear(struct nn_builder *b, int x, const char *name, int out);

/* A model from a description: describe adds the nodes; the last one is the output. arch names it; classes as in
 * nn_model_create. */
typedef void nn_describe(struct nn_builder *b, const void *spec);
enum rudd_status nn_model_outline(struct nn_model **model, const char *arch, nn_describe *describe, const void *spec,
                                  int class_count, struct rudd_error *err); /* values NULL */
enum rudd_status nn_model_build(struct nn_model **model, const char *arch, nn_describe *describe, const void *spec,
                                int class_count, struct rudd_error *err);

/* ---- deriving ---------------------------------------------------------------------------------------------------- */

struct nn_shape {
    int h, w, c;
};
/* Shapes of all nodes for an image of size*size. shapes [count]. */
void nn_graph_shapes(struct nn_shape *shapes, const struct nn_graph *graph, int size);
/* Sides that SAME padding would not give (shapes of all nodes): only frozen padding, at pictures of another parity, makes them. */
bool nn_graph_has_odd_sides(const struct nn_shape *shapes, const struct nn_graph *graph);
/* Geometry of a convolution or max pool between shapes in and out. TF SAME: total = max((ceil(i/s)-1)*s + k - i, 0), the smaller half
 * first. */
struct kern_conv nn_conv_geometry(const struct nn_node *node, struct nn_shape in, struct nn_shape out, enum nn_pad pad, int n);

/* ---- passes (passes.c): rewrite a copy of the graph for one plan ------------------------------------------------- */

enum rudd_status nn_graph_copy(struct nn_graph *copy, const struct nn_graph *graph, struct rudd_error *err);
void nn_graph_free(struct nn_graph *graph);
/* Keeps what first_stage and the stages above it compute from the activation they read (cut.c), and what the stages below end_stage
 * compute; 0: no cut. False when more than one value crosses a cut, or nothing is left. */
bool nn_pass_cut(struct nn_graph *graph, int first_stage, int end_stage);
/* The only value below `stage` that something above it reads, or that is the output; -1 when there is
 * none or more than one. */
int nn_graph_border(const struct nn_graph *graph, int stage);
/* Marks frozen nodes: all of them unless train; else those whose inputs and parameters lie below freeze_stage, dropout excepted. */
void nn_pass_freeze(struct nn_graph *graph, bool train, int freeze_stage);
/* Folds batch norms that follow a frozen convolution into it, and drops frozen dropouts. */
void nn_pass_fold_batchnorm(struct nn_graph *graph);
/* What that makes of the convolution's channels: scale[k] = gamma / sqrt(var + eps) for its weights, and folded[k] = beta + (bias - mean)*scale; bias
 * NULL: 0. bn: {weight, bias, running_mean, running_var}, each [c].                           arXiv:1712.05877, section 3.2 */
void nn_fold_batchnorm(float *scale, float *folded, const float *const bn[4], const float *bias, double eps, int c);
/* Activations move into the batch norm or the frozen convolution before them. */
void nn_pass_fuse_act(struct nn_graph *graph);
/* Frozen additions move into the convolution that makes their branch. */
void nn_pass_fuse_residual(struct nn_graph *graph);
/* Frozen pointwise convolutions that only a frozen depthwise one reads move into it. */
void nn_pass_fuse_expand(struct nn_graph *graph);
/* Frozen scales that only a frozen pointwise convolution reads become its in[1]. */
void nn_pass_fuse_scale(struct nn_graph *graph);
/* Removes nodes that nothing reads and renumbers the rest, keeping the order. */
void nn_pass_compact(struct nn_graph *graph);

#endif
