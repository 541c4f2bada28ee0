/* model.c - a model's life: built from a description, initialised, named, counted, destroyed. */
#include "nn/graph.h"
#include "nn/rng.h"
#include "nn/share.h"
#include "nn/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rudd_status nn_model_set_text(char **field, const char *text, struct rudd_error *err)
{
    char *copy = text ? rudd_strdup(text) : NULL;
    if (text && !copy) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %zu bytes of model metadata", strlen(text));
    rudd_free(*field);
    *field = copy;
    return RUDD_OK;
}

static void free_classes(struct nn_class *classes, int count)
{
    if (!classes) return;
    for (int i = 0; i < count; i++) {
        rudd_free(classes[i].name);
        rudd_free(classes[i].latin);
        rudd_free(classes[i].en);
        rudd_free(classes[i].ru);
    }
    rudd_free(classes);
}

static bool copy_optional(char **to, const char *from)
{
    *to = from ? rudd_strdup(from) : NULL;
    return !from || *to;
}

static const char *name_of(const void *classes, int i)
{
    return ((const struct nn_class *)classes)[i].name;
}

/* Words beside the name are for people: any text, but text. */
static enum rudd_status check_words(const struct nn_class *classes, int count, struct rudd_error *err)
{
    for (int i = 0; i < count; i++) {
        const char *const words[] = {classes[i].latin, classes[i].en, classes[i].ru};
        for (int k = 0; k < 3; k++)
            if (words[k] && !nn_text_is_utf8(words[k]))
                return rudd_fail(err, RUDD_FORMAT, "class names: a word for class %d, %s, is not UTF-8", i + 1,
                                 classes[i].name);
    }
    return RUDD_OK;
}

enum rudd_status nn_model_set_classes(struct nn_model *model, const struct nn_class *classes, int count, struct rudd_error *err)
{
    if (count != model->class_count)
        return rudd_fail(err, RUDD_ARGUMENT, "%d class names were given for a model of %d classes", count, model->class_count);
    enum rudd_status status = nn_class_names_check(name_of, classes, count, "class names", err);
    if (!status) status = check_words(classes, count, err);
    if (status) return status;
    struct nn_class *copy = rudd_zalloc((size_t)count, sizeof *copy);
    bool ok = copy != NULL;
    for (int i = 0; ok && i < count; i++)
        ok = copy_optional(&copy[i].name, classes[i].name) && copy_optional(&copy[i].latin, classes[i].latin) &&
             copy_optional(&copy[i].en, classes[i].en) && copy_optional(&copy[i].ru, classes[i].ru);
    if (!ok) {
        free_classes(copy, count);
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d class names", count);
    }
    free_classes(model->classes, count);
    model->classes = copy;
    return RUDD_OK;
}

static enum rudd_status number_classes(struct nn_model *model, struct rudd_error *err)
{
    model->classes = rudd_zalloc((size_t)model->class_count, sizeof *model->classes);
    for (int i = 0; model->classes && i < model->class_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "class_%d", i);
        model->classes[i].name = rudd_strdup(name);
        if (!model->classes[i].name)
            return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d class names", model->class_count);
    }
    return model->classes ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %d class names", model->class_count);
}

enum rudd_status nn_model_outline(struct nn_model **model, const char *arch, nn_describe *describe, const void *spec,
                                  int class_count, struct rudd_error *err)
{
    if (class_count < 1 || class_count > NN_MAX_CLASSES)
        return rudd_fail(err, RUDD_ARGUMENT, "%d classes asked for; a model has 1 to %d", class_count, NN_MAX_CLASSES);
    struct nn_model *m = rudd_zalloc(1, sizeof *m);
    if (!m) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a model");
    snprintf(m->arch, sizeof m->arch, "%s", arch);
    m->class_count = class_count;
    m->bn_eps = 1e-5f;
    m->preprocess = (struct nn_preprocess){.image_size = 224,
                                           .mode = NN_RESIZE_CROP,
                                           .filter = NN_BICUBIC,
                                           .crop_fraction = 0.875,
                                           .mean = {0.485f, 0.456f, 0.406f},
                                           .std = {0.229f, 0.224f, 0.225f}};
    enum rudd_status status = RUDD_NO_MEMORY;
    struct nn_builder b = {.model = m};
    m->graph = rudd_zalloc(1, sizeof *m->graph);
    if (m->graph) {
        describe(&b, spec);
        status = b.status;
    }
    if (!status) status = number_classes(m, err);
    if (status) {
        nn_model_destroy(m);
        return rudd_fail(err, status, "%s: out of memory for the model and its %d classes", arch, class_count);
    }
    *model = m;
    return RUDD_OK;
}

