/* plan.c - from a graph to a plan: passes, shapes, buffers with lifetimes, offsets. run.c runs it.
 *
 *     step    0 .. N-1          N        N+1 .. 2N
 *             forward node i    loss     backward node N-1 .. 0 (those with something to learn upstream)
 *
 * A buffer lives from the first step that touches it to the last. Values that backward needs are touched again there, and so
 * live longer; nothing else distinguishes training from inference. */
#include "nn/compile.h"
#include <math.h>
#include <string.h>

int nn_new_buffer(struct nn_compiler *c, size_t floats)
{
    struct nn_plan *p = c->plan;
    if (p->buffer_count == p->buffer_capacity) {
        int capacity = p->buffer_capacity ? p->buffer_capacity * 2 : 256;
        struct nn_buffer *buffers = rudd_realloc(p->buffers, sizeof *buffers * (size_t)capacity);
        if (!buffers) {
            c->failed = true;
            return -1;
        }
        p->buffers = buffers;
        p->buffer_capacity = capacity;
    }
    p->buffers[p->buffer_count] = (struct nn_buffer){.floats = floats ? floats : 1, .first = -1, .last = -1};
    return p->buffer_count++;
}

void nn_touch_at(struct nn_compiler *c, int buffer, int step)
{
    if (buffer < 0) return;
    struct nn_buffer *b = &c->plan->buffers[buffer];
    if (b->first < 0 || step < b->first) b->first = step;
    if (step > b->last) b->last = step;
}

void nn_touch(struct nn_compiler *c, int buffer)
{
    nn_touch_at(c, buffer, c->now);
}

int nn_touched(struct nn_compiler *c, size_t floats)
{
    int b = nn_new_buffer(c, floats);
    nn_touch(c, b);
    return b;
}

/* For the whole life of the plan. */
static int permanent(struct nn_compiler *c, size_t floats)
{
    int b = nn_new_buffer(c, floats);
    nn_touch_at(c, b, 0);
    nn_touch_at(c, b, 2 * c->plan->graph.count + 1);
    return b;
}

