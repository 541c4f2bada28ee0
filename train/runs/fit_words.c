/* fit_words.c - what a run in progress says of itself: see fit_words.h. */
#include "train/runs/fit_words.h"

#include "nn/text.h"
#include "train/runs/caution.h"
#include <stdio.h>
#include <string.h>

/* ---- before the first epoch ------------------------------------------------------------------ */

void train_fit_note_memory(const struct train_fit_run *f, int batch)
{
    /* Percent of a step's time, where every block recomputes: docs/training.md, Memory. */
    enum { PART_COSTS = 9, ALL_COSTS = 19 };
    const struct train_learner *l = &f->learner;
    const int part = nn_plan_recomputes(l->plan, NN_RECOMPUTE_ELEMENTWISE);
    const int all = nn_plan_recomputes(l->plan, NN_RECOMPUTE_ALL);
    const int blocks = nn_plan_recomputes(l->plan, NN_RECOMPUTE_NOTHING) + part + all;
    const double slower = blocks ? (double)(PART_COSTS * part + ALL_COSTS * all) / blocks : 0;
    const double limit = (double)f->budget.limit / 1e6;
    const int taken = l->options.plan.batch;
    if (limit > 0 && slower >= 1)
        train_note(f->events,
                   "To fit into %.0f MB of memory, parts of the network are computed twice: about "
                   "%.0f %% slower.",
                   limit, slower);
    if (taken < batch)
        train_note(f->events,
                   "Caution: %d pictures at a time do not fit into %.0f MB, so the network sees %d "
                   "and takes a step after %d times; results may differ a little, since batch norm "
                   "sees %d. A larger --memory-limit or smaller pictures avoid it.",
                   batch, limit, taken, l->options.accumulate, taken);
}

/* What learning takes: activations, weights, gradients, the optimiser's state, an average; and
 * validation. */
static double memory_bytes(const struct train_fit_run *f)
{
    const struct nn_plan *plan = f->learner.plan;
    const size_t values = f->model->value_count * sizeof *f->model->values;
    const size_t optimiser = train_optim_bytes(f->model, (enum train_optim_kind)f->s.optimizer);
    return (double)(nn_plan_bytes(plan) + nn_plan_weight_bytes(plan) + optimiser +
                    values * (f->s.ema > 0 ? 3 : 2) + train_fit_validation_bytes(f));
}

/* "5.9 million", "48 thousand", "300" */
static const char *print_count(char text[32], double count)
{
    if (count >= 1e6)
        snprintf(text, 32, "%.1f million", count / 1e6);
    else if (count >= 1e4)
        snprintf(text, 32, "%.0f thousand", count / 1e3);
    else
        snprintf(text, 32, "%.0f", count);
    return text;
}

enum rudd_status train_fit_note_run(const struct train_fit_run *f, struct rudd_error *err)
{
    const struct train_caution_facts facts = {&f->s, &f->splits, f->model->arch};
    const double values = (double)nn_model_parameter_count(f->model);
    const int size = f->model->preprocess.image_size, threads = kern_threads();
    char total[32], some[32], part[80] = "all of them learn";
    double learning = 0;
    for (int i = 0; i < f->model->param_count; i++)
        if (f->learner.trains[i]) learning += (double)f->model->params[i].count;
    if (learning < values)
        snprintf(part, sizeof part, "%s of them learn (--freeze %.20s)",
                 print_count(some, learning), f->s.freeze);
    const enum rudd_status status = f->s.resume ? RUDD_OK : train_caution(&facts, f->events, err);
    if (status != RUDD_OK) return status;
    train_note(f->events,
               "Network: %s, %s weights, %s numbers, %s; it sees pictures of %d x %d pixels.",
               f->model->arch, f->s.weights ? "pretrained" : "random", print_count(total, values),
               part, size, size);
    train_note(f->events, "Run %s: %d %s, %d %s, about %.0f MB of memory.", f->folder.path,
               f->s.epochs, f->s.epochs == 1 ? "epoch" : "epochs", threads,
               threads == 1 ? "thread" : "threads", memory_bytes(f) / 1e6);
    return RUDD_OK;
}

