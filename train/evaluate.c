/* evaluate.c - a model over a set of pictures: see evaluate.h. */
#include "train/evaluate.h"

#include "kernels/kern.h"
#include "nn/budget.h"
#include "nn/plan.h"
#include <float.h>
#include <math.h>
#include <string.h>

struct train_evaluator {
    struct nn_model *model;
    const struct data_set *set;
    struct nn_plan *plan;
    struct data_loader *loader;
    struct data_loader_options loads;
    float *p; /* [batch, classes] probabilities of one batch; NULL: one view, and logits are kept as they are */
};

enum rudd_status train_evaluator_create(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        const struct train_frontier *frontier, int batch, int threads, size_t memory_limit,
                                        struct rudd_error *err)
{
    struct train_evaluator *e = rudd_zalloc(1, sizeof *e);
    if (!e) return rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory");
    e->model = model;
    e->set = set;
    if (batch > set->count && set->count > 0) batch = set->count;
    struct nn_plan_options plan = {.batch = batch, .image_size = model->preprocess.image_size, .memory_limit = memory_limit};
    struct data_loader_options loader = {
        .batch = batch, .image_size = model->preprocess.image_size, .threads = threads, .preprocess = model->preprocess};
    if (frontier) {
        plan.first_stage = frontier->stage;
        loader.source = frontier->source;
    }
    enum rudd_status status = nn_plan_create(&e->plan, model, &plan, err);
    while (status == RUDD_LIMIT && plan.batch > 1) {
        loader.batch = plan.batch = (plan.batch + 1) / 2;
        status = nn_plan_create(&e->plan, model, &plan, err);
    }
    if (status == RUDD_OK) loader.source.floats = nn_plan_input_floats(e->plan);
    if (status == RUDD_OK) status = data_loader_create(&e->loader, set, &loader, err);
    e->loads = loader;
    if (status != RUDD_OK) {
        train_evaluator_destroy(e);
        return status;
    }
    *evaluator = e;
    return RUDD_OK;
}

struct data_loader_needs train_evaluator_needs(const struct nn_model *model, const struct data_set *set, int batch, int threads)
{
    const struct data_loader_options loader = {
        .batch = batch, .image_size = model->preprocess.image_size, .threads = threads, .preprocess = model->preprocess};
    return data_loader_needs(set, &loader);
}

enum rudd_status train_evaluator_within(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        int batch, int threads, size_t asked, struct rudd_error *err)
{
    struct nn_budget budget;
    const int loaders = threads ? kern_threads_within(threads) : 0;
    nn_budget_make(&budget, asked, 0, 0);
    if (budget.found) { /* else nobody asks how large the pictures are */
        const struct data_loader_needs needs = train_evaluator_needs(model, set, batch, loaders);
        nn_budget_make(&budget, asked, needs.bytes, needs.threads + kern_threads());
    }
    enum rudd_status status = train_evaluator_create(evaluator, model, set, NULL, batch, loaders, budget.limit, err);
    return nn_budget_tell(&budget, status, "a smaller --batch, a smaller model or smaller pictures", err);
}

enum rudd_status train_evaluator_set_views(struct train_evaluator *evaluator, int views, struct rudd_error *err)
{
    struct train_evaluator *e = evaluator;
    struct data_loader *loader;
    struct data_loader_options loads = e->loads;
    float *p = NULL;
    loads.views = views;
    enum rudd_status status = data_loader_create(&loader, e->set, &loads, err);
    if (status != RUDD_OK) return status;
    if (views > 1 && !(p = rudd_zalloc((size_t)loads.batch * (size_t)e->model->class_count, sizeof *p))) {
        data_loader_destroy(loader);
        return rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory for %d views", views);
    }
    data_loader_destroy(e->loader);
    rudd_free(e->p);
    e->loader = loader;
    e->loads = loads;
    e->p = p;
    return RUDD_OK;
}

void train_evaluator_destroy(struct train_evaluator *evaluator)
{
    if (!evaluator) return;
    rudd_free(evaluator->p);
    data_loader_destroy(evaluator->loader);
    nn_plan_destroy(evaluator->plan);
    rudd_free(evaluator);
}

size_t train_evaluator_bytes(const struct train_evaluator *evaluator)
{
    return nn_plan_bytes(evaluator->plan);
}

struct nn_plan *train_evaluator_plan(struct train_evaluator *evaluator)
{
    return evaluator->plan;
}

const struct data_loader *train_evaluator_loader(const struct train_evaluator *evaluator)
{
    return evaluator->loader;
}

void train_evaluation_free(struct train_evaluation *evaluation)
{
    rudd_free(evaluation->logits);
    rudd_free(evaluation->labels);
    rudd_free(evaluation->items);
    train_metrics_free(&evaluation->metrics);
    memset(evaluation, 0, sizeof *evaluation);
}

/* Adds the batch that the plan has just seen: its logits, or with views the sums of probabilities. The views of a picture come one after
 * another, but may be cut by the end of a batch. */
static void keep_answers(struct train_evaluation *out, struct train_evaluator *e, const struct data_batch *batch)
{
    const size_t classes = (size_t)e->model->class_count;
    if (e->p) nn_plan_softmax(e->plan, e->p, batch->n);
    for (int i = 0; i < batch->n; i++) {
        const float *from = (e->p ? e->p : nn_plan_logits(e->plan)) + (size_t)i * classes;
        if (!e->p || out->count == 0 || out->items[out->count - 1] != batch->items[i]) {
            out->labels[out->count] = batch->labels[i];
            out->items[out->count++] = batch->items[i];
        }
        float *row = out->logits + (size_t)(out->count - 1) * classes;
        for (size_t k = 0; k < classes; k++) row[k] += from[k];
    }
}

