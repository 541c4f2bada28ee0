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
        NN_OPTION_HEADING("Data, weights and output"),
        {"data", NN_OPTION_STRING, &s->data, "DIR", 0, 0,
         "train/, val/ and test/ with a folder for each class; or the class folders "
         "alone, which --split then divides", NN_COMMON},
        {"weights", NN_OPTION_STRING, &s->weights, "FILE|NAME", 0, 0,
         "pretrained weights to start from: a model file, another program's file, or a name "
         "as in rudd fetch", NN_COMMON},
        {"arch", NN_OPTION_STRING, &s->arch, "NAME", 0, 0,
         "architecture of the network; needed only without --weights, or where the "
         "file does not say", NN_COMMON},
        {"out", NN_OPTION_STRING, &s->out, "RUN", 0, 0,
         "folder to make for this run; without it, the next free number in runs/", NN_COMMON},
        {"resume", NN_OPTION_STRING, &s->resume, "RUN", 0, 0,
         "continue this run, with the options that it was started with", NN_COMMON},
        {"labels", NN_OPTION_STRING, &s->labels, "FILE", 0, 0,
         "names of the classes in other languages: [{\"name\",\"latin\",\"en\",\"ru\"}]; without "
         "it, labels.json in the folder of --data; none: no file"},
        {"allow-missing", NN_OPTION_FLAG, &s->allow_missing, NULL, 0, 0,
         "start from random values where the weights file lacks tensors"},
        {"quiet", NN_OPTION_FLAG, &s->quiet, NULL, 0, 0, "print nothing but errors"},
        {"config", NN_OPTION_CONFIG, NULL, "FILE", 0, 0,
         "read options from a file of name = value lines, or repeat a run from its "
         "run.json", NN_COMMON},
        NN_OPTION_HEADING("Pictures"),
        {"image-size", NN_OPTION_INT, &s->image_size, "N", 0, 4096,
         "width and height of the pictures inside the network, in pixels; 0: what the "
         "model was made for", NN_COMMON},
        {"resize", NN_OPTION_CHOICE, &s->resize, "crop|squash|pad", 0, 0,
         "how a picture becomes a square. squash: change its shape; crop: cut the middle; pad: "
         "add borders"},
        {"filter", NN_OPTION_CHOICE, &s->filter, "bicubic|bilinear", 0, 0,
         "interpolation when a picture is resized"},
        {"reduce", NN_OPTION_DOUBLE, &s->reduce, "X", 0, 100,
         "decode large JPEG files at 1/2, 1/4 or 1/8 of their size if at least X times the "
         "needed size remains (try 3): faster; 0: always at full size"},
        DATA_OPTION_MEGAPIXELS(&s->max_megapixels),
        DATA_OPTION_TRUNCATED(&s->truncated),
        {"split", NN_OPTION_DOUBLES, s->split, "TRAIN,VAL,TEST", 0, 1,
         "shares of the pictures for training, validation and test, if DIR is not divided yet"},
        NN_OPTION_HEADING("Length and speed"),
        {"epochs", NN_OPTION_INT, &s->epochs, "N", 1, 100000,
         "how many times to go through the training pictures", NN_COMMON},
        {"batch", NN_OPTION_INT, &s->batch, "N", 1, 4096,
         "pictures in one pass through the network", NN_COMMON},
        {"accumulate", NN_OPTION_INT, &s->accumulate, "N", 1, 4096,
         "batches before each change of the weights"},
        {"max-steps", NN_OPTION_INT, &s->max_steps, "N", 0, 1000000000,
         "stop after this many changes of the weights; 0: no limit"},
        {"patience", NN_OPTION_INT, &s->patience, "N", 0, 100000,
         "stop after this many epochs without improvement; 0: never"},
        {"seed", NN_OPTION_INT, &s->seed, "N", 0, 2147483647,
         "number that decides all random choices: the same seed gives the same run"},
        NN_OPTION_THREADS(&s->threads, "threads; changes only the speed"),
        {"prefetch", NN_OPTION_INT, &s->prefetch, "N", 0, 64,
         "batches to read ahead; changes only the speed"},
        NN_OPTION_HEADING("Checkpoints and memory"),
        {"checkpoint-steps", NN_OPTION_INT, &s->checkpoint_steps, "N", 0, 1000000000,
         "also save after every N changes of the weights; 0: no"},
        {"checkpoint-minutes", NN_OPTION_DOUBLE, &s->checkpoint_minutes, "X", 0, 1e6,
         "also save within an epoch if the last save is older than X minutes; 0: no"},
        {"checkpoint-seconds", NN_OPTION_DOUBLE, &s->checkpoint_seconds, "X", 0, 1e6,
         "save at the end of an epoch if the last save is older than X seconds; 0: at the end of "
         "each"},
        NN_OPTION_MEMORY(&s->memory_limit,
                         "memory for training. To stay below it, values are computed again; if the "
                         "limit is given, batches also become smaller"),
        NN_OPTION_HEADING("Optimizer and learning rate"),
        {"optimizer", NN_OPTION_CHOICE, &s->optimizer, "adamw|sgd|rmsprop|lion|lbfgs", 0, 0,
         "method that changes the weights. lbfgs needs --freeze all: it finds the best "
         "classifier at once"},
        {"lr", NN_OPTION_DOUBLE, &s->lr, "X", 0, 100,
         "highest learning rate; 0: 3e-4, with sgd 1e-2, with lion 6e-5", NN_COMMON},
        {"head-lr", NN_OPTION_DOUBLE, &s->head_lr, "X", 0, 1000,
         "learning rate of the classifier; 0: ten times --lr"},
        {"layer-decay", NN_OPTION_DOUBLE, &s->layer_decay, "X", 0.01, 1,
         "learning rate of each stage, as a share of the rate of the next stage"},
        {"weight-decay", NN_OPTION_DOUBLE, &s->weight_decay, "X", -1, 10,
         "weight decay, except for normalisation and biases; -1: 0.02, with lion 0.1, with lbfgs "
         "0.03, with rmsprop 1e-5"},
        {"momentum", NN_OPTION_DOUBLE, &s->momentum, "X", 0, 0.9999,
         "momentum of sgd (Nesterov) and rmsprop"},
        {"schedule", NN_OPTION_CHOICE, &s->schedule, "cosine|plateau|constant|step|one-cycle", 0, 0,
         "how the learning rate changes during the run"},
        {"warmup-epochs", NN_OPTION_DOUBLE, &s->warmup_epochs, "X", 0, 1000,
         "epochs in which the learning rate rises to --lr; one-cycle has its own rise"},
        {"decay-epochs", NN_OPTION_DOUBLE, &s->decay_epochs, "X", 0.001, 100000,
         "with --schedule step: epochs between two reductions"},
        {"decay-rate", NN_OPTION_DOUBLE, &s->decay_rate, "X", 0, 1,
         "with --schedule step: factor of each reduction"},
        {"find-lr", NN_OPTION_FLAG, &s->find_lr, NULL, 0, 0,
         "do not train: try rates from 1e-7 to 10 and suggest one"},
        {"clip-norm", NN_OPTION_DOUBLE, &s->clip_norm, "X", 0, 1e9,
         "limit the norm of the gradient to X; 0: no limit"},
        {"ema", NN_OPTION_DOUBLE, &s->ema, "DECAY", 0, 0.999999,
         "evaluate and save a moving average of the weights, such as 0.999; 0: no"},
        NN_OPTION_HEADING("Loss"),
        {"label-smoothing", NN_OPTION_DOUBLE, &s->label_smoothing, "X", 0, 0.99,
         "share of each target that is spread over all classes"},
        {"class-weights", NN_OPTION_CHOICE, &s->class_weights, "none|balanced", 0, 0,
         "balanced: mistakes in rare classes count more"},
        {"sampling", NN_OPTION_CHOICE, &s->sampling, "natural|balanced", 0, 0,
         "balanced: every class is shown equally often in an epoch"},
        {"focal", NN_OPTION_DOUBLE, &s->focal, "GAMMA", 0, 20,
         "focal loss: answers that are already sure count less; 0: cross-entropy"},
        {"mixup", NN_OPTION_DOUBLE, &s->mixup, "ALPHA", 0, 100,
         "mix pictures of a batch in pairs; 0: no; 0.2 is usual"},
        {"cutmix", NN_OPTION_DOUBLE, &s->cutmix, "ALPHA", 0, 100,
         "paste a rectangle of another picture; 0: no; 1 is usual"},
        NN_OPTION_HEADING("Distillation"),
        {"teacher", NN_OPTION_STRING, &s->teacher, "FILE", 0, 0,
         "learn also from the answers of this model, which has the same classes and image size"},
        {"distill-weight", NN_OPTION_DOUBLE, &s->distill_weight, "A", 0, 1,
         "share of the teacher in the loss"},
        {"distill-temperature", NN_OPTION_DOUBLE, &s->distill_temperature, "T", 0.1, 1000,
         "softens the answers of teacher and model"},
        NN_OPTION_HEADING("Frozen layers and their cache"),
        {"freeze", NN_OPTION_STRING, &s->freeze, "all|none|STAGE", 0, 0,
         "layers that do not learn. all: only the classifier learns; stem, 1, 2 ...: "
         "all up to that stage; none: every layer learns", NN_COMMON},
        {"unfreeze-epochs", NN_OPTION_INT, &s->unfreeze_epochs, "N", 0, 100000,
         "start with the classifier, and let one more stage learn every N epochs; 0: all from "
         "the start"},
        {"cache", NN_OPTION_CHOICE, &s->cache, "auto|float16|float32|off", 0, 0,
         "run frozen stages once and keep what they give. auto: float16 if only the classifier "
         "learns or --cache-views is given"},
        {"cache-dir", NN_OPTION_STRING, &s->cache_dir, "DIR|-", 0, 0,
         "keep the cache there for later runs; without it, in $XDG_CACHE_HOME/rudd; -: in the run's "
         "folder until the run ends"},
        {"cache-max", NN_OPTION_BYTES, &s->cache_max, "BYTES", 0, 0,
         "largest size of $XDG_CACHE_HOME/rudd; files not used for the longest time are deleted"},
        {"cache-views", NN_OPTION_INT, &s->cache_views, "N", 0, 1000,
         "random views of each picture to keep; 0: one, without augmentation"},
        {"freeze-bn", NN_OPTION_FLAG, &s->freeze_bn, NULL, 0, 0,
         "do not change the statistics of batch normalisation"},
        {"bn-momentum", NN_OPTION_DOUBLE, &s->bn_momentum, "X", 0, 1,
         "share of the new batch in the statistics of batch normalisation"},
        NN_OPTION_HEADING("Classifier and dropout"),
        {"head-hidden", NN_OPTION_INT, &s->head_hidden, "N", 0, NN_MAX_HIDDEN,
         "hidden units (SiLU) in the classifier; 0: as in the weights, usually none"},
        {"dropout", NN_OPTION_DOUBLE, &s->dropout, "P", 0, 0.99,
         "probability of dropout before each layer of the classifier"},
        {"drop-path", NN_OPTION_DOUBLE, &s->drop_path, "P", 0, 0.99,
         "probability that the last block is skipped (stochastic depth); earlier blocks less"},
        NN_OPTION_HEADING("Augmentation"),
        {"augment", NN_OPTION_FLAG, &s->augment, NULL, 0, 0,
         "show pictures changed at random, by the options below"},
        {"crop-min", NN_OPTION_DOUBLE, &s->view.crop_min, "X", 0.01, 1,
         "random crop: smallest share of the picture's area"},
        {"crop-max", NN_OPTION_DOUBLE, &s->view.crop_max, "X", 0, 1,
         "random crop: largest share of the area; 0: no random crop"},
        {"flip", NN_OPTION_DOUBLE, &s->view.flip, "P", 0, 1,
         "probability of mirroring left and right; 0 where left and right matter, as with letters"},
        {"rotate", NN_OPTION_DOUBLE, &s->view.rotate, "DEG", 0, 180, "turn by up to DEG degrees"},
        {"shift", NN_OPTION_DOUBLE, &s->view.shift, "X", 0, 1,
         "move by up to this share of the picture's side"},
        {"zoom", NN_OPTION_DOUBLE, &s->view.zoom, "X", 0, 0.9, "scale by 1-X to 1+X"},
        {"shear", NN_OPTION_DOUBLE, &s->view.shear, "DEG", 0, 60, "slant by up to DEG degrees"},
        {"randaugment", NN_OPTION_DOUBLE, &s->view.randaugment, "M", 0, 10,
         "RandAugment: two random operations of strength M; 0: no; 9 is usual"},
        {"jitter", NN_OPTION_DOUBLE, &s->jitter, "X", -1, 1,
         "change of brightness, contrast and saturation, where these are not given; -1: 0.2, or "
         "0 with --randaugment"},
        {"brightness", NN_OPTION_DOUBLE, &s->view.brightness, "X", -1, 1,
         "change of brightness by up to this share; -1: as --jitter"},
        {"contrast", NN_OPTION_DOUBLE, &s->view.contrast, "X", -1, 1,
         "change of contrast by up to this share; -1: as --jitter"},
        {"saturation", NN_OPTION_DOUBLE, &s->view.saturation, "X", -1, 1,
         "change of saturation by up to this share; -1: as --jitter"},
        {"hue", NN_OPTION_DOUBLE, &s->view.hue, "X", 0, 0.5,
         "change of hue by up to this share of the colour circle"},
        {"erase", NN_OPTION_DOUBLE, &s->view.erase, "P", 0, 1,
         "probability of erasing a random rectangle"},
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