enum rudd_status nn_model_allocate(struct nn_model *model, struct rudd_error *err)
{
    if (!model->values) model->values = rudd_zalloc(model->value_count, sizeof *model->values);
    return model->values ? RUDD_OK
                         : rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory for %zu values", model->arch, model->value_count);
}

static enum rudd_status read_value(void *user, int i, int lane, struct rudd_error *err)
{
    struct nn_model *model = user;
    (void)lane;
    return model->source->read(model->values + model->params[i].offset, model->source, model, i, err);
}

enum rudd_status nn_model_read_values(struct nn_model *model, struct rudd_error *err)
{
    enum { LANES = 4 };
    enum rudd_status status = nn_model_allocate(model, err);
    if (!status) status = nn_share(model->param_count, LANES, read_value, model, err);
    if (status) {
        rudd_free(model->values);
        model->values = NULL;
        return status;
    }
    model->source->close(model->source);
    model->source = NULL;
    return RUDD_OK;
}

enum rudd_status nn_model_need_values(const struct nn_model *model, struct rudd_error *err)
{
    return model->values ? RUDD_OK
                         : rudd_fail(err, RUDD_ARGUMENT,
                                     "%s: its values are not in memory (it was opened for predicting only); open it again to "
                                     "train, save or export it",
                                     model->arch);
}

struct drawing {
    struct nn_source source;
    uint64_t seed;
};

static enum rudd_status draw(float *out, struct nn_source *source, const struct nn_model *model, int param,
                             struct rudd_error *err)
{
    (void)err;
    nn_model_draw(out, model, param, ((struct drawing *)source)->seed);
    return RUDD_OK;
}

static void end_drawing(struct nn_source *source)
{
    rudd_free(source);
}

enum rudd_status nn_model_draw_later(struct nn_model *model, uint64_t seed, struct rudd_error *err)
{
    struct drawing *d = rudd_alloc(sizeof *d);
    if (!d) return rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory for its values", model->arch);
    *d = (struct drawing){{draw, end_drawing}, seed};
    model->source = &d->source;
    return RUDD_OK;
}

/* An outline becomes a model with fresh values, and the caller's. */
static enum rudd_status finish(struct nn_model **model, struct nn_model *outline, struct rudd_error *err)
{
    enum rudd_status status = nn_model_draw_later(outline, 0, err);
    if (!status) status = nn_model_read_values(outline, err);
    if (status)
        nn_model_destroy(outline);
    else
        *model = outline;
    return status;
}

enum rudd_status nn_model_build(struct nn_model **model, const char *arch, nn_describe *describe, const void *spec,
                                int class_count, struct rudd_error *err)
{
    struct nn_model *outline;
    enum rudd_status status = nn_model_outline(&outline, arch, describe, spec, class_count, err);
    return status ? status : finish(model, outline, err);
}

enum rudd_status nn_model_create(struct nn_model **model, const char *arch, int class_count, struct rudd_error *err)
{
    struct nn_model *outline;
    enum rudd_status status = nn_model_describe(&outline, arch, class_count, err);
    return status ? status : finish(model, outline, err);
}

void nn_model_destroy(struct nn_model *model)
{
    if (!model) return;
    free_classes(model->classes, model->class_count);
    rudd_free(model->metrics);
    rudd_free(model->run);
    rudd_free(model->dataset);
    rudd_free(model->golden);
    rudd_free(model->sha256);
    if (model->graph) nn_graph_free(model->graph);
    rudd_free(model->graph);
    rudd_free(model->params);
    if (model->source) model->source->close(model->source);
    rudd_free(model->values);
    rudd_free(model->prepared);
    rudd_free(model);
}

