/* fit_open.c - opening a run: pictures, model, learner, folder, and where an earlier process of it stood.
 *
 *     pictures --scan, hash--> splits        weights file | last.safetensors | nothing --> model */
#include "train/fit_run.h"

#include "nn/name_index.h"
#include "nn/text.h"
#include "train/labels.h"
#include "train/left.h"
#include "train/runs/fit_words.h"
#include "weights/hub/hub.h"
#include "weights/model_file.h"
#include "data/image/decode.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char smaller_pictures[] = "smaller pictures (--image-size)";

/* Root hash of the three splits: a name for exactly these pictures in exactly this split. */
static void hash_pictures(struct train_fit_run *f)
{
    const struct data_set *sets[] = {&f->splits.train, &f->splits.val, &f->splits.test};
    struct nn_sha256 root;
    nn_sha256_init(&root);
    for (int i = 0; i < 3; i++) {
        char hex[NN_SHA256_HEX] = "";
        if (sets[i]->count) data_set_hash(hex, sets[i]);
        nn_sha256_update(&root, hex, strlen(hex) + 1);
    }
    nn_sha256_hex(f->dataset, &root);
}

/* A class that nobody saw is never named, and one that is not validated counts for no choice of epoch: seldom meant. */
static void note_absent(const struct train_fit_run *f, const struct data_set *set, const char *what)
{
    char list[300] = "";
    size_t used = 0;
    int absent = 0, *counts = data_set_counts(set);
    for (int k = 0; counts && k < set->class_count && set->count; k++) {
        if (counts[k]) continue;
        absent++;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", absent > 1 ? ", " : "", set->class_names[k]);
    }
    rudd_free(counts);
    if (absent)
        train_note(f->events, "Caution: %d of %d classes %s no picture to %s: %s.", absent, set->class_count,
                   absent == 1 ? "has" : "have", what, list);
}

/* Ten epochs over pictures that cannot be read are found out now, not behind the first. */
static enum rudd_status try_pictures(const struct data_set *set, const struct data_limits *limits, const char *what,
                                     struct rudd_error *err)
{
    struct rudd_error why;
    for (int i = 0; i < set->count; i++) {
        struct data_image image = {0};
        enum rudd_status status = data_image_read(&image, set->items[i].path, limits, i ? NULL : &why);
        data_image_free(&image);
        if (status == RUDD_OK) return RUDD_OK;
    }
    if (!set->count) return RUDD_OK;
    return rudd_fail(err, RUDD_FORMAT, "none of the %d pictures to %s can be read; the first: %s", set->count, what,
                     why.message);
}

static enum rudd_status open_pictures(struct train_fit_run *f, struct rudd_error *err)
{
    enum rudd_status status = data_splits_scan(&f->splits, f->s.data, f->s.split, (uint64_t)f->s.seed, err);
    if (status != RUDD_OK) return status;
    const struct data_set *train = &f->splits.train;
    status = nn_class_names_check(nn_name_of_array, train->class_names, train->class_count, f->s.data, err);
    if (status != RUDD_OK) return status;
    if (f->splits.train.class_count < 2)
        return rudd_fail(err, RUDD_ARGUMENT, "%s: found one class, %s; expected a folder for each of two or more", f->s.data,
                         f->splits.train.class_names[0]);
    hash_pictures(f);
    train_note(f->events,
               "Pictures in %s: %d classes; %d to learn from, %d to choose the best epoch by, %d for the "
               "final test.",
               f->s.data, f->splits.train.class_count, f->splits.train.count, f->splits.val.count, f->splits.test.count);
    note_absent(f, &f->splits.train, "learn from");
    note_absent(f, &f->splits.val, "choose the best epoch by");
    note_absent(f, &f->splits.test, "be tested with");
    train_left_note(f->events, f->s.data, &f->splits.left);
    const struct data_limits limits = train_settings_limits(&f->s);
    status = try_pictures(&f->splits.train, &limits, "train on", err);
    return status == RUDD_OK ? try_pictures(&f->splits.val, &limits, "validate with", err) : status;
}

