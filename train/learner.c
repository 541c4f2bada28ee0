/* learner.c - training steps: see learner.h. */
#include "train/learner.h"

#include "train/metrics.h"
#include <math.h>
#include <string.h>

/* n / (classes * n_c), scikit-learn's "balanced": every class weighs the same in all. Classes without pictures weigh nothing.
 */
static float *balanced_weights(const struct data_set *set)
{
    float *w = rudd_zalloc((size_t)set->class_count, sizeof *w);
    if (!w) return NULL;
    for (int i = 0; i < set->count; i++) w[set->items[i].label]++;
    for (int k = 0; k < set->class_count; k++)
        if (w[k] > 0) w[k] = (float)set->count / ((float)set->class_count * w[k]);
    return w;
}

/* The plan; where even recomputing everything does not fit the limit, for half the batch and twice as many of them to a step. */
static enum rudd_status make_plan(struct train_learner *l, struct rudd_error *err)
{
    struct train_learner_options *o = &l->options;
    enum rudd_status status = nn_plan_create(&l->plan, l->model, &o->plan, err);
    while (status == RUDD_LIMIT && !o->whole_batches && o->plan.batch > 2) { /* batch norm wants two */
        o->loader.batch = o->plan.batch = (o->plan.batch + 1) / 2;
        o->accumulate *= 2;
        status = nn_plan_create(&l->plan, l->model, &o->plan, err);
    }
    return status;
}

enum rudd_status train_learner_init(struct train_learner *learner, struct nn_model *model, const struct data_set *set,
                                    const struct train_learner_options *options, struct rudd_error *err)
{
    struct train_learner l = {.options = *options, .model = model, .set = set};
    if (options->loader.source.read && (options->mix.mixup > 0 || options->mix.cutmix > 0 || options->teacher))
        return rudd_fail(
            err, RUDD_ARGUMENT,
            "--mixup, --cutmix and --teacher need the pictures themselves, but this run learns from kept activations "
            "of its frozen part; leave them or the cache out");
    enum rudd_status status = RUDD_OK;
    if (options->teacher) {
        size_t *limit = &l.options.plan.memory_limit, theirs;
        status = train_teacher_open(&l.teacher, options->teacher, model, options->plan.batch, *limit, err);
        if (status != RUDD_OK) goto failed;
        theirs = train_teacher_bytes(l.teacher);
        if (options->whole_batches) theirs += train_teacher_weight_bytes(l.teacher);
        if (*limit) *limit = *limit > theirs ? *limit - theirs : 1; /* 0 would mean none */
    } else {
        l.options.loss.distill = 0;
    }
    status = make_plan(&l, err);
    if (status != RUDD_OK) goto failed;
    options = &l.options;
    l.options.loader.source.floats = nn_plan_input_floats(l.plan);
    status = data_loader_create(&l.loader, set, &l.options.loader, err);
    if (status != RUDD_OK) goto failed;

    l.grads = rudd_zalloc(model->value_count, sizeof *l.grads);
    l.q = rudd_zalloc((size_t)options->plan.batch * (size_t)model->class_count, sizeof *l.q);
    l.trains = rudd_zalloc((size_t)model->param_count, sizeof *l.trains);
    if (options->balance) l.class_weights = balanced_weights(set);
    if (!l.grads || !l.q || !l.trains || (options->balance && !l.class_weights)) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "training: no memory for %zu gradients", model->value_count);
        goto failed;
    }
    for (int i = 0; i < model->param_count; i++) l.trains[i] = nn_plan_trains(l.plan, i);
    status = train_optim_init(&l.optim, model, l.trains, &options->optim, err);
    if (status == RUDD_OK && options->ema > 0)
        status = train_ema_init(&l.ema, model->values, model->value_count, options->ema, err);
    if (status != RUDD_OK) goto failed;
    l.optim.first_stage = options->plan.freeze_stage;

    int batches = data_loader_batches(l.loader);
    uint64_t steps = ((uint64_t)batches + (uint64_t)options->accumulate - 1) / (uint64_t)options->accumulate;
    train_schedule_init(&l.schedule, &options->schedule, steps);
    *learner = l;
    return RUDD_OK;
failed:
    train_learner_free(&l);
    return status;
}

