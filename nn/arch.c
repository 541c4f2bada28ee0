/* arch.c - architectures by name: "efficientnet_b4", "efficientnet_b4+mlp256".
 *
 * A family is a table of rows (arch.h) in a file of its own; here they are one list, and a name becomes a described model. */
#include "nn/arch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nn_arch *row(int index)
{
    static const struct nn_arch *(*const tables[])(int) = {nn_efficientnet_row, nn_resnet_row};
    if (index < 0) return NULL;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const struct nn_arch *a = tables[t](index);
        if (a) return a;
        int rows = 0;
        while (tables[t](rows)) rows++;
        index -= rows;
    }
    return NULL;
}

/* The row of the first `length` characters of a name. */
static const struct nn_arch *find(const char *name, size_t length)
{
    const struct nn_arch *a = NULL;
    for (int i = 0; (a = row(i)); i++)
        if (!strncmp(name, a->name, length) && !a->name[length]) return a;
    return NULL;
}

const char *nn_arch_name(int index)
{
    const struct nn_arch *a = row(index);
    return a ? a->name : NULL;
}

enum nn_family nn_arch_family(const char *arch)
{
    const struct nn_arch *a = find(arch, strcspn(arch, "+"));
    return a ? a->family : NN_EFFICIENTNET;
}

int nn_build_classifier(struct nn_builder *b, int x, const char *name, int hidden)
{
    char layer[NN_NAME];
    x = nn_build_dropout(b, nn_build_pool(b, x));
    b->stage++;
    if (!hidden) return nn_build_linear(b, x, name, b->model->class_count);
    snprintf(layer, sizeof layer, "%.40s.fc1", name);
    x = nn_build_act(b, nn_build_linear(b, x, layer, hidden), KERN_ACT_SILU);
    snprintf(layer, sizeof layer, "%.40s.fc2", name);
    return nn_build_linear(b, nn_build_dropout(b, x), layer, b->model->class_count);
}

static const char hidden_mark[] = "+mlp";

bool nn_arch_parse(size_t *base, int *hidden, const char *arch)
{
    const char *mark = strstr(arch, hidden_mark);
    *base = mark ? (size_t)(mark - arch) : strlen(arch);
    *hidden = 0;
    if (!mark) return true;
    const char *digits = mark + strlen(hidden_mark);
    const size_t count = strspn(digits, "0123456789");
    if (count < 1 || count > 5 || digits[count]) return false;
    *hidden = (int)strtol(digits, NULL, 10);
    return *hidden > 0 && *hidden <= NN_MAX_HIDDEN;
}

void nn_arch_print(char out[NN_ARCH], const char *arch, int hidden)
{
    const int base = (int)strcspn(arch, "+");
    if (hidden)
        snprintf(out, NN_ARCH, "%.*s%s%d", base, arch, hidden_mark, hidden);
    else
        snprintf(out, NN_ARCH, "%.*s", base, arch);
}

enum rudd_status nn_model_describe(struct nn_model **model, const char *arch, int class_count, struct rudd_error *err)
{
    struct nn_arch_spec spec = {0};
    size_t base;
    if (!nn_arch_parse(&base, &spec.hidden, arch))
        return rudd_fail(err, RUDD_ARGUMENT, "architecture '%.60s': expected +mlpN at its end, N of 1..%d hidden units", arch,
                         NN_MAX_HIDDEN);
    const struct nn_arch *a = spec.arch = find(arch, base);
    if (!a)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "unknown architecture '%.60s'; known are efficientnet_b0..b7, tf_efficientnet_b0..b7, "
                         "tf_efficientnetv2_b0..b3, tf_efficientnetv2_s, efficientnetv2_s, mobilenetv2_035, _050, _075, "
                         "_100, _130 and _140, resnet50v2, resnetv2_50, rudd_nano",
                         arch);
    char name[NN_ARCH];
    nn_arch_print(name, a->name, spec.hidden);
    enum rudd_status status = nn_model_outline(model, name, a->describe, &spec, class_count, err);
    if (status) return status;
    struct nn_preprocess *p = &(*model)->preprocess;
    (*model)->bn_eps = a->bn_eps;
    (*model)->pad = a->pad;
    p->image_size = a->image_size;
    p->crop_fraction = a->crop_fraction;
    for (int i = 0; a->half && i < 3; i++) p->mean[i] = p->std[i] = 0.5f;
    return RUDD_OK;
}
