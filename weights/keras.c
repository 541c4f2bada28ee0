/* keras.c - Keras' names, layouts and preprocessing: see keras.h. */
#include "weights/keras.h"

#include "weights/archive.h"
#include "weights/hdf5.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The variables of a layer in the order of its class. */
static const struct {
    const char *class, *variables[4];
} classes[] = {
    {"conv2d", {"kernel", "bias"}},
    {"depthwise_conv2d", {"kernel", "bias"}},
    {"dense", {"kernel", "bias"}},
    {"batch_normalization", {"gamma", "beta", "moving_mean", "moving_variance"}},
    {"normalization", {"mean", "variance", "count"}},
};

/* "conv2d_3" is of class "conv2d". */
static bool is_of(const char *layer, size_t length, const char *class)
{
    const size_t n = strlen(class);
    if (length < n || strncmp(layer, class, n)) return false;
    if (length == n) return true;
    return layer[n] == '_' && length > n + 1 && strspn(layer + n + 1, "0123456789") >= length - n - 1;
}

/* The name of variable `index` of a layer that the file knows as group ("layers/conv2d_3"). */
static void name_by_class(char out[WEIGHTS_MAX_NAME + 1], const struct weights_file *file, const char *group, size_t length,
                          const char *index)
{
    char key[WEIGHTS_MAX_NAME + 16];
    size_t start = length;
    while (start && group[start - 1] != '/') start--;
    snprintf(key, sizeof key, "%.*s/vars@name", (int)length, group);
    const char *own = weights_meta(file, key), *variable = index;
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++)
        if (is_of(group + start, length - start, classes[c].class) && index[0] >= '0' && index[0] < '4' && !index[1] &&
            classes[c].variables[index[0] - '0'])
            variable = classes[c].variables[index[0] - '0'];
    if (own && *own && weights_name_is_printable(own) && !strchr(own, '/'))
        snprintf(out, WEIGHTS_MAX_NAME + 1, "%s/%s", own, variable);
    else
        snprintf(out, WEIGHTS_MAX_NAME + 1, "%.*s/%s", (int)(length - start), group + start, variable);
}

void weights_keras_place(char out[WEIGHTS_MAX_NAME + 1], const char *numbered)
{
    const size_t layer = strcspn(numbered, "/");
    int index = 0;
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++)
        for (int v = 0; is_of(numbered, layer, classes[c].class) && v < 4 && classes[c].variables[v]; v++)
            if (!strcmp(numbered + layer + 1, classes[c].variables[v])) index = v;
    snprintf(out, WEIGHTS_MAX_NAME + 1, "layers/%.*s/vars/%d", (int)layer, numbered, index);
}

/* What a path becomes; false: it belongs to training. */
static bool rename_path(char out[WEIGHTS_MAX_NAME + 1], const struct weights_file *file, const char *path)
{
    static const char vars[] = "/vars";
    const char *leaf = strrchr(path, '/');
    const size_t group = leaf ? (size_t)(leaf - path) : 0, n = strlen(vars);
    if (!strncmp(path, "optimizer", 9) || !strncmp(path, "metrics/", 8)) return false;
    if (group > n && !strncmp(path + group - n, vars, n)) {
        if (strncmp(path, "layers/", 7) && strncmp(path, "_layer_checkpoint_dependencies/", 31)) return false;
        name_by_class(out, file, path, group - n, leaf + 1);
        return true;
    }
    const char *layer = leaf ? leaf : path;
    while (layer > path && layer[-1] != '/') layer--;
    snprintf(out, WEIGHTS_MAX_NAME + 1, "%s", layer);
    char *end = strrchr(out, ':'), *own = strrchr(out, '/');
    if (end && !end[1 + strspn(end + 1, "0123456789")]) *end = 0; /* TensorFlow's number of an operation's output */
    if (own && !strcmp(own, "/depthwise_kernel")) strcpy(own, "/kernel");
    return true;
}

static enum rudd_status rename_all(struct weights_file *file, struct rudd_error *err)
{
    char name[WEIGHTS_MAX_NAME + 1];
    int kept = 0;
    for (int i = 0; i < file->tensor_count; i++) {
        struct weights_tensor *t = &file->tensors[i];
        const bool keep = rename_path(name, file, t->name);
        char *copy = keep ? rudd_strdup(name) : NULL;
        if (keep && !copy) {
            for (; i < file->tensor_count; i++) file->tensors[kept++] = file->tensors[i];
            file->tensor_count = kept;
            return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its names", file->path);
        }
        rudd_free(t->name);
        t->name = copy;
        if (keep) file->tensors[kept++] = *t;
    }
    file->tensor_count = kept;
    for (int i = 0; i < file->meta_count; i++) /* "@rudd.arch", of the root group, is rudd's own metadata */
        if (file->meta[i].key[0] == '@') memmove(file->meta[i].key, file->meta[i].key + 1, strlen(file->meta[i].key));
    return RUDD_OK;
}

