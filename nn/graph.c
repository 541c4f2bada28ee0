/* graph.c - building a graph node by node with its parameter table, and deriving shapes from it. */
#include "nn/graph.h"
#include <stdio.h>
#include <string.h>

/* ---- growing ----------------------------------------------------------------------------------------------------- */

static int add_node(struct nn_builder *b, struct nn_node node)
{
    struct nn_graph *g = b->model->graph;
    if (b->status) return 0;
    if (g->count == g->capacity) {
        int capacity = g->capacity ? g->capacity * 2 : 64;
        struct nn_node *nodes = rudd_realloc(g->nodes, sizeof *nodes * (size_t)capacity);
        if (!nodes) {
            b->status = RUDD_NO_MEMORY;
            return 0;
        }
        g->nodes = nodes;
        g->capacity = capacity;
    }
    node.stage = b->stage;
    g->nodes[g->count] = node;
    g->output = g->count;
    return g->count++;
}

static int add_param(struct nn_builder *b, const char *prefix, const char *suffix, enum nn_param_kind kind, int rank,
                     const int *shape)
{
    struct nn_model *m = b->model;
    if (b->status) return 0;
    if (m->param_count == b->param_capacity) {
        int capacity = b->param_capacity ? b->param_capacity * 2 : 256;
        struct nn_param *params = rudd_realloc(m->params, sizeof *params * (size_t)capacity);
        if (!params) {
            b->status = RUDD_NO_MEMORY;
            return 0;
        }
        m->params = params;
        b->param_capacity = capacity;
    }
    struct nn_param *p = &m->params[m->param_count];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s.%s", prefix, suffix);
    p->kind = kind;
    p->rank = rank;
    p->count = 1;
    for (int i = 0; i < 4; i++) {
        p->shape[i] = i < rank ? shape[i] : 1;
        p->count *= (size_t)p->shape[i];
    }
    p->stage = b->stage;
    p->offset = m->value_count;
    m->value_count += (p->count + 15) / 16 * 16; /* each tensor starts on a cache line */
    return m->param_count++;
}

static const struct nn_node blank = {.in = {-1, -1},
                                     .weight = -1,
                                     .bias = -1,
                                     .bn = -1,
                                     .residual = -1,
                                     .expand = {-1, -1, -1, KERN_ACT_NONE},
                                     .k = 1,
                                     .stride = 1,
                                     .pad_first = -1,
                                     .pad_total = -1};

static int channels_of(const struct nn_builder *b, int x)
{
    return b->status ? 1 : b->model->graph->nodes[x].c;
}

int nn_build_input(struct nn_builder *b)
{
    struct nn_node node = blank;
    node.op = NN_INPUT;
    node.c = 3;
    return add_node(b, node);
}

int nn_build_conv(struct nn_builder *b, int x, const char *name, int oc, int k, int stride, bool bias)
{
    struct nn_node node = blank;
    node.op = NN_CONV;
    node.in[0] = x;
    node.c = oc;
    node.k = k;
    node.stride = stride;
    node.weight = add_param(b, name, "weight", NN_CONV_WEIGHT, 4, (int[]){oc, channels_of(b, x), k, k});
    if (bias) node.bias = add_param(b, name, "bias", NN_BIAS, 1, &oc);
    return add_node(b, node);
}

int nn_build_dwconv(struct nn_builder *b, int x, const char *name, int k, int stride)
{
    struct nn_node node = blank;
    node.op = NN_DWCONV;
    node.in[0] = x;
    node.c = channels_of(b, x);
    node.k = k;
    node.stride = stride;
    node.weight = add_param(b, name, "weight", NN_DWCONV_WEIGHT, 4, (int[]){node.c, 1, k, k});
    return add_node(b, node);
}

int nn_build_batchnorm(struct nn_builder *b, int x, const char *name)
{
    struct nn_node node = blank;
    node.op = NN_BATCHNORM;
    node.in[0] = x;
    node.c = channels_of(b, x);
    node.bn = add_param(b, name, "weight", NN_BN_WEIGHT, 1, &node.c);
    add_param(b, name, "bias", NN_BN_BIAS, 1, &node.c);
    add_param(b, name, "running_mean", NN_BN_MEAN, 1, &node.c);
    add_param(b, name, "running_var", NN_BN_VAR, 1, &node.c);
    return add_node(b, node);
}

static int build_plain(struct nn_builder *b, enum nn_op op, int x, int other)
{
    struct nn_node node = blank;
    node.op = op;
    node.in[0] = x;
    node.in[1] = other;
    node.c = channels_of(b, x);
    return add_node(b, node);
}

int nn_build_act(struct nn_builder *b, int x, enum kern_act act)
{
    int i = build_plain(b, NN_ACT, x, -1);
    if (!b->status) b->model->graph->nodes[i].act = act;
    return i;
}

int nn_build_pool(struct nn_builder *b, int x)
{
    return build_plain(b, NN_POOL, x, -1);
}

