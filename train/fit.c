/* fit.c - a whole training run.
 *
 *     pictures --scan, hash--> splits        weights file | last.safetensors | nothing --> model
 *     per epoch:  learn -> (average in) validate -> better? model.safetensors -> metrics.jsonl -> last.safetensors
 *     at the end: best model back -> test -> metrics into model.safetensors -> run.json, report.html
 *
 * Files are written in that order so that a run that dies between any two of them goes on from last.safetensors, which is never
 * ahead of the others, and writes those again, the same.
 *
 * Better: higher validation top-1, then lower validation loss; without validation pictures, lower training loss. */
#include "train/fit.h"

#include "kernels/kern.h"
#include "nn/sha256.h"
#include "train/checkpoint.h"
#include "train/labels.h"
#include "train/learner.h"
#include "train/report.h"
#include "train/run_json.h"
#include "weights/model_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fit {
    struct train_settings s;
    const struct train_events *events;
    struct data_splits splits;
    char dataset[NN_SHA256_HEX];
    struct nn_model *model;
    struct train_learner learner;
    struct train_evaluator *val; /* NULL: no validation pictures */
    struct train_run_folder folder;
    struct train_state state;
    json_t *record; /* run.json */
    int bad_noted;  /* unreadable training pictures told of so far */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Root hash of the three splits: a name for exactly these pictures in exactly this split. */
static void hash_pictures(struct fit *f)
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

static enum rudd_status open_pictures(struct fit *f, struct rudd_error *err)
{
    enum rudd_status status = data_splits_scan(&f->splits, f->s.data, f->s.split, (uint64_t)f->s.seed, err);
    if (status != RUDD_OK) return status;
    hash_pictures(f);
    train_note(f->events, "%s: %d classes; %d pictures to train, %d to validate, %d to test", f->s.data,
               f->splits.train.class_count, f->splits.train.count, f->splits.val.count, f->splits.test.count);
    return RUDD_OK;
}

static void note_weights(const struct fit *f, const struct weights_report *report)
{
    train_note(f->events, "%s: %s, names of %s%s", f->s.weights, f->model->arch, weights_dialect_name(report->dialect),
               report->classifier_replaced ? "; a new classifier" : "");
    for (int i = 0; i < report->missing_count; i++) train_note(f->events, "initialised: %s", report->missing[i]);
}

/* A model to start from: pretrained weights, or random ones. */
static enum rudd_status open_fresh_model(struct fit *f, struct rudd_error *err)
{
    const int classes = f->splits.train.class_count;
    enum rudd_status status;
    if (f->s.weights) {
        struct weights_report report = {0};
        struct weights_load_options options = {.arch = f->s.arch,
                                               .class_count = classes,
                                               .allow_missing = f->s.allow_missing,
                                               .hash = true,
                                               .seed = (uint64_t)f->s.seed};
        status = weights_model_load(&f->model, f->s.weights, &options, &report, err);
        if (status == RUDD_OK) note_weights(f, &report);
        weights_report_free(&report);
    } else {
        status = nn_model_create(&f->model, f->s.arch, classes, err);
        if (status == RUDD_OK) nn_model_init_params(f->model, (uint64_t)f->s.seed, NULL);
    }
    if (status != RUDD_OK) return status;
    if (f->s.image_size) f->model->preprocess.image_size = f->s.image_size;
    f->model->preprocess.mode = (enum nn_resize_mode)f->s.resize;
    f->model->preprocess.filter = (enum nn_filter)f->s.filter;
    train_labels_follow(&f->splits, f->model);

    char beside[TRAIN_PATH];
    const char *labels = f->s.labels;
    if (!labels && access(train_run_path(beside, f->s.data, "labels.json"), R_OK) == 0) labels = beside;
    status = train_labels_apply(f->model, &f->splits.train, labels, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->metrics, NULL, err);
    return status;
}

/* The run's own last model, with its labels and conventions. */
static enum rudd_status open_last_model(struct fit *f, const char *last, struct rudd_error *err)
{
    enum rudd_status status = weights_model_load(&f->model, last, NULL, NULL, err);
    if (status != RUDD_OK) return status;
    if (!train_labels_follow(&f->splits, f->model))
        return rudd_fail(err, RUDD_MISMATCH, "%s: its classes are not those of %s any more", last, f->s.data);
    return RUDD_OK;
}