/* The only dense layer becomes "predictions", as keras.applications calls the classifier. */
static enum rudd_status rename_classifier(struct weights_file *file, struct rudd_error *err)
{
    static const char classifier[] = "predictions";
    const char *kernel = NULL;
    for (int i = 0; i < file->tensor_count; i++) {
        const struct weights_tensor *t = &file->tensors[i];
        const size_t n = strlen(t->name);
        if (t->rank != 2 || n <= 7 || strcmp(t->name + n - 7, "/kernel")) continue;
        if (kernel) return RUDD_OK; /* several: whoever knows the network must tell */
        kernel = t->name;
    }
    if (!kernel || weights_find(file, "conv2d/kernel")) return RUDD_OK; /* numbered layers keep their numbers */
    char layer[WEIGHTS_MAX_NAME + 1];
    const size_t length = strlen(kernel) - 7;
    snprintf(layer, sizeof layer, "%.*s", (int)length, kernel);
    for (int i = 0; i < file->tensor_count; i++) {
        struct weights_tensor *t = &file->tensors[i];
        if (strncmp(t->name, layer, length) || t->name[length] != '/') continue;
        char *name = rudd_alloc(sizeof classifier + strlen(t->name));
        if (!name) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its names", file->path);
        sprintf(name, "%s%s", classifier, t->name + length);
        rudd_free(t->name);
        t->name = name;
    }
    return RUDD_OK;
}

enum rudd_status weights_keras_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                     struct rudd_error *err)
{
    struct weights_file f;
    enum rudd_status status = weights_hdf5_parse(&f, bytes, length, name, err);
    if (status) return status;
    status = rename_all(&f, err);
    if (!status) status = weights_sort(&f, err);
    if (!status) status = rename_classifier(&f, err);
    if (!status) status = weights_sort(&f, err);
    if (status)
        weights_close(&f);
    else
        *file = f;
    return status;
}

