/* ops.c - the table of operations: how each one prepares, runs forward and runs backward over the kernels.
 *
 * A forward function reads the site's x (and s, r) and writes y; a backward function reads dy and what forward saved, writes or
 * adds to dx (and ds), and adds parameter gradients to the plan's grads. n is the number of images in this run.
 *
 * Layouts: 1x1 weights are plain matrices [oc,ic] and are used where they lie; larger ones are prepared as [oc,k,k,ic],
 * depthwise ones as [k,k,c]. Where weights are constants (inference, frozen stages)
 * convolutions run over packed weights, and depthwise ones take the expansion before them and the sums after them along. */
#include "nn/rng.h"
#include "nn/steps.h"
#include <math.h>
#include <string.h>

static int rows_of(struct nn_shape s, int n)
{
    return n * s.h * s.w;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- weights: canonical layout <-> kernel layout ----------------------------------------------------------------- */

/* Index in the kernel's layout of element (o, i, tap) of the canonical one; depthwise weights have ic = 1 and o as the channel.
 */
static size_t kernel_index(const struct nn_site *site, int o, int i, int tap)
{
    size_t taps = (size_t)site->node.k * (size_t)site->node.k, ic = (size_t)site->in.c;
    return site->node.op == NN_DWCONV ? (size_t)tap * (size_t)site->node.c + (size_t)o
                                      : ((size_t)o * taps + (size_t)tap) * ic + (size_t)i;
}

/* Nothing is written where there is no batch norm (bn < 0). */
static void fold_batchnorm(const struct nn_plan *plan, float *scale, float *folded, int bn, int bias, int c)
{
    if (bn < 0) return;
    const float *const parts[] = {nn_value(plan, bn), nn_value(plan, bn + 1), nn_value(plan, bn + 2), nn_value(plan, bn + 3)};
    nn_fold_batchnorm(scale, folded, parts, nn_value(plan, bias), plan->model->bn_eps, c);
}

/* A bias that no batch norm was folded into, where it is kept with the prepared weights. */
static void copy_bias(const struct nn_plan *plan, ptrdiff_t at, int bn, int bias, int c)
{
    if (at >= 0 && bn < 0) memcpy(plan->weights + at, nn_value(plan, bias), sizeof(float) * (size_t)c);
}

/* The weights in the layout that this plan's kernels read, times the scale of a folded batch norm. */
static void conv_prepare(const struct nn_plan *plan, const struct nn_site *site, float *scale)
{
    const struct nn_node *node = &site->node;
    float *weights = plan->weights;
    if (site->weight_at >= 0) {
        const float *w = nn_value(plan, node->weight);
        const int ic = node->op == NN_DWCONV ? 1 : site->in.c, taps = node->k * node->k;
        const float *times = node->bn >= 0 ? scale : NULL;
        fold_batchnorm(plan, scale, weights + site->bias_at, node->bn, node->bias, node->c);
        if (site->packed || site->expands)
            plan->kern->pack_f32(weights + site->weight_at, w, times, node->c, ic, node->k);
        else if (nn_is_matrix(site) && !times)
            memcpy(weights + site->weight_at, w, sizeof *w * plan->model->params[node->weight].count);
        else
            for (int o = 0; o < node->c; o++)
                for (int i = 0; i < ic; i++)
                    for (int t = 0; t < taps; t++)
                        weights[(size_t)site->weight_at + kernel_index(site, o, i, t)] =
                            w[((size_t)o * ic + i) * taps + t] * (times ? times[o] : 1);
    }
    copy_bias(plan, site->bias_at, node->bn, node->bias, node->c);
    copy_bias(plan, site->expand_bias_at, node->expand.bn, node->expand.bias, node->c);
    if (site->expand_weight_at >= 0) {
        const struct nn_expand *e = &node->expand;
        fold_batchnorm(plan, scale, weights + site->expand_bias_at, e->bn, e->bias, node->c);
        plan->kern->pack_f32(weights + site->expand_weight_at, nn_value(plan, e->weight), e->bn >= 0 ? scale : NULL, node->c,
                             site->in.c, 1);
    }
}

/* grads += tmp, from the kernel's layout back to the canonical one */
static void add_weight_grad(const struct nn_plan *plan, const struct nn_site *site, const float *tmp)
{
    int ic = site->node.op == NN_DWCONV ? 1 : site->in.c, taps = site->node.k * site->node.k;
    float *g = nn_grad(plan, site->node.weight);
    for (int o = 0; o < site->node.c; o++)
        for (int i = 0; i < ic; i++)
            for (int t = 0; t < taps; t++) g[((size_t)o * ic + i) * taps + t] += tmp[kernel_index(site, o, i, t)];
}

static const float *weight_of(const struct nn_plan *plan, const struct nn_site *site)
{
    return nn_prepared(plan, site->weight_at, site->node.weight);
}

static const float *bias_of(const struct nn_plan *plan, const struct nn_site *site)
{
    return nn_prepared(plan, site->bias_at, site->node.bias);
}

/* ---- convolution ------------------------------------------------------------------------------------------------- */

static struct kern_gemm forward_product(const struct nn_site *site, int n)
{
    return (struct kern_gemm){
        .m = rows_of(site->out, n), .n = site->out.c, .k = site->in.c, .trans_b = true, .act = site->node.act};
}
/* dx[rows,ic] = dy[rows,oc] * w[oc,ic] */
static struct kern_gemm data_product(const struct nn_site *site, int n)
{
    return (struct kern_gemm){.m = rows_of(site->in, n), .n = site->in.c, .k = site->out.c, .accumulate = site->add_dx};
}
/* dw[oc,ic] += dy[rows,oc]^T * x[rows,ic] */
static struct kern_gemm weight_product(const struct nn_site *site, int n)
{
    return (struct kern_gemm){
        .m = site->out.c, .n = site->in.c, .k = rows_of(site->out, n), .trans_a = true, .accumulate = true};
}

static struct kern_conv geometry(const struct nn_site *site, int n)
{
    struct kern_conv s = site->conv;
    s.n = n;
    return s;
}

static size_t conv_scratch(const struct nn_site *site, int n)
{
    size_t floats;
    if (site->packed) {
        struct kern_conv s = geometry(site, n);
        floats = kern_packed_scratch(&s);
    } else if (nn_is_matrix(site)) {
        struct kern_gemm f = forward_product(site, n), d = data_product(site, n), w = weight_product(site, n);
        floats = kern_gemm_scratch(&f);
        if (site->wants_dx) floats = larger(floats, kern_gemm_scratch(&d));
        if (site->trains) floats = larger(floats, kern_gemm_scratch(&w));
    } else {
        struct kern_conv s = geometry(site, n);
        floats = kern_conv_scratch(&s);
    }
    return larger(floats, kern_rows_scratch(site->out.c));
}

static void conv_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    float *y = nn_at(plan, site->y), *scratch = nn_at(plan, plan->scratch);
    const float *x = nn_at(plan, site->x), *w = weight_of(plan, site);
    if (site->packed) {
        struct kern_conv s = geometry(site, n);
        s.bias = bias_of(plan, site);
        s.residual = nn_at(plan, site->r);
        s.scale = nn_at(plan, site->s);
        plan->kern->conv_packed_f32(y, x, w, &s, scratch);
    } else if (nn_is_matrix(site)) {
        struct kern_gemm s = forward_product(site, n);
        s.bias = bias_of(plan, site);
        s.residual = nn_at(plan, site->r);
        plan->kern->gemm_f32(y, x, w, &s, scratch);
    } else {
        struct kern_conv s = geometry(site, n);
        s.bias = bias_of(plan, site);
        s.residual = nn_at(plan, site->r);
        plan->kern->conv_fwd_f32(y, x, w, &s, scratch);
    }
}

