/* backward.c - the backward steps of a training plan: which gradients lie where, what is computed again, and when.
 *
 *     step N+1 .. 2N      node N-1 .. 0: each reads the gradient of its output and writes, or adds to, those of its inputs
 *
 * A gradient takes the place of another where the operation allows it and nobody else reads that one. What a step reads of the forward pass
 * is touched there, and so kept; or it is computed again before the first step that reads it (recompute.h).
 *
 * Not here: forward steps and memory (plan.c); what the steps compute (ops.c). */
#include "nn/compile.h"

/* Where the gradient of input `value` of node i goes when nobody has written it yet: in the place of dy, or to a new buffer. */
static int first_grad(struct nn_compiler *c, int i, int value, unsigned bit)
{
    bool in_place = (nn_ops[node_at(c, i)->op].grad_in_place & bit) && !c->shared[i];
    c->grad[value] = in_place ? c->grad[i] : nn_new_buffer(c, nn_shape_floats(c, value));
    return c->grad[value];
}

static void plan_dx(struct nn_compiler *c, int i)
{
    struct nn_site *site = &c->plan->sites[i];
    int value = site->node.in[0];
    site->add_dx = c->grad[value] >= 0;
    site->dx = site->add_dx ? c->grad[value] : first_grad(c, i, value, INPUT_X);
    if (site->add_dx && !(nn_ops[site->node.op].grad_adds & INPUT_X)) {
        site->sum_dx = site->dx;
        site->dx = nn_new_buffer(c, nn_shape_floats(c, value));
        nn_touch(c, site->sum_dx);
    }
    nn_touch(c, site->dx);
}

/* Both gradients of an unmasked addition are dy. They share its buffer when every other reader of the skip comes before the
 * branch in the graph: then what they add arrives after the branch has been served. */
static bool add_may_share(const struct nn_compiler *c, int i)
{
    const struct nn_graph *g = &c->plan->graph;
    int branch = g->nodes[i].in[0], skip = g->nodes[i].in[1];
    for (int j = branch; j < g->count; j++)
        if (j != i && (g->nodes[j].in[0] == skip || g->nodes[j].in[1] == skip)) return false;
    return true;
}

static void plan_add_backward(struct nn_compiler *c, int i)
{
    struct nn_site *site = &c->plan->sites[i];
    int branch = site->node.in[0], skip = site->node.in[1];
    bool share = add_may_share(c, i) && !c->shared[i];
    if (site->wants_ds) {
        site->add_ds = c->grad[skip] >= 0;
        if (!site->add_ds) c->grad[skip] = share ? site->dy : nn_new_buffer(c, nn_shape_floats(c, skip));
        nn_touch(c, site->ds = c->grad[skip]);
    }
    if (site->wants_dx) {
        bool lone = !site->wants_ds || site->ds != site->dy;
        if (site->mask < 0 && (share || lone) && !c->shared[i])
            c->grad[branch] = site->dy;
        else
            c->grad[branch] = nn_new_buffer(c, nn_shape_floats(c, branch));
        nn_touch(c, site->dx = c->grad[branch]);
        /* The skip's own turn comes after the branch's, so only the branch must not overwrite. */
        if (site->dx == site->ds) c->shared[branch] = true;
    }
}

/* Where backward finds value i: computed again, or kept. */
static int kept_value(const struct nn_compiler *c, int i)
{
    const struct nn_site *site = &c->plan->sites[i];
    return site->again >= 0 ? site->again : c->value[i];
}

/* Everything is computed again whose first reader is the backward step of node i: in the order of the graph, so that inputs come first. */
static void plan_again(struct nn_compiler *c, int i)
{
    struct nn_plan *p = c->plan;
    c->now = 2 * p->graph.count - i;
    for (int v = 0; v < i; v++) {
        struct nn_site *site = &p->sites[v];
        if (!c->again[v] || c->need[v] != i) continue;
        site->again = nn_touched(c, nn_shape_floats(c, v));
        site->again_for = i;
        for (int j = 0; j < 2; j++) {
            int x = site->node.in[j];
            if (x >= 0) nn_touch(c, *(j ? &site->back_s : &site->back_x) = kept_value(c, x));
        }
        p->agains[p->again_count++] = v;
    }
}

/* A squeeze-excitation sends two gradients back, through its scale and through its pool. The batch norm before it makes both from what they
 * are made of; the steps of scale and pool leave them out. */
static void plan_excited(struct nn_compiler *c, int i)
{
    struct nn_plan *p = c->plan;
    struct nn_site *site = &p->sites[i];
    const struct nn_node *n = &site->node;
    if (n->op == NN_BATCHNORM && c->excited[i] >= 0) {
        nn_touch(c, site->gate = kept_value(c, p->graph.nodes[c->excited[i]].in[1]));
        nn_touch(c, site->pooled);
    } else if ((n->op == NN_SCALE || n->op == NN_POOL) && c->excited[n->in[0]] >= 0) {
        site->wants_dx = false;
        if (n->op == NN_POOL) {
            p->sites[n->in[0]].pooled = site->dy;
        } else {
            c->grad[n->in[0]] = site->dy;
            c->shared[n->in[0]] = c->shared[i];
        }
    }
}

