/* prepare.c - the weights of a plan in the form that its kernels read: packed, folded, or as they are.
 *
 *     values in memory:   values --prepare--> the plan's own weights, again whenever they changed
 *     values elsewhere:   source --read--> one operation's parameters --prepare--> model->prepared, once, for all plans
 *
 * The second way holds no weight twice, and no more than a few operations' canonical ones at a time: some threads read, check and pack one
 * operation each, so that reading one, packing another and the system's clearing of pages go on together. What is prepared does not depend
 * on image size or batch (plan.c, place_weights), so that plans of one model differ in their blocks only. */
#include "nn/share.h"
#include "nn/steps.h"

#include "kernels/kern.h"

#include <pthread.h>
#include <string.h>

enum { SITE_PARAMS = 12, BN_PARAMS = 4 };

/* Parameters that a site's prepare step reads, into params; returns how many. */
static int site_params(int params[SITE_PARAMS], const struct nn_node *n)
{
    const int first[] = {n->weight, n->bias, n->bn, n->expand.weight, n->expand.bias, n->expand.bn};
    int count = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; first[i] >= 0 && j < (i % 3 == 2 ? BN_PARAMS : 1); j++) params[count++] = first[i] + j;
    return count;
}

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Each parameter on a cache line. */
static size_t room(const struct nn_plan *plan, int param)
{
    return whole_lines(plan->model->params[param].count);
}

/* Floats for any one operation's parameters, and the scale that its prepare step takes. */
static size_t largest_site(const struct nn_plan *plan)
{
    size_t most = 0;
    for (int i = 0; i < plan->graph.count; i++) {
        int params[SITE_PARAMS], count = nn_ops[plan->sites[i].node.op].prepare ? site_params(params, &plan->sites[i].node) : 0;
        size_t floats = count ? whole_lines((size_t)plan->sites[i].node.c) : 0;
        for (int j = 0; j < count; j++) floats += room(plan, params[j]);
        if (floats > most) most = floats;
    }
    return most;
}

/* A model that is read and prepared: one operation in each lane at a time, whose parameters go through the lane's own staging. */
struct preparing {
    struct nn_plan *plan;
    float *staging;
    size_t lane; /* floats */
};

static enum rudd_status read_and_prepare(void *user, int i, int lane, struct rudd_error *err)
{
    const struct preparing *p = user;
    struct nn_plan *plan = p->plan;
    struct nn_model *model = plan->model;
    const struct nn_site *site = &plan->sites[i];
    if (!nn_ops[site->node.op].prepare) return RUDD_OK;
    float *staging = p->staging + (size_t)lane * p->lane;
    int params[SITE_PARAMS], count = site_params(params, &site->node);
    for (int j = 0; j < count; j++) {
        enum rudd_status status = model->source->read(staging, model->source, model, params[j], err);
        if (status) return status;
        plan->fetched[params[j]] = staging;
        staging += room(plan, params[j]);
    }
    nn_ops[site->node.op].prepare(plan, site, staging);
    return RUDD_OK;
}

/* model->prepared from its source. */
static enum rudd_status prepare_model(struct nn_plan *plan, struct rudd_error *err)
{
    enum { LANES = 4 }; /* more would hold much staging and wait for memory */
    struct nn_model *model = plan->model;
    enum rudd_status status = RUDD_OK;
    const int lanes = kern_threads() < LANES ? kern_threads() : LANES;
    const size_t largest = largest_site(plan);
    float *staging = rudd_alloc(sizeof *staging * largest * (size_t)lanes);
    plan->fetched = rudd_zalloc((size_t)model->param_count, sizeof *plan->fetched);
    plan->weights = rudd_alloc(nn_plan_weight_bytes(plan));
    if (!staging || !plan->fetched || !plan->weights)
        status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the %.1f MiB of weights of %s",
                           (double)nn_plan_weight_bytes(plan) / 1048576, model->arch);
    struct preparing p = {plan, staging, largest};
    if (!status) status = nn_share(plan->graph.count, lanes, read_and_prepare, &p, err);
    rudd_free(plan->fetched);
    plan->fetched = NULL;
    rudd_free(staging);
    if (status) {
        rudd_free(plan->weights);
        return status;
    }
    model->prepared = plan->weights;
    model->source->close(model->source);
    model->source = NULL;
    return RUDD_OK;
}

enum rudd_status nn_prepare_weights(struct nn_plan *plan, struct rudd_error *err)
{
    static pthread_mutex_t first_plan = PTHREAD_MUTEX_INITIALIZER; /* sessions of one model may be created by many threads */
    enum rudd_status status = RUDD_OK;
    if (plan->shares) {
        pthread_mutex_lock(&first_plan);
        if (!plan->model->prepared)
            status = plan->model->source ? prepare_model(plan, err) : nn_model_need_values(plan->model, err);
        plan->weights = plan->model->prepared;
        pthread_mutex_unlock(&first_plan);
        return status;
    }
    plan->weights = rudd_alloc(nn_plan_weight_bytes(plan));
    if (!plan->weights)
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the %.1f MiB of prepared weights of %s",
                         (double)nn_plan_weight_bytes(plan) / 1048576, plan->model->arch);
    nn_plan_prepare(plan);
    return RUDD_OK;
}

void nn_prepare_sites(struct nn_plan *plan, bool frozen)
{
    for (int i = 0; i < plan->graph.count; i++) {
        const struct nn_site *site = &plan->sites[i];
        if (nn_ops[site->node.op].prepare && site->node.frozen == frozen)
            nn_ops[site->node.op].prepare(plan, site, nn_at(plan, plan->scratch));
    }
}

void nn_plan_prepare(struct nn_plan *plan)
{
    if (plan->shares) return;
    nn_prepare_sites(plan, true);
    nn_prepare_sites(plan, false);
}