static void add_bias_grad(const struct nn_plan *plan, const struct nn_site *site, const float *dy, int n)
{
    float *tmp = nn_at(plan, site->tmp), *g = nn_grad(plan, site->node.bias);
    plan->kern->colsum_f32(tmp, dy, rows_of(site->out, n), site->out.c, nn_at(plan, plan->scratch));
    plan->kern->add_f32(g, g, tmp, (size_t)site->out.c);
}

static void conv_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    const float *x = nn_at(plan, site->back_x), *dy = nn_at(plan, site->dy), *w = weight_of(plan, site);
    float *scratch = nn_at(plan, plan->scratch), *tmp = nn_at(plan, site->tmp);
    if (nn_is_matrix(site)) {
        struct kern_gemm sw = weight_product(site, n), sd = data_product(site, n);
        if (site->trains) plan->kern->gemm_f32(nn_grad(plan, site->node.weight), dy, x, &sw, scratch);
        if (site->wants_dx) plan->kern->gemm_f32(nn_at(plan, site->dx), dy, w, &sd, scratch);
    } else {
        struct kern_conv s = geometry(site, n);
        s.accumulate = site->add_dx;
        if (site->trains) {
            plan->kern->conv_bwd_weight_f32(tmp, x, dy, &s, scratch);
            add_weight_grad(plan, site, tmp);
        }
        if (site->wants_dx) plan->kern->conv_bwd_data_f32(nn_at(plan, site->dx), dy, w, &s, scratch);
    }
    if (site->trains && site->node.bias >= 0) add_bias_grad(plan, site, dy, n);
}

