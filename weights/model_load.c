/* model_load.c - a weights file becomes a model: each parameter from the tensor of its name, or a full account of what does not
 * fit.
 *
 *     file --recognise--> arch, dialect --classifier's shape--> class count --describe--> parameters
 *          --by name--> the model's source | missing | misshapen | extra          --> values, unless only to predict
 *
 * Source of the names: names.c. When the file fits, it becomes the model's source (nn/model.h): values are read from it at once and it
 * is closed, or it stays open until a plan asks. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "nn/sha256.h"
#include "weights/keras.h"
#include "weights/metadata.h"
#include "weights/model_file.h"
#include "weights/names/imagenet.h"
#include "weights/names/others.h"

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void free_lines(char **lines, int count)
{
    for (int i = 0; i < count; i++) rudd_free(lines[i]);
    rudd_free(lines);
}

void weights_report_free(struct weights_report *report)
{
    free_lines(report->missing, report->missing_count);
    free_lines(report->extra, report->extra_count);
    free_lines(report->misshapen, report->misshapen_count);
    memset(report, 0, sizeof *report);
}

static enum rudd_status add_line(char ***lines, int *count, const char *text, struct rudd_error *err)
{
    char *copy = rudd_strdup(text);
    char **grown = copy ? rudd_realloc(*lines, ((size_t)*count + 1) * sizeof **lines) : NULL;
    if (!grown) {
        rudd_free(copy);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the list of what does not fit");
    }
    *lines = grown;
    grown[(*count)++] = copy;
    return RUDD_OK;
}

/* Appends one of the three lists to a message: "; 5 missing: a, b, c, ...". */
static void append_list(char *message, size_t size, const char *what, char *const *lines, int count)
{
    enum { SHOWN = 3 };
    size_t n = strlen(message);
    if (!count) return;
    n += (size_t)snprintf(message + n, size - n, "; %d %s: ", count, what);
    for (int i = 0; i < count && i < SHOWN && n < size; i++)
        n += (size_t)snprintf(message + n, size - n, "%s%.100s", i ? ", " : "", lines[i]);
    if (count > SHOWN && n < size) snprintf(message + n, size - n, ", ...");
}

/* ---- fitting tensors to parameters ------------------------------------------------------------------------------- */

/* An open file as a model's source. */
struct file_source {
    struct nn_source source;
    struct weights_file file;
    uint64_t seed;
    enum weights_dialect dialect;
    const struct weights_tensor **tensors; /* [param_count]; NULL: to be initialised */
};

/* Everything the steps below share. */
struct loading {
    const char *path;
    const struct weights_load_options *options;
    struct weights_file *file; /* from's */
    struct file_source *from;
    struct weights_report *report;
    struct nn_model *model;
    struct nn_model *found; /* the file's own, described: with its hidden layer and one class */
    bool *used;             /* [tensor_count] of the file */
    struct rudd_error *err;
};

static enum rudd_status read_keras(float *out, const struct file_source *from, const struct nn_model *model, int param,
                                   struct rudd_error *err)
{
    const struct nn_param *p = &model->params[param];
    float *as_stored = rudd_alloc(p->count * sizeof *as_stored);
    if (!as_stored) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu values", from->file.path, p->count);
    enum rudd_status status = weights_read_f32(as_stored, &from->file, from->tensors[param], err);
    if (!status) weights_from_keras(out, as_stored, p);
    rudd_free(as_stored);
    return status;
}

/* One value that is no finite number makes every answer NaN, sooner or later. */
static enum rudd_status check_finite(const float *values, size_t count, const struct weights_file *file, const char *name,
                                     struct rudd_error *err)
{
    const uint32_t exponent = 0x7f800000;
    bool odd = false;
    for (size_t i = 0; i < count; i++) { /* without a way out, so that it is done in vectors */
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        odd |= (bits & exponent) == exponent;
    }
    for (size_t i = 0; odd && i < count; i++)
        if (!isfinite(values[i]))
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: tensor %s: value %zu is %g; the file is damaged, or its network did not learn", file->path,
                             name, i, values[i]);
    return RUDD_OK;
}

static enum rudd_status read_param(float *out, struct nn_source *source, const struct nn_model *model, int param,
                                   struct rudd_error *err)
{
    struct file_source *from = (struct file_source *)source;
    const struct weights_tensor *t = from->tensors[param];
    if (!t) {
        nn_model_draw(out, model, param, from->seed);
        return RUDD_OK;
    }
    enum rudd_status status =
        weights_is_keras(from->dialect) ? read_keras(out, from, model, param, err) : weights_read_f32(out, &from->file, t, err);
    return status ? status : check_finite(out, model->params[param].count, &from->file, t->name, err);
}

