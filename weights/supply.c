/* supply.c - see supply.h.
 *
 *     float32    1 | 8 | 23
 *     bfloat16   1 | 8 |  7     the upper half of a float32        largest about 3.39e38
 *     float16    1 | 5 | 10     nn/half.h                          largest 65504 */
#include "weights/supply.h"
#include "nn/half.h"
#include "weights/keras.h"
#include <math.h>
#include <string.h>

enum rudd_status weights_fetch(const void **bytes, struct weights_supply *supply, int i, struct rudd_error *err)
{
    *bytes = supply->tensors[i].data;
    return supply->fetch ? supply->fetch(bytes, supply, i, err) : RUDD_OK;
}

/* ---- narrow dtypes ----------------------------------------------------------------------------------------------- */

static uint16_t bf16_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40); /* quiet, so that dropping the payload's end leaves no infinity */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t f16_from_f32(float x)
{
    return isinf(x) ? (x < 0 ? 0xfc00 : 0x7c00) : nn_f16_from_f32(x);
}

size_t weights_from_f32(void *out, enum weights_dtype dtype, const float *in, size_t count)
{
    const bool half = dtype == WEIGHTS_F16;
    if (dtype == WEIGHTS_F32) {
        memmove(out, in, count * sizeof *in);
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        float x;
        memcpy(&x, in + i, sizeof x); /* in place, the narrow values overtake nothing that is still to be read */
        uint16_t h = half ? f16_from_f32(x) : bf16_from_f32(x);
        const bool beyond = half ? fabsf(x) >= 65520 : (h & 0x7fff) == 0x7f80;
        if (beyond && isfinite(x)) return i;
        memcpy((char *)out + i * sizeof h, &h, sizeof h);
    }
    return count;
}

enum rudd_status weights_narrow(void *out, enum weights_dtype dtype, const float *in, size_t count, const char *name,
                                struct rudd_error *err)
{
    const size_t good = weights_from_f32(out, dtype, in, count);
    return good == count
               ? RUDD_OK
               : rudd_fail(err, RUDD_LIMIT, "%s: value %zu is %g, beyond the largest %s; nothing was written; %s can hold it",
                           name, good, in[good], weights_dtype_name(dtype), dtype == WEIGHTS_F16 ? "bfloat16" : "float32");
}

/* ---- a model's parameters ---------------------------------------------------------------------------------------- */

/* Parameter i as it is, where it lies or in scratch. */
static enum rudd_status find_values(const float **out, struct weights_model_supply *s, float *scratch, int i,
                                    struct rudd_error *err)
{
    const struct nn_model *m = s->model;
    *out = scratch;
    if (!s->values) return m->source->read(scratch, m->source, m, i, err);
    *out = s->values + m->params[i].offset;
    return RUDD_OK;
}

static enum rudd_status fetch(const void **bytes, struct weights_supply *supply, int i, struct rudd_error *err)
{
    struct weights_model_supply *s = (struct weights_model_supply *)supply;
    const float *values;
    enum rudd_status status = find_values(&values, s, s->scratch, i, err);
    if (!status && s->laid_out) {
        weights_to_keras(s->laid_out, values, &s->model->params[i]);
        values = s->laid_out;
    }
    *bytes = values;
    if (status || s->tensors[i].dtype == WEIGHTS_F32) return status;
    *bytes = s->scratch;
    return weights_narrow(s->scratch, s->tensors[i].dtype, values, s->tensors[i].count, s->tensors[i].name, err);
}

enum rudd_status weights_model_supply_read(float *out, struct weights_model_supply *s, int i, struct rudd_error *err)
{
    const float *values;
    struct weights_tensor stored = s->tensors[i];
    enum rudd_status status = find_values(&values, s, out, i, err);
    if (status) return status;
    if (stored.dtype == WEIGHTS_F32) {
        if (values != out) memcpy(out, values, stored.count * sizeof *out);
        return RUDD_OK;
    }
    uint16_t *narrow = rudd_alloc(stored.count * sizeof *narrow); /* not s->scratch: others may read at the same time */
    if (!narrow) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu values", stored.name, stored.count);
    status = weights_narrow(narrow, stored.dtype, values, stored.count, stored.name, err);
    stored.data = narrow;
    if (!status) weights_to_f32(out, &stored);
    rudd_free(narrow);
    return status;
}

enum rudd_status weights_model_supply_init(struct weights_model_supply *supply, const struct nn_model *model,
                                           const float *values, struct weights_form form, struct rudd_error *err)
{
    struct weights_model_supply s = {.model = model, .values = values ? values : model->values};
    enum rudd_status status = s.values || model->source ? RUDD_OK : nn_model_need_values(model, err);
    if (status) return status;
    size_t largest = 0;
    for (int i = 0; i < model->param_count; i++) largest = model->params[i].count > largest ? model->params[i].count : largest;
    s.tensors = rudd_zalloc((size_t)model->param_count, sizeof *s.tensors);
    s.names = rudd_zalloc((size_t)model->param_count, sizeof *s.names);
    s.scratch = rudd_alloc(largest * sizeof *s.scratch);
    const bool keras = weights_is_keras(form.dialect);
    if (keras) s.laid_out = rudd_alloc(largest * sizeof *s.laid_out);
    if (!s.tensors || !s.names || !s.scratch || (keras && !s.laid_out))
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %d tensors", model->arch, model->param_count);
    for (int i = 0; i < model->param_count && !status; i++) {
        const struct nn_param *p = &model->params[i];
        if (!weights_param_name(s.names[i], model, i, form.dialect))
            status = rudd_fail(err, RUDD_ARGUMENT, "%s has no %s in %s's naming; expected timm names for this family",
                               model->arch, s.names[i], weights_dialect_name(form.dialect));
        s.tensors[i] = (struct weights_tensor){.name = s.names[i], .dtype = form.dtype, .rank = p->rank, .count = p->count};
        weights_dialect_shape(s.tensors[i].shape, p, form.dialect);
    }
    s.supply = (struct weights_supply){s.tensors, model->param_count, fetch};
    if (status)
        weights_model_supply_free(&s);
    else
        *supply = s;
    return status;
}

void weights_model_supply_free(struct weights_model_supply *s)
{
    rudd_free(s->laid_out);
    rudd_free(s->scratch);
    rudd_free(s->names);
    rudd_free(s->tensors);
}
