/* fit.c - a whole training run.
 *
 *     pictures --scan, hash--> splits        weights file | last.safetensors | nothing --> model
 *     per epoch:  learn -> (average in) validate -> better? keep it -> a line in metrics.jsonl
 *     checkpoint: model.safetensors, if better -> metrics.jsonl synced -> last.safetensors
 *     at the end: best model back -> test -> metrics into model.safetensors -> report.html -> run.json
 *
 * A checkpoint follows an epoch when the one before is some seconds old, since a small epoch takes
 * less time than a file that is synced. Its files are written in that order so that a run that dies
 * between any two of them goes on from last.safetensors, which is never ahead of the others, and
 * writes those again, the same.
 *
 * Better: higher validation top-1, then lower validation loss; without validation pictures, lower training loss. */
#include "train/fit.h"

#include "kernels/kern.h"
#include "train/fit_run.h"
#include "train/folder.h"
#include "train/head_fit.h"
#include "train/learn/cache_folder.h"
#include "train/report.h"
#include "train/runs/fit_words.h"
#include "weights/model_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- epochs ------------------------------------------------------------------------------------------------------ */

/* The text of rudd.metrics: the epoch and how it did. */
static enum rudd_status set_metrics(struct train_fit_run *f, json_t *metrics, struct rudd_error *err)
{
    char *text = metrics ? json_dumps(metrics, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the model's metrics");
    enum rudd_status status = nn_model_set_text(&f->model->metrics, text, err);
    free(text); /* jansson's */
    return status;
}

/* The present values are the best model. val NULL: no validation pictures. */
static enum rudd_status keep_best(struct train_fit_run *f, int epoch, const struct train_metrics *val, struct rudd_error *err)
{
    json_t *metrics = json_pack("{s:i,s:o*}", "epoch", epoch, "val", val ? train_metrics_json(val, NULL, false) : NULL);
    enum rudd_status status = set_metrics(f, metrics, err);
    json_decref(metrics);
    return status != RUDD_OK ? status : train_fit_keep_best(f, err);
}

static bool is_better(const struct train_fit_run *f, const struct train_epoch *e)
{
    if (f->state.best_epoch == 0) return true;
    if (!f->val) return e->train_loss < f->state.best_loss;
    if (e->val_accuracy != f->state.best_accuracy) return e->val_accuracy > f->state.best_accuracy;
    return e->val_loss < f->state.best_loss;
}

static void note_skipped(struct train_fit_run *f)
{
    train_pictures_note(f->events, f->learner.loader, &f->told);
}

/* Validates with the average, if there is one, and keeps the model when it is the best so far. */
static enum rudd_status validate(struct train_fit_run *f, struct train_epoch *e, bool *best, struct rudd_error *err)
{
    struct train_evaluation evaluation = {0};
    enum rudd_status status = RUDD_OK;
    train_learner_swap(&f->learner);
    e->val_loss = e->val_accuracy = e->val_top3 = e->val_macro_f1 = NAN;
    if (f->val) {
        status = train_evaluate(&evaluation, f->val, "val", f->events, err);
        train_pictures_note(f->events, train_evaluator_loader(f->val), &f->told_val);
        if (status != RUDD_OK) goto done;
        e->val_loss = evaluation.metrics.loss;
        e->val_accuracy = evaluation.metrics.top1;
        e->val_top3 = evaluation.metrics.top3;
        e->val_macro_f1 = evaluation.metrics.macro_f1;
    }
    *best = is_better(f, e);
    if (*best && f->val) train_evaluation_calibrate(&evaluation, f->model, f->events);
    if (*best) status = keep_best(f, (int)e->epoch, f->val ? &evaluation.metrics : NULL, err);
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
    nn_budget_trim(&f->budget);
    return status;
}

static bool is_stopped(const struct train_fit_run *f)
{
    return train_is_stopped(f->events);
}

/* Between steps, where no gradients have to be written. */
static bool checkpoint_is_due(const struct train_fit_run *f)
{
    const uint64_t every = (uint64_t)f->s.checkpoint_steps, steps = f->learner.optim.steps;
    if (f->learner.tally.step_mass > 0 || steps == f->saved_steps) return false;
    return (every && steps % every == 0) ||
           (f->s.checkpoint_minutes > 0 && train_now() - f->saved_at >= 60 * f->s.checkpoint_minutes);
}

/* The epoch's batches, from where it stands. */
static enum rudd_status learn(struct train_fit_run *f, int epoch, struct rudd_error *err)
{
    struct train_learner *l = &f->learner;
    const struct train_tally *t = &l->tally;
    if (f->s.optimizer == TRAIN_LBFGS) {
        enum rudd_status fitted = train_head_learn(l, f->s.cache_views ? f->s.cache_views : 1, f->events, err);
        note_skipped(f);
        return fitted;
    }
    enum rudd_status status = train_learner_start(l, epoch, f->events, err);
    bool more = true;
    while (more && status == RUDD_OK) {
        if (is_stopped(f)) return rudd_fail(err, RUDD_CANCELLED, "stopped on request in epoch %d", epoch);
        status = train_learner_batch(&more, l, err);
        if (more)
            train_tick(f->events, (struct train_tick){.phase = "train",
                                                      .epoch = epoch,
                                                      .epochs = f->s.epochs,
                                                      .done = (int)t->pictures,
                                                      .total = f->splits.train.count,
                                                      .loss = t->loss / t->mass,
                                                      .seconds = t->seconds,
                                                      .kind = TRAIN_PACE_LEARN});
        if (status == RUDD_OK && checkpoint_is_due(f)) status = train_fit_save(f, err);
    }
    note_skipped(f);
    return status;
}

/* One epoch, or what is left of it, with everything that is written behind it. */
static enum rudd_status run_epoch(struct train_fit_run *f, int epoch, struct rudd_error *err)
{
    struct train_epoch e = {0};
    bool best = false;
    train_fit_plan_pace(f, epoch);
    enum rudd_status status = learn(f, epoch, err);
    train_pass_over(f->events);
    if (status != RUDD_OK) return status;
    double learned = train_now();
    train_learner_result(&e, &f->learner);
    status = validate(f, &e, &best, err);
    if (status == RUDD_OK && f->frozen) status = train_frozen_check(f->frozen, err);
    if (status != RUDD_OK) return status;
    e.seconds += train_now() - learned;
    train_schedule_epoch(&f->learner.schedule, f->val ? e.val_loss : e.train_loss);
    f->state.epoch = epoch;
    f->learner.tally = (struct train_tally){0};
    status = train_run_folder_add(&f->folder, &e, err);
    if (status == RUDD_OK && train_fit_is_due(f)) status = train_fit_save(f, err);
    if (status == RUDD_OK && f->events && f->events->epoch) f->events->epoch(f->events->user, &e, f->s.epochs, best);
    return status;
}

static enum rudd_status run_epochs(struct train_fit_run *f, struct rudd_error *err)
{
    for (int epoch = (int)f->state.epoch + 1; epoch <= f->s.epochs; epoch++) {
        /* An epoch that max_steps cut short still is validated. */
        if (train_learner_finished(&f->learner) && f->learner.tally.batches == 0) break;
        if (f->s.patience && f->state.stale >= f->s.patience) {
            train_note(f->events, "Stopped early: %d epochs in a row brought nothing better.", f->s.patience);
            break;
        }
        enum rudd_status status = run_epoch(f, epoch, err);
        if (status != RUDD_OK) return status;
    }
    return RUDD_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Puts the best model's values back, from its file: that this file can be read is part of what is tested here. */
static enum rudd_status load_best(struct train_fit_run *f, struct rudd_error *err)
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
    if (status == RUDD_OK) f->model->temperature = best->temperature;
    nn_model_destroy(best);
    return status;
}

/* What the last evaluation may take: under a limit that was found the one before it is still there. */
static size_t at_the_end(const struct train_fit_run *f)
{
    return nn_budget_rest(&f->budget, f->budget.found ? train_fit_validation_bytes(f) : 0);
}

/* Figures of the best model on the pictures that learning never saw, into all that reports them. ending is the run's status. */
static enum rudd_status finish(struct train_fit_run *f, const char *ending, struct train_outcome *outcome,
                               struct rudd_error *err)
{
    const struct data_set *set = train_fit_judging_set(f);
    const char *phase = set == &f->splits.test ? "test" : set == &f->splits.val ? "val" : "train";
    struct train_evaluator *evaluator = NULL;
    struct train_evaluation evaluation = {0};
    struct train_advice advice;
    const bool diverged = strcmp(ending, "failed") == 0;
    json_t *final = NULL;
    char path[TRAIN_PATH];
    /* Training pictures are cached as learning sees them, which need not be as evaluation does. */
    const bool cached = f->frozen && (set != &f->splits.train || f->s.cache_views == 0);
    const struct train_frontier at = train_frozen_frontier(f->frozen, set);
    const struct data_limits limits = train_settings_limits(&f->s);
    train_fit_plan_pace(f, f->s.epochs + 1);
    /* Learning is over: its memory, which --memory-limit counts, goes to what judges. */
    nn_plan_destroy(f->learner.plan);
    f->learner.plan = NULL;
    nn_budget_trim(&f->budget);
    enum rudd_status status = load_best(f, err);
    nn_budget_trim(&f->budget);
    if (status == RUDD_OK)
        status = train_evaluator_create(&evaluator, f->model, set, cached ? &at : NULL, &limits, f->s.batch,
                                        train_fit_loaders(f), at_the_end(f), err);
    if (status == RUDD_OK) status = train_evaluate(&evaluation, evaluator, phase, f->events, err);
    if (status != RUDD_OK) goto done;
    const struct data_loader *loader = train_evaluator_loader(evaluator);
    struct train_told told = {0};
    if (set == &f->splits.test) train_pictures_note(f->events, loader, &told); /* those of the others are told of already */
    status = train_fit_record_skipped(f, loader, err);
    if (status != RUDD_OK) goto done;

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
    if (status == RUDD_OK) status = train_fit_advise(&advice, f, &evaluation, phase, diverged, err);
    if (status == RUDD_OK) status = train_fit_record_end(f, ending, final, err);
    if (status == RUDD_OK)
        status =
            train_report_write(&(struct train_report){&f->folder, f->record, f->model, &evaluation, phase, set, limits}, err);
    if (status == RUDD_OK && f->frozen) status = train_frozen_check(f->frozen, err);
    if (status == RUDD_OK && f->cache_is_own) train_frozen_remove(f->frozen);
    if (status == RUDD_OK) status = train_run_json_write(f->folder.path, f->record, err);
    if (status == RUDD_OK && outcome) {
        const struct train_metrics *m = &evaluation.metrics;
        /* The file's epoch. After a divergence it may be one behind the checkpoint. */
        *outcome = (struct train_outcome){.best_epoch = (int)json_integer_value(json_object_get(final, "epoch")),
                                          .phase = phase,
                                          .images = m->images,
                                          .top1 = m->top1,
                                          .top3 = m->top3,
                                          .macro_f1 = m->macro_f1,
                                          .loss = m->loss,
                                          .advice = advice};
        snprintf(outcome->path, sizeof outcome->path, "%s", f->folder.path);
    }
done:
    json_decref(final);
    train_evaluation_free(&evaluation);
    train_evaluator_destroy(evaluator);
    return status;
}

/* Writes what epochs have left in memory, when learning ends with this status. */
static enum rudd_status settle(struct train_fit_run *f, enum rudd_status status, struct rudd_error *err)
{
    if (status == RUDD_CANCELLED) return train_fit_save(f, err);
    if (status == RUDD_OK) return f->state.epoch > f->saved_epoch ? train_fit_save(f, err) : train_fit_save_best(f, err);
    /* Values that diverged go into no checkpoint. The best ones before them are judged. */
    return status == RUDD_LIMIT ? train_fit_save_best(f, NULL) : RUDD_OK;
}

/* What a run that ends early leaves besides its checkpoint. The first failure is the one to report; the record of it is as good
 * as the disk lets it be. */
static enum rudd_status end_early(struct train_fit_run *f, enum rudd_status status, struct rudd_error *err)
{
    bool has_best = f->state.best_epoch > 0;
    if (status == RUDD_CANCELLED) {
        json_object_del(f->record, "advice"); /* of where it stood before */
        json_t *best = has_best && f->model->metrics ? json_loads(f->model->metrics, 0, NULL) : NULL;
        train_fit_record_finish(f, "stopped", best, NULL);
        json_decref(best);
        return rudd_fail(err, status, "stopped behind %d steps; go on with: rudd train --resume %s",
                         (int)f->learner.optim.steps, f->folder.path);
    }
    /* Learning that diverged has ended, and its best model is judged like any other's. */
    if (status != RUDD_LIMIT || !has_best || finish(f, "failed", NULL, NULL) != RUDD_OK) train_fit_record_failure(f, err);
    return status;
}

/* Runs the frozen part over every picture, and leaves its answers where --cache-dir says, or else for
 * other runs of this user. They lie in the run's own folder where that is impossible. */
static enum rudd_status fill_frozen(struct train_fit_run *f, struct rudd_error *err)
{
    const char *dir = f->s.cache_dir;
    char shared[TRAIN_PATH];
    const bool own = dir && strcmp(dir, "-") == 0;
    const bool share = !dir && train_cache_folder_open(shared, train_frozen_bytes(f->frozen), f->s.cache_max);
    enum rudd_status status = RUDD_OK;
    int removed;
    f->cache_is_own = own || (!dir && !share);
    if (f->cache_is_own)
        dir = f->folder.path;
    else if (share)
        dir = shared;
    else
        status = train_folder_make_all(dir, err);
    if (status == RUDD_OK) status = train_frozen_fill(f->frozen, dir, f->events, err);
    if (status == RUDD_OK && share) /* a file that stays costs room, nothing else */
        train_cache_folder_trim(&removed, shared, f->s.cache_max, train_frozen_file(f->frozen), NULL);
    return status;
}

/* *run NULL: no memory; else it is to be closed and freed, also after a failure. */
static enum rudd_status open_run(struct train_fit_run **run, const struct train_settings *settings,
                                 const struct train_events *events, struct rudd_error *err)
{
    struct train_fit_run *f = *run = rudd_zalloc(1, sizeof *f);
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "training: no memory");
    f->s = *settings;
    if (events) f->paced = *events;
    f->paced.pace = &f->pace;
    f->events = &f->paced;
    f->claim = -1;
    kern_set_threads(kern_threads_within(settings->threads));
    return train_fit_open(f, err);
}

