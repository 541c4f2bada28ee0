/* golden.c - see golden.h. */
#include "weights/golden.h"
#include "nn/plan.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const double tolerance = 0.02; /* of the largest logit */

void weights_golden_input(float *x, int size)
{
    size_t n = 3 * (size_t)size * (size_t)size;
    for (size_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1009) / 504.5f - 1;
}

static int logit_count(const struct nn_model *model)
{
    return model->class_count < WEIGHTS_GOLDEN_LOGITS ? model->class_count : WEIGHTS_GOLDEN_LOGITS;
}

/* A new reference; NULL: not finite, or no memory. */
static json_t *to_json(const float *logits, int count, int size)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(list, json_real((double)logits[i]))) { /* json_real refuses NaN and infinities */
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{s:i,s:o}", "size", size, "logits", list);
}

enum rudd_status weights_golden_make(char **text, const struct nn_model *model, struct nn_source *source,
                                     struct rudd_error *err)
{
    struct nn_model view = *model; /* as if opened for predicting only */
    const int size = model->preprocess.image_size;
    const struct nn_plan_options options = {.batch = 1, .image_size = size};
    struct nn_plan *plan = NULL;
    *text = NULL;
    view.values = view.prepared = NULL;
    view.source = source;
    enum rudd_status status = nn_plan_create(&plan, &view, &options, err);
    if (status) return status == RUDD_ARGUMENT ? RUDD_OK : status;

    size_t plane = (size_t)size * (size_t)size;
    float *x = rudd_alloc(3 * plane * sizeof *x), *nhwc = nn_plan_input(plan);
    if (!x) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for the golden answer of a model file");
    } else {
        weights_golden_input(x, size);
        for (size_t i = 0; i < plane; i++)
            for (size_t c = 0; c < 3; c++) nhwc[3 * i + c] = x[c * plane + i];
        nn_plan_forward(plan, 1);
        json_t *json = to_json(nn_plan_logits(plan), logit_count(model), size);
        char *dump = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        json_decref(json);
        if (dump && !(*text = rudd_strdup(dump)))
            status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for the golden answer of a model file");
        free(dump); /* jansson's */
    }
    rudd_free(x);
    nn_plan_destroy(plan);
    rudd_free(view.prepared);
    return status;
}

enum rudd_status weights_golden_check(const struct nn_model *model, const float *logits, struct rudd_error *err)
{
    json_t *json = model->golden ? json_loads(model->golden, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *list = json_object_get(json, "logits");
    int count = (int)json_array_size(list);
    enum rudd_status status = RUDD_OK;
    double largest = 0;
    if (json_integer_value(json_object_get(json, "size")) != model->preprocess.image_size || count != logit_count(model))
        status = rudd_fail(err, RUDD_FORMAT, "rudd.golden: no answer of %d logits at %d pixels", logit_count(model),
                           model->preprocess.image_size);
    for (int i = 0; i < count && !status; i++) {
        double x = json_number_value(json_array_get(list, (size_t)i));
        largest = fabs(x) > largest ? fabs(x) : largest;
    }
    for (int i = 0; i < count && !status; i++) {
        double x = json_number_value(json_array_get(list, (size_t)i));
        if (!(fabs((double)logits[i] - x) <= tolerance * largest)) /* NaN differs too */
            status = rudd_fail(
                err, RUDD_MISMATCH,
                "the network's answer to the golden input is %.6g for class %d, the file says %.6g: the file is damaged, or "
                "was written for other conventions",
                (double)logits[i], i, x);
    }
    json_decref(json);
    return status;
}
