/* passes.c - rewrites of a graph for one plan: freeze, fold batch norm, fuse activations and residual additions, compact.
 *
 * Each pass replaces the uses of a node by the node that took over its work; nn_pass_compact then drops what nothing reads.
 *
 *     conv -> batchnorm -> act -> add      becomes, where frozen      conv(+bn, +act, +residual)
 *     conv -> dwconv                       becomes, where frozen      dwconv(+expansion)
 *     scale -> conv                        becomes, where frozen      conv(x, scale)
 *     conv -> batchnorm -> act             becomes, where trained     conv -> batchnorm(+act) */
#include "nn/graph.h"
#include <math.h>
#include <string.h>

enum rudd_status nn_graph_copy(struct nn_graph *copy, const struct nn_graph *graph, struct rudd_error *err)
{
    struct nn_node *nodes = rudd_alloc(sizeof *nodes * (size_t)graph->count);
    if (!nodes) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a graph of %d nodes", graph->count);
    memcpy(nodes, graph->nodes, sizeof *nodes * (size_t)graph->count);
    *copy = (struct nn_graph){nodes, graph->count, graph->count, graph->output};
    return RUDD_OK;
}

void nn_graph_free(struct nn_graph *graph)
{
    rudd_free(graph->nodes);
    memset(graph, 0, sizeof *graph);
}

static int uses(const struct nn_graph *g, int value)
{
    int count = g->output == value;
    for (int i = 0; i < g->count; i++)
        count += (g->nodes[i].in[0] == value) + (g->nodes[i].in[1] == value) + (g->nodes[i].residual == value);
    return count;
}

static void redirect(struct nn_graph *g, int from, int to)
{
    for (int i = to + 1; i < g->count; i++) {
        struct nn_node *n = &g->nodes[i];
        if (i == from) continue;
        if (n->in[0] == from) n->in[0] = to;
        if (n->in[1] == from) n->in[1] = to;
        if (n->residual == from) n->residual = to;
    }
    if (g->output == from) g->output = to;
    /* Nothing reads `from` now; it lets go of its inputs, so that their uses are counted right. */
    g->nodes[from].in[0] = g->nodes[from].in[1] = g->nodes[from].residual = -1;
}

void nn_pass_freeze(struct nn_graph *graph, bool train, int freeze_stage)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        n->frozen = !train || (n->stage < freeze_stage && n->op != NN_DROPOUT);
        for (int j = 0; j < 2; j++)
            if (n->in[j] >= 0 && !graph->nodes[n->in[j]].frozen) n->frozen = false;
    }
}

static bool is_conv(const struct nn_node *n)
{
    return n->op == NN_CONV || n->op == NN_DWCONV;
}

void nn_pass_fold_batchnorm(struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        if (!n->frozen || n->in[0] < 0) continue;
        struct nn_node *x = &graph->nodes[n->in[0]];
        if (n->op == NN_DROPOUT) {
            redirect(graph, i, n->in[0]);
        } else if (n->op == NN_BATCHNORM && is_conv(x) && x->frozen && x->bn < 0 && uses(graph, n->in[0]) == 1) {
            x->bn = n->bn;
            redirect(graph, i, n->in[0]);
        }
    }
}

void nn_fold_batchnorm(float *scale, float *folded, const float *const bn[4], const float *bias, double eps, int c)
{
    for (int k = 0; k < c; k++) {
        scale[k] = (float)(bn[0][k] / sqrt(bn[3][k] + eps));
        folded[k] = bn[1][k] + ((bias ? bias[k] : 0) - bn[2][k]) * scale[k];
    }
}

void nn_pass_fuse_act(struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        if (n->op != NN_ACT || n->in[0] < 0) continue;
        struct nn_node *x = &graph->nodes[n->in[0]];
        /* A trained convolution keeps its activation apart: backward needs the value before it. */
        bool takes = x->op == NN_BATCHNORM || (is_conv(x) && x->frozen);
        if (takes && x->act == KERN_ACT_NONE && uses(graph, n->in[0]) == 1) {
            x->act = n->act;
            redirect(graph, i, n->in[0]);
        }
    }
}

void nn_pass_fuse_residual(struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        if (n->op != NN_ADD || !n->frozen || n->in[0] < 0) continue;
        struct nn_node *x = &graph->nodes[n->in[0]];
        if (x->op == NN_CONV && x->frozen && x->residual < 0 && n->in[1] < n->in[0] && uses(graph, n->in[0]) == 1) {
            x->residual = n->in[1];
            redirect(graph, i, n->in[0]);
        }
    }
}

static bool is_pointwise(const struct nn_node *n)
{
    return n->op == NN_CONV && n->k == 1 && n->stride == 1;
}

void nn_pass_fuse_expand(struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        if (n->op != NN_DWCONV || !n->frozen || n->in[0] < 0 || n->k > KERN_EXPAND_K_MAX) continue;
        struct nn_node *x = &graph->nodes[n->in[0]];
        if (!is_pointwise(x) || !x->frozen || x->in[1] >= 0 || x->residual >= 0 || uses(graph, n->in[0]) != 1) continue;
        n->expand = (struct nn_expand){x->weight, x->bias, x->bn, x->act};
        n->in[0] = x->in[0];
        x->in[0] = -1; /* nothing reads x now */
    }
}

void nn_pass_fuse_scale(struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct nn_node *n = &graph->nodes[i];
        if (!is_pointwise(n) || !n->frozen || n->in[0] < 0 || n->in[1] >= 0) continue;
        struct nn_node *scale = &graph->nodes[n->in[0]];
        if (scale->op != NN_SCALE || !scale->frozen || uses(graph, n->in[0]) != 1) continue;
        n->in[0] = scale->in[0];
        n->in[1] = scale->in[1];
        scale->in[0] = scale->in[1] = -1;
    }
}

void nn_pass_compact(struct nn_graph *graph)
{
    /* Backwards: a node lives if the output or a living node reads it. frozen nodes may be many; `stage` is reused by nobody
     * here. */
    int kept = 0;
    bool changed = true;
    while (changed) {
        changed = false;
        for (int i = graph->count - 1; i >= 0; i--) {
            struct nn_node *n = &graph->nodes[i];
            bool holds = n->in[0] >= 0 || n->in[1] >= 0 || n->residual >= 0;
            if (holds && uses(graph, i) == 0) {
                n->in[0] = n->in[1] = n->residual = -1;
                changed = true;
            }
        }
    }
    for (int i = 0; i < graph->count; i++) {
        if (uses(graph, i) == 0) continue;
        if (i != kept) {
            graph->nodes[kept] = graph->nodes[i];
            for (int j = kept + 1; j < graph->count; j++) {
                struct nn_node *n = &graph->nodes[j];
                if (n->in[0] == i) n->in[0] = kept;
                if (n->in[1] == i) n->in[1] = kept;
                if (n->residual == i) n->residual = kept;
            }
            if (graph->output == i) graph->output = kept;
        }
        kept++;
    }
    graph->count = kept;
}