static enum rudd_status open_learner(struct fit *f, struct rudd_error *err)
{
    const struct train_settings *s = &f->s;
    const struct nn_preprocess *p = &f->model->preprocess;
    int stage = nn_model_freeze_stage(f->model, s->freeze);
    if (stage < 0)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--freeze: found \"%.40s\", expected all, none, stem, head, or a stage of %s from 1 to %d", s->freeze,
                         f->model->arch, nn_model_stage_count(f->model) - 3);
    size_t limit = s->memory_limit;
    if (f->splits.val.count) {
        enum rudd_status status = train_evaluator_create(&f->val, f->model, &f->splits.val, s->batch, s->threads, limit, err);
        if (status != RUDD_OK) return status;
        if (limit) limit -= train_evaluator_bytes(f->val);
        if (s->memory_limit && !limit) limit = 1; /* 0 would mean none */
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
                 .memory_limit = limit},
        .loader = {.batch = batch,
                   .image_size = p->image_size,
                   .threads = s->threads,
                   .shuffle = true,
                   .drop_last = true, /* a last batch of one or two would give batch norm no statistics to speak of */
                   .seed = (uint64_t)s->seed,
                   .augment = s->augment ? &s->view : NULL,
                   .preprocess = *p},
        .optim = {.kind = (enum train_optim_kind)s->optimizer,
                  .lr = s->lr,
                  .head_lr = s->head_lr,
                  .weight_decay = s->weight_decay,
                  .momentum = s->momentum,
                  .clip_norm = s->clip_norm},
        .schedule = (enum train_schedule_kind)s->schedule,
        .warmup_epochs = s->warmup_epochs,
        .ema = s->ema,
        .epochs = s->epochs,
        .accumulate = s->accumulate,
        .max_steps = (uint64_t)s->max_steps,
        .seed = (uint64_t)s->seed,
        .label_smoothing = (float)s->label_smoothing,
        .balance = s->class_weights == TRAIN_WEIGHTS_BALANCED,
    };
    return train_learner_init(&f->learner, f->model, &f->splits.train, &options, err);
}

/* ---- the record -------------------------------------------------------------------------------------------------- */

static json_t *model_json(const struct fit *f)
{
    size_t trained = 0;
    for (int i = 0; i < f->model->param_count; i++)
        if (f->learner.trains[i]) trained += f->model->params[i].count;
    return json_pack("{s:s,s:I,s:I,s:i,s:I}", "arch", f->model->arch, "parameters",
                     (json_int_t)nn_model_parameter_count(f->model), "trained", (json_int_t)trained, "image_size",
                     f->model->preprocess.image_size, "plan_bytes", (json_int_t)nn_plan_bytes(f->learner.plan));
}

static json_t *pictures_json(const struct fit *f)
{
    return json_pack("{s:s,s:i,s:i,s:i,s:i}", "root_hash", f->dataset, "classes", f->splits.train.class_count, "train",
                     f->splits.train.count, "val", f->splits.val.count, "test", f->splits.test.count);
}

/* Starts run.json for a fresh run, and gives model and data set the run's id and hash. */
static enum rudd_status begin_record(struct fit *f, struct rudd_error *err)
{
    char id[TRAIN_RUN_ID];
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    int count = train_settings_table(rows, &f->s);
    train_run_id(id, rows, count, f->dataset, f->model->sha256 ? f->model->sha256 : "");
    enum rudd_status status = nn_model_set_text(&f->model->run, id, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->dataset, f->dataset, err);
    if (status != RUDD_OK) return status;
    f->record = json_pack("{s:s,s:s,s:o,s:o,s:{s:s?,s:s?},s:o,s:o,s:o,s:[]}", "id", id, "status", "running", "options",
                          train_options_json(rows, count), "dataset", pictures_json(f), "weights", "path", f->s.weights,
                          "sha256", f->model->sha256, "model", model_json(f), "machine", train_machine_json(), "versions",
                          train_versions_json(), "skipped");
    if (!f->record) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record");
    return train_run_json_write(f->folder.path, f->record, err);
}