static void note_weights(const struct train_fit_run *f, const struct weights_report *report)
{
    train_note(f->events, "Pretrained weights from %s (tensors named as by %s)%s.", f->s.weights,
               weights_dialect_name(report->dialect),
               report->classifier_replaced ? "; the last layer is new, since the classes are others" : "");
    for (int i = 0; i < report->missing_count; i++)
        train_note(f->events, "Not in that file, so it starts from random values: %s", report->missing[i]);
}

/* A model to start from: pretrained weights, or random ones. */
static enum rudd_status open_fresh_model(struct train_fit_run *f, struct rudd_error *err)
{
    const int classes = f->splits.train.class_count;
    enum rudd_status status;
    if (f->s.weights) {
        struct weights_report report = {0};
        struct weights_load_options options = {.arch = f->s.arch,
                                               .head_hidden = f->s.head_hidden,
                                               .class_count = classes,
                                               .allow_missing = f->s.allow_missing,
                                               .hash = true,
                                               .seed = (uint64_t)f->s.seed};
        char *path = NULL;
        const struct weights_hub_options fetch = {.events = f->events ? f->events->hub : NULL};
        status = weights_hub_locate(&path, f->s.weights, &fetch, err);
        if (status == RUDD_OK) status = weights_model_load(&f->model, path, &options, &report, err);
        rudd_free(path);
        if (status == RUDD_OK) note_weights(f, &report);
        weights_report_free(&report);
    } else {
        char arch[NN_ARCH];
        nn_arch_print(arch, f->s.arch, f->s.head_hidden);
        status = nn_model_create(&f->model, f->s.head_hidden ? arch : f->s.arch, classes, err);
        if (status == RUDD_OK) nn_model_init_params(f->model, (uint64_t)f->s.seed, NULL);
    }
    if (status != RUDD_OK) return status;
    if (f->s.image_size) f->model->preprocess.image_size = f->s.image_size;
    f->model->temperature = 0; /* it was another training's */
    f->model->preprocess.mode = (enum nn_resize_mode)f->s.resize;
    f->model->preprocess.filter = (enum nn_filter)f->s.filter;
    f->model->preprocess.reduce = f->s.reduce;
    bool followed;
    status = train_labels_follow(&followed, &f->splits, f->model, err);
    if (status != RUDD_OK) return status;

    char beside[TRAIN_PATH];
    const char *labels = f->s.labels;
    if (labels && strcmp(labels, "none") == 0)
        labels = NULL;
    else if (!labels && access(train_run_path(beside, f->s.data, "labels.json"), R_OK) == 0)
        labels = beside;
    status = train_labels_apply(f->model, &f->splits.train, labels, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->metrics, NULL, err);
    return status;
}

/* The run's own last model, with its labels and conventions. */
static enum rudd_status open_last_model(struct train_fit_run *f, const char *last, struct rudd_error *err)
{
    enum rudd_status status = weights_model_load(&f->model, last, NULL, NULL, err);
    if (status != RUDD_OK) return status;
    bool followed;
    status = train_labels_follow(&followed, &f->splits, f->model, err);
    if (status == RUDD_OK && !followed)
        return rudd_fail(err, RUDD_MISMATCH, "%s: its classes are not those of %s any more", last, f->s.data);
    return status;
}

size_t train_fit_validation_bytes(const struct train_fit_run *f)
{
    if (!f->val) return 0;
    const size_t weights = f->budget.found ? nn_plan_weight_bytes(train_evaluator_plan(f->val)) : 0;
    return train_evaluator_bytes(f->val) + weights;
}

int train_fit_loaders(const struct train_fit_run *f)
{
    return f->s.threads ? kern_threads_within(f->s.threads) : 0;
}

/* The plan that saving a model makes for a moment, since its golden answer is computed anew (weights/golden.h). */
static enum rudd_status measure_saving(struct train_fit_run *f, struct rudd_error *err)
{
    struct nn_plan *plan;
    const struct nn_plan_options one = {
        .batch = 1, .image_size = f->model->preprocess.image_size, .memory_limit = f->budget.limit};
    enum rudd_status status = nn_plan_create(&plan, f->model, &one, err);
    if (status != RUDD_OK) return nn_budget_tell(&f->budget, status, smaller_pictures, err);
    f->saving = nn_plan_bytes(plan) + nn_plan_weight_bytes(plan);
    nn_plan_destroy(plan);
    return RUDD_OK;
}

