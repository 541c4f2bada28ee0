/* settings.h - everything `rudd train` can be told, with its defaults, as one struct and one table of options.
 *
 * The table (settings.c) is the only list: the command line, --help, config files, run.json and --resume are derived from it.
 * Some settings depend on others when not given (the learning rate on the optimiser, the colour strengths on --jitter); 0 or -1
 * stands for "not given" until train_settings_resolve has replaced it, so that run.json records what was really used. */
#ifndef TRAIN_SETTINGS_H
#define TRAIN_SETTINGS_H

#include "data/image/augment.h"
#include "nn/options.h"
#include "train/optim.h"
#include "train/schedule.h"

/* Where activations at the frontier of a frozen network are kept (frozen.h). */
enum train_cache_kind { TRAIN_CACHE_AUTO, TRAIN_CACHE_FLOAT16, TRAIN_CACHE_FLOAT32, TRAIN_CACHE_OFF };
enum train_class_weights { TRAIN_WEIGHTS_NONE, TRAIN_WEIGHTS_BALANCED };

struct train_settings {
    const char *data, *weights, *arch, *out, *resume, *labels, *freeze; /* NULL: not given */
    bool allow_missing, quiet;

    int image_size; /* 0: the model's */
    int resize;     /* enum nn_resize_mode */
    int filter;     /* enum nn_filter */
    double reduce;  /* nn_preprocess.reduce */
    double max_megapixels;
    bool truncated;
    double split[3];

    int epochs, batch, accumulate, max_steps, patience, seed, threads, prefetch;
    int optimizer; /* enum train_optim_kind */
    int schedule;  /* enum train_schedule_kind */
    double lr, head_lr, layer_decay, weight_decay, momentum, warmup_epochs, decay_epochs, decay_rate, clip_norm, ema;
    int unfreeze_epochs;   /* 0: all at once */
    int cache;             /* enum train_cache_kind; once resolved, not AUTO */
    const char *cache_dir; /* NULL: cache_folder.h's; "-": the run folder, and deleted at the end */
    size_t cache_max;      /* bytes of cache_folder.h's */
    int cache_views;       /* 0: one, as evaluation sees it */
    bool find_lr;          /* the sweep of lr_find.h in place of a run */
    double label_smoothing;
    int class_weights; /* enum train_class_weights */
    int sampling;      /* enum data_sampling */
    double mixup, cutmix, focal;
    const char *teacher; /* NULL: none */
    double distill_weight, distill_temperature;
    int head_hidden; /* units of the classifier's hidden layer; 0: as the weights have it */
    double dropout, drop_path, bn_momentum;
    bool freeze_bn;
    size_t memory_limit;
    int checkpoint_steps; /* and minutes: 0: none but behind epochs */
    double checkpoint_minutes;
    double checkpoint_seconds; /* behind an epoch, the least age of the checkpoint before; 0: behind each */

    bool augment;
    double jitter; /* stands for brightness, contrast and saturation where those are -1; itself -1: not given */
    struct data_augment view;
};

extern const struct train_settings train_settings_default;

/* Writes the option table for *settings into rows[TRAIN_SETTINGS_ROWS]; returns how many rows. */
enum { TRAIN_SETTINGS_ROWS = 120 };
int train_settings_table(struct nn_option rows[TRAIN_SETTINGS_ROWS], struct train_settings *settings);

/* Replaces what was not given by what it depends on, and checks what no single range can: --data or --resume, --weights or
 * --arch, bounds in order. RUDD_ARGUMENT. Resolving twice changes nothing. */
enum rudd_status train_settings_resolve(struct train_settings *settings, struct rudd_error *err);

/* Of resolved settings, those that would be the same had they not been given become so: they follow again when others are overridden. */
void train_settings_loosen(struct train_settings *settings);

/* What pictures may be, by max_megapixels and truncated. */
struct data_limits train_settings_limits(const struct train_settings *settings);

/* The options that say where and how, not what: equal runs may differ in them (out, resume, threads, quiet, ...). */
bool train_settings_incidental(const char *name);
/* The options whose value a run keeps for good: given with --resume, another value is refused. All others may
 * change when a run goes on. */
bool train_settings_kept(const char *name);

#endif