/* Goes on with a run's own record: options may have been changed on the command line, pictures may not. */
static enum rudd_status resume_record(struct fit *f, struct rudd_error *err)
{
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    enum rudd_status status = train_run_json_read(&f->record, f->s.resume, err);
    if (status != RUDD_OK) return status;
    const char *root = json_string_value(json_object_get(json_object_get(f->record, "dataset"), "root_hash"));
    const char *id = json_string_value(json_object_get(f->record, "id"));
    if (!root || !id) return rudd_fail(err, RUDD_FORMAT, "%s/run.json: lacks the run's id or its data set's hash", f->s.resume);
    if (strcmp(root, f->dataset) != 0)
        return rudd_fail(err, RUDD_MISMATCH, "%s: the pictures in %s have changed since this run began; start a new one",
                         f->s.resume, f->s.data);
    status = nn_model_set_text(&f->model->run, id, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->dataset, f->dataset, err);
    if (status != RUDD_OK) return status;
    json_t *options = train_options_json(rows, train_settings_table(rows, &f->s));
    if (json_object_set_new(f->record, "options", options) != 0 ||
        json_object_set_new(f->record, "status", json_string("running")) != 0)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record");
    return train_run_json_write(f->folder.path, f->record, err);
}

static enum rudd_status finish_record(struct fit *f, const char *outcome, json_t *final, struct rudd_error *err)
{
    bool failed = json_object_set_new(f->record, "status", json_string(outcome)) != 0;
    json_t *skipped = json_array();
    for (int i = 0; i < data_loader_bad_count(f->learner.loader); i++)
        failed |= json_array_append_new(skipped, json_string(data_loader_bad(f->learner.loader, i))) != 0;
    for (int i = 0; f->val && i < data_loader_bad_count(train_evaluator_loader(f->val)); i++)
        failed |= json_array_append_new(skipped, json_string(data_loader_bad(train_evaluator_loader(f->val), i))) != 0;
    failed |= json_object_set_new(f->record, "skipped", skipped) != 0;
    if (final) failed |= json_object_set(f->record, "final", final) != 0;
    if (failed) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record");
    return train_run_json_write(f->folder.path, f->record, err);
}

/* ---- epochs ------------------------------------------------------------------------------------------------------ */

static struct train_checkpoint checkpoint_of(struct fit *f)
{
    return (struct train_checkpoint){f->model, &f->learner.optim, f->learner.ema.values ? &f->learner.ema : NULL};
}

static enum rudd_status save_checkpoint(struct fit *f, int epoch, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    const struct train_schedule *schedule = &f->learner.schedule;
    struct train_checkpoint checkpoint = checkpoint_of(f);
    f->state.epoch = epoch;
    f->state.optim_steps = (double)f->learner.optim.steps;
    f->state.ema_updates = (double)f->learner.ema.updates;
    f->state.plateau_factor = schedule->factor;
    f->state.plateau_best = schedule->best;
    f->state.plateau_stale = schedule->stale;
    f->state.plateau_epochs = schedule->epochs;
    return train_checkpoint_write(train_run_path(path, f->folder.path, "last.safetensors"), &checkpoint, &f->state, err);
}

static enum rudd_status restore_checkpoint(struct fit *f, const char *last, struct rudd_error *err)
{
    struct train_schedule *schedule = &f->learner.schedule;
    struct train_checkpoint checkpoint = checkpoint_of(f);
    enum rudd_status status = train_checkpoint_read(&checkpoint, &f->state, last, err);
    if (status != RUDD_OK) return status;
    schedule->factor = f->state.plateau_factor;
    schedule->best = f->state.plateau_best;
    schedule->stale = (int)f->state.plateau_stale;
    schedule->epochs = (int)f->state.plateau_epochs;
    train_note(f->events, "%s: goes on behind epoch %d", f->folder.path, (int)f->state.epoch);
    return RUDD_OK;
}