size_t nn_shape_floats(const struct nn_compiler *c, int node)
{
    struct nn_shape s = c->shapes[node];
    return (size_t)c->plan->options.batch * (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Whether `value` is read after step `node`: by a later node, by somebody's backward, or as the output. */
static bool needed_after(const struct nn_compiler *c, int value, int node)
{
    const struct nn_graph *g = &c->plan->graph;
    if (g->output == value || c->plan->features == value) return true;
    for (int i = value + 1; i < g->count; i++) {
        const struct nn_node *n = &g->nodes[i];
        bool is_x = n->in[0] == value, is_s = n->in[1] == value, is_r = n->residual == value;
        if (i > node && (is_x || is_s || is_r)) return true;
    }
    return c->need[value] >= 0 && !c->again[value];
}

/* The buffer of the node's output: that of an input which may be overwritten and dies here, or a new one. */
static int output_buffer(struct nn_compiler *c, int i)
{
    const struct nn_node *n = node_at(c, i);
    unsigned may = nn_ops[n->op].in_place;
    /* Only a product that is not activated before the addition lets its residual be its output. */
    if (n->op == NN_CONV && (n->k > 1 || n->act != KERN_ACT_NONE)) may = 0;
    int candidates[3] = {may & INPUT_X ? n->in[0] : -1, may & INPUT_S ? n->in[1] : -1, may & INPUT_R ? n->residual : -1};
    for (int j = 0; j < 3; j++)
        if (candidates[j] >= 0 && node_at(c, candidates[j])->op != NN_INPUT && !needed_after(c, candidates[j], i))
            return c->value[candidates[j]];
    return nn_new_buffer(c, nn_shape_floats(c, i));
}

/* Room for prepared weights, on a cache line; floats from the start of plan->weights. */
static ptrdiff_t weight_room(struct nn_compiler *c, size_t floats)
{
    size_t at = c->plan->weight_floats;
    c->plan->weight_floats = (at + floats + 15) / 16 * 16;
    return (ptrdiff_t)at;
}

/* A product over one pixel per image reads each weight once: packing would not pay. Told by what is before it, never by the shape,
 * which small images change: prepared weights do not depend on the size. */
static bool is_vector_product(const struct nn_graph *g, const struct nn_node *n)
{
    int i = n->in[0];
    while (i >= 0 && g->nodes[i].op != NN_POOL && g->nodes[i].stride != NN_ONE_PIXEL) i = g->nodes[i].in[0];
    return n->bn < 0 && n->k == 1 && i >= 0;
}

/* Prepared are weights that kernels want in another form; when the model's values are not in memory, all others too. */
static void place_weights(struct nn_compiler *c, struct nn_site *site)
{
    const struct nn_node *n = &site->node;
    const struct nn_plan *p = c->plan;
    const bool constant = n->frozen && !p->options.unfused;
    const size_t count = n->weight >= 0 ? p->model->params[n->weight].count : 0;
    if (n->op == NN_CONV) {
        site->packed = constant && !is_vector_product(&p->graph, n);
        if (site->packed)
            site->weight_at = weight_room(c, kern_packed_floats(n->c, site->in.c, n->k));
        else if (n->k > 1 || p->shares)
            site->weight_at = weight_room(c, count);
    } else if (n->op == NN_DWCONV) {
        site->expands = constant && kern_expand_pays(p->kern) && n->k <= KERN_EXPAND_K_MAX;
        site->weight_at = weight_room(c, kern_packed_floats(n->c, 1, n->k));
        if (n->expand.weight >= 0) site->expand_weight_at = weight_room(c, kern_packed_floats(n->c, site->in.c, 1));
        if (n->expand.bn >= 0 || (p->shares && n->expand.bias >= 0)) site->expand_bias_at = weight_room(c, (size_t)n->c);
    } else {
        /* Scale and shift of a batch norm that follows no convolution. */
        if (n->op == NN_BATCHNORM && n->frozen) site->weight_at = weight_room(c, 2 * (size_t)n->c);
        return;
    }
    if (n->bn >= 0 || (p->shares && n->bias >= 0)) site->bias_at = weight_room(c, (size_t)n->c);
}

/* A pool reads the sums that a fused depthwise convolution has made on the way, by strip; else the activation. */
static int pool_input(const struct nn_compiler *c, const struct nn_node *n)
{
    const struct nn_site *x = &c->plan->sites[n->in[0]];
    return n->op == NN_POOL && x->sums >= 0 ? x->sums : c->value[n->in[0]];
}

static void plan_forward(struct nn_compiler *c, int i)
{
    struct nn_plan *p = c->plan;
    struct nn_site *site = &p->sites[i];
    const struct nn_node *n = node_at(c, i);
    c->now = i;
    *site = (struct nn_site){.node = *n,
                             .index = i,
                             .x = -1,
                             .s = -1,
                             .r = -1,
                             .back_x = -1,
                             .back_s = -1,
                             .again = -1,
                             .dx = -1,
                             .sum_dx = -1,
                             .ds = -1,
                             .dy = -1,
                             .weight_at = -1,
                             .bias_at = -1,
                             .expand_weight_at = -1,
                             .expand_bias_at = -1,
                             .sums = -1,
                             .stats = -1,
                             .gate = -1,
                             .pooled = -1,
                             .mask = -1,
                             .tmp = -1};
    site->out = c->shapes[i];
    site->in = n->in[0] >= 0 ? c->shapes[n->in[0]] : site->out;
    if (n->in[0] >= 0) nn_touch(c, site->x = pool_input(c, n));
    if (n->in[1] >= 0) nn_touch(c, site->s = c->value[n->in[1]]);
    if (n->residual >= 0) nn_touch(c, site->r = c->value[n->residual]);
    if (n->op == NN_CONV || n->op == NN_DWCONV || n->op == NN_MAXPOOL)
        site->conv = nn_conv_geometry(n, site->in, site->out, p->model->pad, p->options.batch);
    place_weights(c, site);
    if (site->expands) {
        struct kern_expand s = nn_expand_geometry(site, p->options.batch);
        site->sums = nn_touched(c, (size_t)p->options.batch * (size_t)kern_expand_strips(&s) * (size_t)n->c);
    }
    site->trains = !n->frozen && (n->weight >= 0 || n->op == NN_BATCHNORM);
    if (n->op == NN_BATCHNORM) {
        site->batch_stats = !n->frozen && !p->options.freeze_bn;
        if (!n->frozen) site->stats = nn_touched(c, (size_t)BN_ROWS * (size_t)n->c);
    }
    if (n->op == NN_DROPOUT) site->mask = nn_touched(c, nn_shape_floats(c, i));
    if (n->op == NN_ADD && !n->frozen && p->options.drop_path * n->depth > 0)
        site->mask = nn_touched(c, (size_t)p->options.batch);
    nn_touch(c, c->value[i] = site->y = output_buffer(c, i));
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

/* Scratch is one buffer for all steps. Its need is not monotonic in n (long sums are cut differently), so every n is asked. */
static size_t scratch_floats(const struct nn_plan *p)
{
    size_t most = 0;
    for (int i = 0; i < p->graph.count; i++) {
        const struct nn_site *site = &p->sites[i];
        for (int n = 1; nn_ops[site->node.op].scratch && n <= p->options.batch; n++) {
            size_t floats = nn_ops[site->node.op].scratch(site, n);
            if (floats > most) most = floats;
        }
    }
    return most;
}

static void run_passes(struct nn_graph *g, const struct nn_plan_options *o, bool expand_pays)
{
    nn_pass_freeze(g, o->train, o->freeze_stage);
    if (o->unfused) {
        /* Dropout has no forward of its own outside training. */
        for (int i = 0; i < g->count; i++) g->nodes[i].frozen &= g->nodes[i].op == NN_DROPOUT;
        nn_pass_fold_batchnorm(g);
    } else {
        nn_pass_fold_batchnorm(g);
        nn_pass_fuse_act(g);
        nn_pass_fuse_residual(g);
        nn_pass_fuse_scale(g);
        if (expand_pays) nn_pass_fuse_expand(g);
    }
    nn_pass_compact(g);
    for (int i = 0; i < g->count; i++) g->nodes[i].frozen |= !o->train;
}

/* Whether its steps use more of the model than prepared weights. */
static bool reads_values(const struct nn_plan *p)
{
    return p->options.train || p->options.unfused || p->options.first_stage || p->options.end_stage;
}

/* nn_recompute_need: bits of the inputs that the backward step of node i reads. */
static unsigned saves(const void *compiler, int i)
{
    const struct nn_compiler *c = compiler;
    return c->needs_grad[i] ? nn_ops[c->plan->graph.nodes[i].op].saves : 0;
}

/* Decides all buffers for the present levels of recomputation; false when memory ran out. */
static bool lay_out(struct nn_compiler *c)
{
    struct nn_plan *p = c->plan;
    int count = p->graph.count, output = p->graph.output;
    p->buffer_count = p->again_count = 0;
    p->weight_floats = 0;
    memset(p->trains, 0, sizeof *p->trains * (size_t)p->model->param_count);
    memset(c->shared, 0, sizeof *c->shared * (size_t)count);
    nn_recompute_mark(c->again, &p->graph, c->shapes, c->block, c->level);
    nn_recompute_need(c->need, &p->graph, c->again, saves, c);
    for (int i = 0; i < count && !c->failed; i++) plan_forward(c, i);
    if (c->failed) return false;
    nn_touch_at(c, c->value[output], 2 * count + 1); /* logits can be read until the next run */
    if (p->features >= 0) nn_touch_at(c, c->value[p->features], 2 * count + 1);
    for (int i = 0; i < count; i++) c->grad[i] = -1;
    if (p->options.train && c->needs_grad[output]) {
        nn_plan_backward_steps(c);
        if (c->failed) return false;
    }
    p->scratch = permanent(c, scratch_floats(p));
    return !c->failed;
}

/* Offsets for the present levels; false when memory ran out. */
static bool place(struct nn_compiler *c, int **order)
{
    struct nn_plan *p = c->plan;
    if (!lay_out(c)) return false;
    int *grown = rudd_realloc(*order, sizeof **order * (size_t)p->buffer_count);
    if (!grown) return false;
    *order = grown;
    p->block_floats = nn_memory_place(p->buffers, p->buffer_count, *order);
    return true;
}

static size_t all_bytes(const struct nn_plan *p)
{
    return nn_plan_bytes(p) + nn_plan_weight_bytes(p);
}

/* The block at a lower level than `level` that keeps most; -1: none. */
static int largest_block(const struct nn_compiler *c, enum nn_recompute level)
{
    int best = -1;
    double most = -1;
    for (int b = 0; b < c->blocks; b++) {
        double floats = 0;
        for (int i = 0; i < c->plan->graph.count; i++)
            if (c->block[i] == b) floats += (double)nn_shape_floats(c, i);
        if (c->level[b] < level && floats > most) best = b, most = floats;
    }
    return best;
}

/* Raises blocks to `level`, largest first, until the plan takes no more than `bytes`; false when memory ran out. */
static bool raise_levels(struct nn_compiler *c, enum nn_recompute level, size_t bytes, int **order)
{
    for (int b; all_bytes(c->plan) > bytes && (b = largest_block(c, level)) >= 0;) {
        c->level[b] = level;
        if (!place(c, order)) return false;
    }
    return true;
}

/* Without a limit the largest blocks recompute what is elementwise until 70 % of the memory is left: a few in a hundred of the time. Under a
 * limit all that it takes to fit. */
static bool choose_levels(struct nn_compiler *c, int **order)
{
    struct nn_plan *p = c->plan;
    const size_t limit = p->options.memory_limit;
    c->blocks = nn_recompute_blocks(c->block, &p->graph);
    for (int b = 0; b < c->blocks; b++) c->level[b] = NN_RECOMPUTE_NOTHING;
    if (!place(c, order)) return false;
    if (p->options.train) {
        if (!raise_levels(c, NN_RECOMPUTE_ELEMENTWISE, all_bytes(p) / 10 * 7, order)) return false;
        for (enum nn_recompute level = NN_RECOMPUTE_ELEMENTWISE; limit && level <= NN_RECOMPUTE_ALL; level++)
            if (!raise_levels(c, level, limit, order)) return false;
    }
    for (int b = 0; b < c->blocks; b++) p->recomputes[c->level[b]]++;
    return true;
}

static enum rudd_status compile(struct nn_plan *p, struct rudd_error *err)
{
    size_t n = (size_t)p->graph.count;
    int *order = NULL;
    struct nn_compiler c = {.plan = p};
    c.shapes = rudd_alloc(sizeof *c.shapes * n);
    c.value = rudd_alloc(sizeof *c.value * n);
    c.grad = rudd_alloc(sizeof *c.grad * n);
    c.shared = rudd_zalloc(n, sizeof *c.shared);
    c.needs_grad = rudd_zalloc(n, sizeof *c.needs_grad);
    c.again = rudd_alloc(sizeof *c.again * n);
    c.need = rudd_alloc(sizeof *c.need * n);
    c.block = rudd_alloc(sizeof *c.block * n);
    c.excited = rudd_alloc(sizeof *c.excited * n);
    c.level = rudd_alloc(sizeof *c.level * (n + 1));
    p->agains = rudd_alloc(sizeof *p->agains * n);
    bool ok = c.shapes && c.value && c.grad && c.shared && c.needs_grad && c.again && c.need && c.block && c.excited &&
              c.level && p->agains;
    if (ok) {
        nn_graph_shapes(c.shapes, &p->graph, p->options.image_size);
        nn_find_gradients(&c);
    }
    enum rudd_status status = RUDD_OK;
    if (!ok || !choose_levels(&c, &order)) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory while planning %s", p->model->arch);
    } else {
        const double mib = (double)all_bytes(p) / 1048576;
        if (p->options.memory_limit && all_bytes(p) > p->options.memory_limit)
            status = rudd_fail(err, RUDD_LIMIT, "%s at %d pixels, batch %d needs %.1f MiB%s but the limit is %.1f MiB; %s",
                               p->model->arch, p->options.image_size, p->options.batch, mib,
                               p->options.train ? " even when all that can be is computed again" : "",
                               (double)p->options.memory_limit / 1048576,
                               p->options.batch > 1 ? "use a smaller batch" : "raise it, or use smaller pictures");
        else if (!(p->block = rudd_alloc(nn_plan_bytes(p))))
            status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the %.1f MiB that %s needs at %d pixels, batch %d", mib,
                               p->model->arch, p->options.image_size, p->options.batch);
    }
    rudd_free(order);
    rudd_free(c.shapes);
    rudd_free(c.value);
    rudd_free(c.grad);
    rudd_free(c.shared);
    rudd_free(c.needs_grad);
    rudd_free(c.again);
    rudd_free(c.need);
    rudd_free(c.block);
    rudd_free(c.excited);
    rudd_free(c.level);
    return status;
}

/* The input of a part is as large as the rule has it (nn_graph_shapes): frozen padding must not make it another. */
static enum rudd_status check_cut(const struct nn_plan *p, struct rudd_error *err)
{
    const struct nn_graph *whole = p->model->graph;
    struct nn_shape *shapes = p->model->pad_size ? rudd_alloc(sizeof *shapes * (size_t)whole->count) : NULL;
    if (!p->model->pad_size) return RUDD_OK;
    if (!shapes) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a plan");
    nn_graph_shapes(shapes, whole, p->options.image_size);
    const bool odd = nn_graph_has_odd_sides(shapes, whole);
    rudd_free(shapes);
    return odd ? rudd_fail(err, RUDD_ARGUMENT,
                           "%s, padded as at %d pixels, cannot be cut into stages at %d pixels; %d itself can be",
                           p->model->arch, p->model->pad_size, p->options.image_size, p->model->pad_size)
               : RUDD_OK;
}

enum rudd_status nn_plan_create(struct nn_plan **plan, struct nn_model *model, const struct nn_plan_options *options,
                                struct rudd_error *err)
{
    enum { MAX_SIDE = 4096, MAX_BATCH = 4096 };
    if (options->batch < 1 || options->batch > MAX_BATCH)
        return rudd_fail(err, RUDD_ARGUMENT, "batch %d; expected 1 to %d", options->batch, MAX_BATCH);
    if (options->image_size < 8 || options->image_size > MAX_SIDE)
        return rudd_fail(err, RUDD_ARGUMENT, "image size %d; expected 8 to %d pixels", options->image_size, MAX_SIDE);
    struct nn_plan *p = rudd_zalloc(1, sizeof *p);
    if (!p) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a plan");
    p->model = model;
    p->options = *options;
    p->kern = kern_table();
    p->shares = !model->values;
    p->features = -1;
    enum rudd_status status = nn_graph_copy(&p->graph, model->graph, err);
    if (!status && (options->first_stage || options->end_stage) &&
        !nn_pass_cut(&p->graph, options->first_stage, options->end_stage))
        status = rudd_fail(err, RUDD_ARGUMENT, "%s cannot be cut into stages %d to %d", model->arch, options->first_stage,
                           options->end_stage - 1);
    if (!status) {
        run_passes(&p->graph, options, kern_expand_pays(p->kern));
        if (options->features) p->features = nn_graph_border(&p->graph, nn_model_stage_count(model) - 1);
        if (reads_values(p)) status = nn_model_need_values(model, err);
    }
    if (!status) {
        p->sites = rudd_zalloc((size_t)p->graph.count, sizeof *p->sites);
        p->trains = rudd_zalloc((size_t)model->param_count, sizeof *p->trains);
        status = p->sites && p->trains ? compile(p, err) : rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a plan");
    }
    if (!status && options->first_stage) status = check_cut(p, err);
    if (!status) status = nn_prepare_weights(p, err);
    if (status)
        nn_plan_destroy(p);
    else
        *plan = p;
    return status;
}

void nn_plan_destroy(struct nn_plan *plan)
{
    if (!plan) return;
    nn_graph_free(&plan->graph);
    rudd_free(plan->sites);
    rudd_free(plan->buffers);
    rudd_free(plan->trains);
    rudd_free(plan->agains);
    rudd_free(plan->block);
    if (!plan->shares) rudd_free(plan->weights);
    rudd_free(plan);
}

int nn_plan_norm_values(const struct nn_plan *plan)
{
    int least = 0;
    for (int i = 0; i < plan->graph.count; i++) {
        const struct nn_site *site = &plan->sites[i];
        if (site->node.op != NN_BATCHNORM || !site->batch_stats) continue;
        const int values = plan->options.batch * site->out.h * site->out.w;
        if (!least || values < least) least = values;
    }
    return least;
}
