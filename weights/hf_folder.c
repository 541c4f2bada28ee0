/* hf_folder.c - a Hugging Face folder is read: see hf_folder.h. */
#include "weights/hf_folder.h"
#include "weights/container/folder.h"
#include "weights/metadata.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_CONFIG = 16 << 20 };

/* A JSON value of config.json, and its key, for messages. */
struct place {
    const char *where, *key;
    const json_t *value;
    struct rudd_error *err;
};

static struct place at(const json_t *object, const char *key, const char *where, struct rudd_error *err)
{
    return (struct place){where, key, json_object_get(object, key), err};
}

static enum rudd_status refuse(const struct place *p, const char *expected)
{
    char *text = json_dumps(p->value, JSON_COMPACT | JSON_ENCODE_ANY);
    enum rudd_status status = rudd_fail(p->err, RUDD_MISMATCH, "%.200s: %s is %.60s, expected %s", p->where, p->key,
                                        text ? text : "something else", expected);
    free(text);
    return status;
}

/* ---- preprocessing ----------------------------------------------------------------------------------------------- */

/* *out: rudd's word for timm's; NULL when the config says nothing. rows: timm's word, rudd's word; NULL at the end. */
static enum rudd_status translate(const char **out, const struct place *p, const char *const (*rows)[2], const char *expected)
{
    *out = NULL;
    if (!p->value || json_is_null(p->value)) return RUDD_OK;
    for (; (*rows)[0]; rows++)
        if (json_is_string(p->value) && !strcmp(json_string_value(p->value), (*rows)[0])) {
            *out = (*rows)[1];
            return RUDD_OK;
        }
    return refuse(p, expected);
}

/* input_size [3,S,S] */
static enum rudd_status square_side(json_t *out, const struct place *p)
{
    if (!p->value || json_is_null(p->value)) return RUDD_OK;
    const json_int_t planes = json_integer_value(json_array_get(p->value, 0)),
                     h = json_integer_value(json_array_get(p->value, 1)), w = json_integer_value(json_array_get(p->value, 2));
    if (json_array_size(p->value) != 3 || planes != 3 || h < 1 || h != w) return refuse(p, "[3,S,S]");
    return json_object_set_new(out, "image_size", json_integer(h)) ? refuse(p, "less memory in use") : RUDD_OK;
}

static enum rudd_status copy(json_t *out, const char *key, const struct place *p)
{
    if (!p->value || json_is_null(p->value)) return RUDD_OK;
    return json_object_set(out, key, (json_t *)p->value) ? refuse(p, "less memory in use") : RUDD_OK;
}

/* In rudd's words, to be read as strictly as a model file's (weights_preprocess_parse). */
static enum rudd_status parse_preprocess(struct weights_hf *hf, const json_t *cfg, const char *where, struct rudd_error *err)
{
    static const char *const modes[][2] = {{"center", "crop"}, {"squash", "squash"}, {"border", "pad"}, {NULL, NULL}};
    static const char *const filters[][2] = {
        {"bicubic", "bicubic"}, {"bilinear", "bilinear"}, {"random", "bicubic"}, {"", "bicubic"}, {NULL, NULL}};
    const struct place crop_mode = at(cfg, "crop_mode", where, err), interpolation = at(cfg, "interpolation", where, err),
                       input_size = at(cfg, "input_size", where, err), crop_pct = at(cfg, "crop_pct", where, err),
                       mean = at(cfg, "mean", where, err), std = at(cfg, "std", where, err);
    const char *mode, *filter;
    hf->preprocess = json_object();
    if (!hf->preprocess) return rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory to read it", where);
    enum rudd_status status = translate(&mode, &crop_mode, modes, "center, squash or border");
    if (!status) status = translate(&filter, &interpolation, filters, "bicubic or bilinear");
    if (!status) status = square_side(hf->preprocess, &input_size);
    if (!status) status = copy(hf->preprocess, "mean", &mean);
    if (!status) status = copy(hf->preprocess, "std", &std);
    if (!status) status = copy(hf->preprocess, "crop_fraction", &crop_pct);
    if (status) return status;
    /* timm enlarges by 1/crop_pct before it cuts, in every mode; rudd's other modes cut nothing. */
    if (mode && strcmp(mode, "crop") && json_number_value(crop_pct.value) != 1)
        return refuse(&crop_pct, "1 with this crop_mode");
    if ((mode && json_object_set_new(hf->preprocess, "mode", json_string(mode))) ||
        (filter && json_object_set_new(hf->preprocess, "filter", json_string(filter))))
        return rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory to read it", where);
    struct nn_preprocess trial = {.image_size = 224, .crop_fraction = 1};
    return weights_preprocess_parse(&trial, hf->preprocess, where, err);
}

