/* trace.c - what a step of a plan is, as a line of text. See trace.h. */
#include "nn/trace.h"
#include "nn/steps.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 4096 };
static const double HOT = 0.01; /* of the whole time: where a reference kernel is worth a warning */

/* ---- one step ---------------------------------------------------------------------------------------------------- */

typedef void any_kernel(void);
#define KERNEL_OF(name) ((any_kernel *)plan->kern->name##_f32)

/* The product that a 1x1 convolution runs as: forward, or backward the gradient of the weight, else that of the input. */
static struct kern_gemm product(const struct nn_site *site, int n, bool backward)
{
    int rows = n * site->out.h * site->out.w, oc = site->out.c, ic = site->in.c;
    if (!backward) return (struct kern_gemm){.m = rows, .n = oc, .k = ic, .trans_b = true};
    if (site->trains) return (struct kern_gemm){.m = oc, .n = ic, .k = rows, .trans_a = true};
    return (struct kern_gemm){.m = rows, .n = ic, .k = oc};
}

/* Strips whose sums a pool reads instead of pixels (plan.c, pool_input); 0: it reads the pixels. */
static int pooled_strips(const struct nn_plan *plan, const struct nn_site *site, int n)
{
    const struct nn_site *x = site->node.op == NN_POOL ? &plan->sites[site->node.in[0]] : NULL;
    if (!x || x->sums < 0) return 0;
    struct kern_expand s = nn_expand_geometry(x, n);
    return kern_expand_strips(&s);
}

/* The kernel that has most of the step's work, as ops.c chooses it, and its shape. */
static any_kernel *kernel_of(char shape[KERN_TEXT], const struct nn_plan *plan, const struct nn_site *site, int n,
                             bool backward)
{
    struct kern_conv s = site->conv;
    s.n = n;
    kern_map_text(shape, n, site->out.h, site->out.w, site->out.c);
    switch (site->node.op) {
    case NN_CONV:
        if (nn_is_matrix(site) && !site->packed) {
            struct kern_gemm g = product(site, n, backward);
            kern_gemm_text(shape, &g);
            return KERNEL_OF(gemm);
        }
        kern_conv_text(shape, &s);
        if (backward) return site->trains ? KERNEL_OF(conv_bwd_weight) : KERNEL_OF(conv_bwd_data);
        return site->packed ? KERNEL_OF(conv_packed) : KERNEL_OF(conv_fwd);
    case NN_DWCONV:
        if (site->expands) {
            struct kern_expand e = nn_expand_geometry(site, n);
            kern_expand_text(shape, &e);
            return KERNEL_OF(expand_dw);
        }
        kern_conv_text(shape, &s);
        if (backward) return site->trains ? KERNEL_OF(dwconv_bwd_weight) : KERNEL_OF(dwconv_bwd_data);
        return KERNEL_OF(dwconv_fwd);
    case NN_BATCHNORM: return backward ? KERNEL_OF(bn_bwd_reduce) : KERNEL_OF(affine_act);
    case NN_ACT: return backward ? KERNEL_OF(act_bwd) : KERNEL_OF(act_fwd);
    case NN_POOL:
        if (pooled_strips(plan, site, n))
            kern_map_text(shape, n, pooled_strips(plan, site, n), 1, site->in.c);
        else
            kern_map_text(shape, n, site->in.h, site->in.w, site->in.c);
        return backward ? KERNEL_OF(pool_bwd) : KERNEL_OF(pool_fwd);
    case NN_MAXPOOL: kern_conv_text(shape, &s); return backward ? KERNEL_OF(maxpool_bwd) : KERNEL_OF(maxpool_fwd);
    case NN_SCALE: return backward ? KERNEL_OF(scale_bwd_s) : KERNEL_OF(scale);
    case NN_ADD: return KERNEL_OF(residual);
    case NN_DROPOUT: return KERNEL_OF(mul);
    case NN_INPUT:
    case NN_OP_COUNT: break;
    }
    return NULL;
}