void train_learner_free(struct train_learner *l)
{
    data_loader_destroy(l->loader);
    nn_plan_destroy(l->plan);
    train_optim_free(&l->optim);
    train_ema_free(&l->ema);
    train_teacher_close(l->teacher);
    rudd_free(l->grads);
    rudd_free(l->q);
    rudd_free(l->trains);
    rudd_free(l->class_weights);
    memset(l, 0, sizeof *l);
}

/* The lowest stage that learns in an epoch. */
static int first_stage(const struct train_learner *l, int epoch)
{
    const int classifier = nn_model_stage_count(l->model) - 1, lowest = l->options.plan.freeze_stage;
    if (l->options.unfreeze_epochs == 0) return lowest;
    int stage = classifier - (epoch - 1) / l->options.unfreeze_epochs;
    return stage > lowest ? stage : lowest;
}

/* Makes the plan of this epoch where it is another than the present one, which went as far down as any will: that it fits was
 * proven at the start. The two are never in memory together. */
static enum rudd_status unfreeze(struct train_learner *l, int epoch, const struct train_events *events, struct rudd_error *err)
{
    struct nn_plan_options options = l->options.plan;
    const int stage = first_stage(l, epoch);
    if (l->plan && stage == l->optim.first_stage) return RUDD_OK;
    options.freeze_stage = stage;
    nn_plan_destroy(l->plan);
    l->plan = NULL;
    enum rudd_status status = nn_plan_create(&l->plan, l->model, &options, err);
    if (status != RUDD_OK) return status;
    l->optim.first_stage = stage;
    train_note(events, "From epoch %d on, the upper %d of %d stages of the network learn.", epoch,
               nn_model_stage_count(l->model) - stage, nn_model_stage_count(l->model));
    return RUDD_OK;
}

bool train_learner_finished(const struct train_learner *l)
{
    return l->options.max_steps && l->optim.steps >= l->options.max_steps;
}

void train_learner_swap(struct train_learner *l)
{
    /* The contents change places, not the pointers: plans may hold the address of model->values. */
    for (size_t i = 0; l->ema.values && i < l->ema.count; i++) {
        float x = l->model->values[i];
        l->model->values[i] = l->ema.values[i];
        l->ema.values[i] = x;
    }
}

static double count_hits(const struct train_learner *l, const struct data_batch *batch, const struct train_mix *mix)
{
    const int classes = l->model->class_count;
    double hits = 0;
    for (int i = 0; i < batch->n; i++) {
        int named = train_argmax(nn_plan_logits(l->plan) + (size_t)i * (size_t)classes, classes);
        hits += named == batch->labels[i] ? mix->lambda : 0;
        hits += named == batch->labels[batch->n - 1 - i] ? 1 - mix->lambda : 0;
    }
    return hits;
}

/* The loss of the forward pass before, and all gradients. */
static double run_backward(struct train_learner *l, const float *teacher, int n)
{
    if (train_loss_is_plain(&l->options.loss)) return nn_plan_backward(l->plan, l->grads, l->q, 1, n);
    double loss = train_loss_run(nn_plan_logits_grad(l->plan), nn_plan_logits(l->plan), l->q, teacher, &l->options.loss, n,
                                 l->model->class_count);
    nn_plan_backpropagate(l->plan, l->grads, n);
    return loss;
}

static enum rudd_status learn_batch(struct train_learner *l, const struct data_batch *batch, struct rudd_error *err)
{
    struct train_tally *t = &l->tally;
    const int classes = l->model->class_count, size = l->options.plan.image_size;
    const struct train_mix mix =
        train_mix_draw(&l->options.mix, l->options.seed, (uint64_t)l->epoch, (uint64_t)t->batches, size);
    float *x = nn_plan_input(l->plan);
    memcpy(x, batch->x, sizeof *batch->x * (size_t)batch->n * nn_plan_input_floats(l->plan));
    train_mix_pixels(x, &mix, batch->n, size);
    const float *teacher = l->teacher ? train_teacher_run(l->teacher, x, batch->n) : NULL;
    nn_plan_set_step(l->plan, l->options.seed, (uint64_t)l->epoch << 32 | (uint32_t)t->batches);
    nn_plan_forward(l->plan, batch->n);
    t->hits += count_hits(l, batch, &mix);

