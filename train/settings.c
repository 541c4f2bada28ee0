/* settings.c - the option table of `rudd train`, its defaults and what follows from what.
 *
 * The defaults are a recipe for fine-tuning on some hundred to some ten thousand photos: AdamW at 3e-4 with a ten times faster
 * new classifier, cosine with half an epoch of warm-up, decay 0.02, random resized crop 0.5-1, flip, colour jitter 0.2,
 * smoothing 0.1, whole picture squashed to the square (nothing of a fish is cut off). */
#include "train/settings.h"

#include <limits.h>
#include <string.h>

const struct train_settings train_settings_default = {
    .freeze = "none",
    .resize = NN_RESIZE_SQUASH,
    .filter = NN_BICUBIC,
    .split = {0.7, 0.15, 0.15},
    .epochs = 8,
    .batch = 16,
    .accumulate = 1,
    .prefetch = 2,
    .memory_limit = NN_BYTES_AUTO,
    .checkpoint_minutes = 10,
    .checkpoint_seconds = 10,
    .optimizer = TRAIN_ADAMW,
    .schedule = TRAIN_COSINE,
    .layer_decay = 1,
    .weight_decay = -1,
    .momentum = 0.9,
    .warmup_epochs = 0.5,
    .decay_epochs = 3,
    .decay_rate = 0.1,
    .label_smoothing = 0.1,
    .distill_weight = 0.5,
    .cache_max = (size_t)4 << 30,
    .distill_temperature = 3,
    .bn_momentum = 0.1,
    .augment = true,
    .jitter = -1,
    .max_megapixels = DATA_MEGAPIXELS,
    .view = {.crop_min = 0.5,
             .crop_max = 1,
             .ratio_min = 3.0 / 4,
             .ratio_max = 4.0 / 3,
             .flip = 0.5,
             .brightness = -1,
             .contrast = -1,
             .saturation = -1},
};