/* The text of rudd.metrics: the epoch and how it did. */
static enum rudd_status set_metrics(struct fit *f, json_t *metrics, struct rudd_error *err)
{
    char *text = metrics ? json_dumps(metrics, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the model's metrics");
    enum rudd_status status = nn_model_set_text(&f->model->metrics, text, err);
    free(text); /* jansson's */
    return status;
}

/* Writes the present values as the best model. val NULL: no validation pictures. */
static enum rudd_status save_best(struct fit *f, int epoch, const struct train_metrics *val, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    json_t *metrics = json_pack("{s:i,s:o*}", "epoch", epoch, "val", val ? train_metrics_json(val, NULL, false) : NULL);
    enum rudd_status status = set_metrics(f, metrics, err);
    json_decref(metrics);
    if (status != RUDD_OK) return status;
    return weights_model_save(train_run_path(path, f->folder.path, "model.safetensors"), f->model, NULL, WEIGHTS_TIMM, err);
}

static bool is_better(const struct fit *f, const struct train_epoch *e)
{
    if (f->state.best_epoch == 0) return true;
    if (!f->val) return e->train_loss < f->state.best_loss;
    if (e->val_accuracy != f->state.best_accuracy) return e->val_accuracy > f->state.best_accuracy;
    return e->val_loss < f->state.best_loss;
}

/* Validates with the average, if there is one, and keeps the model when it is the best so far. */
static enum rudd_status validate(struct fit *f, struct train_epoch *e, bool *best, struct rudd_error *err)
{
    struct train_evaluation evaluation = {0};
    enum rudd_status status = RUDD_OK;
    train_learner_swap(&f->learner);
    e->val_loss = e->val_accuracy = e->val_top3 = e->val_macro_f1 = NAN;
    if (f->val) {
        status = train_evaluate(&evaluation, f->val, "val", f->events, err);
        if (status != RUDD_OK) goto done;
        e->val_loss = evaluation.metrics.loss;
        e->val_accuracy = evaluation.metrics.top1;
        e->val_top3 = evaluation.metrics.top3;
        e->val_macro_f1 = evaluation.metrics.macro_f1;
    }
    *best = is_better(f, e);
    if (*best) status = save_best(f, (int)e->epoch, f->val ? &evaluation.metrics : NULL, err);
    if (*best && status == RUDD_OK) {
        f->state.best_epoch = e->epoch;
        f->state.best_accuracy = f->val ? e->val_accuracy : 0;
        f->state.best_loss = f->val ? e->val_loss : e->train_loss;
        f->state.stale = 0;
    } else {
        f->state.stale++;
    }
done:
    train_learner_swap(&f->learner);
    train_evaluation_free(&evaluation);
    return status;
}

static void note_skipped(struct fit *f)
{
    for (; f->bad_noted < data_loader_bad_count(f->learner.loader); f->bad_noted++)
        train_note(f->events, "skipped: %s", data_loader_bad(f->learner.loader, f->bad_noted));
}

static enum rudd_status run_epochs(struct fit *f, struct rudd_error *err)
{
    for (int epoch = (int)f->state.epoch + 1; epoch <= f->s.epochs && !train_learner_finished(&f->learner); epoch++) {
        if (f->s.patience && f->state.stale >= f->s.patience) {
            train_note(f->events, "stopped early: %d epochs without a better one", f->s.patience);
            break;
        }
        struct train_epoch e = {0};
        bool best = false;
        double began = train_now();
        enum rudd_status status = train_learner_epoch(&e, &f->learner, epoch, f->events, err);
        note_skipped(f);
        if (status == RUDD_OK) status = validate(f, &e, &best, err);
        if (status != RUDD_OK) return status;
        e.seconds = train_now() - began;
        train_schedule_epoch(&f->learner.schedule, f->val ? e.val_loss : e.train_loss);
        status = train_run_folder_add(&f->folder, &e, err);
        if (status == RUDD_OK) status = save_checkpoint(f, epoch, err);
        if (status != RUDD_OK) return status;
        if (f->events && f->events->epoch) f->events->epoch(f->events->user, &e, f->s.epochs, best);
    }
    return RUDD_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Puts the best model's values back, from its file: that this file can be read is part of what is tested here. */
static enum rudd_status load_best(struct fit *f, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    struct nn_model *best;
    enum rudd_status status =
        weights_model_load(&best, train_run_path(path, f->folder.path, "model.safetensors"), NULL, NULL, err);
    if (status != RUDD_OK) return status;
    if (best->value_count == f->model->value_count)
        memcpy(f->model->values, best->values, best->value_count * sizeof *best->values);
    else
        status = rudd_fail(err, RUDD_MISMATCH, "%s: is not this run's model", path);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->metrics, best->metrics, err);
    nn_model_destroy(best);
    return status;
}

/* Figures of the best model on the pictures that learning never saw, into all that reports them. */
static enum rudd_status finish(struct fit *f, struct train_outcome *outcome, struct rudd_error *err)
{
    const struct data_set *set = f->splits.test.count  ? &f->splits.test
                                 : f->splits.val.count ? &f->splits.val
                                                       : &f->splits.train;
    const char *phase = set == &f->splits.test ? "test" : set == &f->splits.val ? "val" : "train";
    struct train_evaluator *evaluator = NULL;
    struct train_evaluation evaluation = {0};
    json_t *final = NULL;
    char path[TRAIN_PATH];
    enum rudd_status status = load_best(f, err);
    if (status == RUDD_OK)
        status = train_evaluator_create(&evaluator, f->model, set, f->s.batch, f->s.threads, f->s.memory_limit, err);
    if (status == RUDD_OK) status = train_evaluate(&evaluation, evaluator, phase, f->events, err);
    if (status != RUDD_OK) goto done;
    for (int i = 0; i < data_loader_bad_count(train_evaluator_loader(evaluator)); i++)
        train_note(f->events, "skipped: %s", data_loader_bad(train_evaluator_loader(evaluator), i));

