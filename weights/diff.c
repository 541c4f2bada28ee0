/* diff.c - see diff.h. */
#include "weights/diff.h"
#include <math.h>
#include <string.h>

enum { PIECE = 4096 };

/* count <= PIECE of t's values from `first` on, as double, which holds what float32 would round. */
static void values_at(double out[PIECE], const struct weights_tensor *t, const void *values, size_t first, size_t count)
{
    const size_t size = weights_dtype_size(t->dtype);
    const char *bytes = (const char *)values + first * size;
    for (size_t i = 0; i < count && (t->dtype == WEIGHTS_F64 || t->dtype == WEIGHTS_I64 || t->dtype == WEIGHTS_I32); i++) {
        int64_t whole = 0; /* its lower bytes come first */
        memcpy(&whole, bytes + i * size, size);
        memcpy(&out[i], &whole, sizeof whole);
        if (t->dtype == WEIGHTS_I64) out[i] = (double)whole;
        if (t->dtype == WEIGHTS_I32) out[i] = (double)(int32_t)whole;
    }
    if (t->dtype == WEIGHTS_F64 || t->dtype == WEIGHTS_I64 || t->dtype == WEIGHTS_I32) return;
    float narrow[PIECE];
    struct weights_tensor piece = *t;
    piece.data = bytes;
    piece.count = count;
    weights_to_f32(narrow, &piece);
    for (size_t i = 0; i < count; i++) out[i] = narrow[i];
}

static void compare_values(struct weights_tensor_diff *d, const char *a_values, const char *b_values)
{
    const bool same_dtype = d->a->dtype == d->b->dtype;
    const size_t size = weights_dtype_size(d->a->dtype);
    double a[PIECE], b[PIECE], largest = 0;
    for (size_t first = 0, n; first < d->a->count; first += n) {
        n = d->a->count - first < PIECE ? d->a->count - first : PIECE;
        values_at(a, d->a, a_values, first, n);
        values_at(b, d->b, b_values, first, n);
        for (size_t i = 0; i < n; i++) {
            const size_t at = (first + i) * size;
            const bool same =
                same_dtype ? !memcmp(a_values + at, b_values + at, size) : a[i] == b[i] || (isnan(a[i]) && isnan(b[i]));
            const double apart = same ? 0 : fabs(a[i] - b[i]);
            d->equal += same;
            d->max_abs = isfinite(apart) ? fmax(d->max_abs, apart) : INFINITY;
            if (isfinite(a[i])) largest = fmax(largest, fabs(a[i]));
            if (isfinite(b[i])) largest = fmax(largest, fabs(b[i]));
        }
    }
    if (d->max_abs > 0) d->relative = d->max_abs / largest;
}

static enum rudd_status compare_tensors(struct weights_tensor_diff *d, const struct weights_file *a,
                                        const struct weights_file *b, struct rudd_error *err)
{
    if (!d->a || !d->b) return RUDD_OK;
    d->same_shape = d->a->rank == d->b->rank && !memcmp(d->a->shape, d->b->shape, sizeof *d->a->shape * (size_t)d->a->rank);
    if (!d->same_shape) return RUDD_OK;
    const void *values[2];
    void *made[2] = {NULL, NULL};
    enum rudd_status status = weights_values(&values[0], &made[0], a, d->a, err);
    if (!status) status = weights_values(&values[1], &made[1], b, d->b, err);
    if (!status) compare_values(d, values[0], values[1]);
    rudd_free(made[0]);
    rudd_free(made[1]);
    return status;
}

/* Both files' tensors are sorted by name. */
static enum rudd_status merge(struct weights_diff *diff, const struct weights_file *a, const struct weights_file *b,
                              struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int i = 0, j = 0; !status && (i < a->tensor_count || j < b->tensor_count);) {
        int order = i == a->tensor_count ? 1 : j == b->tensor_count ? -1 : strcmp(a->tensors[i].name, b->tensors[j].name);
        struct weights_tensor_diff *d = &diff->tensors[diff->tensor_count++];
        if (order <= 0) d->a = &a->tensors[i++];
        if (order >= 0) d->b = &b->tensors[j++];
        status = compare_tensors(d, a, b, err);
    }
    return status;
}

static void add_meta(struct weights_diff *diff, const char *key, const char *a, const char *b)
{
    if (!a || !b || strcmp(a, b)) diff->metas[diff->meta_count++] = (struct weights_meta_diff){key, a, b};
}

enum rudd_status weights_diff_make(struct weights_diff *diff, const struct weights_file *a, const struct weights_file *b,
                                   struct rudd_error *err)
{
    struct weights_diff d = {
        .tensors = rudd_zalloc((size_t)a->tensor_count + (size_t)b->tensor_count, sizeof *d.tensors),
        .metas = rudd_zalloc((size_t)a->meta_count + (size_t)b->meta_count, sizeof *d.metas),
    };
    if (!d.tensors || !d.metas) {
        weights_diff_free(&d);
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to compare it with %s", a->path, b->path);
    }
    enum rudd_status status = merge(&d, a, b, err);
    if (status) {
        weights_diff_free(&d);
        return status;
    }
    for (int i = 0; i < a->meta_count; i++) add_meta(&d, a->meta[i].key, a->meta[i].value, weights_meta(b, a->meta[i].key));
    for (int i = 0; i < b->meta_count; i++)
        if (!weights_meta(a, b->meta[i].key)) add_meta(&d, b->meta[i].key, NULL, b->meta[i].value);
    *diff = d;
    return RUDD_OK;
}

void weights_diff_free(struct weights_diff *diff)
{
    rudd_free(diff->tensors);
    rudd_free(diff->metas);
}

bool weights_diff_is_equal(const struct weights_tensor_diff *d, double tolerance)
{
    if (!d->a || !d->b || !d->same_shape) return false;
    if (tolerance > 0) return d->relative <= tolerance;
    return d->a->dtype == d->b->dtype && d->equal == d->a->count;
}