int train_settings_table(struct nn_option rows[TRAIN_SETTINGS_ROWS], struct train_settings *s)
{
    /* clang-format off */
    const struct nn_option table[] = {
        {"data", NN_OPTION_STRING, &s->data, "DIR", 0, 0, "train/ val/ test/ with a folder per class, or just the class folders"},
        {"weights", NN_OPTION_STRING, &s->weights, "FILE", 0, 0, "pretrained weights to start from"},
        {"arch", NN_OPTION_STRING, &s->arch, "NAME", 0, 0, "architecture; needed without --weights, or where the file does not say"},
        {"out", NN_OPTION_STRING, &s->out, "RUN", 0, 0, "run folder to make; else the next free one in runs/"},
        {"resume", NN_OPTION_STRING, &s->resume, "RUN", 0, 0, "go on with this run, with its own options"},
        {"labels", NN_OPTION_STRING, &s->labels, "FILE", 0, 0, "label map [{\"name\",\"latin\",\"en\",\"ru\"}]; else DIR/labels.json if there; none: without"},
        {"allow-missing", NN_OPTION_FLAG, &s->allow_missing, NULL, 0, 0, "initialise what the weights file lacks"},
        {"quiet", NN_OPTION_FLAG, &s->quiet, NULL, 0, 0, "print nothing but errors"},
        {"config", NN_OPTION_CONFIG, NULL, "FILE", 0, 0, "options from a file of name = value lines, or all of a run from its run.json"},

        {"image-size", NN_OPTION_INT, &s->image_size, "N", 0, 4096, "side of the network's input; 0: the model's own"},
        {"resize", NN_OPTION_CHOICE, &s->resize, "crop|squash|pad", 0, 0, "how pictures become square"},
        {"filter", NN_OPTION_CHOICE, &s->filter, "bicubic|bilinear", 0, 0, "interpolation"},
        {"reduce", NN_OPTION_DOUBLE, &s->reduce, "X", 0, 100,
         "decode JPEGs at 1/2, 1/4 or 1/8 where X times what is needed remains (try 3); 0: whole"},
        DATA_OPTION_MEGAPIXELS(&s->max_megapixels),
        DATA_OPTION_TRUNCATED(&s->truncated),
        {"split", NN_OPTION_DOUBLES, s->split, "TRAIN,VAL,TEST", 0, 1, "shares, where DIR is not split yet"},

        {"epochs", NN_OPTION_INT, &s->epochs, "N", 1, 100000, "passes over the training pictures"},
        {"batch", NN_OPTION_INT, &s->batch, "N", 1, 4096, "pictures per pass through the network"},
        {"accumulate", NN_OPTION_INT, &s->accumulate, "N", 1, 4096, "batches per optimiser step"},
        {"max-steps", NN_OPTION_INT, &s->max_steps, "N", 0, 1000000000, "stop after this many optimiser steps; 0: no limit"},
        {"patience", NN_OPTION_INT, &s->patience, "N", 0, 100000, "stop after this many epochs without a better one; 0: never"},
        {"seed", NN_OPTION_INT, &s->seed, "N", 0, 2147483647, "names all random choices; same seed, same run"},
        NN_OPTION_THREADS(&s->threads, "changes the speed only"),
        {"prefetch", NN_OPTION_INT, &s->prefetch, "N", 0, 64, "batches loaded ahead of the network; changes the speed only"},
        {"checkpoint-steps", NN_OPTION_INT, &s->checkpoint_steps, "N", 0, 1000000000, "save every N optimiser steps, not only after epochs; 0: no"},
        {"checkpoint-minutes", NN_OPTION_DOUBLE, &s->checkpoint_minutes, "X", 0, 1e6, "save when the last checkpoint is so old; 0: no"},
        {"checkpoint-seconds", NN_OPTION_DOUBLE, &s->checkpoint_seconds, "X", 0, 1e6, "save after an epoch when the last checkpoint is so old; 0: after each"},
        NN_OPTION_MEMORY(&s->memory_limit, "for activations: met by recomputing, then, if given, by accumulating smaller batches"),

        {"optimizer", NN_OPTION_CHOICE, &s->optimizer, "adamw|sgd|rmsprop|lion|lbfgs", 0, 0, "how gradients become steps; lbfgs: with --freeze all, the best classifier at once"},
        {"lr", NN_OPTION_DOUBLE, &s->lr, "X", 0, 100, "peak learning rate; 0: 3e-4, for sgd 1e-2, for lion 6e-5"},
        {"head-lr", NN_OPTION_DOUBLE, &s->head_lr, "X", 0, 1000, "the classifier's; 0: ten times --lr"},
        {"layer-decay", NN_OPTION_DOUBLE, &s->layer_decay, "X", 0.01, 1, "rate of each stage, as a share of the stage's above it"},
        {"weight-decay", NN_OPTION_DOUBLE, &s->weight_decay, "X", -1, 10, "not for norms and biases; -1: 0.02, for lion 0.1, for lbfgs 0.03, for rmsprop 1e-5"},
        {"momentum", NN_OPTION_DOUBLE, &s->momentum, "X", 0, 0.9999, "of sgd (Nesterov's) and rmsprop"},
        {"schedule", NN_OPTION_CHOICE, &s->schedule, "cosine|plateau|constant|step|one-cycle", 0, 0, "how the learning rate moves"},
        {"warmup-epochs", NN_OPTION_DOUBLE, &s->warmup_epochs, "X", 0, 1000, "linear rise at the start; one-cycle has its own"},
        {"decay-epochs", NN_OPTION_DOUBLE, &s->decay_epochs, "X", 0.001, 100000, "of step: from one fall to the next"},
        {"decay-rate", NN_OPTION_DOUBLE, &s->decay_rate, "X", 0, 1, "of step: what each fall leaves of the rate"},
        {"find-lr", NN_OPTION_FLAG, &s->find_lr, NULL, 0, 0, "do not train: sweep the rate from 1e-7 to 10 and suggest one"},
        {"clip-norm", NN_OPTION_DOUBLE, &s->clip_norm, "X", 0, 1e9, "largest norm of the gradient; 0: as it is"},
        {"ema", NN_OPTION_DOUBLE, &s->ema, "DECAY", 0, 0.999999, "evaluate and keep a moving average of the weights; 0: off"},
        {"label-smoothing", NN_OPTION_DOUBLE, &s->label_smoothing, "X", 0, 0.99, "target mass spread over all classes"},
        {"class-weights", NN_OPTION_CHOICE, &s->class_weights, "none|balanced", 0, 0, "balanced: rare classes count more"},
        {"sampling", NN_OPTION_CHOICE, &s->sampling, "natural|balanced", 0, 0, "balanced: an epoch shows all classes equally often"},
        {"focal", NN_OPTION_DOUBLE, &s->focal, "GAMMA", 0, 20, "focal loss: sure answers count less; 0: cross-entropy"},
        {"mixup", NN_OPTION_DOUBLE, &s->mixup, "ALPHA", 0, 100, "blend pictures of a batch in pairs; 0: off, 0.2 is usual"},
        {"cutmix", NN_OPTION_DOUBLE, &s->cutmix, "ALPHA", 0, 100, "or paste a rectangle of the other; 0: off, 1 is usual"},
        {"teacher", NN_OPTION_STRING, &s->teacher, "FILE", 0, 0, "distil from this model, of the same classes and image size"},
        {"distill-weight", NN_OPTION_DOUBLE, &s->distill_weight, "A", 0, 1, "the teacher's part of the loss"},
        {"distill-temperature", NN_OPTION_DOUBLE, &s->distill_temperature, "T", 0.1, 1000, "softens both answers"},
        {"freeze", NN_OPTION_STRING, &s->freeze, "all|none|STAGE", 0, 0, "all: train the classifier only; stem, 1, 2 ..: up to that stage"},
        {"unfreeze-epochs", NN_OPTION_INT, &s->unfreeze_epochs, "N", 0, 100000, "the classifier first, a stage more every N epochs; 0: all at once"},
        {"cache", NN_OPTION_CHOICE, &s->cache, "auto|float16|float32|off", 0, 0, "frozen stages run once; auto: when only the classifier learns, or views are given"},
        {"cache-dir", NN_OPTION_STRING, &s->cache_dir, "DIR|-", 0, 0, "where what they gave is kept for other runs; else in $XDG_CACHE_HOME/rudd; -: in RUN, until its end"},
        {"cache-max", NN_OPTION_BYTES, &s->cache_max, "BYTES", 0, 0, "size of $XDG_CACHE_HOME/rudd: files that were used least recently are deleted"},
        {"cache-views", NN_OPTION_INT, &s->cache_views, "N", 0, 1000, "random views of a picture to keep; 0: one, as evaluation sees it"},
        {"freeze-bn", NN_OPTION_FLAG, &s->freeze_bn, NULL, 0, 0, "keep the running statistics of all batch norms"},
        {"bn-momentum", NN_OPTION_DOUBLE, &s->bn_momentum, "X", 0, 1, "share of the new batch in running statistics"},
        {"head-hidden", NN_OPTION_INT, &s->head_hidden, "N", 0, NN_MAX_HIDDEN, "hidden units (SiLU) in the classifier; 0: as in the weights, which is none"},
        {"dropout", NN_OPTION_DOUBLE, &s->dropout, "P", 0, 0.99, "before each layer of the classifier"},
        {"drop-path", NN_OPTION_DOUBLE, &s->drop_path, "P", 0, 0.99, "stochastic depth of the last block"},

        {"augment", NN_OPTION_FLAG, &s->augment, NULL, 0, 0, "random views; --no-augment: pictures as evaluation sees them"},
        {"crop-min", NN_OPTION_DOUBLE, &s->view.crop_min, "X", 0.01, 1, "least share of the area in a random crop"},
        {"crop-max", NN_OPTION_DOUBLE, &s->view.crop_max, "X", 0, 1, "largest; 0: no random crop"},
        {"flip", NN_OPTION_DOUBLE, &s->view.flip, "P", 0, 1, "mirror left and right, probability"},
        {"rotate", NN_OPTION_DOUBLE, &s->view.rotate, "DEG", 0, 180, "turn by up to"},
        {"shift", NN_OPTION_DOUBLE, &s->view.shift, "X", 0, 1, "move by up to this share of the side"},
        {"zoom", NN_OPTION_DOUBLE, &s->view.zoom, "X", 0, 0.9, "scale by 1-X to 1+X"},
        {"shear", NN_OPTION_DOUBLE, &s->view.shear, "DEG", 0, 60, "shear by up to"},
        {"randaugment", NN_OPTION_DOUBLE, &s->view.randaugment, "M", 0, 10, "two random operations of magnitude M; 0: off, 9 is usual"},
        {"jitter", NN_OPTION_DOUBLE, &s->jitter, "X", -1, 1, "brightness, contrast, saturation, where not given; -1: 0.2, or 0 with --randaugment"},
        {"brightness", NN_OPTION_DOUBLE, &s->view.brightness, "X", -1, 1, "-1: as --jitter"},
        {"contrast", NN_OPTION_DOUBLE, &s->view.contrast, "X", -1, 1, "-1: as --jitter"},
        {"saturation", NN_OPTION_DOUBLE, &s->view.saturation, "X", -1, 1, "-1: as --jitter"},
        {"hue", NN_OPTION_DOUBLE, &s->view.hue, "X", 0, 0.5, "share of the colour circle"},
        {"erase", NN_OPTION_DOUBLE, &s->view.erase, "P", 0, 1, "random erasing, probability"},
    };
    /* clang-format on */
    _Static_assert(sizeof table <= sizeof(struct nn_option[TRAIN_SETTINGS_ROWS]), "enlarge TRAIN_SETTINGS_ROWS");
    memcpy(rows, table, sizeof table);
    return (int)(sizeof table / sizeof *table);
}

