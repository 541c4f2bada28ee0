/* steps.h - the inside of a plan, shared by plan.c and backward.c (decide), memory.c (places), prepare.c (weights), ops.c (computes), run.c and
 * trace.c.
 *
 * A site is a node compiled for one plan: shapes, geometry and the buffers that its forward and backward step use. Buffers are
 * numbers until memory.c gives them offsets; time runs over forward steps 0..N-1, the loss at N, backward steps N+1..2N. */
#ifndef NN_STEPS_H
#define NN_STEPS_H

#include "nn/graph.h"
#include "nn/plan.h"
#include "nn/recompute.h"

struct nn_buffer {
    size_t floats;
    int first, last; /* step numbers; first -1: never used */
    size_t offset;   /* floats from the block's start */
};

struct nn_site {
    struct nn_node node;
    int index;
    struct nn_shape in, out;
    struct kern_conv conv; /* n is set at run time */
    bool trains;           /* its parameters receive gradients */
    bool backward;         /* has a backward step */
    bool batch_stats;      /* NN_BATCHNORM: normalises with the batch's own statistics */
    bool has_stats;        /* NN_BATCHNORM: they are there already */
    bool wants_dx, wants_ds;
    bool add_dx, add_ds; /* another step has already written that gradient: add to it */
    int x, s, r, y;      /* values: inputs 0 and 1, fused residual, output; -1: none */
    int back_x, back_s;  /* the inputs as backward finds them: x and s, or what was computed again */
    int again;           /* its output computed again; -1: it is kept, or nobody needs it */
    int again_for;       /* the site before whose backward step that happens */
    int dx, ds, dy;      /* their gradients */
    int sum_dx;          /* the operation cannot add: dx is its own, and is added to this afterwards; -1: none */
    /* Prepared weights and folded biases: floats from the start of plan->weights; -1: none. */
    ptrdiff_t weight_at, bias_at; /* weight: packed; or OHWI, or k,k,c (depthwise); NN_BATCHNORM: scale and shift */
    ptrdiff_t expand_weight_at, expand_bias_at;
    bool packed;      /* NN_CONV: runs over packed weights */
    bool expands;     /* NN_DWCONV: runs as kern_expand_dw, with or without an expansion */
    int sums;         /* expands: sums of y by strip; -1: none */
    int stats;        /* NN_BATCHNORM: BN_ROWS rows of c floats */
    int gate, pooled; /* NN_BATCHNORM before a squeeze-excitation: its scale and the gradient of its pool (kern_bn); -1: none */
    int mask;         /* NN_DROPOUT [n,c], NN_ADD [n] */
    int tmp;          /* gradient in the kernel's layout, or of a bias, before it is added to grads */
};

/* Rows of a batch norm's stats buffer. */
enum { BN_MEAN, BN_VAR, BN_RSTD, BN_A, BN_B, BN_DGAMMA, BN_DBETA, BN_ROWS };

struct nn_plan {
    struct nn_model *model;
    struct nn_plan_options options;
    struct nn_graph graph; /* after passes */
    struct nn_site *sites;
    struct nn_buffer *buffers;
    int buffer_count, buffer_capacity;
    int *agains; /* [again_count] sites that are computed again, in the order of running */
    int again_count;
    int recomputes[NN_RECOMPUTE_ALL + 1]; /* how many blocks at each level */
    bool *trains;                         /* [param_count] */
    float *block, *weights;               /* weights: the model's (prepared) when the plan shares */
    bool shares;                          /* the model's values are not in memory */
    float **fetched; /* while preparing shared weights: [param_count], those read from the model's source */
    size_t block_floats, weight_floats;
    int scratch; /* buffer */
    uint64_t seed, step;
    const struct kern_table *kern;
    int features;            /* site whose output is kept; -1: none */
    const atomic_bool *stop; /* NULL: runs are not stopped */
    nn_trace_fn *trace;
    void *trace_user;
    float *grads; /* during nn_plan_backward */
};

static inline float *nn_at(const struct nn_plan *plan, int buffer)
{
    return buffer < 0 ? NULL : plan->block + plan->buffers[buffer].offset;
}
static inline float *nn_value(const struct nn_plan *plan, int param)
{
    if (param < 0) return NULL;
    return plan->fetched ? plan->fetched[param] : plan->model->values + plan->model->params[param].offset;
}
static inline float *nn_grad(const struct nn_plan *plan, int param)
{
    return param < 0 ? NULL : plan->grads + plan->model->params[param].offset;
}

/* A prepared weight or bias, or where there is none the parameter as it is. */
static inline const float *nn_prepared(const struct nn_plan *plan, ptrdiff_t at, int param)
{
    return at >= 0 ? plan->weights + at : nn_value(plan, param);
}

/* The table of operations: all that a plan knows about each. */
struct nn_op_row {
    const char *name;
    unsigned in_place;      /* bit j: the output may take the place of input j (residual: bit 2), if that dies here */
    unsigned saves;         /* bit j: backward needs input j */
    unsigned grad_adds;     /* bit j: backward can add to the gradient of input j; otherwise it only overwrites */
    unsigned grad_in_place; /* bit j: the gradient of input j may take the place of the output's */
    size_t (*scratch)(const struct nn_site *site, int n); /* floats; NULL: none */
    /* scale: scratch of site->node.c floats. Steps may be prepared at the same time. NULL: nothing to prepare */
    void (*prepare)(const struct nn_plan *plan, const struct nn_site *site, float *scale);
    void (*forward)(const struct nn_plan *plan, const struct nn_site *site, int n);
    void (*backward)(const struct nn_plan *plan, const struct nn_site *site, int n);
};
/* A convolution that is a plain product of matrices. */
static inline bool nn_is_matrix(const struct nn_site *site)
{
    return site->node.op == NN_CONV && site->node.k == 1 && site->node.stride == 1;
}

/* A depthwise site that expands, for n images; pointers are left NULL but for a mark that there is an expansion. */
struct kern_expand nn_expand_geometry(const struct nn_site *site, int n);

extern const struct nn_op_row nn_ops[NN_OP_COUNT];

/* plan->weights, allocated and filled; shared ones by the first plan of the model only (prepare.c). Needs the block. */
enum rudd_status nn_prepare_weights(struct nn_plan *plan, struct rudd_error *err);
/* Tells plan->trace about a step that has just run. */
void nn_report(struct nn_plan *plan, const struct nn_site *site, int n, bool backward, double seconds);
/* From values in memory: of sites that are frozen, or of those that are not. */
void nn_prepare_sites(struct nn_plan *plan, bool frozen);

/* Gives every used buffer an offset such that buffers alive at the same step do not overlap; returns the floats needed. Greedy
 * by size: largest first, each at the lowest offset free for its whole life (Pisarchyk and Lee, arXiv:2001.03288, section 5).
 * order [count] is scratch. */
size_t nn_memory_place(struct nn_buffer *buffers, int count, int *order);

#endif