/* From sums of probabilities over views to logits. What float32 has no number for counts as its smallest; NaN stays. */
static void take_logarithms(struct train_evaluation *out, const struct train_evaluator *e)
{
    for (size_t i = 0; i < (size_t)out->count * (size_t)e->model->class_count; i++) {
        float mean = out->logits[i] / (float)e->loads.views;
        out->logits[i] = logf(mean < FLT_MIN ? FLT_MIN : mean);
    }
}

enum rudd_status train_evaluate(struct train_evaluation *evaluation, struct train_evaluator *evaluator, const char *phase,
                                const struct train_events *events, struct rudd_error *err)
{
    struct train_evaluator *e = evaluator;
    const int classes = e->model->class_count;
    enum rudd_status status = RUDD_OK;
    struct train_evaluation out = {0};
    struct data_batch batch;
    double began = train_now();

    out.logits = rudd_zalloc((size_t)e->set->count, sizeof *out.logits * (size_t)classes);
    out.labels = rudd_zalloc((size_t)e->set->count, sizeof *out.labels);
    out.items = rudd_zalloc((size_t)e->set->count, sizeof *out.items);
    if (!out.logits || !out.labels || !out.items) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory for the results of %d pictures", e->set->count);
        goto done;
    }
    nn_plan_prepare(e->plan);
    data_loader_start(e->loader, 0, 0);
    while (data_loader_next(e->loader, &batch)) {
        memcpy(nn_plan_input(e->plan), batch.x, sizeof *batch.x * (size_t)batch.n * nn_plan_input_floats(e->plan));
        nn_plan_forward(e->plan, batch.n);
        keep_answers(&out, e, &batch);
        if (events && events->tick) {
            struct train_tick tick = {phase, 0, 0, out.count, e->set->count, NAN, train_now() - began};
            events->tick(events->user, &tick);
        }
        if (events && events->stop && events->stop(events->user)) {
            status = rudd_fail(err, RUDD_CANCELLED, "stopped on request");
            goto done;
        }
    }
    out.seconds = train_now() - began;
    if (e->p) take_logarithms(&out, e);
    if (out.count == 0) {
        status = rudd_fail(err, RUDD_FORMAT, "%s: none of the %d pictures could be read; the first: %s", phase, e->set->count,
                           data_loader_bad_count(e->loader) ? data_loader_bad(e->loader, 0) : "(there is none)");
        goto done;
    }
    for (size_t i = 0; i < (size_t)out.count * (size_t)classes; i++)
        if (!isfinite(out.logits[i])) {
            status = rudd_fail(
                err, RUDD_LIMIT,
                "%s: the network's answer for %s is not a finite number; the weights are damaged or training diverged", phase,
                e->set->items[out.items[i / (size_t)classes]].path);
            goto done;
        }
    status = train_metrics_compute(&out.metrics, out.logits, out.labels, out.count, classes, err);
    if (status != RUDD_OK) goto done;
    if (e->model->temperature > 0) train_metrics_calibrate(&out.metrics, e->model->temperature, out.logits, out.labels);
    *evaluation = out;
    out = (struct train_evaluation){0};
done:
    train_evaluation_free(&out);
    return status;
}

void train_evaluation_calibrate(struct train_evaluation *evaluation, struct nn_model *model)
{
    struct train_evaluation *e = evaluation;
    model->temperature = train_temperature(e->logits, e->labels, e->count, model->class_count);
    train_metrics_calibrate(&e->metrics, model->temperature, e->logits, e->labels);
}

static json_t *class_json(const struct train_class_metrics *c, const char *name)
{
    return json_pack("{s:s,s:f,s:f,s:f,s:i}", "class", name, "precision", c->precision, "recall", c->recall, "f1", c->f1,
                     "support", c->support);
}

json_t *train_metrics_json(const struct train_metrics *m, const struct nn_class *classes, bool tables)
{
    json_t *object =
        json_pack("{s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:f,s:o}", "images", m->images, "top1", m->top1, "top3", m->top3, "top5",
                  m->top5, "balanced_accuracy", m->balanced_accuracy, "macro_f1", m->macro_f1, "weighted_f1", m->weighted_f1,
                  "loss", train_json_number(m->loss), "ece", m->ece, "roc_auc", train_json_number(m->roc_auc));
    json_t *calibrated = m->temperature > 0
                             ? json_pack("{s:f,s:o,s:f}", "temperature", m->temperature, "loss_calibrated",
                                         train_json_number(m->loss_calibrated), "ece_calibrated", m->ece_calibrated)
                             : json_object();
    if (!object || !calibrated || json_object_update(object, calibrated) != 0) {
        json_decref(object);
        json_decref(calibrated);
        return NULL;
    }
    json_decref(calibrated);
    if (!tables) return object;
    json_t *per_class = json_array(), *confusion = json_array();
    bool failed = false;
    for (int k = 0; k < m->classes; k++) {
        json_t *row = json_array();
        for (int j = 0; j < m->classes; j++)
            failed |= json_array_append_new(row, json_integer(m->confusion[(size_t)k * (size_t)m->classes + (size_t)j])) != 0;
        failed |= json_array_append_new(confusion, row) != 0;
        failed |= json_array_append_new(per_class, class_json(&m->per_class[k], classes[k].name)) != 0;
    }
    failed |= json_object_set_new(object, "per_class", per_class) != 0;
    failed |= json_object_set_new(object, "confusion", confusion) != 0;
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}