struct kern_expand nn_expand_geometry(const struct nn_site *site, int n)
{
    static const float mark;
    struct kern_expand s = {.dw = geometry(site, n), .ic = site->in.c, .act = site->node.expand.act};
    s.dw.ic = site->node.c;
    if (site->node.expand.weight >= 0) s.weight = &mark;
    return s;
}

static size_t dwconv_scratch(const struct nn_site *site, int n)
{
    struct kern_conv s = geometry(site, n);
    struct kern_expand e = nn_expand_geometry(site, n);
    size_t floats = site->expands ? kern_expand_scratch(&e) : site->trains ? kern_dwconv_scratch(&s) : 0;
    return larger(floats, (size_t)site->node.c); /* preparing needs a vector of scales */
}

static void dwconv_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    float *y = nn_at(plan, site->y);
    const float *x = nn_at(plan, site->x), *w = weight_of(plan, site);
    if (site->expands) {
        struct kern_expand s = nn_expand_geometry(site, n);
        s.dw.bias = bias_of(plan, site);
        if (s.weight) {
            s.weight = nn_prepared(plan, site->expand_weight_at, -1);
            s.bias = nn_prepared(plan, site->expand_bias_at, site->node.expand.bias);
        }
        plan->kern->expand_dw_f32(y, nn_at(plan, site->sums), x, w, &s, nn_at(plan, plan->scratch));
    } else {
        struct kern_conv s = geometry(site, n);
        s.bias = bias_of(plan, site);
        plan->kern->dwconv_fwd_f32(y, x, w, &s);
    }
}

static void dwconv_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    struct kern_conv s = geometry(site, n);
    const float *dy = nn_at(plan, site->dy);
    if (site->trains) {
        float *tmp = nn_at(plan, site->tmp);
        plan->kern->dwconv_bwd_weight_f32(tmp, nn_at(plan, site->back_x), dy, &s, nn_at(plan, plan->scratch));
        add_weight_grad(plan, site, tmp);
    }
    if (site->wants_dx) plan->kern->dwconv_bwd_data_f32(nn_at(plan, site->dx), dy, weight_of(plan, site), &s);
}

/* ---- batch norm -------------------------------------------------------------------------------------------------- */

static size_t batchnorm_scratch(const struct nn_site *site, int n)
{
    (void)n;
    return kern_rows_scratch(site->out.c);
}

/* Of a constant batch norm: a [c] and b [c], as below. */
static void batchnorm_prepare(const struct nn_plan *plan, const struct nn_site *site, float *scale)
{
    (void)scale;
    if (site->weight_at < 0) return;
    const int c = site->out.c, bn = site->node.bn;
    const float *gamma = nn_value(plan, bn), *beta = nn_value(plan, bn + 1);
    const float *mean = nn_value(plan, bn + 2), *var = nn_value(plan, bn + 3);
    float *a = plan->weights + site->weight_at, *b = a + c;
    for (int i = 0; i < c; i++) {
        const float rstd = (float)(1 / sqrt((double)var[i] + plan->model->bn_eps));
        a[i] = gamma[i] * rstd;
        b[i] = beta[i] - mean[i] * a[i];
    }
}

/* y = act(x*a + b), a = gamma*rstd, b = beta - mean*a; mean and variance of the batch, or the running ones */
static void batchnorm_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    int c = site->out.c, rows = rows_of(site->out, n), bn = site->node.bn;
    const float *x = nn_at(plan, site->x);
    if (site->weight_at >= 0) {
        const float *ready = plan->weights + site->weight_at;
        plan->kern->affine_act_f32(nn_at(plan, site->y), x, ready, ready + c, site->node.act, rows, c);
        return;
    }
    const float *gamma = nn_value(plan, bn), *beta = nn_value(plan, bn + 1);
    float *stats = nn_at(plan, site->stats);
    float *mean = stats + BN_MEAN * c, *var = stats + BN_VAR * c, *rstd = stats + BN_RSTD * c;
    float *a = stats + BN_A * c, *b = stats + BN_B * c;
    if (site->has_stats) {
        plan->kern->affine_act_f32(nn_at(plan, site->y), x, a, b, site->node.act, rows, c);
        return;
    }
    if (site->batch_stats) {
        plan->kern->bn_stats_f32(mean, var, x, rows, c, nn_at(plan, plan->scratch));
    } else {
        memcpy(mean, nn_value(plan, bn + 2), sizeof *mean * (size_t)c);
        memcpy(var, nn_value(plan, bn + 3), sizeof *var * (size_t)c);
    }
    for (int i = 0; i < c; i++) {
        rstd[i] = (float)(1 / sqrt((double)var[i] + plan->model->bn_eps));
        a[i] = gamma[i] * rstd[i];
        b[i] = beta[i] - mean[i] * a[i];
    }
    plan->kern->affine_act_f32(nn_at(plan, site->y), x, a, b, site->node.act, rows, c);
}