/* What training takes beside its plans, and what is left for them. The weights are in memory by now: they count as used. */
static enum rudd_status make_budget(struct train_fit_run *f, struct rudd_error *err)
{
    const struct train_settings *s = &f->s;
    const size_t values = f->model->value_count * sizeof *f->model->values; /* as many gradients, averages */
    const struct data_limits limits = train_settings_limits(s);
    const struct data_loader_options loader = {.batch = s->batch,
                                               .image_size = f->model->preprocess.image_size,
                                               .threads = train_fit_loaders(f),
                                               .depth = s->prefetch ? s->prefetch : -1,
                                               .limits = limits};
    struct data_loader_needs train, val = {0, 0};
    nn_budget_make(&f->budget, s->memory_limit, 0, 0);
    if (!f->budget.found) return RUDD_OK;
    enum rudd_status status = measure_saving(f, err);
    if (status != RUDD_OK) return status;
    train = data_loader_needs(&f->splits.train, &loader);
    if (f->splits.val.count) val = train_evaluator_needs(f->model, &f->splits.val, &limits, s->batch, loader.threads);
    nn_budget_trim(&f->budget); /* what measuring took is free again */
    const size_t learning = values * (s->ema > 0 ? 2 : 1) + train_optim_bytes(f->model, (enum train_optim_kind)s->optimizer);
    nn_budget_make(&f->budget, s->memory_limit, learning + f->saving + train.bytes + val.bytes,
                   train.threads + val.threads + kern_threads());
    return RUDD_OK;
}

static enum rudd_status open_frozen(struct train_fit_run *f, int stage, struct rudd_error *err)
{
    const struct train_settings *s = &f->s;
    struct train_frozen_options options = {.stage = stage,
                                           .bytes = s->cache == TRAIN_CACHE_FLOAT32 ? 4 : 2,
                                           .views = s->cache_views,
                                           .pictures = {.image_size = f->model->preprocess.image_size,
                                                        .augment = &s->view,
                                                        .seed = (uint64_t)s->seed,
                                                        .preprocess = f->model->preprocess,
                                                        .limits = train_settings_limits(s)},
                                           .memory_limit = f->budget.limit};
    if (s->cache == TRAIN_CACHE_OFF || stage == 0) return RUDD_OK;
    if (!s->cache_views)
        train_note(f->events,
                   "Each picture goes through the frozen part of the network once, unaltered: --flip, --jitter and the "
                   "like have no effect; with --cache-views N or --cache off they have.");
    return train_frozen_create(&f->frozen, f->model, &f->splits, &options, err);
}

/* A channel's variance of one value is 0, whatever the picture: the layer's answer would be a constant. */
static enum rudd_status check_norms(const struct train_fit_run *f, struct rudd_error *err)
{
    const int values = nn_plan_norm_values(f->learner.plan);
    static const char advice[] = "take a larger --batch, larger pictures (--image-size), or --freeze-bn";
    if (values == 1)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "at %d pixels and with batches of %d, batch norm would take mean and variance from one value, and "
                         "nothing could be learned behind it; %s",
                         f->model->preprocess.image_size, f->learner.options.plan.batch, advice);
    if (values && values < 8)
        train_note(f->events,
                   "Caution: at %d pixels and with batches of %d, batch norm takes mean and variance from %d values, which is "
                   "too few to rely on; %s.",
                   f->model->preprocess.image_size, f->learner.options.plan.batch, values, advice);
    return RUDD_OK;
}

/* Learning does not fit. Under a limit that was found the words end with the --memory-limit that would make it run, where smaller batches do:
 * they are tried, but it is the user's decision, since they learn something else. */