/* What an option is to a run. What is neither changes what is learned from then on, and may. */
enum { WHERE = 1, KEPT = 2 };
static const struct {
    const char *name;
    int nature;
} natures[] = {
    /* Where and how, not what: equal runs may differ in them. */
    {"resume", WHERE},
    {"config", WHERE},
    {"quiet", WHERE},
    {"threads", WHERE},
    {"memory-limit", WHERE},
    {"max-steps", WHERE},
    {"cache-dir", WHERE},
    {"cache-max", WHERE},
    {"prefetch", WHERE},
    {"checkpoint-steps", WHERE},
    {"checkpoint-minutes", WHERE},
    {"checkpoint-seconds", WHERE},
    {"find-lr", WHERE},
    {"data", WHERE},           /* the pictures are named by their hash, here and when a run goes on */
    {"weights", WHERE | KEPT}, /* likewise: other bytes are refused, another path is not */
    {"out", WHERE | KEPT},     /* a run stays in its folder */
    {"labels", WHERE | KEPT},  /* read once, into the model */
    {"allow-missing", KEPT},   /* likewise */
    {"arch", KEPT},            /* the model and its input are the checkpoint's */
    {"head-hidden", KEPT},
    {"image-size", KEPT},
    {"resize", KEPT},
    {"filter", KEPT},
    {"reduce", KEPT},
    {"split", KEPT}, /* which pictures are learned from, and in which order; */
    {"seed", KEPT},  /* a checkpoint is at a batch of that order */
    {"sampling", KEPT},
    {"batch", KEPT},
    {"accumulate", KEPT},
    {"optimizer", KEPT}, /* which tensors the checkpoint has, and since which step */
    {"ema", KEPT},
    {"freeze", KEPT},
    {"unfreeze-epochs", KEPT},
};

static int nature_of(const char *name)
{
    for (size_t i = 0; i < sizeof natures / sizeof *natures; i++)
        if (strcmp(name, natures[i].name) == 0) return natures[i].nature;
    return 0;
}

bool train_settings_incidental(const char *name)
{
    return nature_of(name) & WHERE;
}

bool train_settings_kept(const char *name)
{
    return nature_of(name) & KEPT;
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