/* ---- the rest of the config -------------------------------------------------------------------------------------- */

/* Arguments of timm's constructor: those that rudd has too, those that change nothing here, no others. */
static enum rudd_status parse_model_args(struct weights_hf *hf, const json_t *args, const char *where, struct rudd_error *err)
{
    static const char *const harmless[] = {"num_classes", "drop_rate", "drop_path_rate", "img_size", "pretrained"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)args, key, value)
    {
        const struct place p = {where, key, value, err};
        const char *text = json_string_value(value);
        bool known = json_is_null(value);
        for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) known |= !strcmp(key, harmless[i]);
        if (known) continue;
        if (!strcmp(key, "in_chans") && json_integer_value(value) != 3) return refuse(&p, "3");
        if (!strcmp(key, "global_pool") && (!text || strcmp(text, "avg"))) return refuse(&p, "\"avg\"");
        if (!strcmp(key, "in_chans") || !strcmp(key, "global_pool")) continue;
        if (!strcmp(key, "pad_type")) {
            if (!text || (*text && strcmp(text, "same") && strcmp(text, "symmetric"))) return refuse(&p, "\"\" or \"same\"");
            hf->pad = !strcmp(text, "same") ? WEIGHTS_PAD_SAME : WEIGHTS_PAD_SYMMETRIC;
        } else if (!strcmp(key, "bn_eps")) {
            hf->bn_eps = (float)json_number_value(value);
            if (!(hf->bn_eps > 0 && hf->bn_eps < 1)) return refuse(&p, "a number from 0 to 1");
        } else {
            return rudd_fail(err, RUDD_MISMATCH, "%.200s: model_args has %.60s, which makes another network than rudd knows",
                             where, key);
        }
    }
    return RUDD_OK;
}

/* label_names: a list, or an object from index to name without gaps. */
static enum rudd_status parse_labels(struct weights_hf *hf, const json_t *labels, const char *where, struct rudd_error *err)
{
    const struct place p = {where, "label_names", labels, err};
    const size_t count = json_is_array(labels) ? json_array_size(labels) : json_object_size(labels);
    if (!labels || json_is_null(labels)) return RUDD_OK;
    if (count < 1 || count > NN_MAX_CLASSES) return refuse(&p, "a list of class names");
    hf->names = rudd_zalloc(count, sizeof *hf->names);
    if (!hf->names) return rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory for %zu class names", where, count);
    for (size_t i = 0; i < count; i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        hf->names[i] = json_string_value(json_is_array(labels) ? json_array_get(labels, i) : json_object_get(labels, index));
        if (!hf->names[i] || !*hf->names[i])
            return rudd_fail(err, RUDD_FORMAT, "%.200s: label_names has no name for class %zu of %zu", where, i, count);
    }
    hf->class_count = (int)count;
    return RUDD_OK;
}

static enum rudd_status parse_arch(struct weights_hf *hf, const struct place *p)
{
    const char *arch = json_string_value(p->value);
    if (!arch)
        return rudd_fail(
            p->err, RUDD_MISMATCH,
            "%.200s: no \"architecture\"; expected a config.json as timm writes it; give the weights file beside it instead",
            p->where);
    const size_t length = strcspn(arch, ".");
    if (length >= sizeof hf->arch) return refuse(p, "a shorter name");
    memcpy(hf->arch, arch, length);
    return RUDD_OK;
}

enum rudd_status weights_hf_parse(struct weights_hf *hf, const void *bytes, size_t length, const char *where,
                                  struct rudd_error *err)
{
    struct weights_hf h = {0};
    json_error_t fault;
    h.json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &fault);
    if (!h.json)
        return json_error_code(&fault) == json_error_out_of_memory
                   ? rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory to read it", where)
                   : rudd_fail(err, RUDD_FORMAT, "%.200s: not valid JSON at line %d: %s", where, fault.line, fault.text);
    const json_t *cfg = json_object_get(h.json, "pretrained_cfg"), *labels = json_object_get(h.json, "label_names");
    if (!json_is_object(cfg)) cfg = h.json;
    if (!labels) labels = json_object_get(cfg, "label_names");
    if (!labels) labels = json_object_get(h.json, "labels");
    const struct place arch = at(h.json, "architecture", where, err);
    enum rudd_status status = parse_arch(&h, &arch);
    if (!status) status = parse_model_args(&h, json_object_get(h.json, "model_args"), where, err);
    if (!status) status = parse_labels(&h, labels, where, err);
    if (!status) status = parse_preprocess(&h, cfg, where, err);
    if (status)
        weights_hf_free(&h);
    else
        *hf = h;
    return status;
}

