/* recompute.h - which values of a training plan are not kept for backward but computed again there.
 *
 *     forward     z1 -bn,act-> a1 -dwconv-> z2 -bn,act-> a2 -scale-> a3 -conv-> z3 -bn-> y      z1, z2: what batch norms read
 *
 *     nothing     z1 a1 z2 a2 a3 z3 y      are kept: NN_RECOMPUTE_NOTHING
 *     elementwise z1 .. z2 .. .. z3 y      a1, a2, a3 again: a pass over memory each
 *     all         .. .. .. .. .. z3 y      z1 and z2 too: their convolutions again, most of another forward pass
 *
 * The choice is made by block: what lies between two linear bottlenecks (batch norms without activation), which are narrow and always kept.
 * A value that is computed again is so once, just before the first backward step that reads it, or that reads what is made of it.
 * The steps and their inputs are the same, so the gradients are, bit for bit. Training Deep Nets with Sublinear Memory Cost,
 * arXiv:1604.06174, section 3.
 *
 * Not here: buffers (backward.c), running (run.c). */
#ifndef NN_RECOMPUTE_H
#define NN_RECOMPUTE_H

#include "nn/graph.h"
#include "nn/plan.h"

/* Number of blocks; block [count]: each node's. */
int nn_recompute_blocks(int *block, const struct nn_graph *graph);

/* again [count]: whether node i may be computed again when its block is at `level` (of [blocks]). Constant nodes and single pixels never are. */
void nn_recompute_mark(bool *again, const struct nn_graph *graph, const struct nn_shape *shapes, const int *block,
                       const enum nn_recompute *level);

/* need [count]: the node whose backward step is the first to read value i, or to have it computed again something made of it; -1: none. saves
 * (node): bits of the inputs that its backward step reads; 0 when it has none. */
void nn_recompute_need(int *need, const struct nn_graph *graph, const bool *again,
                       unsigned (*saves)(const void *user, int node), const void *user);

#endif