enum rudd_status weights_keras_archive_parse(struct weights_file *file, struct weights_zip *zip, struct rudd_error *err)
{
    struct weights_file inner;
    struct weights_zip_entry *weights = weights_zip_find(zip, "model.weights.h5");
    if (!weights) return rudd_fail(err, RUDD_FORMAT, "%s: model.weights.h5 is not where Keras puts it", file->path);
    enum rudd_status status = weights_zip_read(weights, zip, file, err);
    if (!status) status = weights_keras_parse(&inner, weights->bytes, weights->packed.size, file->path, err);
    if (status) return status;
    file->tensors = inner.tensors;
    file->tensor_count = inner.tensor_count;
    file->meta = inner.meta;
    file->meta_count = inner.meta_count;
    rudd_free(inner.path);
    return RUDD_OK;
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

bool weights_is_keras(enum weights_dialect d)
{
    return d == WEIGHTS_KERAS || d == WEIGHTS_KERAS_NUMBERED;
}

void weights_dialect_shape(int64_t shape[4], const struct nn_param *p, enum weights_dialect d)
{
    static const int orders[][4] = {
        [NN_CONV_WEIGHT] = {2, 3, 1, 0}, [NN_DWCONV_WEIGHT] = {2, 3, 0, 1}, [NN_LINEAR_WEIGHT] = {1, 0, 2, 3}};
    for (int i = 0; i < 4; i++)
        shape[i] = p->shape[weights_is_keras(d) && p->kind <= NN_LINEAR_WEIGHT ? orders[p->kind][i] : i];
}

/* Every weight is [taps][in][out] in Keras and [out][in][taps] here, depthwise ones with one input each. */
struct extents {
    size_t taps, in, out;
};
static struct extents extents_of(const struct nn_param *p)
{
    if (p->kind > NN_LINEAR_WEIGHT) return (struct extents){1, 1, p->count};
    return (struct extents){(size_t)p->shape[2] * (size_t)p->shape[3], (size_t)p->shape[1], (size_t)p->shape[0]};
}

void weights_from_keras(float *restrict out, const float *restrict in, const struct nn_param *p)
{
    const struct extents e = extents_of(p);
    for (size_t o = 0; o < e.out; o++)
        for (size_t i = 0; i < e.in; i++)
            for (size_t t = 0; t < e.taps; t++) *out++ = in[(t * e.in + i) * e.out + o];
}

void weights_to_keras(float *restrict out, const float *restrict in, const struct nn_param *p)
{
    const struct extents e = extents_of(p);
    for (size_t t = 0; t < e.taps; t++)
        for (size_t i = 0; i < e.in; i++)
            for (size_t o = 0; o < e.out; o++) *out++ = in[(o * e.in + i) * e.taps + t];
}

/* ---- conventions ------------------------------------------------------------------------------------------------- */

void weights_keras_conventions(struct nn_model *model)
{
    /* By a part of the architecture's name; the first that fits. std 0: the preprocessing lies in variables of the file. */
    static const struct {
        const char *part;
        enum nn_pad pad;
        float bn_eps, mean[3], std[3];
    } rows[] = {
        {"efficientnet_b", NN_PAD_SAME, 1e-3f, {0, 0, 0}, {0, 0, 0}},
        {"efficientnetv2_b", NN_PAD_SAME, 1e-3f, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {"efficientnetv2",
         NN_PAD_SAME,
         1e-3f,
         {128 / 255.f, 128 / 255.f, 128 / 255.f},
         {128 / 255.f, 128 / 255.f, 128 / 255.f}},
        {"mobilenetv2", NN_PAD_SAME, 1e-3f, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
        {"resnet50v2", NN_PAD_SYMMETRIC, 1.001e-5f, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strstr(model->arch, rows[i].part)) continue;
        model->pad = rows[i].pad;
        model->bn_eps = rows[i].bn_eps;
        if (rows[i].std[0] <= 0) return;
        memcpy(model->preprocess.mean, rows[i].mean, sizeof rows[i].mean);
        memcpy(model->preprocess.std, rows[i].std, sizeof rows[i].std);
        return;
    }
}

bool weights_keras_normalises(const struct nn_model *model)
{
    return strstr(model->arch, "efficientnet_b") != NULL;
}

/* A variable of the first Normalization layer from tensor `from` on, however it is numbered. */
static const struct weights_tensor *find_normalization(const struct weights_file *file, int from, const char *variable)
{
    for (int i = from; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name, *leaf = strrchr(name, '/');
        if (leaf && !strcmp(leaf + 1, variable) && is_of(name, (size_t)(leaf - name), "normalization"))
            return &file->tensors[i];
    }
    return NULL;
}

/* Mean and second number of three channels, of pixels of 0..1, into the model's preprocessing. */
static enum rudd_status set_normalization(struct nn_model *model, const struct weights_file *file, const float mean[3],
                                          const float second[3], enum weights_keras_norm norm, struct rudd_error *err)
{
    static const float imagenet[3] = {0.229f, 0.224f, 0.225f};
    bool deviation = norm == WEIGHTS_KERAS_STD;
    if (norm == WEIGHTS_KERAS_AUTO) {
        deviation = true;
        for (int c = 0; c < 3; c++) deviation = deviation && fabsf(second[c] - imagenet[c]) < 1e-4f;
    }
    float std[3], scale = 1;
    for (int c = 0; c < 3; c++) {
        std[c] = deviation ? second[c] : sqrtf(second[c]);
        if (!(std[c] >= 1e-6f && std[c] <= 1e3f) || !(fabsf(mean[c]) <= 1e3f))
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: its Normalization layer holds %g and %g; expected a mean and a variance of pixels",
                             file->path, mean[c], second[c]);
        if (!weights_keras_normalises(model) && (fabsf(mean[c]) > 2 || std[c] > 2)) scale = 255;
    }
    for (int c = 0; c < 3; c++) {
        model->preprocess.mean[c] = mean[c] / scale;
        model->preprocess.std[c] = std[c] / scale;
    }
    return RUDD_OK;
}

enum rudd_status weights_keras_preprocess(struct nn_model *model, bool *found, const struct weights_file *file,
                                          enum weights_keras_norm norm, struct rudd_error *err)
{
    const struct weights_tensor *m = find_normalization(file, 0, "mean"), *v = find_normalization(file, 0, "variance");
    float mean[3], second[3];
    *found = m && v && norm != WEIGHTS_KERAS_NONE;
    if (!*found) return RUDD_OK;
    const struct weights_tensor *other = find_normalization(file, (int)(m - file->tensors) + 1, "mean");
    if (other)
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: two Normalization layers, %s and %s; expected one: what they make of a picture together the file does not "
            "say; --keras-norm none leaves them out, --preprocess says it",
            file->path, m->name, other->name);
    if (m->count != 3 || v->count != 3)
        return rudd_fail(err, RUDD_FORMAT, "%s: %s has %zu values and %s %zu; expected 3 each", file->path, m->name, m->count,
                         v->name, v->count);
    enum rudd_status status = weights_read_f32(mean, file, m, err);
    if (!status) status = weights_read_f32(second, file, v, err);
    return status ? status : set_normalization(model, file, mean, second, norm, err);
}