/* FNV-1a: keys a parameter's random numbers by its name, so that they do not depend on its place. */
static uint64_t name_key(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

void nn_model_draw(float *w, const struct nn_model *model, int param, uint64_t seed)
{
    const struct nn_param *p = &model->params[param];
    struct nn_rng rng;
    nn_rng_init(&rng, seed, name_key(p->name), 0);
    switch (p->kind) {
    case NN_CONV_WEIGHT:
    case NN_DWCONV_WEIGHT: {
        /* fan_out = oc*k*k / groups: He et al., arXiv:1502.01852, eq. 14 */
        int groups = p->kind == NN_DWCONV_WEIGHT ? p->shape[0] : 1;
        double std = sqrt(2.0 / ((double)p->shape[0] / groups * p->shape[2] * p->shape[3]));
        for (size_t j = 0; j < p->count; j++) w[j] = (float)(std * nn_rng_normal(&rng));
        break;
    }
    case NN_LINEAR_WEIGHT: {
        /* By fan-in, as PyTorch: a new classifier starts near 0. timm's 1/sqrt(classes) is nine times wider at 15 classes, and its
         * first gradients wreck a pretrained backbone. */
        double bound = 1 / sqrt((double)p->shape[1]);
        for (size_t j = 0; j < p->count; j++) w[j] = (float)(bound * (2 * nn_rng_uniform(&rng) - 1));
        break;
    }
    case NN_BN_WEIGHT:
    case NN_BN_VAR:
        for (size_t j = 0; j < p->count; j++) w[j] = 1;
        break;
    case NN_BIAS:
    case NN_BN_BIAS:
    case NN_BN_MEAN: memset(w, 0, p->count * sizeof *w); break;
    }
}

void nn_model_init_params(struct nn_model *model, uint64_t seed, const bool *which)
{
    for (int i = 0; i < model->param_count; i++)
        if (!which || which[i]) nn_model_draw(model->values + model->params[i].offset, model, i, seed);
}

int nn_model_find(const struct nn_model *model, const char *name)
{
    for (int i = 0; i < model->param_count; i++)
        if (!strcmp(model->params[i].name, name)) return i;
    return -1;
}

size_t nn_model_parameter_count(const struct nn_model *model)
{
    size_t sum = 0;
    for (int i = 0; i < model->param_count; i++)
        if (model->params[i].kind != NN_BN_MEAN && model->params[i].kind != NN_BN_VAR) sum += model->params[i].count;
    return sum;
}

uint64_t nn_model_macs(const struct nn_model *model, int size)
{
    return nn_model_macs_each(NULL, model, size);
}

uint64_t nn_model_macs_each(uint64_t *each, const struct nn_model *model, int size)
{
    /* Each weight element is used once per output pixel; spatial size follows from the strides alone. */
    const struct nn_graph *g = model->graph;
    uint64_t macs = 0;
    struct nn_shape *shapes = rudd_alloc(sizeof *shapes * (size_t)g->count);
    if (each) memset(each, 0, sizeof *each * (size_t)model->param_count);
    if (!shapes) return 0;
    nn_graph_shapes(shapes, g, size);
    for (int i = 0; i < g->count; i++) {
        const int weight = g->nodes[i].weight;
        if (weight < 0) continue;
        const uint64_t own = (uint64_t)model->params[weight].count * (uint64_t)shapes[i].h * (uint64_t)shapes[i].w;
        if (each) each[weight] = own;
        macs += own;
    }
    rudd_free(shapes);
    return macs;
}

int nn_model_feature_count(const struct nn_model *model)
{
    const int border = nn_graph_border(model->graph, nn_model_stage_count(model) - 1);
    return border < 0 ? 0 : model->graph->nodes[border].c;
}

int nn_model_stage_count(const struct nn_model *model)
{
    return model->param_count ? model->params[model->param_count - 1].stage + 1 : 0;
}

int nn_model_freeze_stage(const struct nn_model *model, const char *text)
{
    int classifier = nn_model_stage_count(model) - 1, head = classifier - 1;
    if (!strcmp(text, "none")) return 0;
    if (!strcmp(text, "stem")) return 1;
    if (!strcmp(text, "head") || !strcmp(text, "all")) return classifier;
    char *end;
    long stage = strtol(text, &end, 10);
    return end != text && !*end && stage >= 1 && stage < head ? (int)stage + 1 : -1;
}