    double mass = 1 / nn_targets(l->q, batch->labels, l->class_weights, l->options.label_smoothing, batch->n, classes);
    train_mix_targets(l->q, &mix, batch->n, classes);
    double loss = run_backward(l, teacher, batch->n);
    if (!isfinite(loss))
        return rudd_fail(err, RUDD_LIMIT,
                         "epoch %d, batch %d: the loss is not finite; try a lower --lr, --warmup-epochs or --clip-norm",
                         l->epoch, (int)t->batches + 1);
    t->loss += loss;
    t->mass += mass;
    t->step_mass += mass;
    t->pictures += batch->n;
    t->batches++;
    return RUDD_OK;
}

/* Only what trains has gradients: of a frozen network, the classifier's few. */
static void clear_grads(struct train_learner *l)
{
    for (int i = 0; i < l->model->param_count; i++) {
        const struct nn_param *p = &l->model->params[i];
        if (l->trains[i]) memset(l->grads + p->offset, 0, p->count * sizeof *l->grads);
    }
}

static enum rudd_status take_step(struct train_learner *l, struct rudd_error *err)
{
    const uint64_t step = l->optim.steps;
    double factor = l->forced > 0 ? l->forced : train_schedule_factor(&l->schedule, step);
    double momentum = l->forced > 0 ? 0 : train_schedule_momentum(&l->schedule, step);
    double norm = train_optim_step(&l->optim, l->model->values, l->grads, factor, momentum, 1 / l->tally.step_mass);
    if (!isfinite(norm))
        return rudd_fail(err, RUDD_LIMIT, "epoch %d, batch %d: the gradient is not finite; try a lower --lr or --warmup-epochs",
                         l->epoch, (int)l->tally.batches);
    if (l->ema.values) train_ema_update(&l->ema, l->model->values);
    clear_grads(l);
    l->tally.step_mass = 0;
    return RUDD_OK;
}

enum rudd_status train_learner_start(struct train_learner *learner, int epoch, const struct train_events *events,
                                     struct rudd_error *err)
{
    enum rudd_status status = unfreeze(learner, epoch, events, err);
    if (status != RUDD_OK) return status;
    struct train_tally *t = &learner->tally;
    const int batch = learner->options.loader.batch;
    /* Resumed with batches of another size: as near as they come, no picture left out. */
    if (t->batch > 0 && t->batch != batch) t->next = floor(t->next * t->batch / batch);
    t->batch = batch;
    learner->epoch = epoch;
    learner->resting = train_now() - t->seconds;
    data_loader_start(learner->loader, (uint64_t)epoch, (int)t->next);
    return RUDD_OK;
}

enum rudd_status train_learner_batch(bool *more, struct train_learner *learner, struct rudd_error *err)
{
    struct train_learner *l = learner;
    struct train_tally *t = &l->tally;
    struct data_batch batch;
    enum rudd_status status = RUDD_OK;
    bool step = false;
    *more = !train_learner_finished(l) && data_loader_next(l->loader, &batch);
    t->next = data_loader_position(l->loader);
    status = data_loader_status(l->loader, err);
    if (status != RUDD_OK) {
        /* no memory for a picture */
    } else if (*more) {
        status = learn_batch(l, &batch, err);
        step = (uint64_t)t->batches % (uint64_t)l->options.accumulate == 0;
    } else if (t->pictures == 0 && !train_learner_finished(l)) {
        status = rudd_fail(err, RUDD_FORMAT, "training: none of the %d pictures could be read; the first: %s", l->set->count,
                           data_loader_bad_count(l->loader) ? data_loader_bad(l->loader, 0) : "(there is none)");
    } else {
        step = t->step_mass > 0; /* the last step of an epoch takes what is left */
    }
    if (status == RUDD_OK && step) status = take_step(l, err);
    t->seconds = train_now() - l->resting;
    return status;
}

void train_learner_result(struct train_epoch *result, const struct train_learner *learner)
{
    const struct train_learner *l = learner;
    const struct train_tally *t = &l->tally;
    result->epoch = l->epoch;
    result->train_loss = t->loss / t->mass;
    result->train_accuracy = t->hits / t->pictures;
    /* That of the backbone, at the epoch's last step. */
    result->learning_rate = l->options.optim.lr * train_schedule_factor(&l->schedule, l->optim.steps ? l->optim.steps - 1 : 0);
    result->images_per_second = t->pictures / t->seconds;
    result->seconds = t->seconds;
}
