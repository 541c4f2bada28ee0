/* cmd_train.c - `rudd train`: options, from weak to strong: defaults, the resumed run's own, config
 * file, environment, flags; then the run.
 *
 * A resumed run refuses what it cannot take on (runs/resume.h). One that is finished says so, and its
 * files stay as they are. */
#include "train/command.h"

#include "nn/config.h"
#include "train/cli/signals.h"
#include "train/fit.h"
#include "train/progress.h"
#include "train/run_folder.h"
#include "train/runs/resume.h"
#include <math.h>
#include <stdio.h>

/* What a resumed run was told when it began, and by its record. */
struct resumed {
    struct train_run run; /* settings point into its record */
    struct train_settings own;
    bool finished; /* nothing is left to learn */
};

/* With --resume, the run's options take the defaults' place and what was given is read again on top. */
static enum rudd_status resume_settings(struct resumed *r, struct nn_options *options, struct train_settings *s, int argc,
                                        char **argv, struct rudd_error *err)
{
    enum rudd_status status = train_run_open(&r->run, s->resume, err);
    if (status != RUDD_OK) return status;
    *s = train_settings_default;
    status = nn_config_apply_json(options, json_object_get(r->run.record, "options"), "run.json: ", err);
    if (status != RUDD_OK) return status;
    r->own = *s;
    train_settings_loosen(s);
    nn_options_free(options);
    status = nn_options_parse(options, argc, argv, err);
    if (status == RUDD_OK) status = train_settings_resolve(s, err);
    if (status == RUDD_OK) status = train_resume_check(&r->run, &r->own, s, err);
    r->finished = status == RUDD_OK && train_resume_is_finished(&r->run, &r->own, s);
    return status;
}

static void loosen(void *settings)
{
    train_settings_loosen(settings);
}

/* Every fifth step of a sweep, and what to make of it. */
static void print_sweep(const struct train_lr_sweep *sweep, const char *path)
{
    printf("learning rate      loss  smoothed\n");
    for (int i = 0; i < sweep->count; i++)
        if (i % 5 == 0 || i == sweep->count - 1)
            printf("%13.2e  %8.4f  %8.4f\n", sweep->rate[i], sweep->loss[i], sweep->smooth[i]);
    if (isfinite(sweep->valley))
        printf("suggested: --lr %.1e (valley); steepest fall at %.1e\n", sweep->valley, sweep->steepest);
    else
        printf("too few steps to suggest a rate\n");
    printf("all steps in %s\n", path);
}

static enum rudd_status find_lr(const struct train_settings *s, const struct train_events *events, struct rudd_error *err)
{
    struct train_lr_sweep sweep;
    char path[TRAIN_PATH];
    enum rudd_status status = train_fit_find_lr(&sweep, path, s, events, err);
    if (status == RUDD_OK && !s->quiet) print_sweep(&sweep, path);
    return status;
}

static void print_outcome(const struct train_outcome *o)
{
    printf("best epoch %d; %s: %d pictures, top-1 %.1f%%, top-3 %.1f%%, macro F1 %.3f, loss %.4f\n"
           "model %s/model.safetensors, report %s/report.html\n",
           o->best_epoch, o->phase, o->images, 100 * o->top1, 100 * o->top3, o->macro_f1, o->loss, o->path, o->path);
    for (int i = 0; i < TRAIN_ADVICE; i++)
        if (*o->advice.text[i]) puts(o->advice.text[i]);
}

/* A finished run is told to go on, and not for longer: that is done already. */
static enum rudd_status tell_finished(const struct resumed *r, const struct train_settings *s, struct rudd_error *err)
{
    struct train_outcome outcome;
    const char *path = r->run.path;
    int epochs;
    enum rudd_status status = train_resume_outcome(&outcome, &epochs, &r->run, err);
    if (status != RUDD_OK || s->quiet) return status;
    printf("%s is finished: %d of %d epochs; ", path, epochs, r->own.epochs);
    if (r->own.optimizer == TRAIN_LBFGS)
        puts("its classifier is fitted, and there is nothing left to learn");
    else if (epochs >= r->own.epochs)
        printf("to learn longer: rudd train --resume %s --epochs %d\n", path, 2 * r->own.epochs);
    else
        printf("to learn longer: rudd train --resume %s --%s 0\n", path, r->own.max_steps ? "max-steps" : "patience");
    print_outcome(&outcome);
    return RUDD_OK;
}

enum rudd_status train_cmd_train(int argc, char **argv, struct rudd_error *err)
{
    struct train_settings s = train_settings_default;
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    static const char *const unrepeated[] = {"out", "resume", NULL};
    static const struct nn_example examples[] = {
        {"learn from photos/perch/1.jpg and so on, starting from pretrained weights",
         "rudd train --data photos --weights weights.safetensors --out runs/first"},
        {"quick: only the classifier learns", "rudd train --data photos --weights weights.safetensors --freeze all"},
        {"continue after a stop", "rudd train --resume runs/first"},
        {"the same run, but longer", "rudd train --config runs/first/run.json --epochs 20"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd train --data DIR --weights FILE [OPTION ...]",
                                 .about = "Fine-tunes a classifier on a folder of pictures. The "
                                          "defaults are good for some hundred to some ten "
                                          "thousand photos. The best model so far is always in "
                                          "RUN/model.safetensors. A run that was stopped "
                                          "continues with rudd train --resume RUN. rudd train "
                                          "--config RUN/run.json repeats a run.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = train_settings_table(rows, &s),
                                 .unrepeated = unrepeated,
                                 .repeated = loosen,
                                 .user = &s};
    struct train_progress progress;
    struct train_outcome outcome;
    struct resumed resumed = {.finished = false};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status != RUDD_OK || done) goto done;
    if (s.resume)
        status = resume_settings(&resumed, &options, &s, argc, argv, err);
    else
        status = train_settings_resolve(&s, err);
    if (resumed.finished) status = tell_finished(&resumed, &s, err);
    if (status != RUDD_OK || resumed.finished) goto done;

    struct train_events events = train_progress_events(&progress, s.quiet);
    train_signals_quit("rudd: stopped before training began; nothing was written, the same command starts again\n");
    if (s.find_lr) {
        status = find_lr(&s, &events, err);
        goto done;
    }
    status = train_fit(&outcome, &s, &events, err);
    if (status == RUDD_OK && !s.quiet) print_outcome(&outcome);
done:
    nn_options_free(&options);
    train_run_close(&resumed.run);
    return status;
}
