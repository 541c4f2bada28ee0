/* cmd_train.c - `rudd train`: options, from weak to strong: defaults, the resumed run's own, config
 * file, environment, flags; then the run. */
#include "train/command.h"

#include "nn/config.h"
#include "train/cli/signals.h"
#include "train/fit.h"
#include "train/progress.h"
#include "train/run_folder.h"
#include "train/run_json.h"
#include <math.h>
#include <stdio.h>

/* With --resume, the run's options take the defaults' place and the flags are read again on top. *record then holds the text
 * that settings point into. */
static enum rudd_status resume_settings(struct nn_options *options, struct train_settings *s, json_t **record, int argc,
                                        char **argv, struct rudd_error *err)
{
    enum rudd_status status = train_run_json_read(record, s->resume, err);
    if (status != RUDD_OK) return status;
    *s = train_settings_default;
    status = nn_config_apply_json(options, json_object_get(*record, "options"), "run.json: ", err);
    if (status != RUDD_OK) return status;
    train_settings_loosen(s);
    nn_options_free(options);
    return nn_options_parse(options, argc, argv, err);
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
    json_t *record = NULL;
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status != RUDD_OK || done) goto done;
    if (s.resume) status = resume_settings(&options, &s, &record, argc, argv, err);
    if (status == RUDD_OK) status = train_settings_resolve(&s, err);
    if (status != RUDD_OK) goto done;

    struct train_events events = train_progress_events(&progress, s.quiet);
    train_signals_quit("rudd: stopped before training began; nothing was written, the same command starts again\n");
    if (s.find_lr) {
        status = find_lr(&s, &events, err);
        goto done;
    }
    status = train_fit(&outcome, &s, &events, err);
    if (status == RUDD_OK && !s.quiet)
        printf("best epoch %d; %s: %d pictures, top-1 %.1f%%, top-3 %.1f%%, macro F1 %.3f, loss %.4f\n"
               "model %s/model.safetensors, report %s/report.html\n",
               outcome.best_epoch, outcome.phase, outcome.images, 100 * outcome.top1, 100 * outcome.top3, outcome.macro_f1,
               outcome.loss, outcome.path, outcome.path);
done:
    nn_options_free(&options);
    json_decref(record);
    return status;
}
