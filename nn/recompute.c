/* recompute.c - what is computed again in backward, and when. See recompute.h. */
#include "nn/recompute.h"

static bool is_border(const struct nn_node *n)
{
    return n->op == NN_BATCHNORM && n->act == KERN_ACT_NONE;
}

/* In a pre-activated network no batch norm is linear: there blocks end with the addition of what a convolution has made. */
static bool ends_block(const struct nn_graph *graph, int i)
{
    const struct nn_node *n = &graph->nodes[i];
    return is_border(n) || (n->op == NN_ADD && graph->nodes[n->in[0]].op == NN_CONV);
}

int nn_recompute_blocks(int *block, const struct nn_graph *graph)
{
    int blocks = 0;
    for (int i = 0; i < graph->count; i++) {
        block[i] = blocks;
        if (ends_block(graph, i)) blocks++;
    }
    return blocks + 1;
}

/* A convolution before a border is kept: its output is as narrow as the border's. */
static bool feeds_border(const struct nn_graph *graph, int i)
{
    for (int j = i + 1; j < graph->count; j++)
        if (graph->nodes[j].in[0] == i && is_border(&graph->nodes[j])) return true;
    return false;
}

void nn_recompute_mark(bool *again, const struct nn_graph *graph, const struct nn_shape *shapes, const int *block,
                       const enum nn_recompute *level)
{
    for (int i = 0; i < graph->count; i++) {
        const struct nn_node *n = &graph->nodes[i];
        const enum nn_recompute l = level[block[i]];
        const bool elementwise = n->op == NN_SCALE || (n->op == NN_BATCHNORM && !is_border(n));
        const bool convolution = (n->op == NN_CONV || n->op == NN_DWCONV) && !feeds_border(graph, i);
        again[i] = !n->frozen && shapes[i].h * shapes[i].w > 1 &&
                   ((elementwise && l >= NN_RECOMPUTE_ELEMENTWISE) || (convolution && l >= NN_RECOMPUTE_ALL));
    }
}

void nn_recompute_need(int *need, const struct nn_graph *graph, const bool *again,
                       unsigned (*saves)(const void *user, int node), const void *user)
{
    for (int i = 0; i < graph->count; i++) need[i] = -1;
    /* Readers come after what they read: when the loop reaches a node, its own need is known. */
    for (int i = graph->count - 1; i >= 0; i--)
        for (int j = 0; j < 2; j++) {
            const int x = graph->nodes[i].in[j];
            if (x < 0) continue;
            if (saves(user, i) >> j & 1 && need[x] < i) need[x] = i;
            if (again[i] && need[x] < need[i]) need[x] = need[i];
        }
}