static void plan_backward(struct nn_compiler *c, int i)
{
    struct nn_plan *p = c->plan;
    struct nn_site *site = &p->sites[i];
    const struct nn_node *n = &site->node;
    if (!c->needs_grad[i] || c->grad[i] < 0 || n->op == NN_INPUT) return;
    c->now = 2 * p->graph.count - i;
    site->backward = true;
    nn_touch(c, site->dy = c->grad[i]);
    if (n->in[0] >= 0) site->back_x = kept_value(c, n->in[0]);
    if (n->in[1] >= 0) site->back_s = kept_value(c, n->in[1]);
    site->wants_dx = n->in[0] >= 0 && c->needs_grad[n->in[0]];
    site->wants_ds = n->in[1] >= 0 && c->needs_grad[n->in[1]];
    if (nn_ops[n->op].saves & INPUT_X) nn_touch(c, site->back_x);
    if (nn_ops[n->op].saves & INPUT_S) nn_touch(c, site->back_s);
    nn_touch(c, site->stats);
    nn_touch(c, site->mask);
    if (n->op == NN_ADD) {
        plan_add_backward(c, i);
        return;
    }
    plan_excited(c, i);
    if (site->wants_ds) {
        /* The second input of a scale is made for it alone. */
        if (c->grad[n->in[1]] >= 0) c->failed = true;
        nn_touch(c, site->ds = first_grad(c, i, n->in[1], INPUT_S));
    }
    if (site->wants_dx)
        plan_dx(c, i);
    else if (n->op == NN_BATCHNORM)
        nn_touch(c, site->dx = nn_new_buffer(c, nn_shape_floats(c, i))); /* dz has to go somewhere */
    if (site->trains && (n->op == NN_CONV || n->op == NN_DWCONV)) {
        size_t weight = nn_is_matrix(site) ? 0 : p->model->params[n->weight].count;
        size_t bias = n->bias >= 0 ? (size_t)n->c : 0;
        if (weight || bias) site->tmp = nn_touched(c, weight > bias ? weight : bias);
    }
}

static void find_needs_grad(struct nn_compiler *c)
{
    const struct nn_graph *g = &c->plan->graph;
    for (int i = 0; i < g->count; i++) {
        const struct nn_node *n = &g->nodes[i];
        bool learns = !n->frozen && (n->weight >= 0 || n->bn >= 0);
        c->needs_grad[i] = c->plan->options.train &&
                           (learns || (n->in[0] >= 0 && c->needs_grad[n->in[0]]) || (n->in[1] >= 0 && c->needs_grad[n->in[1]]));
    }
}

static void find_excited(struct nn_compiler *c)
{
    const struct nn_graph *g = &c->plan->graph;
    for (int i = 0; i < g->count; i++) {
        int scale = -1, pools = 0, others = g->output == i;
        c->excited[i] = -1;
        if (g->nodes[i].op != NN_BATCHNORM || g->nodes[i].frozen) continue;
        for (int j = i + 1; j < g->count; j++) {
            const struct nn_node *n = &g->nodes[j];
            if (n->in[0] != i && n->in[1] != i && n->residual != i) continue;
            if (n->op == NN_SCALE && n->in[0] == i && scale < 0)
                scale = j;
            else if (n->op == NN_POOL)
                pools++;
            else
                others++;
        }
        if (scale >= 0 && pools == 1 && !others) c->excited[i] = scale;
    }
}

void nn_find_gradients(struct nn_compiler *c)
{
    find_needs_grad(c);
    find_excited(c);
}

static void mark_trained(struct nn_plan *p)
{
    for (int i = 0; i < p->graph.count; i++) {
        const struct nn_site *site = &p->sites[i];
        if (!site->trains || !site->backward) continue;
        if (site->node.weight >= 0) p->trains[site->node.weight] = true;
        if (site->node.bias >= 0) p->trains[site->node.bias] = true;
        if (site->node.op == NN_BATCHNORM) p->trains[site->node.bn] = p->trains[site->node.bn + 1] = true;
    }
}

void nn_plan_backward_steps(struct nn_compiler *c)
{
    struct nn_plan *p = c->plan;
    const int count = p->graph.count, output = p->graph.output;
    c->now = count;
    c->grad[output] = nn_touched(c, nn_shape_floats(c, output));
    for (int i = count - 1; i >= 0 && !c->failed; i--) {
        plan_again(c, i);
        plan_backward(c, i);
    }
    if (!c->failed) mark_trained(p);
}