void weights_hf_free(struct weights_hf *hf)
{
    json_decref(hf->json);
    json_decref(hf->preprocess);
    rudd_free(hf->names);
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static enum rudd_status read_config(struct weights_hf *hf, const char *path, struct rudd_error *err)
{
    enum rudd_status status;
    struct stat st;
    char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rudd_fail(err, RUDD_IO, "%s: cannot open: %s; a folder of weights needs one, as timm writes it", path,
                         strerror(errno));
    size_t length = 0;
    ssize_t n = 1;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MAX_CONFIG) {
        status = rudd_fail(err, RUDD_LIMIT, "%s: not a regular file of at most %d bytes", path, MAX_CONFIG);
        goto out;
    }
    bytes = rudd_alloc((size_t)st.st_size + 1);
    if (!bytes) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", path);
        goto out;
    }
    while (n > 0 && length < (size_t)st.st_size) {
        n = read(fd, bytes + length, (size_t)st.st_size - length);
        length += n > 0 ? (size_t)n : 0;
    }
    status = n < 0 ? rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path, strerror(errno))
                   : weights_hf_parse(hf, bytes, length, path, err);
out:
    rudd_free(bytes);
    close(fd);
    return status;
}

/* The config's names, with what the weights file knows of a class of that name. */
static enum rudd_status set_classes(struct nn_model *model, const struct weights_hf *hf, const char *where,
                                    struct rudd_error *err)
{
    if (hf->class_count != model->class_count)
        return rudd_fail(err, RUDD_MISMATCH, "%.200s: %d label_names, but the classifier has %d classes", where,
                         hf->class_count, model->class_count);
    const json_t *words = json_object_get(hf->json, "label_descriptions");
    struct nn_class *classes = rudd_zalloc((size_t)hf->class_count, sizeof *classes);
    if (!classes) return rudd_fail(err, RUDD_NO_MEMORY, "%.200s: no memory for the class names", where);
    for (int i = 0; i < hf->class_count; i++) {
        if (!strcmp(hf->names[i], model->classes[i].name)) classes[i] = model->classes[i];
        classes[i].name = (char *)hf->names[i];
        if (!classes[i].en) classes[i].en = (char *)json_string_value(json_object_get(words, hf->names[i]));
    }
    struct rudd_error why;
    enum rudd_status status = nn_model_set_classes(model, classes, hf->class_count, &why);
    if (status) rudd_fail(err, status, "%.200s: %s", where, why.message);
    rudd_free(classes);
    return status;
}

/* config: scratch for its path, room bytes. */
static enum rudd_status load_folder(struct nn_model **model, const char *folder, char *config, size_t room,
                                    const struct weights_load_options *options, struct weights_report *report,
                                    struct rudd_error *err)
{
    char file[WEIGHTS_PATH];
    struct weights_load_options o = *options;
    struct weights_report own = {0};
    struct weights_hf hf = {0};
    struct nn_model *m = NULL;
    if (!report) report = &own;
    memset(report, 0, sizeof *report);
    snprintf(config, room, "%s/config.json", folder);
    enum rudd_status status = read_config(&hf, config, err);
    if (!status) status = weights_find_file(file, folder, err);
    if (status) goto out;
    if (!o.arch) o.arch = hf.arch;
    if (!o.pad) o.pad = hf.pad;
    if (o.bn_eps <= 0) o.bn_eps = hf.bn_eps;
    status = weights_model_load_file(&m, file, &o, report, err);
    if (!status) status = weights_preprocess_parse(&m->preprocess, hf.preprocess, config, err);
    if (!status && hf.names && !report->classifier_replaced) status = set_classes(m, &hf, config, err);
    report->imagenet_names &= !hf.names;
    if (status)
        nn_model_destroy(m);
    else
        *model = m;
out:
    weights_hf_free(&hf);
    weights_report_free(&own);
    return status;
}

enum rudd_status weights_model_load(struct nn_model **model, const char *path, const struct weights_load_options *options,
                                    struct weights_report *report, struct rudd_error *err)
{
    static const struct weights_load_options as_the_file_says;
    if (!weights_is_hf_folder(path)) return weights_model_load_file(model, path, options, report, err);
    const size_t room = strlen(path) + 32;
    char *config = rudd_alloc(room);
    enum rudd_status status = config
                                  ? load_folder(model, path, config, room, options ? options : &as_the_file_says, report, err)
                                  : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to load it", path);
    rudd_free(config);
    return status;
}