/* running = running*(1-m) + batch*m, the variance unbiased, as PyTorch has it */
static void update_running(const struct nn_plan *plan, const struct nn_site *site, int rows)
{
    int c = site->out.c;
    const float *stats = nn_at(plan, site->stats);
    float m = plan->options.bn_momentum, unbias = rows > 1 ? (float)rows / (float)(rows - 1) : 1;
    float *mean = nn_value(plan, site->node.bn + 2), *var = nn_value(plan, site->node.bn + 3);
    for (int i = 0; i < c; i++) {
        mean[i] = mean[i] * (1 - m) + stats[BN_MEAN * c + i] * m;
        var[i] = var[i] * (1 - m) + stats[BN_VAR * c + i] * unbias * m;
    }
}

static void batchnorm_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    int c = site->out.c, rows = rows_of(site->out, n), bn = site->node.bn;
    float *stats = nn_at(plan, site->stats), *dgamma = stats + BN_DGAMMA * c, *dbeta = stats + BN_DBETA * c;
    const float *x = nn_at(plan, site->back_x);
    struct kern_bn s = {.rows = rows,
                        .c = c,
                        .act = site->node.act,
                        .frozen = !site->batch_stats,
                        .mean = stats + BN_MEAN * c,
                        .rstd = stats + BN_RSTD * c,
                        .gamma = nn_value(plan, bn),
                        .beta = nn_value(plan, bn + 1),
                        .gate = nn_at(plan, site->gate),
                        .pooled = nn_at(plan, site->pooled),
                        .pixels = site->out.h * site->out.w};
    /* dz goes where dx will be: a fresh buffer, or dy itself where nobody else reads that. */
    float *dz = nn_at(plan, site->dx);
    plan->kern->bn_bwd_reduce_f32(dz, dgamma, dbeta, nn_at(plan, site->dy), x, &s, nn_at(plan, plan->scratch));
    if (site->wants_dx) plan->kern->bn_bwd_apply_f32(dz, dz, x, dgamma, dbeta, &s);
    if (site->trains) {
        plan->kern->add_f32(nn_grad(plan, bn), nn_grad(plan, bn), dgamma, (size_t)c);
        plan->kern->add_f32(nn_grad(plan, bn + 1), nn_grad(plan, bn + 1), dbeta, (size_t)c);
    }
    if (site->batch_stats) update_running(plan, site, rows);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static size_t count_of(const struct nn_site *site, int n)
{
    return (size_t)n * (size_t)site->out.h * (size_t)site->out.w * (size_t)site->out.c;
}

static void act_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    plan->kern->act_fwd_f32(nn_at(plan, site->y), nn_at(plan, site->x), site->node.act, count_of(site, n));
}

static void act_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    plan->kern->act_bwd_f32(nn_at(plan, site->dx), nn_at(plan, site->dy), nn_at(plan, site->back_x), site->node.act,
                            count_of(site, n));
}

/* Over the pixels, or over what a fused depthwise convolution has summed of them (plan.c, pool_input). */
static void pool_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    const struct nn_site *producer = &plan->sites[site->node.in[0]];
    const int pixels = site->in.h * site->in.w;
    int rows = pixels;
    if (producer->sums >= 0) {
        struct kern_expand s = nn_expand_geometry(producer, n);
        rows = kern_expand_strips(&s);
    }
    plan->kern->pool_fwd_f32(nn_at(plan, site->y), nn_at(plan, site->x), n, rows, site->in.c, pixels);
}

static void pool_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    if (!site->wants_dx) return; /* the batch norm before it does that */
    plan->kern->pool_bwd_f32(nn_at(plan, site->dx), nn_at(plan, site->dy), n, site->in.h * site->in.w, site->in.c,
                             site->add_dx);
}

static void maxpool_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    const struct kern_conv s = geometry(site, n);
    plan->kern->maxpool_fwd_f32(nn_at(plan, site->y), nn_at(plan, site->x), &s, site->node.zeros);
}

