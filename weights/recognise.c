/* recognise.c - what network a weights file holds: its dialect by a marker name, its architecture by metadata or by fit.
 *
 * No table of fingerprints: each architecture is described (names and shapes, no values) and the one that the file's tensors
 * fit best is taken, counting +1 for a parameter found in its shape and -1 for one missing or misshapen. A tf_ variant has the
 * shapes of its plain twin; lukemelas' files are always the tf_ ones, torchvision's the plain ones, timm's are taken for the one that
 * comes first (nn_arch_name), and the caller is told that it was a guess. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "weights/keras.h"
#include "weights/model_file.h"
#include "weights/names/others.h"

bool weights_fits(const struct weights_tensor *t, const struct nn_param *p, enum weights_dialect d)
{
    int64_t shape[4];
    weights_dialect_shape(shape, p, d);
    bool fits = t->rank == p->rank && weights_dtype_is_float(t->dtype);
    for (int i = 0; fits && i < p->rank; i++) fits = t->shape[i] == shape[i];
    return fits;
}

/* The stem's convolution, which every file has, has another name in each dialect, and in Keras in each family. */
static bool find_dialect(enum weights_dialect *dialect, const struct weights_file *file)
{
    static const struct {
        const char *name;
        enum weights_dialect dialect;
    } markers[] = {
        {"conv_stem.weight", WEIGHTS_TIMM},        {"features.0.0.weight", WEIGHTS_TORCHVISION},
        {"_conv_stem.weight", WEIGHTS_LUKEMELAS},  {"stem_conv/kernel", WEIGHTS_KERAS},
        {"Conv1/kernel", WEIGHTS_KERAS}, /* MobileNetV2's; ResNet-50 V2's: */
        {"stem.conv.weight", WEIGHTS_TIMM},        {"conv1_conv/kernel", WEIGHTS_KERAS},
        {"conv2d/kernel", WEIGHTS_KERAS_NUMBERED},
    };
    for (size_t m = 0; m < sizeof markers / sizeof *markers; m++)
        if (weights_find(file, markers[m].name)) {
            *dialect = markers[m].dialect;
            return true;
        }
    return false;
}

/* "efficientnet-b0" (lukemelas' spelling) "tf_efficientnetv2_b0.in1k" (with a training tag) and "efficientnet_b0+mlp64" (with a hidden
 * layer, which the loader looks for among the tensors) are known architectures too. */
static const char *known_arch(const char *text, enum weights_dialect dialect)
{
    bool add_tf = dialect == WEIGHTS_LUKEMELAS && strncmp(text, "tf_", 3);
    for (int k = 0; nn_arch_name(k); k++) {
        const char *name = nn_arch_name(k), *p = text;
        if (add_tf) {
            if (strncmp(name, "tf_", 3)) continue;
            name += 3;
        }
        while (*name && (*name == *p || (*name == '_' && *p == '-'))) name++, p++;
        if (!*name && (!*p || *p == '.' || *p == '+')) return nn_arch_name(k);
    }
    return NULL;
}

/* How well the file fits the architecture, its classifier aside; 0 when the dialect does not know the family; any figure up to at_least where it
 * cannot be more. */
static enum rudd_status score_arch(int *score, const char *arch, enum weights_dialect dialect, const struct weights_file *file,
                                   int at_least, struct rudd_error *err)
{
    struct nn_model *outline;
    enum rudd_status status = nn_model_describe(&outline, arch, 1, err);
    if (status) return status;
    int classifier = nn_model_stage_count(outline) - 1;
    *score = 0;
    for (int i = 0; i < outline->param_count && outline->params[i].stage < classifier; i++) {
        char name[NN_NAME];
        if (!weights_param_name(name, outline, i, dialect)) {
            *score = 0;
            break;
        }
        const struct weights_tensor *t = weights_find(file, name);
        *score += t && weights_fits(t, &outline->params[i], dialect) ? 1 : -1;
        if (*score + outline->param_count - i <= at_least) break; /* names cost time */
    }
    nn_model_destroy(outline);
    return RUDD_OK;
}