enum rudd_status train_fit(struct train_outcome *outcome, const struct train_settings *settings,
                           const struct train_events *events, struct rudd_error *err)
{
    struct train_fit_run *f;
    enum rudd_status status = open_run(&f, settings, events, err);
    if (!f) return status;
    if (status == RUDD_OK) {
        train_fit_plan_pace(f, 0);
        if (f->frozen) status = fill_frozen(f, err);
        if (status == RUDD_OK) status = run_epochs(f, err);
        enum rudd_status saved = settle(f, status, err);
        if (saved != RUDD_OK) status = saved;
        if (status == RUDD_OK) status = finish(f, "done", outcome, err);
        if (status != RUDD_OK) status = end_early(f, status, err);
    }
    train_fit_close(f);
    rudd_free(f);
    return status;
}

enum rudd_status train_fit_find_lr(struct train_lr_sweep *sweep, char *path, const struct train_settings *settings,
                                   const struct train_events *events, struct rudd_error *err)
{
    struct train_fit_run *f;
    enum rudd_status status = open_run(&f, settings, events, err);
    if (!f) return status;
    if (status == RUDD_OK) status = train_lr_sweep_run(sweep, &f->learner, events, err);
    train_pass_over(events);
    note_skipped(f);
    if (status == RUDD_OK) status = train_lr_sweep_write(sweep, f->folder.path, err);
    if (status == RUDD_OK) train_run_path(path, f->folder.path, TRAIN_LR_FINDER);
    train_fit_close(f);
    rudd_free(f);
    return status;
}