static void close_source(struct nn_source *source)
{
    struct file_source *from = (struct file_source *)source;
    weights_close(&from->file);
    rudd_free(from->tensors);
    rudd_free(from);
}

static enum rudd_status fit_param(struct loading *l, int i)
{
    const struct nn_param *p = &l->model->params[i];
    char name[NN_NAME], expected[WEIGHTS_SHAPE_TEXT], found[WEIGHTS_SHAPE_TEXT], line[NN_NAME + 2 * WEIGHTS_SHAPE_TEXT + 64];
    int64_t shape[4];
    bool classifier = p->stage == nn_model_stage_count(l->model) - 1;
    weights_param_name(name, l->model, i, l->report->dialect);
    const struct weights_tensor *t = weights_find(l->file, name);
    if (t) l->used[t - l->file->tensors] = true;
    if (classifier && l->report->classifier_replaced) return RUDD_OK;
    if (!t) return add_line(&l->report->missing, &l->report->missing_count, name, l->err);
    if (weights_fits(t, p, l->report->dialect)) {
        l->from->tensors[i] = t;
        return RUDD_OK;
    }
    weights_shape_text(found, t->rank, t->shape);
    weights_dialect_shape(shape, p, l->report->dialect);
    weights_shape_text(expected, p->rank, shape);
    snprintf(line, sizeof line, "%s %s %s (expected floats %s)", name, weights_dtype_name(t->dtype), found, expected);
    return add_line(&l->report->misshapen, &l->report->misshapen_count, line, l->err);
}

/* Whether a tensor is of the file's own classifier. */
static bool of_classifier(const struct loading *l, const char *tensor)
{
    const int last = nn_model_stage_count(l->found) - 1;
    for (int i = 0; i < l->found->param_count; i++) {
        char name[NN_NAME];
        if (l->found->params[i].stage < last) continue;
        weights_param_name(name, l->found, i, l->report->dialect);
        if (!strcmp(name, tensor)) return true;
    }
    return false;
}

/* What a state_dict or a checkpoint holds beside parameters. */
static bool is_ignored(const char *name)
{
    const char *leaf = strrchr(name, '.');
    return (leaf && !strcmp(leaf, ".num_batches_tracked")) || !strncmp(name, "rudd.", 5) || !strncmp(name, "normalization", 13);
}

/* Whether a Keras file has several dense layers, so that its network ends in something else than keras.applications'. */
static bool has_own_head(const struct loading *l)
{
    int dense = 0;
    for (int i = 0; i < l->file->tensor_count && weights_is_keras(l->report->dialect); i++) {
        const struct weights_tensor *t = &l->file->tensors[i];
        const char *leaf = strrchr(t->name, '/');
        dense += t->rank == 2 && leaf && !strcmp(leaf, "/kernel");
    }
    return dense > 1;
}

/* Whether all that is missing is of the classifier, and nothing else is wrong. */
static bool lacks_only_classifier(const struct loading *l)
{
    const struct weights_report *r = l->report;
    const int last = nn_model_stage_count(l->model) - 1;
    if (!r->missing_count || r->extra_count || r->misshapen_count) return false;
    int classifier = 0;
    for (int i = 0; i < l->model->param_count; i++) classifier += l->model->params[i].stage == last && !l->from->tensors[i];
    return classifier == r->missing_count;
}

/* Whether more than a tenth does not fit: then another architecture may. */
static bool fits_badly(const struct loading *l)
{
    const struct weights_report *r = l->report;
    return (r->missing_count + r->misshapen_count + r->extra_count) * 10 > l->model->param_count;
}

/* Says which architecture it is where another was asked for. */
static enum rudd_status refuse(const struct loading *l)
{
    const struct weights_report *r = l->report;
    char lists[1500] = "";
    const char *fitting = NULL;
    if (lacks_only_classifier(l))
        return rudd_fail(l->err, RUDD_MISMATCH,
                         "%.200s: the weights of %s without its classifier; --allow-missing starts with a new one", l->path,
                         l->model->arch);
    if (l->options->arch && fits_badly(l)) {
        enum rudd_status status = weights_recognise_most(&fitting, l->file, l->err);
        if (status) return status;
    }
    if (fitting && strcmp(fitting, l->options->arch))
        return rudd_fail(l->err, RUDD_MISMATCH, "%.200s: the weights are of %s (%s), not %s; leave --arch out or say --arch %s",
                         l->path, fitting,
                         weights_meta(l->file, "rudd.arch") ? "the file says so" : "recognised by its tensors",
                         l->options->arch, fitting);
    if (fits_badly(l) && weights_looks_like(l->file)) return weights_refuse_network(l->file, l->err);
    append_list(lists, sizeof lists, "missing", r->missing, r->missing_count);
    append_list(lists, sizeof lists, "misshapen", r->misshapen, r->misshapen_count);
    append_list(lists, sizeof lists, "extra", r->extra, r->extra_count);
    const char *hint = has_own_head(l) ? "rudd's classifier is one dense layer: in Keras save the network without yours "
                                         "(include_top=False), and import that with --allow-missing"
                                       : "rudd inspect --tensors lists what the file holds";
    return rudd_fail(l->err, RUDD_MISMATCH, "%.200s: does not fit %s (%s names)%s; %s", l->path, l->model->arch,
                     weights_dialect_name(r->dialect), lists, hint);
}

