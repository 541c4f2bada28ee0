/* cut.c - cuts a graph in two at a stage's border, so that each part is planned and run by itself.
 *
 *     input -> stem -> 1 -> 2 .. head -> pool | dropout -> classifier          cut at the classifier's stage
 *     \_____________ below __________________/ \_______ from ________/
 *               nn_pass_cut(g, 0, stage)         nn_pass_cut(g, stage, 0)
 *
 * What crosses the border is one value: the activation at the frontier. The part below ends with it. In the part above, the node that
 * made it becomes the input, whose `stride` says how many pixels of the picture one of its pixels stands for; after a pool, which
 * leaves one pixel of any picture, that is more than any picture has.
 *
 * Dropout is random and so never part of what is computed once: it stands above the border whatever its stage. */
#include "nn/graph.h"

static bool is_below(const struct nn_graph *g, int i, int stage)
{
    const struct nn_node *n = &g->nodes[i];
    return n->stage < stage && n->op != NN_DROPOUT;
}

int nn_graph_border(const struct nn_graph *graph, int stage)
{
    const struct nn_graph *g = graph;
    int found = is_below(g, g->output, stage) ? g->output : -1;
    for (int i = 0; i < g->count; i++)
        for (int j = 0; j < 2 && !is_below(g, i, stage); j++) {
            int x = g->nodes[i].in[j];
            if (x < 0 || !is_below(g, x, stage) || x == found) continue;
            if (found >= 0) return -1;
            found = x;
        }
    return found;
}

static int stride_at(const struct nn_graph *g, int i)
{
    int stride = 1;
    for (; i >= 0; i = g->nodes[i].in[0]) {
        const struct nn_node *n = &g->nodes[i];
        if (n->op == NN_POOL) return NN_ONE_PIXEL;
        if (n->op == NN_CONV || n->op == NN_DWCONV || n->op == NN_MAXPOOL || n->op == NN_INPUT) stride *= n->stride;
    }
    return stride;
}

bool nn_pass_cut(struct nn_graph *graph, int first_stage, int end_stage)
{
    if (end_stage) {
        int last = nn_graph_border(graph, end_stage);
        if (last < 0) return false;
        graph->output = last;
    }
    if (first_stage) {
        int first = nn_graph_border(graph, first_stage);
        if (first < 0 || first == graph->output) return false;
        struct nn_node *n = &graph->nodes[first];
        const int stride = stride_at(graph, first);
        n->op = NN_INPUT;
        n->in[0] = n->in[1] = n->residual = n->weight = n->bias = n->bn = -1;
        n->act = KERN_ACT_NONE;
        n->k = 1;
        n->stride = stride;
    }
    nn_pass_compact(graph);
    return true;
}