static enum rudd_status too_much(const struct train_fit_run *f, const struct train_learner_options *options,
                                 struct rudd_error *err)
{
    const size_t whole = f->budget.limit >> 20;
    char advice[300] = "a smaller --batch or smaller pictures (--image-size)";
    if (f->budget.found && whole && err) {
        const struct nn_budget told = {.limit = whole << 20};
        struct train_learner_options smaller = *options;
        struct train_learner tried;
        smaller.whole_batches = false;
        smaller.plan.memory_limit = nn_budget_rest(&told, train_fit_validation_bytes(f));
        if (train_learner_init(&tried, f->model, &f->splits.train, &smaller, NULL) == RUDD_OK) {
            snprintf(
                advice, sizeof advice,
                "a smaller --batch, smaller pictures (--image-size), or --memory-limit %zuM, under which batches of %d, %d to "
                "a step, are learned from, and batch norm sees those",
                whole, tried.options.plan.batch, tried.options.accumulate);
            train_learner_free(&tried);
        }
    }
    return nn_budget_tell(&f->budget, RUDD_LIMIT, advice, err);
}

static enum rudd_status open_learner(struct train_fit_run *f, struct rudd_error *err)
{
    const struct train_settings *s = &f->s;
    const struct nn_preprocess *p = &f->model->preprocess;
    int stage = nn_model_freeze_stage(f->model, s->freeze);
    if (stage < 0)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--freeze: found \"%.40s\", expected all, none, stem, head, or a stage of %s from 1 to %d", s->freeze,
                         f->model->arch, nn_model_stage_count(f->model) - 3);
    enum rudd_status status = make_budget(f, err);
    if (status != RUDD_OK) return status;
    const struct data_limits limits = train_settings_limits(s);
    const size_t limit = f->budget.limit;
    status = open_frozen(f, stage, err);
    if (status != RUDD_OK) return nn_budget_tell(&f->budget, status, smaller_pictures, err);
    if (f->splits.val.count) {
        struct train_frontier at = train_frozen_frontier(f->frozen, &f->splits.val);
        const struct train_frontier *frontier = f->frozen ? &at : NULL;
        /* A quarter of the limit if one picture fits into that; learning makes better use of the rest. */
        status = train_evaluator_create(&f->val, f->model, &f->splits.val, frontier, &limits, s->batch, train_fit_loaders(f),
                                        (limit + 3) / 4, err);
        if (status == RUDD_LIMIT)
            status = train_evaluator_create(&f->val, f->model, &f->splits.val, frontier, &limits, 1, train_fit_loaders(f),
                                            limit, err);
        if (status != RUDD_OK) return nn_budget_tell(&f->budget, status, smaller_pictures, err);
        train_evaluator_set_raw(f->val); /* the temperature is fitted on its logits */
    }
    /* The last evaluation, whose plan follows the learner's, takes one picture at least. */
    const size_t rest = nn_budget_rest(&f->budget, train_fit_validation_bytes(f));
    if (f->budget.found && rest < f->saving) {
        status = rudd_fail(err, RUDD_LIMIT, "%s at %d pixels, batch 1 needs %.1f MiB to be tested but the limit is %.1f MiB",
                           f->model->arch, p->image_size, (double)f->saving / 1048576, (double)rest / 1048576);
        return nn_budget_tell(&f->budget, status, smaller_pictures, err);
    }
    int batch = s->batch < f->splits.train.count ? s->batch : f->splits.train.count;
    struct train_learner_options options = {
        .plan = {.batch = batch,
                 .image_size = p->image_size,
                 .train = true,
                 .freeze_stage = stage,
                 .freeze_bn = s->freeze_bn,
                 .dropout = (float)s->dropout,
                 .drop_path = (float)s->drop_path,
                 .bn_momentum = (float)s->bn_momentum,
                 .memory_limit = rest},
        .loader = {.batch = batch,
                   .image_size = p->image_size,
                   .threads = train_fit_loaders(f),
                   .depth = s->prefetch ? s->prefetch : -1,
                   .shuffle = s->optimizer != TRAIN_LBFGS,
                   .sampling = (enum data_sampling)s->sampling,
                   .drop_last = s->optimizer !=
                                TRAIN_LBFGS, /* a last batch of one or two would give batch norm no statistics to speak of */
                   .seed = (uint64_t)s->seed,
                   .augment = s->augment ? &s->view : NULL,
                   .preprocess = *p,
                   .limits = limits},
        .optim = {.kind = (enum train_optim_kind)s->optimizer,
                  .lr = s->lr,
                  .head_lr = s->head_lr,
                  .layer_decay = s->layer_decay,
                  .weight_decay = s->weight_decay,
                  .momentum = s->momentum,
                  .clip_norm = s->clip_norm},
        .schedule = {.kind = (enum train_schedule_kind)s->schedule,
                     .epochs = s->epochs,
                     .warmup_epochs = s->warmup_epochs,
                     .decay_epochs = s->decay_epochs,
                     .decay_rate = s->decay_rate},
        .unfreeze_epochs = s->unfreeze_epochs,
        .ema = s->ema,
        .epochs = s->epochs,
        .accumulate = s->accumulate,
        .whole_batches = f->budget.found,
        .max_steps = (uint64_t)s->max_steps,
        .seed = (uint64_t)s->seed,
        .label_smoothing = (float)s->label_smoothing,
        .balance = s->class_weights == TRAIN_WEIGHTS_BALANCED,
        .mix = {s->mixup, s->cutmix},
        .loss = {s->focal, s->distill_weight, s->distill_temperature},
        .teacher = s->teacher,
    };
    if (f->frozen) {
        options.plan.first_stage = stage;
        options.loader.source = train_frozen_frontier(f->frozen, &f->splits.train).source;
    }
    status = train_learner_init(&f->learner, f->model, &f->splits.train, &options, err);
    if (status == RUDD_OK) train_fit_note_memory(f, batch);
    if (status == RUDD_OK) status = check_norms(f, err);
    return status == RUDD_LIMIT ? too_much(f, &options, err) : status;
}