int nn_build_maxpool(struct nn_builder *b, int x, int k, int stride, bool zeros)
{
    int i = build_plain(b, NN_MAXPOOL, x, -1);
    if (b->status) return i;
    struct nn_node *node = &b->model->graph->nodes[i];
    node->k = k;
    node->stride = stride;
    node->zeros = zeros;
    return i;
}

int nn_build_scale(struct nn_builder *b, int x, int s)
{
    return build_plain(b, NN_SCALE, x, s);
}

int nn_build_add(struct nn_builder *b, int branch, int skip, float depth)
{
    int i = build_plain(b, NN_ADD, branch, skip);
    if (!b->status) b->model->graph->nodes[i].depth = depth;
    return i;
}

int nn_build_dropout(struct nn_builder *b, int x)
{
    return build_plain(b, NN_DROPOUT, x, -1);
}

int nn_build_linear(struct nn_builder *b, int x, const char *name, int out)
{
    struct nn_node node = blank;
    node.op = NN_CONV;
    node.in[0] = x;
    node.c = out;
    node.weight = add_param(b, name, "weight", NN_LINEAR_WEIGHT, 2, (int[]){out, channels_of(b, x)});
    node.bias = add_param(b, name, "bias", NN_BIAS, 1, &out);
    return add_node(b, node);
}

/* ---- deriving ---------------------------------------------------------------------------------------------------- */

/* Symmetric k/2 and SAME agree on the size for odd k: ceil(i/s). They differ in where the padding goes. Frozen padding may fall short. */
static int side_after(const struct nn_node *node, int side)
{
    if (node->pad_total < 0) return (side + node->stride - 1) / node->stride;
    const int last = side + node->pad_total - node->k; /* where the last window may begin */
    return last < 0 ? 1 : last / node->stride + 1;
}

bool nn_graph_has_odd_sides(const struct nn_shape *shapes, const struct nn_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        const struct nn_node *node = &graph->nodes[i];
        if (node->pad_total >= 0 && shapes[i].h != (shapes[node->in[0]].h + node->stride - 1) / node->stride) return true;
    }
    return false;
}

void nn_graph_shapes(struct nn_shape *shapes, const struct nn_graph *graph, int size)
{
    for (int i = 0; i < graph->count; i++) {
        const struct nn_node *node = &graph->nodes[i];
        struct nn_shape s = {(size - 1) / node->stride + 1, (size - 1) / node->stride + 1, node->c};
        if (node->op != NN_INPUT) {
            s = shapes[node->in[0]];
            s.c = node->c;
        }
        if (node->op == NN_POOL) s.h = s.w = 1;
        if (node->op == NN_CONV || node->op == NN_DWCONV || node->op == NN_MAXPOOL) {
            s.h = side_after(node, s.h);
            s.w = side_after(node, s.w);
        }
        shapes[i] = s;
    }
}

static int same_total(const struct nn_node *node, int in, int out)
{
    const int total = (out - 1) * node->stride + node->k - in;
    return total > 0 ? total : 0;
}

static int pad_before(const struct nn_node *node, int in, int out, enum nn_pad pad)
{
    if (node->pad_first >= 0) return node->pad_first;
    return pad == NN_PAD_SYMMETRIC ? node->k / 2 : same_total(node, in, out) / 2;
}

enum rudd_status nn_model_freeze_pads(struct nn_model *model, int size, struct rudd_error *err)
{
    struct nn_graph *g = model->graph;
    struct nn_shape *shapes = rudd_alloc(sizeof *shapes * (size_t)g->count);
    if (!shapes) return rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory for its shapes", model->arch);
    for (int i = 0; i < g->count; i++) g->nodes[i].pad_first = g->nodes[i].pad_total = -1;
    if (size) nn_graph_shapes(shapes, g, size);
    for (int i = 0; size && i < g->count; i++) {
        struct nn_node *node = &g->nodes[i];
        if ((node->op != NN_CONV && node->op != NN_DWCONV) || node->stride == 1) continue;
        node->pad_total = same_total(node, shapes[node->in[0]].h, shapes[i].h);
        node->pad_first = node->pad_total / 2;
    }
    model->pad = size ? NN_PAD_SAME : model->pad;
    model->pad_size = size;
    rudd_free(shapes);
    return RUDD_OK;
}

struct kern_conv nn_conv_geometry(const struct nn_node *node, struct nn_shape in, struct nn_shape out, enum nn_pad pad, int n)
{
    return (struct kern_conv){
        .n = n,
        .ih = in.h,
        .iw = in.w,
        .ic = in.c,
        .oh = out.h,
        .ow = out.w,
        .oc = out.c,
        .k = node->k,
        .stride = node->stride,
        .pad_top = pad_before(node, in.h, out.h, pad),
        .pad_left = pad_before(node, in.w, out.w, pad),
        .act = node->act,
    };
}