/* ---- while it learns ------------------------------------------------------------------------- */

const struct data_set *train_fit_judging_set(const struct train_fit_run *f)
{
    const struct data_splits *s = &f->splits;
    return s->test.count ? &s->test : s->val.count ? &s->val : &s->train;
}

void train_fit_plan_pace(struct train_fit_run *f, int epoch)
{
    struct train_pace *p = &f->pace;
    const struct data_splits *s = &f->splits;
    const struct train_learner_options *o = &f->learner.options;
    const int views = f->s.cache_views ? f->s.cache_views : 1;
    const int passes = f->s.epochs - (epoch ? epoch : 1) + 1;
    double learn = f->s.optimizer == TRAIN_LBFGS ? 0 : (double)passes * s->train.count;
    double judge = (double)passes * s->val.count + train_fit_judging_set(f)->count, cache = 0;
    if (f->s.max_steps) {
        const double steps = f->s.max_steps - (double)f->learner.optim.steps;
        const double most = steps > 0 ? steps * o->loader.batch * o->accumulate : 0;
        learn = most < learn ? most : learn;
    }
    if (f->frozen && !epoch) cache = (double)views * s->train.count + s->val.count + s->test.count;
    p->work[TRAIN_PACE_LEARN] = p->done[TRAIN_PACE_LEARN] + learn;
    p->work[TRAIN_PACE_JUDGE] = p->done[TRAIN_PACE_JUDGE] + judge;
    p->work[TRAIN_PACE_CACHE] = p->done[TRAIN_PACE_CACHE] + cache;
}

/* ---- when it is over ------------------------------------------------------------------------- */

/* Only the classifier learns. */
static bool is_head_only(const struct train_fit_run *f)
{
    return f->learner.options.plan.freeze_stage == nn_model_stage_count(f->model) - 1;
}

/* The sentences as JSON; false: no memory. */
static bool record_advice(json_t *record, const struct train_advice *advice)
{
    json_t *list = json_array();
    bool ok = list;
    for (int i = 0; ok && i < TRAIN_ADVICE; i++)
        ok = json_array_append_new(list, nn_text_json(advice->text[i])) == 0;
    ok = ok && json_object_set(record, "advice", list) == 0;
    json_decref(list);
    return ok;
}

enum rudd_status train_fit_advise(struct train_advice *advice, struct train_fit_run *f,
                                  const struct train_evaluation *evaluation, const char *phase,
                                  bool diverged, struct rudd_error *err)
{
    struct train_mistakes mistakes;
    int *counts = data_set_counts(&f->splits.train);
    struct train_advice_facts facts = {.run = f->folder.path,
                                       .data = f->s.data,
                                       .phase = phase,
                                       .epochs = f->folder.epochs,
                                       .epoch_count = f->folder.count,
                                       .epochs_asked = f->s.epochs,
                                       .best_epoch = (int)f->state.best_epoch,
                                       .train = &f->splits.train,
                                       .judged = train_fit_judging_set(f),
                                       .train_counts = counts,
                                       .val_count = f->splits.val.count,
                                       .evaluation = evaluation,
                                       .mistakes = &mistakes,
                                       .divided = f->splits.divided,
                                       .pretrained = f->s.weights,
                                       .head_only = is_head_only(f),
                                       .whole_fit = f->s.optimizer == TRAIN_LBFGS,
                                       .diverged = diverged,
                                       .augment = f->s.augment,
                                       .randaugment = f->s.view.randaugment > 0};
    bool ok = counts && train_mistakes_find(&mistakes, evaluation, NULL) == RUDD_OK;
    if (ok) {
        train_advise(advice, &facts);
        ok = record_advice(f->record, advice);
        train_mistakes_free(&mistakes);
    }
    rudd_free(counts);
    return ok ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's advice");
}