struct data_limits train_settings_limits(const struct train_settings *settings)
{
    return data_limits_of(settings->max_megapixels, settings->truncated);
}

bool train_settings_incidental(const char *name)
{
    /* clang-format off */
    static const char *const names[] = {
        "data", "weights", "out", "resume", "labels", "config", "quiet", "threads", "memory-limit", "max-steps",
        "cache-dir", "cache-max", "prefetch", "checkpoint-steps", "checkpoint-minutes", "checkpoint-seconds", "find-lr"};
    /* clang-format on */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* Whether frozen stages run once, and on what: a cached picture is the same in every epoch but for --cache-views. */
static enum rudd_status resolve_cache(struct train_settings *s, struct rudd_error *err)
{
    const bool head_only = strcmp(s->freeze, "all") == 0 || strcmp(s->freeze, "head") == 0;
    const bool asked = s->cache == TRAIN_CACHE_FLOAT16 || s->cache == TRAIN_CACHE_FLOAT32 || s->cache_views > 0;
    const char *against = s->find_lr                       ? "--find-lr"
                          : strcmp(s->freeze, "none") == 0 ? "--freeze none"
                          : s->mixup > 0                   ? "--mixup"
                          : s->cutmix > 0                  ? "--cutmix"
                          : s->teacher                     ? "--teacher"
                          : s->cache == TRAIN_CACHE_OFF    ? "--cache off"
                          : s->cache_views && !s->augment  ? "--no-augment"
                                                           : NULL;
    if (against && asked)
        return rudd_fail(err, RUDD_ARGUMENT, "--cache, --cache-views: not with %s, which needs %s", against,
                         s->cache_views && !s->augment ? "no views" : "the pictures themselves in every epoch");
    if (s->cache == TRAIN_CACHE_AUTO)
        s->cache = !against && (head_only || !s->augment || s->cache_views) ? TRAIN_CACHE_FLOAT16 : TRAIN_CACHE_OFF;
    if (s->cache != TRAIN_CACHE_OFF && !s->cache_views) s->augment = false;
    return RUDD_OK;
}

/* L-BFGS fits the classifier as a whole, in one epoch. */
static enum rudd_status resolve_lbfgs(struct train_settings *s, struct rudd_error *err)
{
    const char *against = strcmp(s->freeze, "all") != 0 && strcmp(s->freeze, "head") != 0 ? "--freeze all"
                          : s->find_lr                                                    ? "no rate, no --find-lr"
                          : s->mixup > 0                                                  ? "whole pictures, no --mixup"
                          : s->cutmix > 0                                                 ? "whole pictures, no --cutmix"
                          : s->teacher                                                    ? "no --teacher"
                          : s->cache == TRAIN_CACHE_OFF                                   ? "cached activations, no --cache off"
                          : s->sampling                                                   ? "every picture once, no --sampling"
                          : s->focal > 0                                                  ? "cross-entropy, no --focal"
                          : s->ema > 0                                                    ? "no --ema"
                          : s->dropout > 0                                                ? "no --dropout"
                          : s->head_hidden                                                ? "one layer, no --head-hidden"
                                                                                          : NULL;
    if (against) return rudd_fail(err, RUDD_ARGUMENT, "--optimizer lbfgs: needs %s", against);
    s->epochs = 1;
    s->schedule = TRAIN_CONSTANT;
    return RUDD_OK;
}

enum rudd_status train_settings_resolve(struct train_settings *s, struct rudd_error *err)
{
    if (!s->data) return rudd_fail(err, RUDD_ARGUMENT, "--data DIR is missing: the folder of pictures to learn from");
    if (!s->weights && !s->arch && !s->resume)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--weights FILE is missing; give pretrained weights, or --arch NAME alone to start from random ones");
    if (s->view.crop_max > 0 && s->view.crop_min > s->view.crop_max)
        return rudd_fail(err, RUDD_ARGUMENT, "--crop-min: found %g, expected at most --crop-max, %g", s->view.crop_min,
                         s->view.crop_max);
    if (s->split[0] + s->split[1] + s->split[2] > 1.0001 || s->split[0] <= 0)
        return rudd_fail(err, RUDD_ARGUMENT, "--split: found %g,%g,%g, expected shares that add up to 1, with some to train on",
                         s->split[0], s->split[1], s->split[2]);
    if (s->find_lr && s->resume)
        return rudd_fail(err, RUDD_ARGUMENT, "--find-lr: sweeps before a run, not within one; leave --resume out");
    enum rudd_status status = resolve_cache(s, err);
    if (status == RUDD_OK && s->optimizer == TRAIN_LBFGS) status = resolve_lbfgs(s, err);
    if (status != RUDD_OK) return status;
    static const struct {
        double lr, weight_decay;
    } usual[] = {[TRAIN_ADAMW] = {3e-4, 0.02},
                 [TRAIN_SGD] = {1e-2, 0.02},
                 [TRAIN_RMSPROP] = {3e-4, 1e-5},
                 [TRAIN_LION] = {6e-5, 0.1},
                 [TRAIN_LBFGS] = {1, 0.03}};
    if (s->lr == 0) s->lr = usual[s->optimizer].lr;
    if (s->weight_decay < 0) s->weight_decay = usual[s->optimizer].weight_decay;
    if (s->head_lr == 0) s->head_lr = 10 * s->lr;
    if (s->jitter < 0) s->jitter = s->view.randaugment > 0 ? 0 : 0.2; /* RandAugment has colours of its own */
    double *colour[] = {&s->view.brightness, &s->view.contrast, &s->view.saturation};
    for (int i = 0; i < 3; i++)
        if (*colour[i] < 0) *colour[i] = s->jitter;

    /* Nine digits are what run.json keeps: a run uses what its record says, so that a resumed or repeated one uses the same. */
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    const struct nn_options table = {.rows = rows, .count = train_settings_table(rows, s)};
    for (int i = 0; i < table.count; i++)
        if (rows[i].type == NN_OPTION_DOUBLE || rows[i].type == NN_OPTION_DOUBLES) {
            char name[64], text[400];
            nn_option_set(&table, nn_option_name(name, sizeof name, &rows[i]), nn_option_print(text, sizeof text, &rows[i]), "",
                          NULL);
        }
    return RUDD_OK;
}

static bool equal_settings(struct train_settings *a, struct train_settings *b)
{
    struct nn_option ours[TRAIN_SETTINGS_ROWS], theirs[TRAIN_SETTINGS_ROWS];
    const int count = train_settings_table(ours, a);
    train_settings_table(theirs, b);
    for (int i = 0; i < count; i++) {
        char x[PATH_MAX + 1], y[PATH_MAX + 1];
        if (strcmp(nn_option_print(x, sizeof x, &ours[i]), nn_option_print(y, sizeof y, &theirs[i])) != 0) return false;
    }
    return true;
}

/* From the last option up: what was not given hangs on options above it. */
void train_settings_loosen(struct train_settings *settings)
{
    struct train_settings resolved = *settings, nothing = train_settings_default, loose, tried;
    struct nn_option rows[TRAIN_SETTINGS_ROWS], defaults[TRAIN_SETTINGS_ROWS];
    const struct nn_options table = {.rows = rows, .count = train_settings_table(rows, &loose)};
    if (train_settings_resolve(&resolved, NULL) != RUDD_OK || !equal_settings(&resolved, settings)) return;
    train_settings_table(defaults, &nothing);
    for (int i = table.count - 1; i >= 0; i--) {
        char name[64], text[400];
        if (rows[i].type == NN_OPTION_STRING || !nn_option_holds_value(&rows[i])) continue; /* none follows others */
        loose = *settings;
        nn_option_set(&table, nn_option_name(name, sizeof name, &rows[i]), nn_option_print(text, sizeof text, &defaults[i]), "",
                      NULL);
        tried = loose;
        if (train_settings_resolve(&tried, NULL) == RUDD_OK && equal_settings(&tried, &resolved)) *settings = loose;
    }
}