static enum rudd_status fit_params(struct loading *l)
{
    l->from->tensors = rudd_zalloc((size_t)l->model->param_count, sizeof(struct weights_tensor *));
    l->used = rudd_zalloc((size_t)l->file->tensor_count, sizeof *l->used);
    if (!l->from->tensors || !l->used) return rudd_fail(l->err, RUDD_NO_MEMORY, "%s: no memory to load it", l->path);
    struct weights_report *r = l->report;
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < l->model->param_count && !status; i++) status = fit_param(l, i);
    for (int i = 0; i < l->file->tensor_count && !status; i++)
        if (!l->used[i] && !is_ignored(l->file->tensors[i].name) &&
            !(r->classifier_replaced && of_classifier(l, l->file->tensors[i].name)))
            status = add_line(&r->extra, &r->extra_count, l->file->tensors[i].name, l->err);
    if (status) return status;
    if (r->extra_count || r->misshapen_count || (r->missing_count && !l->options->allow_missing)) return refuse(l);
    return RUDD_OK;
}

/* ---- what model to make ------------------------------------------------------------------------------------------ */

/* Units of the hidden layer in the file's classifier; 0: it has none. rudd's own files have one, under timm's names. */
static int file_hidden(const struct weights_file *file)
{
    const struct weights_tensor *t = weights_find(file, "classifier.fc1.weight");
    if (!t) t = weights_find(file, "head.fc.fc1.weight");
    return t && t->rank == 2 && t->shape[0] > 0 && t->shape[0] <= NN_MAX_HIDDEN ? (int)t->shape[0] : 0;
}

/* The rows of the file's classifier, weight or bias; else the number of its class names; else 0. */
static enum rudd_status file_class_count(int *count, struct loading *l)
{
    int64_t rows = 0;
    const int last = nn_model_stage_count(l->found) - 1;
    for (int i = 0; i < l->found->param_count; i++) {
        char name[NN_NAME];
        if (l->found->params[i].stage < last || l->found->params[i].shape[0] != 1) continue; /* the hidden layer's */
        weights_param_name(name, l->found, i, l->report->dialect);
        const struct weights_tensor *t = weights_find(l->file, name);
        if (t && t->rank) rows = t->shape[weights_is_keras(l->report->dialect) ? t->rank - 1 : 0];
    }
    if (rows > NN_MAX_CLASSES)
        return rudd_fail(l->err, RUDD_LIMIT, "%s: its classifier has %" PRId64 " classes, at most %d are supported", l->path,
                         rows, NN_MAX_CLASSES);
    *count = (int)rows;
    return rows ? RUDD_OK : weights_metadata_class_count(count, l->file, l->err);
}

/* By option, else as the file says, else as the dialect's program has it: lukemelas' computes SAME padding once, for the variant's own size. */
static enum rudd_status choose_padding(struct loading *l)
{
    const struct weights_load_options *o = l->options;
    if (o->pad == WEIGHTS_PAD_SYMMETRIC && o->pad_size)
        return rudd_fail(l->err, RUDD_ARGUMENT, "a padding size of %d is for SAME padding; symmetric padding has none",
                         o->pad_size);
    if (o->pad) l->model->pad = o->pad == WEIGHTS_PAD_SAME ? NN_PAD_SAME : NN_PAD_SYMMETRIC;
    if (o->pad || o->pad_size) return nn_model_freeze_pads(l->model, o->pad_size, l->err);
    if (l->report->dialect == WEIGHTS_LUKEMELAS && !weights_meta(l->file, "rudd.conventions"))
        return nn_model_freeze_pads(l->model, l->found->preprocess.image_size, l->err);
    return RUDD_OK;
}

