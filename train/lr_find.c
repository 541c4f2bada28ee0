/* lr_find.c - the learning-rate sweep: see lr_find.h. */
#include "train/lr_find.h"

#include "train/run_folder.h"
#include "weights/replace.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double first_rate = 1e-7, last_rate = 10, memory = 0.98, too_much = 4;

/* The batches of one step, over the border of an epoch where it comes to that; *loss: their mean. */
static enum rudd_status take_step(double *loss, struct train_learner *l, struct rudd_error *err)
{
    const uint64_t steps = l->optim.steps;
    double sum = l->tally.loss, mass = l->tally.mass;
    while (l->optim.steps == steps) {
        bool more;
        enum rudd_status status = train_learner_batch(&more, l, err);
        if (status != RUDD_OK) return status;
        *loss = (l->tally.loss - sum) / (l->tally.mass - mass);
        if (more) continue;
        sum = mass = 0;
        l->tally = (struct train_tally){0};
        status = train_learner_start(l, l->epoch + 1, NULL, err);
        if (status != RUDD_OK) return status;
    }
    return RUDD_OK;
}

enum rudd_status train_lr_sweep_run(struct train_lr_sweep *sweep, struct train_learner *learner,
                                    const struct train_events *events, struct rudd_error *err)
{
    const struct train_learner_options *o = &learner->options;
    const int pictures = o->plan.batch * o->accumulate;
    double sum = 0, best = INFINITY, began = train_now();
    *sweep = (struct train_lr_sweep){.steepest = NAN, .valley = NAN};
    learner->options.max_steps = 0;
    learner->options.unfreeze_epochs = 0; /* all that learns sooner or later */
    enum rudd_status status = train_learner_start(learner, 1, events, err);
    if (status != RUDD_OK) return status;
    for (int i = 0; i < TRAIN_LR_STEPS && !sweep->diverged; i++) {
        double rate = first_rate * pow(last_rate / first_rate, i / (double)(TRAIN_LR_STEPS - 1)), loss = 0;
        learner->forced = rate / o->optim.lr;
        status = take_step(&loss, learner, err);
        if (status == RUDD_LIMIT && i > 0) { /* not finite: the sweep has found what it looks for */
            sweep->diverged = true;
            break;
        }
        if (status != RUDD_OK) return status;
        sum = memory * sum + (1 - memory) * loss;
        double smooth = sum / (1 - pow(memory, i + 1));
        if (smooth < best) best = smooth;
        sweep->rate[i] = rate;
        sweep->loss[i] = loss;
        sweep->smooth[i] = smooth;
        sweep->count = i + 1;
        sweep->diverged = smooth > too_much * best;
        train_tick(events, (struct train_tick){.phase = "sweep",
                                               .done = pictures * (i + 1),
                                               .total = pictures * TRAIN_LR_STEPS,
                                               .loss = smooth,
                                               .seconds = train_now() - began,
                                               .kind = TRAIN_PACE_LEARN});
        if (events && events->stop && events->stop(events->user))
            return rudd_fail(err, RUDD_CANCELLED, "--find-lr: stopped on request after %d steps", i + 1);
    }
    train_note(events, "Tried %d learning rates%s.", sweep->count,
               sweep->diverged ? ", until the loss grew out of all bounds" : "");
    train_lr_sweep_suggest(sweep);
    return RUDD_OK;
}

/* Where loss falls fastest along the logarithm of the rate. */
static double steepest(const double *rate, const double *loss, int n)
{
    int at = 0;
    double least = INFINITY;
    for (int i = 0; i + 1 < n; i++) {
        double slope = (loss[i + 1] - loss[i]) / (log(rate[i + 1]) - log(rate[i]));
        if (slope < least) {
            least = slope;
            at = i;
        }
    }
    return rate[at];
}

/* The longest falling subsequence of the losses, the first of several, taken to end where it ends and to begin its length before that;
 * the rate half way along, as a third and half a third in whole steps. All as fastai writes it. */
static double valley(const double *rate, const double *loss, int n)
{
    int length[TRAIN_LR_STEPS] = {1}, end = 0;
    for (int i = 1; i < n; i++) {
        length[i] = 1;
        for (int j = 0; j < i; j++)
            if (loss[i] < loss[j] && length[i] < length[j] + 1) length[i] = length[j] + 1;
        if (length[i] > length[end]) end = i;
    }
    double third = length[end] / 3.0;
    int at = end - length[end] + (int)third + (int)(third / 2);
    return rate[at > 0 ? at : 0];
}

void train_lr_sweep_suggest(struct train_lr_sweep *sweep)
{
    const int skip = TRAIN_LR_STEPS / 10, n = sweep->count - skip - 5;
    sweep->steepest = sweep->valley = NAN;
    if (n < 2) return;
    sweep->steepest = steepest(sweep->rate + skip, sweep->smooth + skip, n);
    sweep->valley = valley(sweep->rate + skip, sweep->smooth + skip, n);
}

enum rudd_status train_lr_sweep_write(const struct train_lr_sweep *sweep, const char *folder, struct rudd_error *err)
{
    char path[TRAIN_PATH];
    json_t *steps = json_array();
    for (int i = 0; i < sweep->count; i++)
        json_array_append_new(steps, json_pack("{s:f,s:f,s:f}", "learning_rate", sweep->rate[i], "loss", sweep->loss[i],
                                               "smoothed_loss", sweep->smooth[i]));
    bool whole = (int)json_array_size(steps) == sweep->count;
    json_t *object = json_pack("{s:o,s:o,s:b,s:o}", "steepest", train_json_number(sweep->steepest), "valley",
                               train_json_number(sweep->valley), "diverged", sweep->diverged, "steps", steps);
    char *text = object && whole ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    train_run_path(path, folder, TRAIN_LR_FINDER);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    enum rudd_status status = weights_write_bytes(path, text, strlen(text), err);
    free(text); /* jansson's */
    return status;
}
