/* metadata.c - the model file's __metadata__ values: enums to words, numbers to JSON, and back with every value checked. */
#include "weights/metadata.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const weights_pad_words[2] = {[NN_PAD_SYMMETRIC] = "symmetric", [NN_PAD_SAME] = "same"};
const char *const weights_mode_words[3] = {[NN_RESIZE_CROP] = "crop", [NN_RESIZE_SQUASH] = "squash", [NN_RESIZE_PAD] = "pad"};
const char *const weights_filter_words[2] = {[NN_BICUBIC] = "bicubic", [NN_BILINEAR] = "bilinear"};

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* 0.485f as 0.485, not 0.48500001430511475: the shortest decimal that is this float32 again. */
static json_t *json_float(float f)
{
    double d = f;
    for (int digits = 6; digits <= 9; digits++) {
        char text[32];
        snprintf(text, sizeof text, "%.*g", digits, f);
        d = strtod(text, NULL);
        if ((float)d == f) break;
    }
    return json_real(d);
}

static json_t *json_rgb(const float v[3])
{
    return json_pack("[o,o,o]", json_float(v[0]), json_float(v[1]), json_float(v[2]));
}

json_t *weights_preprocess_json(const struct nn_preprocess *p)
{
    json_t *json = json_pack("{s:i, s:s, s:s, s:f, s:o, s:o}", "image_size", p->image_size, "mode", weights_mode_words[p->mode],
                             "filter", weights_filter_words[p->filter], "crop_fraction", p->crop_fraction, "mean",
                             json_rgb(p->mean), "std", json_rgb(p->std));
    /* Only where it is on: files without it stay what they were. */
    if (json && p->reduce > 0 && json_object_set_new(json, "reduce", json_real(p->reduce))) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

json_t *weights_conventions_json(const struct nn_model *model)
{
    /* pad_size only where there is one: files without it stay what they were. */
    return json_pack("{s:o, s:s, s:o*}", "bn_eps", json_float(model->bn_eps), "pad", weights_pad_words[model->pad], "pad_size",
                     model->pad_size ? json_integer(model->pad_size) : NULL);
}

json_t *weights_classes_json(const struct nn_model *model)
{
    json_t *list = json_array();
    for (int i = 0; list && i < model->class_count; i++) {
        const struct nn_class *c = &model->classes[i];
        json_t *item = json_pack("{s:s, s:s*, s:s*, s:s*}", "name", c->name, "latin", c->latin, "en", c->en, "ru", c->ru);
        if (!item || json_array_append_new(list, item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

enum rudd_status weights_metadata_add(struct weights_metadata *m, const char *key, const char *value, struct rudd_error *err)
{
    struct weights_meta *entry = &m->entries[m->count++];
    entry->key = rudd_strdup(key);
    entry->value = rudd_strdup(value);
    return entry->key && entry->value ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "no memory for the metadata of a model file");
}

/* Takes the reference. 15 digits: what users and json_float wrote comes back, without binary tails. */
static enum rudd_status add_json(struct weights_metadata *m, const char *key, json_t *json, struct rudd_error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (!text) return rudd_fail(err, RUDD_ARGUMENT, "%s: not UTF-8, or no memory for it", key);
    enum rudd_status status = weights_metadata_add(m, key, text, err);
    free(text);
    return status;
}

enum rudd_status weights_metadata_make(struct weights_metadata *metadata, const struct nn_model *model, struct rudd_error *err)
{
    struct weights_metadata m = {.count = 0};
    char temperature[32];
    snprintf(temperature, sizeof temperature, "%.15g", model->temperature);
    const char *const texts[][2] = {{"rudd.temperature", model->temperature > 0 ? temperature : NULL},
                                    {"format", "pt"},
                                    {"architecture", model->arch},
                                    {"rudd.arch", model->arch},
                                    {"rudd.run", model->run},
                                    {"rudd.metrics", model->metrics},
                                    {"rudd.dataset", model->dataset}};
    enum rudd_status status = RUDD_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !status; i++)
        if (texts[i][1]) status = weights_metadata_add(&m, texts[i][0], texts[i][1], err);
    if (!status) status = add_json(&m, "rudd.classes", weights_classes_json(model), err);
    if (!status) status = add_json(&m, "rudd.preprocess", weights_preprocess_json(&model->preprocess), err);
    if (!status) status = add_json(&m, "rudd.conventions", weights_conventions_json(model), err);
    if (status)
        weights_metadata_free(&m);
    else
        *metadata = m;
    return status;
}

void weights_metadata_free(struct weights_metadata *metadata)
{
    for (int i = 0; i < metadata->count; i++) {
        rudd_free(metadata->entries[i].key);
        rudd_free(metadata->entries[i].value);
    }
    metadata->count = 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The value of key as JSON, or NULL with RUDD_OK when the file has no such key. */
static enum rudd_status parse_value(json_t **json, const struct weights_file *file, const char *key, struct rudd_error *err)
{
    const char *text = weights_meta(file, key);
    *json = NULL;
    if (!text) return RUDD_OK;
    json_error_t at;
    *json = json_loads(text, JSON_REJECT_DUPLICATES, &at);
    return *json
               ? RUDD_OK
               : rudd_fail(err, RUDD_FORMAT, "%s: %s is not valid JSON at byte %d: %s", file->path, key, at.position, at.text);
}

/* *index of the word that json holds; unchanged when json is NULL (key absent). */
static enum rudd_status parse_word(int *index, const json_t *json, const char *const *words, int count, const char *where,
                                   const char *key, struct rudd_error *err)
{
    if (!json) return RUDD_OK;
    const char *found = json_string_value(json);
    char known[64] = "";
    for (int i = 0; i < count; i++) {
        if (found && !strcmp(found, words[i])) {
            *index = i;
            return RUDD_OK;
        }
        strcat(strcat(known, i ? ", " : ""), words[i]);
    }
    return rudd_fail(err, RUDD_FORMAT, "%s: %s is \"%.40s\", expected one of %s", where, key, found ? found : "not a string",
                     known);
}

static enum rudd_status parse_number(double *value, const json_t *json, double low, double high, const char *where,
                                     const char *key, struct rudd_error *err)
{
    if (!json) return RUDD_OK;
    double v = json_number_value(json);
    if (!json_is_number(json) || !(v >= low && v <= high))
        return rudd_fail(err, RUDD_FORMAT, "%s: %s is not a number from %g to %g", where, key, low, high);
    *value = v;
    return RUDD_OK;
}

static enum rudd_status parse_rgb(float v[3], const json_t *json, double low, double high, const char *where, const char *key,
                                  struct rudd_error *err)
{
    if (!json) return RUDD_OK;
    if (json_array_size(json) != 3) return rudd_fail(err, RUDD_FORMAT, "%s: %s is not a list of three numbers", where, key);
    for (size_t i = 0; i < 3; i++) {
        double d = 0;
        enum rudd_status status = parse_number(&d, json_array_get(json, i), low, high, where, key, err);
        if (status) return status;
        v[i] = (float)d;
    }
    return RUDD_OK;
}

/* json must be an object with no other keys than these. */
static enum rudd_status check_keys(const json_t *json, const char *const *keys, int count, const char *where,
                                   struct rudd_error *err)
{
    if (!json_is_object(json)) return rudd_fail(err, RUDD_FORMAT, "%s: not a JSON object", where);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        int i = 0;
        while (i < count && strcmp(key, keys[i])) i++;
        if (i < count) continue;
        char known[200] = "";
        for (int k = 0; k < count; k++) strcat(strcat(known, k ? ", " : ""), keys[k]);
        return rudd_fail(err, RUDD_FORMAT, "%s: unknown key \"%.40s\"; expected one of %s", where, key, known);
    }
    return RUDD_OK;
}

enum rudd_status weights_preprocess_parse(struct nn_preprocess *p, const json_t *json, const char *where,
                                          struct rudd_error *err)
{
    static const char *const keys[] = {"image_size", "mode", "filter", "crop_fraction", "mean", "std", "reduce"};
    struct nn_preprocess q = *p;
    double size = q.image_size;
    int mode = (int)q.mode, filter = (int)q.filter;
    enum rudd_status status = check_keys(json, keys, sizeof keys / sizeof *keys, where, err);
    if (!status) status = parse_number(&size, json_object_get(json, "image_size"), 1, 4096, where, "image_size", err);
    if (!status && size != floor(size)) status = rudd_fail(err, RUDD_FORMAT, "%s: image_size %g is not whole", where, size);
    if (!status) status = parse_word(&mode, json_object_get(json, "mode"), weights_mode_words, 3, where, "mode", err);
    if (!status) status = parse_word(&filter, json_object_get(json, "filter"), weights_filter_words, 2, where, "filter", err);
    if (!status)
        status = parse_number(&q.crop_fraction, json_object_get(json, "crop_fraction"), 0.01, 1, where, "crop_fraction", err);
    if (!status) status = parse_number(&q.reduce, json_object_get(json, "reduce"), 0, 100, where, "reduce", err);
    if (!status) status = parse_rgb(q.mean, json_object_get(json, "mean"), -1e3, 1e3, where, "mean", err);
    if (!status) status = parse_rgb(q.std, json_object_get(json, "std"), 1e-6, 1e3, where, "std", err); /* it divides */
    if (status) return status;
    q.image_size = (int)size;
    q.mode = (enum nn_resize_mode)mode;
    q.filter = (enum nn_filter)filter;
    *p = q;
    return RUDD_OK;
}

static enum rudd_status parse_conventions(struct nn_model *model, const json_t *json, const char *where, struct rudd_error *err)
{
    static const char *const keys[] = {"bn_eps", "pad", "pad_size"};
    double eps = model->bn_eps, size = 0;
    int pad = (int)model->pad;
    enum rudd_status status = check_keys(json, keys, sizeof keys / sizeof *keys, where, err);
    if (!status) status = parse_number(&eps, json_object_get(json, "bn_eps"), 1e-12, 1, where, "bn_eps", err);
    if (!status) status = parse_word(&pad, json_object_get(json, "pad"), weights_pad_words, 2, where, "pad", err);
    if (!status) status = parse_number(&size, json_object_get(json, "pad_size"), 1, 4096, where, "pad_size", err);
    if (!status && size > 0 && (size != floor(size) || pad != NN_PAD_SAME))
        status = rudd_fail(err, RUDD_FORMAT, "%s: pad_size %g, expected a whole number, and pad \"same\"", where, size);
    if (status) return status;
    model->bn_eps = (float)eps;
    model->pad = (enum nn_pad)pad;
    return nn_model_freeze_pads(model, (int)size, err);
}

/* One class: a string, or an object whose name is required. The strings stay json's. */
static enum rudd_status parse_class(struct nn_class *c, const json_t *json, const char *where, size_t index,
                                    struct rudd_error *err)
{
    static const char *const keys[] = {"name", "latin", "en", "ru"};
    char **const fields[] = {&c->name, &c->latin, &c->en, &c->ru};
    if (json_is_string(json))
        c->name = (char *)json_string_value(json);
    else {
        enum rudd_status status = check_keys(json, keys, sizeof keys / sizeof *keys, where, err);
        if (status) return status;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            const json_t *value = json_object_get(json, keys[k]);
            if (value && !json_is_string(value))
                return rudd_fail(err, RUDD_FORMAT, "%s: %s of class %zu is not a string", where, keys[k], index);
            *fields[k] = (char *)json_string_value(value);
        }
    }
    return c->name && *c->name ? RUDD_OK : rudd_fail(err, RUDD_FORMAT, "%s: class %zu has no name", where, index);
}

static enum rudd_status parse_classes(struct nn_model *model, const json_t *json, const char *where, struct rudd_error *err)
{
    size_t count = json_array_size(json);
    if (count != (size_t)model->class_count)
        return rudd_fail(err, RUDD_FORMAT, "%s: lists %zu classes, the classifier has %d", where, count, model->class_count);
    struct nn_class *classes = rudd_zalloc(count, sizeof *classes);
    if (!classes) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu classes", where, count);
    enum rudd_status status = RUDD_OK;
    for (size_t i = 0; i < count && !status; i++) status = parse_class(&classes[i], json_array_get(json, i), where, i, err);
    struct rudd_error why;
    if (!status && (status = nn_model_set_classes(model, classes, (int)count, &why)))
        rudd_fail(err, status, "%s: %s", where, why.message);
    rudd_free(classes);
    return status;
}

enum rudd_status weights_metadata_class_count(int *count, const struct weights_file *file, struct rudd_error *err)
{
    json_t *json;
    enum rudd_status status = parse_value(&json, file, "rudd.classes", err);
    size_t n = json_array_size(json);
    if (!status && json && (n < 1 || n > NN_MAX_CLASSES))
        status = rudd_fail(err, RUDD_FORMAT, "%s: rudd.classes is not a list of 1 to %d classes", file->path, NN_MAX_CLASSES);
    if (!status) *count = (int)n;
    json_decref(json);
    return status;
}

/* text NULL: the file has none. */
static enum rudd_status parse_temperature(struct nn_model *model, const char *text, const char *path, struct rudd_error *err)
{
    char *end = NULL;
    double t = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end || !(t >= 1e-3 && t <= 1e3)))
        return rudd_fail(err, RUDD_FORMAT, "%.200s: rudd.temperature is \"%.40s\", expected a number from 0.001 to 1000", path,
                         text);
    model->temperature = t;
    return RUDD_OK;
}