/* The architecture whose number of parameters is nearest to the file's: most often the one, so that the others are soon seen to fit worse. */
static enum rudd_status nearest_arch(const char **arch, const struct weights_file *file, struct rudd_error *err)
{
    int floats = 0, least = INT_MAX;
    for (int i = 0; i < file->tensor_count; i++) floats += weights_dtype_is_float(file->tensors[i].dtype);
    for (int k = 0; nn_arch_name(k); k++) {
        struct nn_model *outline;
        enum rudd_status status = nn_model_describe(&outline, nn_arch_name(k), 1, err);
        if (status) return status;
        const int apart = abs(outline->param_count - floats);
        if (apart < least) {
            least = apart;
            *arch = nn_arch_name(k);
        }
        nn_model_destroy(outline);
    }
    return RUDD_OK;
}

/* *best: the architecture that the file's tensors fit best; NULL: none at all. */
static enum rudd_status best_arch(const char **best, enum weights_dialect d, const struct weights_file *file,
                                  struct rudd_error *err)
{
    int best_score = 0, nearest_score = 0;
    const char *nearest = NULL;
    *best = NULL;
    enum rudd_status status = nearest_arch(&nearest, file, err);
    if (!status) status = score_arch(&nearest_score, nearest, d, file, 0, err);
    for (int k = 0; !status && nn_arch_name(k); k++) {
        int score;
        const char *name = nn_arch_name(k);
        if (d == WEIGHTS_LUKEMELAS && strncmp(name, "tf_", 3)) continue;
        if (weights_is_keras(d) && !strncmp(name, "efficientnet", 12)) continue; /* its tf_ twin it is */
        status = score_arch(&score, name, d, file, nearest_score - 1, err);
        if (status) return status;
        const bool plain_twin = d == WEIGHTS_TORCHVISION && strncmp(name, "tf_", 3);
        if (score > best_score || (score == best_score && score && plain_twin && !strncmp(*best, "tf_", 3))) {
            best_score = score;
            *best = name;
        }
    }
    return status;
}

enum rudd_status weights_recognise(const char **arch, enum weights_dialect *dialect, bool *guessed,
                                   const struct weights_file *file, struct rudd_error *err)
{
    enum weights_dialect d;
    if (!find_dialect(&d, file)) return weights_refuse_network(file, err);
    if (*arch) {
        *dialect = d;
        *guessed = false;
        return RUDD_OK;
    }
    const char *own = weights_meta(file, "rudd.arch"), *best = NULL;
    if (own && !known_arch(own, d))
        return rudd_fail(err, RUDD_MISMATCH, "%s: its architecture %.60s is unknown to this version of rudd", file->path, own);
    if (!own) own = weights_meta(file, "architecture");
    if (own) best = known_arch(own, d);

    const bool guess = !best;
    if (guess) {
        enum rudd_status status = best_arch(&best, d, file, err);
        if (status) return status;
    }
    if (!best) return weights_refuse_network(file, err);
    *arch = best;
    *dialect = d;
    *guessed = guess;
    return RUDD_OK;
}

enum rudd_status weights_recognise_most(const char **arch, const struct weights_file *file, struct rudd_error *err)
{
    enum weights_dialect d;
    bool guessed;
    int fitting, count = 0;
    const char *found = NULL;
    struct nn_model *outline;
    enum rudd_status status = weights_recognise(&found, &d, &guessed, file, err);
    *arch = NULL;
    if (status == RUDD_MISMATCH) return RUDD_OK;
    if (!status) status = score_arch(&fitting, found, d, file, INT_MIN / 2, err);
    if (!status) status = nn_model_describe(&outline, found, 1, err);
    if (status) return status;
    const int classifier = nn_model_stage_count(outline) - 1;
    for (int i = 0; i < outline->param_count; i++) count += outline->params[i].stage < classifier;
    nn_model_destroy(outline);
    if (fitting > count - count / 5) *arch = found; /* each that does not fit takes two off */
    return RUDD_OK;
}