static void maxpool_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    const struct kern_conv s = geometry(site, n);
    plan->kern->maxpool_bwd_f32(nn_at(plan, site->dx), nn_at(plan, site->dy), nn_at(plan, site->back_x), &s, site->node.zeros);
}

static void scale_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    plan->kern->scale_f32(nn_at(plan, site->y), nn_at(plan, site->x), nn_at(plan, site->s), n, site->in.h * site->in.w,
                          site->in.c);
}

/* ds first: dx may take the place of dy */
static void scale_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    int hw = site->in.h * site->in.w;
    const float *dy = nn_at(plan, site->dy);
    if (site->wants_ds) plan->kern->scale_bwd_s_f32(nn_at(plan, site->ds), dy, nn_at(plan, site->back_x), n, hw, site->in.c);
    if (site->wants_dx) plan->kern->scale_f32(nn_at(plan, site->dx), dy, nn_at(plan, site->back_s), n, hw, site->in.c);
}

/* mask[i] = 1/keep with probability keep, else 0; keyed by (seed, step, node, i) */
static void draw_mask(const struct nn_plan *plan, const struct nn_site *site, float keep, size_t count)
{
    float *mask = nn_at(plan, site->mask);
    uint64_t node = (uint64_t)site->index;
    for (size_t i = 0; i < count; i++) {
        double u = (double)(nn_rng_u64(plan->seed, plan->step, node, i) >> 11) * 0x1p-53;
        mask[i] = u < (double)keep ? 1 / keep : 0;
    }
}

static void add_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    if (site->mask >= 0) draw_mask(plan, site, 1 - plan->options.drop_path * site->node.depth, (size_t)n);
    plan->kern->residual_f32(nn_at(plan, site->y), nn_at(plan, site->x), nn_at(plan, site->s), nn_at(plan, site->mask), n,
                             site->out.h * site->out.w * site->out.c);
}

/* Gradients that are dy itself share its buffer (dx == dy); only a masked branch or an addition has work to do. */
static void add_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    int count = site->out.h * site->out.w * site->out.c;
    const float *dy = nn_at(plan, site->dy);
    float *dx = nn_at(plan, site->dx), *ds = nn_at(plan, site->ds);
    if (site->wants_ds && site->ds != site->dy) plan->kern->residual_f32(ds, dy, site->add_ds ? ds : NULL, NULL, n, count);
    if (site->wants_dx && (site->dx != site->dy || site->mask >= 0))
        plan->kern->residual_f32(dx, dy, NULL, nn_at(plan, site->mask), n, count);
}

static void dropout_forward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    draw_mask(plan, site, 1 - plan->options.dropout, count_of(site, n));
    plan->kern->mul_f32(nn_at(plan, site->y), nn_at(plan, site->x), nn_at(plan, site->mask), count_of(site, n));
}

static void dropout_backward(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    plan->kern->mul_f32(nn_at(plan, site->dx), nn_at(plan, site->dy), nn_at(plan, site->mask), count_of(site, n));
}

enum { X = 1, S = 2, R = 4 }; /* inputs 0, 1 and the fused residual */

const struct nn_op_row nn_ops[NN_OP_COUNT] = {
    [NN_INPUT] = {"input", 0, 0, 0, 0, NULL, NULL, NULL, NULL},
    [NN_CONV] = {"conv", R, X, X, 0, conv_scratch, conv_prepare, conv_forward, conv_backward},
    [NN_DWCONV] = {"dwconv", 0, X, 0, 0, dwconv_scratch, conv_prepare, dwconv_forward, dwconv_backward},
    [NN_BATCHNORM] = {"batchnorm", X, X, 0, X, batchnorm_scratch, batchnorm_prepare, batchnorm_forward, batchnorm_backward},
    [NN_ACT] = {"act", X, X, 0, X, NULL, NULL, act_forward, act_backward},
    [NN_POOL] = {"pool", 0, 0, X, 0, NULL, NULL, pool_forward, pool_backward},
    [NN_MAXPOOL] = {"maxpool", 0, X, 0, 0, NULL, NULL, maxpool_forward, maxpool_backward},
    [NN_SCALE] = {"scale", X, X | S, 0, X, NULL, NULL, scale_forward, scale_backward},
    [NN_ADD] = {"add", X | S, 0, 0, 0, NULL, NULL, add_forward, add_backward},
    [NN_DROPOUT] = {"dropout", X, 0, 0, X, NULL, NULL, dropout_forward, dropout_backward},
};
