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
    float *p;   /* [batch, classes] probabilities of one batch; NULL: one view, and logits are taken as they are */
    float *sum; /* [classes] of a picture's probabilities over its views so far */
    bool raw;   /* the model's temperature is left out */
};

static struct data_loader_options loader_options(const struct nn_model *model, const struct data_limits *limits, int batch,
                                                 int threads)
{
    return (struct data_loader_options){.batch = batch,
                                        .image_size = model->preprocess.image_size,
                                        .threads = threads,
                                        .preprocess = model->preprocess,
                                        .limits = limits ? *limits : data_limits_default};
}

enum rudd_status train_evaluator_create(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        const struct train_frontier *frontier, const struct data_limits *limits, int batch,
                                        int threads, size_t memory_limit, struct rudd_error *err)
{
    struct train_evaluator *e = rudd_zalloc(1, sizeof *e);
    if (!e) return rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory");
    e->model = model;
    e->set = set;
    if (batch > set->count && set->count > 0) batch = set->count;
    struct nn_plan_options plan = {.batch = batch, .image_size = model->preprocess.image_size, .memory_limit = memory_limit};
    struct data_loader_options loader = loader_options(model, limits, batch, threads);
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

struct data_loader_needs train_evaluator_needs(const struct nn_model *model, const struct data_set *set,
                                               const struct data_limits *limits, int batch, int threads)
{
    const struct data_loader_options loader = loader_options(model, limits, batch, threads);
    return data_loader_needs(set, &loader);
}

enum rudd_status train_evaluator_within(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        const struct data_limits *limits, int batch, int threads, size_t asked,
                                        struct rudd_error *err)
{
    struct nn_budget budget;
    const int loaders = threads ? kern_threads_within(threads) : 0;
    nn_budget_make(&budget, asked, 0, 0);
    if (budget.found) { /* else nobody asks how large the pictures are */
        const struct data_loader_needs needs = train_evaluator_needs(model, set, limits, batch, loaders);
        nn_budget_make(&budget, asked, needs.bytes, needs.threads + kern_threads());
    }
    enum rudd_status status = train_evaluator_create(evaluator, model, set, NULL, limits, batch, loaders, budget.limit, err);
    return nn_budget_tell(&budget, status, "a smaller --batch, a smaller model or smaller pictures", err);
}

enum rudd_status train_evaluator_set_views(struct train_evaluator *evaluator, int views, struct rudd_error *err)
{
    struct train_evaluator *e = evaluator;
    struct data_loader *loader;
    struct data_loader_options loads = e->loads;
    float *p = NULL, *sum = NULL;
    const size_t classes = (size_t)e->model->class_count;
    loads.views = views;
    enum rudd_status status = data_loader_create(&loader, e->set, &loads, err);
    if (status != RUDD_OK) return status;
    if (views > 1) {
        p = rudd_zalloc((size_t)loads.batch * classes, sizeof *p);
        sum = rudd_zalloc(classes, sizeof *sum);
    }
    if (views > 1 && (!p || !sum)) {
        rudd_free(p);
        rudd_free(sum);
        data_loader_destroy(loader);
        return rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory for %d views", views);
    }
    data_loader_destroy(e->loader);
    rudd_free(e->p);
    rudd_free(e->sum);
    e->loader = loader;
    e->loads = loads;
    e->p = p;
    e->sum = sum;
    return RUDD_OK;
}

void train_evaluator_set_raw(struct train_evaluator *evaluator)
{
    evaluator->raw = true;
}

void train_evaluator_destroy(struct train_evaluator *evaluator)
{
    if (!evaluator) return;
    rudd_free(evaluator->p);
    rudd_free(evaluator->sum);
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
    train_kept_free(&evaluation->kept);
    rudd_free(evaluation->results);
    rudd_free(evaluation->labels);
    rudd_free(evaluation->items);
    train_metrics_free(&evaluation->metrics);
    memset(evaluation, 0, sizeof *evaluation);
}

/* What a pass fills. */
struct pass {
    struct train_evaluator *e;
    struct train_evaluation *out;
    struct train_measure *measure;
    const char *phase;
    int summed; /* the picture whose views are being summed; -1: none */
};

/* One picture's logits become its result. */
static enum rudd_status take_logits(struct pass *p, const float *logits, int item, struct rudd_error *err)
{
    const struct data_item *picture = &p->e->set->items[item];
    for (int k = 0; k < p->e->model->class_count; k++)
        if (!isfinite(logits[k]))
            return rudd_fail(err, RUDD_LIMIT,
                             "%s: the network's answer for %s is not a finite number; the weights are damaged or training "
                             "diverged",
                             p->phase, picture->path);
    const int i = p->out->count++;
    p->out->items[i] = item;
    p->out->labels[i] = picture->label;
    train_measure_add(p->measure, logits, picture->label, &p->out->results[i]);
    return RUDD_OK;
}

/* The logarithm of the mean of its views. What float32 has no number for counts as its smallest; NaN stays. */
static enum rudd_status end_views(struct pass *p, struct rudd_error *err)
{
    const int item = p->summed;
    float *sum = p->e->sum;
    if (item < 0) return RUDD_OK;
    for (int k = 0; k < p->e->model->class_count; k++) {
        const float mean = sum[k] / (float)p->e->loads.views;
        sum[k] = logf(mean < FLT_MIN ? FLT_MIN : mean);
    }
    p->summed = -1;
    return take_logits(p, sum, item, err);
}

/* Takes the batch that the plan has just seen. The views of a picture come one after another, but may be cut by the end of a batch. */
static enum rudd_status take_batch(struct pass *p, const struct data_batch *batch, struct rudd_error *err)
{
    struct train_evaluator *e = p->e;
    const size_t classes = (size_t)e->model->class_count;
    enum rudd_status status = RUDD_OK;
    if (e->p) nn_plan_softmax(e->plan, e->p, batch->n);
    for (int i = 0; i < batch->n && !status; i++) {
        const float *from = (e->p ? e->p : nn_plan_logits(e->plan)) + (size_t)i * classes;
        if (!e->p) {
            status = take_logits(p, from, batch->items[i], err);
            continue;
        }
        if (p->summed != batch->items[i]) {
            status = end_views(p, err);
            memset(e->sum, 0, classes * sizeof *e->sum);
            p->summed = batch->items[i];
        }
        for (size_t k = 0; k < classes; k++) e->sum[k] += from[k];
    }
    return status;
}

static enum rudd_status run_pass(struct pass *p, const struct train_events *events, struct rudd_error *err)
{
    struct train_evaluator *e = p->e;
    struct data_batch batch;
    enum rudd_status status = RUDD_OK;
    const double began = train_now();
    nn_plan_prepare(e->plan);
    data_loader_start(e->loader, 0, 0);
    while (!status && data_loader_next(e->loader, &batch)) {
        memcpy(nn_plan_input(e->plan), batch.x, sizeof *batch.x * (size_t)batch.n * nn_plan_input_floats(e->plan));
        nn_plan_forward(e->plan, batch.n);
        status = take_batch(p, &batch, err);
        train_tick(events, (struct train_tick){.phase = p->phase,
                                               .done = p->out->count,
                                               .total = e->set->count,
                                               .loss = NAN,
                                               .seconds = train_now() - began,
                                               .kind = TRAIN_PACE_JUDGE});
        if (!status && train_is_stopped(events)) status = rudd_fail(err, RUDD_CANCELLED, "stopped on request");
    }
    if (!status) status = data_loader_status(e->loader, err);
    if (!status) status = end_views(p, err);
    p->out->seconds = train_now() - began;
    if (status || p->out->count) return status;
    return rudd_fail(err, RUDD_FORMAT, "%s: none of the %d pictures could be read; the first: %s", p->phase, e->set->count,
                     data_loader_bad_count(e->loader) ? data_loader_bad(e->loader, 0) : "(there is none)");
}

enum rudd_status train_evaluate(struct train_evaluation *evaluation, struct train_evaluator *evaluator, const char *phase,
                                const struct train_events *events, struct rudd_error *err)
{
    const struct nn_model *model = evaluator->model;
    const int count = evaluator->set->count;
    const size_t room = (size_t)count;
    struct train_evaluation out = {.labels = rudd_alloc(room * sizeof *out.labels),
                                   .items = rudd_alloc(room * sizeof *out.items),
                                   .results = rudd_alloc(room * sizeof *out.results)};
    struct pass pass = {evaluator, &out, NULL, phase, -1};
    enum rudd_status status =
        out.labels && out.items && out.results
            ? train_measure_create(&pass.measure, count, model->class_count, TRAIN_KEPT_BYTES, err)
            : rudd_fail(err, RUDD_NO_MEMORY, "evaluation: no memory for the results of %d pictures", count);
    if (!status && !evaluator->raw) train_measure_set_temperature(pass.measure, model->temperature);
    if (!status) status = run_pass(&pass, events, err);
    train_pass_over(events);
    if (!status) status = train_measure_finish(&out.metrics, &out.kept, pass.measure, events, err);
    train_measure_destroy(pass.measure);
    if (status) {
        train_evaluation_free(&out);
        return status;
    }
    *evaluation = out;
    return RUDD_OK;
}

void train_evaluation_calibrate(struct train_evaluation *evaluation, struct nn_model *model, const struct train_events *events)
{
    model->temperature = train_temperature(&evaluation->kept, events);
    train_metrics_calibrate(&evaluation->metrics, model->temperature, &evaluation->kept);
}

static json_t *class_json(const struct train_class_metrics *c, const char *name)
{
    return json_pack("{s:s,s:f,s:f,s:f,s:i}", "class", name, "precision", c->precision, "recall", c->recall, "f1", c->f1,
                     "support", c->support);
}

static json_t *matrix_json(const struct train_metrics *m)
{
    json_t *matrix = json_array();
    const struct train_confused *c = m->confused, *end = c + m->confused_count;
    bool failed = !matrix;
    for (int k = 0; k < m->classes && !failed; k++) {
        json_t *row = json_array();
        for (int j = 0; j < m->classes; j++) {
            const bool here = c < end && c->label == k && c->answer == j;
            failed |= json_array_append_new(row, json_integer(here ? c->count : 0)) != 0;
            c += here;
        }
        failed |= json_array_append_new(matrix, row) != 0;
    }
    if (failed) json_decref(matrix);
    return failed ? NULL : matrix;
}

static json_t *pairs_json(const struct train_metrics *m)
{
    json_t *list = json_array();
    bool failed = !list;
    for (int i = 0; i < m->confused_count && !failed; i++)
        failed = json_array_append_new(
                     list, json_pack("[iii]", m->confused[i].label, m->confused[i].answer, m->confused[i].count)) != 0;
    if (failed) json_decref(list);
    return failed ? NULL : list;
}

json_t *train_metrics_json(const struct train_metrics *m, const struct nn_class *classes, bool tables)
{
    json_t *object =
        json_pack("{s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:f,s:o}", "images", m->images, "top1", m->top1, "top3", m->top3, "top5",
                  m->top5, "balanced_accuracy", m->balanced_accuracy, "macro_f1", m->macro_f1, "weighted_f1", m->weighted_f1,
                  "loss", train_json_number(m->loss), "ece", m->ece, "roc_auc", train_json_number(m->roc_auc));
    json_t *raw = m->temperature > 0 ? json_pack("{s:f,s:o,s:f}", "temperature", m->temperature, "loss_raw",
                                                 train_json_number(m->loss_raw), "ece_raw", m->ece_raw)
                                     : json_object();
    if (!object || !raw || json_object_update(object, raw) != 0) {
        json_decref(object);
        json_decref(raw);
        return NULL;
    }
    json_decref(raw);
    if (m->roc_auc_error > 0 && json_object_set_new(object, "roc_auc_error", json_real(m->roc_auc_error)) != 0) {
        json_decref(object);
        return NULL;
    }
    if (!tables) return object;
    const bool matrix = m->classes <= TRAIN_MATRIX_CLASSES;
    json_t *per_class = json_array(), *confusion = matrix ? matrix_json(m) : pairs_json(m);
    bool failed = !confusion;
    for (int k = 0; k < m->classes; k++)
        failed |= json_array_append_new(per_class, class_json(&m->per_class[k], classes[k].name)) != 0;
    failed |= json_object_set_new(object, "per_class", per_class) != 0;
    failed |= json_object_set_new(object, matrix ? "confusion" : "confusion_pairs", confusion) != 0;
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}