    /* {"epoch", "val"} are in the model's metrics already; the rest joins them. */
    final = json_loads(f->model->metrics ? f->model->metrics : "{}", 0, NULL);
    if (json_object_set_new(final, phase, train_metrics_json(&evaluation.metrics, NULL, false)) != 0) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for the final metrics");
        goto done;
    }
    status = set_metrics(f, final, err);
    if (status == RUDD_OK)
        status =
            weights_model_save(train_run_path(path, f->folder.path, "model.safetensors"), f->model, NULL, WEIGHTS_TIMM, err);
    if (status == RUDD_OK) status = finish_record(f, "done", final, err);
    if (status == RUDD_OK)
        status = train_report_write(&(struct train_report){&f->folder, f->record, f->model, &evaluation, phase, set}, err);
    if (status == RUDD_OK && outcome) {
        const struct train_metrics *m = &evaluation.metrics;
        *outcome = (struct train_outcome){.best_epoch = (int)f->state.best_epoch,
                                          .phase = phase,
                                          .images = m->images,
                                          .top1 = m->top1,
                                          .top3 = m->top3,
                                          .macro_f1 = m->macro_f1,
                                          .loss = m->loss};
        snprintf(outcome->path, sizeof outcome->path, "%s", f->folder.path);
    }
done:
    json_decref(final);
    train_evaluation_free(&evaluation);
    train_evaluator_destroy(evaluator);
    return status;
}

static enum rudd_status open_run(struct fit *f, struct rudd_error *err)
{
    char last[TRAIN_PATH] = "";
    bool resumes = f->s.resume && access(train_run_path(last, f->s.resume, "last.safetensors"), F_OK) == 0;
    enum rudd_status status = open_pictures(f, err);
    /* The folder comes late: a mistake in what is opened before leaves none behind. */
    if (status == RUDD_OK) status = resumes ? open_last_model(f, last, err) : open_fresh_model(f, err);
    if (status == RUDD_OK) f->s.image_size = f->model->preprocess.image_size;
    if (status == RUDD_OK) f->s.arch = f->model->arch;
    if (status == RUDD_OK) status = open_learner(f, err);
    if (status != RUDD_OK) return status;
    if (!f->s.resume) {
        status = train_run_folder_create(&f->folder, f->s.out, err);
        if (status == RUDD_OK) status = begin_record(f, err);
    } else {
        snprintf(f->folder.path, sizeof f->folder.path, "%s", f->s.resume);
        status = resume_record(f, err);
        if (status == RUDD_OK && resumes) status = restore_checkpoint(f, last, err);
        if (status == RUDD_OK) status = train_run_folder_open(&f->folder, f->s.resume, (int)f->state.epoch, err);
    }
    if (status == RUDD_OK)
        train_note(f->events, "%s in %s: %s at %d pixels; activations %.0f MB", f->model->run, f->folder.path, f->model->arch,
                   f->model->preprocess.image_size, (double)nn_plan_bytes(f->learner.plan) / 1e6);
    return status;
}

enum rudd_status train_fit(struct train_outcome *outcome, const struct train_settings *settings,
                           const struct train_events *events, struct rudd_error *err)
{
    struct fit *f = rudd_zalloc(1, sizeof *f);
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "training: no memory");
    f->s = *settings;
    f->events = events;
    kern_set_threads(settings->threads);
    enum rudd_status status = open_run(f, err);
    bool recorded = status == RUDD_OK;
    if (status == RUDD_OK) status = run_epochs(f, err);
    if (status == RUDD_OK) status = finish(f, outcome, err);
    /* The first failure is the one to report; the record of it is as good as the disk lets it be. */
    if (recorded && status != RUDD_OK) finish_record(f, status == RUDD_CANCELLED ? "stopped" : "failed", NULL, NULL);
    if (recorded && status == RUDD_CANCELLED)
        rudd_fail(err, status, "stopped on request; go on with: rudd train --resume %s", f->folder.path);

    json_decref(f->record);
    train_learner_free(&f->learner);
    train_evaluator_destroy(f->val);
    train_run_folder_free(&f->folder);
    nn_model_destroy(f->model);
    data_splits_free(&f->splits);
    rudd_free(f);
    return status;
}
