/* compile.h - what deciding a plan needs besides the plan; shared by plan.c (forward, memory) and backward.c. */
#ifndef NN_COMPILE_H
#define NN_COMPILE_H

#include "nn/steps.h"

enum { INPUT_X = 1, INPUT_S = 2, INPUT_R = 4 }; /* bits of nn_op_row */

/* What compilation needs besides the plan. */
struct nn_compiler {
    struct nn_plan *plan;
    struct nn_shape *shapes;  /* [nodes] */
    int *value;               /* [nodes] buffer of the node's output */
    int *grad;                /* [nodes] buffer of its gradient; -1: not written yet */
    bool *shared;             /* [nodes] its gradient's buffer is also another value's gradient */
    bool *needs_grad;         /* [nodes] something at or before it learns */
    bool *again;              /* [nodes] may be computed again for backward */
    int *need;                /* [nodes] the first backward step that reads it or has it computed again; -1: none */
    int *block;               /* [nodes] */
    int *excited;             /* [nodes] a batch norm that only a squeeze-excitation reads: the node of its scale; -1: none */
    enum nn_recompute *level; /* [blocks] */
    int blocks;
    int now; /* step */
    bool failed;
};

/* A buffer that nothing has touched yet; -1 and c->failed when memory ran out. */
int nn_new_buffer(struct nn_compiler *c, size_t floats);
/* It lives at this step, or at the present one; -1 is no buffer. */
void nn_touch_at(struct nn_compiler *c, int buffer, int step);
void nn_touch(struct nn_compiler *c, int buffer);
int nn_touched(struct nn_compiler *c, size_t floats);

/* Of a node's output, for the whole batch. */
size_t nn_shape_floats(const struct nn_compiler *c, int node);

static inline const struct nn_node *node_at(const struct nn_compiler *c, int i)
{
    return &c->plan->graph.nodes[i];
}

/* Before anything is laid out: which nodes have something to learn at or before them, and which batch norms feed a squeeze-excitation. */
void nn_find_gradients(struct nn_compiler *c);
/* All backward steps, from the gradient of the output to what learns first. */
void nn_plan_backward_steps(struct nn_compiler *c);

#endif