/* What the dialect's program has beside the architecture's own; a file's metadata know better. */
static enum rudd_status choose_conventions(struct loading *l)
{
    struct nn_model *m = l->model;
    const enum weights_dialect dialect = l->report->dialect;
    if (dialect == WEIGHTS_TORCHVISION && !strncmp(m->arch, "efficientnet_b", 14) && m->arch[14] >= '5')
        m->bn_eps = 1e-3f; /* timm has 1e-5 in B5..B7, too */
    if (!weights_is_keras(dialect)) return RUDD_OK;
    weights_keras_conventions(m);
    bool found;
    enum rudd_status status = weights_keras_preprocess(m, &found, l->file, l->options->keras_norm, l->err);
    if (!weights_meta(l->file, "rudd.preprocess"))
        l->report->preprocess_of = found ? "the file's Normalization layer" : "keras.applications";
    return status;
}

static enum rudd_status make_model(struct loading *l)
{
    const struct weights_load_options *o = l->options;
    struct weights_report *r = l->report;
    const char *arch = o->arch;
    char own[NN_ARCH], full[NN_ARCH];
    int in_file = 0, asked = 0;
    size_t base;
    enum rudd_status status = weights_recognise(&arch, &r->dialect, &r->arch_guessed, l->file, l->err);
    if (status) return status;
    l->from->dialect = r->dialect;
    if (!nn_arch_parse(&base, &asked, arch)) return nn_model_describe(&l->found, arch, 1, l->err); /* says what is wrong */
    const int hidden = file_hidden(l->file);
    nn_arch_print(own, arch, hidden);
    nn_arch_print(full, arch, o->head_hidden ? o->head_hidden : asked ? asked : hidden);
    status = nn_model_describe(&l->found, own, 1, l->err);
    if (!status) status = file_class_count(&in_file, l);
    if (status) return status;
    int wanted = o->class_count ? o->class_count : in_file ? in_file : 1000; /* ImageNet's, when nothing at all says */
    r->classifier_replaced = (in_file && in_file != wanted) || strcmp(own, full) != 0;
    status = nn_model_describe(&l->model, full, wanted, l->err);
    if (!status) status = choose_conventions(l);
    if (!status) status = weights_metadata_read(l->model, l->file, !r->classifier_replaced, l->err);
    if (status) return status;
    if (in_file == WEIGHTS_IMAGENET_CLASSES && !r->classifier_replaced)
        r->imagenet_names = !weights_meta(l->file, "rudd.classes");
    if (r->imagenet_names) status = weights_imagenet_name(l->model, l->err);
    if (!status) status = choose_padding(l);
    if (status) return status;
    if (o->bn_eps > 0) l->model->bn_eps = o->bn_eps;
    return RUDD_OK;
}

static enum rudd_status hash_file(struct loading *l)
{
    enum { PIECE = 1 << 16 };
    unsigned char bytes[PIECE];
    struct nn_sha256 s;
    char hex[NN_SHA256_HEX];
    nn_sha256_init(&s);
    for (size_t at = 0, n; at < l->file->map_length; at += n) {
        n = l->file->map_length - at < PIECE ? l->file->map_length - at : PIECE;
        enum rudd_status status = weights_read_bytes(bytes, l->file, at, n, l->err);
        if (status) return status;
        nn_sha256_update(&s, bytes, n);
    }
    nn_sha256_hex(hex, &s);
    return nn_model_set_text(&l->model->sha256, hex, l->err);
}

enum rudd_status weights_model_load_file(struct nn_model **model, const char *path, const struct weights_load_options *options,
                                         struct weights_report *report, struct rudd_error *err)
{
    static const struct weights_load_options as_the_file_says;
    struct weights_report own = {0};
    struct loading l = {
        .path = path, .options = options ? options : &as_the_file_says, .report = report ? report : &own, .err = err};
    memset(l.report, 0, sizeof *l.report);
    l.from = rudd_zalloc(1, sizeof *l.from);
    if (!l.from) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to load it", path);
    l.from->source = (struct nn_source){read_param, close_source};
    l.from->seed = l.options->seed;
    l.file = &l.from->file;
    enum rudd_status status = l.options->bytes ? weights_parse(l.file, l.options->bytes, l.options->length, path, err)
                                               : weights_open(l.file, path, err);
    if (!status) status = make_model(&l);
    if (!status) status = fit_params(&l);
    if (!status && l.options->hash) status = hash_file(&l);
    if (!status) {
        l.model->source = &l.from->source;
        l.from = NULL;
        if (!l.options->predict_only) status = nn_model_read_values(l.model, err);
    }
    if (status)
        nn_model_destroy(l.model);
    else
        *model = l.model;
    if (l.from) close_source(&l.from->source);
    nn_model_destroy(l.found);
    rudd_free(l.used);
    weights_report_free(&own);
    return status;
}