/* ---- where it stands ---------------------------------------------------------------------------------------------- */

static struct train_checkpoint checkpoint_of(struct train_fit_run *f)
{
    return (struct train_checkpoint){f->model, &f->learner.optim, f->learner.ema.values ? &f->learner.ema : NULL,
                                     f->learner.grads};
}

bool train_fit_is_due(const struct train_fit_run *f)
{
    return train_now() - f->saved_at >= f->s.checkpoint_seconds;
}

static enum rudd_status write_model(struct train_fit_run *f, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    f->best_pending = false;
    return weights_model_save(train_run_path(path, f->folder.path, "model.safetensors"), f->model, NULL, WEIGHTS_TIMM, err);
}

/* The first value that learning may change: a frozen part keeps all of its own. */
static size_t first_changing(const struct train_fit_run *f)
{
    const struct nn_model *m = f->model;
    size_t first = m->value_count;
    if (f->learner.ema.values) return 0; /* averages of equal values may be rounded */
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].stage >= f->learner.options.plan.freeze_stage && m->params[i].offset < first)
            first = m->params[i].offset;
    return first;
}

/* Whether a second copy of the values fits beside the plans, where a limit was found. */
static bool has_room_for_best(const struct train_fit_run *f)
{
    if (!f->budget.found) return true;
    const struct nn_plan *plan = f->learner.plan;
    const size_t plans = train_fit_validation_bytes(f) + nn_plan_bytes(plan) + nn_plan_weight_bytes(plan);
    return nn_budget_rest(&f->budget, plans) >= f->model->value_count * sizeof *f->best;
}

enum rudd_status train_fit_keep_best(struct train_fit_run *f, struct rudd_error *err)
{
    const struct nn_model *m = f->model;
    if (train_fit_is_due(f)) return write_model(f, err);
    const size_t first = f->best ? first_changing(f) : 0;
    if (!f->best && has_room_for_best(f)) f->best = rudd_alloc(m->value_count * sizeof *f->best);
    if (!f->best) return write_model(f, err); /* slower, but it goes on */
    memcpy(f->best + first, m->values + first, (m->value_count - first) * sizeof *f->best);
    f->best_pending = true;
    return RUDD_OK;
}

enum rudd_status train_fit_save_best(struct train_fit_run *f, struct rudd_error *err)
{
    float *present = f->model->values;
    enum rudd_status status = RUDD_OK;
    if (f->best_pending) {
        f->model->values = f->best; /* no plan runs meanwhile */
        status = write_model(f, err);
        f->model->values = present;
    }
    return status != RUDD_OK ? status : train_run_folder_sync(&f->folder, err);
}