/* Convolutions: 2 flops per multiply-add, backward twice the forward. Bytes: each operand once. */
void nn_report(struct nn_plan *plan, const struct nn_site *site, int n, bool backward, double seconds)
{
    struct nn_shape in = site->in, out = site->out;
    double inputs = (double)n * in.h * in.w * in.c, outputs = (double)n * out.h * out.w * out.c, weights = 0, flops = outputs;
    if (site->node.weight >= 0) {
        weights = (double)plan->model->params[site->node.weight].count;
        flops = 2 * weights * n * out.h * out.w;
    }
    if (pooled_strips(plan, site, n)) inputs = flops = (double)n * pooled_strips(plan, site, n) * in.c;
    if (site->node.expand.weight >= 0) {
        double expand = (double)plan->model->params[site->node.expand.weight].count;
        weights += expand;
        flops += 2 * expand * n * in.h * in.w;
    }
    int passes = backward ? (site->wants_dx + site->wants_ds + site->trains) : 1, result = backward ? site->dx : site->y;
    struct nn_trace t = {.op = nn_ops[site->node.op].name,
                         .kernel = "?",
                         .tier = "?",
                         .backward = backward,
                         .node = site->index,
                         .offset = result >= 0 ? plan->buffers[result].offset * sizeof(float) : 0,
                         .seconds = seconds,
                         .flops = flops * passes,
                         .bytes = sizeof(float) * (inputs + outputs + weights) * passes};
    int rows;
    const struct kern_row *row = kern_rows(&rows);
    any_kernel *kernel = kernel_of(t.shape, plan, site, n, backward);
    for (int i = 0; i < rows; i++)
        if (row[i].run == kernel) t.kernel = row[i].name, t.tier = row[i].tier;
    plan->trace(plan->trace_user, &t);
}

/* ---- all steps --------------------------------------------------------------------------------------------------- */

struct nn_trace_log {
    struct nn_trace steps[MAX_STEPS];
    int count;
};

static void keep_fastest(void *user, const struct nn_trace *t)
{
    struct nn_trace_log *log = user;
    for (int i = 0; i < log->count; i++)
        if (log->steps[i].node == t->node && log->steps[i].backward == t->backward) {
            if (t->seconds < log->steps[i].seconds) log->steps[i] = *t;
            return;
        }
    if (log->count < MAX_STEPS) log->steps[log->count++] = *t;
}

struct nn_trace_log *nn_trace_begin(struct nn_plan *plan)
{
    const char *wanted = getenv("RUDD_TRACE");
    if (!wanted || !*wanted || !strcmp(wanted, "0")) return NULL;
    struct nn_trace_log *log = rudd_zalloc(1, sizeof *log);
    if (log) nn_plan_set_trace(plan, keep_fastest, log);
    return log;
}

static void write_sums(FILE *out, const struct nn_trace_log *log, double total)
{
    bool done[MAX_STEPS] = {false};
    for (int i = 0; i < log->count; i++) {
        const struct nn_trace *t = &log->steps[i];
        double seconds = 0, flops = 0, bytes = 0;
        int steps = 0;
        if (done[i]) continue;
        for (int j = i; j < log->count; j++) {
            const struct nn_trace *u = &log->steps[j];
            if (strcmp(u->op, t->op) || strcmp(u->kernel, t->kernel) || u->backward != t->backward) continue;
            done[j] = true;
            steps++;
            seconds += u->seconds, flops += u->flops, bytes += u->bytes;
        }
        fprintf(out, "%4d %-9s %s  %-21s %-6s %9.0f us %5.1f %% %7.1f GFLOP/s %6.1f GB/s\n", steps, t->op,
                t->backward ? "back" : "forw", t->kernel, t->tier, seconds * 1e6, 100 * seconds / total, flops / seconds * 1e-9,
                bytes / seconds * 1e-9);
    }
    fprintf(out, "total %.0f us\n", total * 1e6);
}

void nn_trace_end(FILE *out, struct nn_trace_log *log)
{
    if (!log) return;
    double total = 0;
    for (int i = 0; i < log->count; i++) total += log->steps[i].seconds;
    for (int i = 0; i < log->count; i++) {
        const struct nn_trace *t = &log->steps[i];
        fprintf(out, "%3d %-9s %s  %-21s %-6s %-44s %8.0f us %5.1f %% %7.1f GFLOP/s %6.1f GB/s  at %zu\n", t->node, t->op,
                t->backward ? "back" : "forw", t->kernel, t->tier, t->shape, t->seconds * 1e6, 100 * t->seconds / total,
                t->flops / t->seconds * 1e-9, t->bytes / t->seconds * 1e-9, t->offset);
        if (!strcmp(t->tier, "ref") && t->seconds > HOT * total)
            fprintf(out, "warning: step %d takes %.1f %% of the time on the plain C reference of %s\n", t->node,
                    100 * t->seconds / total, t->kernel);
    }
    write_sums(out, log, total);
    rudd_free(log);
}