enum rudd_status weights_metadata_read(struct nn_model *model, const struct weights_file *file, bool own_classes,
                                       struct rudd_error *err)
{
    json_t *conventions = NULL, *preprocess = NULL, *classes = NULL;
    char where[256];
    enum rudd_status status = parse_value(&conventions, file, "rudd.conventions", err);
    if (!status) status = parse_value(&preprocess, file, "rudd.preprocess", err);
    if (!status && own_classes) status = parse_value(&classes, file, "rudd.classes", err);
    if (!status && conventions) {
        snprintf(where, sizeof where, "%.200s: rudd.conventions", file->path);
        status = parse_conventions(model, conventions, where, err);
    }
    if (!status && preprocess) {
        snprintf(where, sizeof where, "%.200s: rudd.preprocess", file->path);
        status = weights_preprocess_parse(&model->preprocess, preprocess, where, err);
    }
    if (!status && classes) {
        snprintf(where, sizeof where, "%.200s: rudd.classes", file->path);
        status = parse_classes(model, classes, where, err);
    }
    if (!status && own_classes) status = parse_temperature(model, weights_meta(file, "rudd.temperature"), file->path, err);
    char **const fields[] = {&model->metrics, &model->run, &model->dataset, &model->golden};
    static const char *const keys[] = {"rudd.metrics", "rudd.run", "rudd.dataset", "rudd.golden"};
    for (size_t i = 0; i < 4 && own_classes && !status; i++)
        status = nn_model_set_text(fields[i], weights_meta(file, keys[i]), err);
    json_decref(conventions);
    json_decref(preprocess);
    json_decref(classes);
    return status;
}
