/* run.c - running a plan: forward, loss, backward, with each step's time where somebody asks for it.
 *
 *     forward 0 .. N-1 -> loss -> backward N-1 .. 0          plan.c has decided everything else; weights: prepare.c */
#include "nn/steps.h"

#include "kernels/team.h"

#include <time.h>

float *nn_plan_input(struct nn_plan *plan)
{
    return nn_at(plan, plan->sites[0].y);
}

const float *nn_plan_logits(const struct nn_plan *plan)
{
    return nn_at(plan, plan->sites[plan->graph.output].y);
}

static size_t floats_of(struct nn_shape s)
{
    return (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

size_t nn_plan_input_floats(const struct nn_plan *plan)
{
    return floats_of(plan->sites[0].out);
}

size_t nn_plan_output_floats(const struct nn_plan *plan)
{
    return floats_of(plan->sites[plan->graph.output].out);
}

const float *nn_plan_features(const struct nn_plan *plan)
{
    return plan->features < 0 ? NULL : nn_at(plan, plan->sites[plan->features].y);
}

size_t nn_plan_feature_floats(const struct nn_plan *plan)
{
    return plan->features < 0 ? 0 : floats_of(plan->sites[plan->features].out);
}

size_t nn_plan_bytes(const struct nn_plan *plan)
{
    return plan->block_floats * sizeof(float);
}

size_t nn_plan_weight_bytes(const struct nn_plan *plan)
{
    return plan->weight_floats * sizeof(float);
}

int nn_plan_batch(const struct nn_plan *plan)
{
    return plan->options.batch;
}

int nn_plan_recomputes(const struct nn_plan *plan, enum nn_recompute level)
{
    return plan->recomputes[level];
}

bool nn_plan_trains(const struct nn_plan *plan, int i)
{
    return plan->trains[i];
}

void nn_plan_set_step(struct nn_plan *plan, uint64_t seed, uint64_t step)
{
    plan->seed = seed;
    plan->step = step;
}

void nn_plan_set_stop(struct nn_plan *plan, const atomic_bool *stop)
{
    plan->stop = stop;
}

void nn_plan_set_trace(struct nn_plan *plan, nn_trace_fn *fn, void *user)
{
    plan->trace = fn;
    plan->trace_user = user;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void site_fn(const struct nn_plan *plan, const struct nn_site *site, int n);

static void run_site(struct nn_plan *plan, const struct nn_site *site, site_fn *fn, int n, bool backward)
{
    double start = plan->trace ? seconds_now() : 0;
    fn(plan, site, n);
    if (plan->trace) nn_report(plan, site, n, backward, seconds_now() - start);
}

void nn_plan_forward(struct nn_plan *plan, int n)
{
    kern_team_begin();
    if (plan->options.train) nn_prepare_sites(plan, false);
    for (int i = 0; i < plan->graph.count; i++) {
        const struct nn_site *site = &plan->sites[i];
        if (plan->stop && atomic_load_explicit(plan->stop, memory_order_relaxed)) break;
        if (nn_ops[site->node.op].forward) run_site(plan, site, nn_ops[site->node.op].forward, n, false);
    }
    kern_team_end();
}

void nn_plan_softmax(const struct nn_plan *plan, float *p, int n)
{
    plan->kern->softmax_f32(p, nn_plan_logits(plan), n, plan->model->class_count);
}

double nn_plan_loss(const struct nn_plan *plan, const float *q, double inv_norm, int n)
{
    double loss;
    plan->kern->xent_f32(&loss, NULL, nn_plan_logits(plan), q, inv_norm, n, plan->model->class_count);
    return loss;
}

double nn_plan_backward(struct nn_plan *plan, float *grads, const float *q, double inv_norm, int n)
{
    double loss;
    plan->kern->xent_f32(&loss, nn_plan_logits_grad(plan), nn_plan_logits(plan), q, inv_norm, n, plan->model->class_count);
    nn_plan_backpropagate(plan, grads, n);
    return loss;
}

float *nn_plan_logits_grad(struct nn_plan *plan)
{
    return nn_at(plan, plan->sites[plan->graph.output].dy);
}

/* A forward step once more, from what backward has to where backward wants it. */
static void run_again(struct nn_plan *plan, const struct nn_site *site, int n)
{
    struct nn_site again = *site;
    again.x = site->back_x, again.s = site->back_s, again.y = site->again;
    again.has_stats = true;
    run_site(plan, &again, nn_ops[site->node.op].forward, n, false);
}

void nn_plan_backpropagate(struct nn_plan *plan, float *grads, int n)
{
    int next = 0;
    kern_team_begin();
    plan->grads = grads;
    for (int i = plan->graph.count - 1; i >= 0; i--) {
        const struct nn_site *site = &plan->sites[i];
        for (; next < plan->again_count && plan->sites[plan->agains[next]].again_for == i; next++)
            run_again(plan, &plan->sites[plan->agains[next]], n);
        if (!site->backward) continue;
        run_site(plan, site, nn_ops[site->node.op].backward, n, true);
        if (site->sum_dx >= 0) {
            float *sum = nn_at(plan, site->sum_dx);
            size_t count = (size_t)n * (size_t)site->in.h * (size_t)site->in.w * (size_t)site->in.c;
            plan->kern->add_f32(sum, sum, nn_at(plan, site->dx), count);
        }
    }
    plan->grads = NULL;
    kern_team_end();
}

double nn_targets(float *q, const int *labels, const float *class_weights, float smoothing, int n, int classes)
{
    double norm = 0;
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < classes; c++) {
            float share = smoothing / (float)classes + (c == labels[i] ? 1 - smoothing : 0);
            q[(size_t)i * (size_t)classes + (size_t)c] = (class_weights ? class_weights[c] : 1) * share;
        }
        norm += class_weights ? (double)class_weights[labels[i]] : 1;
    }
    return norm > 0 ? 1 / norm : 0;
}