enum rudd_status train_fit_save(struct train_fit_run *f, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    enum rudd_status status = train_fit_save_best(f, err);
    if (status != RUDD_OK) return status;
    const struct train_schedule *schedule = &f->learner.schedule;
    struct train_checkpoint checkpoint = checkpoint_of(f);
    f->state.tally = f->learner.tally;
    f->state.optim_steps = (double)f->learner.optim.steps;
    f->state.ema_updates = (double)f->learner.ema.updates;
    f->state.plateau_factor = schedule->factor;
    f->state.plateau_best = schedule->best;
    f->state.plateau_stale = schedule->stale;
    f->state.plateau_epochs = schedule->epochs;
    status = train_checkpoint_write(train_run_path(path, f->folder.path, "last.safetensors"), &checkpoint, &f->state, err);
    f->saved_steps = f->learner.optim.steps;
    f->saved_epoch = (int)f->state.epoch;
    f->saved_at = train_now();
    return status;
}

static enum rudd_status restore_checkpoint(struct train_fit_run *f, const char *last, struct rudd_error *err)
{
    struct train_schedule *schedule = &f->learner.schedule;
    struct train_checkpoint checkpoint = checkpoint_of(f);
    enum rudd_status status = train_checkpoint_read(&checkpoint, &f->state, last, err);
    if (status != RUDD_OK) return status;
    schedule->factor = f->state.plateau_factor;
    schedule->best = f->state.plateau_best;
    schedule->stale = (int)f->state.plateau_stale;
    schedule->epochs = (int)f->state.plateau_epochs;
    f->learner.tally = f->state.tally;
    f->saved_steps = f->learner.optim.steps;
    f->saved_epoch = (int)f->state.epoch;
    train_note(f->events, "%s goes on in epoch %d, after %d batches of it.", f->folder.path, (int)f->state.epoch + 1,
               (int)f->state.tally.batches);
    return RUDD_OK;
}

enum rudd_status train_fit_open(struct train_fit_run *f, struct rudd_error *err)
{
    char last[TRAIN_PATH] = "";
    enum rudd_status status = f->s.resume ? train_run_claim(&f->claim, f->s.resume, err) : RUDD_OK;
    bool resumes = f->s.resume && access(train_run_path(last, f->s.resume, "last.safetensors"), F_OK) == 0;
    if (status == RUDD_OK) status = open_pictures(f, err);
    /* The folder comes late: a mistake in what is opened before leaves none behind. */
    if (status == RUDD_OK) status = resumes ? open_last_model(f, last, err) : open_fresh_model(f, err);
    if (status == RUDD_OK) f->s.image_size = f->model->preprocess.image_size;
    if (status == RUDD_OK) f->s.arch = f->model->arch;
    if (status == RUDD_OK) status = open_learner(f, err);
    if (status != RUDD_OK) return status;
    if (f->events && f->events->listen) f->events->listen(f->events->user);
    if (!f->s.resume) {
        status = train_run_folder_create(&f->folder, f->s.out, err);
        if (status == RUDD_OK && f->s.find_lr) return status; /* a sweep keeps no record */
        if (status == RUDD_OK) status = train_run_claim(&f->claim, f->folder.path, err);
        if (status == RUDD_OK) status = train_fit_record_begin(f, err);
    } else {
        snprintf(f->folder.path, sizeof f->folder.path, "%s", f->s.resume);
        status = train_fit_record_resume(f, err);
        if (status == RUDD_OK && resumes) status = restore_checkpoint(f, last, err);
        if (status == RUDD_OK) status = train_run_folder_open(&f->folder, f->s.resume, (int)f->state.epoch, err);
    }
    f->saved_at = train_now();
    return status == RUDD_OK ? train_fit_note_run(f, err) : status;
}

void train_fit_close(struct train_fit_run *f)
{
    train_run_release(f->claim);
    json_decref(f->record);
    train_learner_free(&f->learner);
    train_evaluator_destroy(f->val);
    train_frozen_destroy(f->frozen);
    train_run_folder_free(&f->folder);
    rudd_free(f->best);
    nn_model_destroy(f->model);
    data_splits_free(&f->splits);
}
