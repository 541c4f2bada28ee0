/* cmd_diff.c - `rudd diff`: two weights files of any container, tensor by tensor. Exit status 0: equal; 1: they differ, or one of them cannot be
 * read; 2: wrong usage. */
#include "nn/text.h"
#include "train/command.h"
#include "weights/diff.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is to be shown, and how it came out. */
struct view {
    const char *paths[2];
    double tolerance;
    bool all, metadata;
    int only_a, only_b, equal, different, keys;
};

static void count_up(struct view *v, const struct weights_diff *d)
{
    for (int i = 0; i < d->tensor_count; i++) {
        const struct weights_tensor_diff *t = &d->tensors[i];
        v->only_a += !t->b;
        v->only_b += !t->a;
        v->equal += weights_diff_is_equal(t, v->tolerance);
    }
    v->different = d->tensor_count - v->only_a - v->only_b - v->equal;
    v->keys = v->metadata ? d->meta_count : 0;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* "F32 [32,3,3,3]", or both where they are not the same */
enum { FORM = 2 * WEIGHTS_SHAPE_TEXT + 16 };
static void print_form(char out[FORM], const struct weights_tensor_diff *d)
{
    const struct weights_tensor *sides[] = {d->a ? d->a : d->b, d->a ? d->b : NULL};
    char shape[WEIGHTS_SHAPE_TEXT];
    int n = snprintf(out, FORM, "%s", weights_dtype_name(sides[0]->dtype));
    if (sides[1] && sides[1]->dtype != sides[0]->dtype)
        n += snprintf(out + n, FORM - (size_t)n, "/%s", weights_dtype_name(sides[1]->dtype));
    n += snprintf(out + n, FORM - (size_t)n, " %s", weights_shape_text(shape, sides[0]->rank, sides[0]->shape));
    if (sides[1] && !d->same_shape)
        snprintf(out + n, FORM - (size_t)n, "/%s", weights_shape_text(shape, sides[1]->rank, sides[1]->shape));
}

static void print_tensor(const struct weights_tensor_diff *d, double tolerance)
{
    char form[FORM];
    print_form(form, d);
    printf("%-44s %-24s ", (d->a ? d->a : d->b)->name, form);
    if (!d->a || !d->b)
        printf("only in %s\n", d->a ? "A" : "B");
    else if (!d->same_shape)
        printf("another shape\n");
    else
        printf("%zu of %zu equal, max abs %.3g, relative %.3g%s\n", d->equal, d->a->count, d->max_abs, d->relative,
               weights_diff_is_equal(d, tolerance) ? "" : "  *");
}

static void print_text(const struct weights_diff *d, const struct view *v)
{
    enum { SHOWN = 60 }; /* characters of a value */
    printf("A: %s\nB: %s\n", v->paths[0], v->paths[1]);
    for (int i = 0; i < d->tensor_count; i++)
        if (v->all || !weights_diff_is_equal(&d->tensors[i], v->tolerance)) print_tensor(&d->tensors[i], v->tolerance);
    for (int i = 0; i < v->keys; i++)
        for (int side = 0; side < 2; side++) {
            const char *value = side ? d->metas[i].b : d->metas[i].a;
            printf("%s %-42s %.*s%s\n", side ? "B" : "A", d->metas[i].key, SHOWN, value ? value : "(absent)",
                   value && strlen(value) > SHOWN ? "..." : "");
        }
    printf("%d tensors: %d equal, %d different, %d only in A, %d only in B", d->tensor_count, v->equal, v->different, v->only_a,
           v->only_b);
    if (v->metadata) printf("; %d metadata keys differ", v->keys);
    printf("\n");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *json_shape(const struct weights_tensor *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(list, json_integer(t->shape[i]));
    return list;
}

/* JSON has no infinity: null. */
static json_t *json_finite(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *json_tensor(const struct weights_tensor_diff *d)
{
    json_t *json =
        json_pack("{s:o, s:[s,s], s:[o,o]}", "name", nn_text_json(d->a->name), "dtype", weights_dtype_name(d->a->dtype),
                  weights_dtype_name(d->b->dtype), "shape", json_shape(d->a), json_shape(d->b));
    if (!d->same_shape) return json;
    json_object_set_new(json, "values", json_integer((json_int_t)d->a->count));
    json_object_set_new(json, "equal_values", json_integer((json_int_t)d->equal));
    json_object_set_new(json, "max_abs", json_finite(d->max_abs));
    json_object_set_new(json, "max_relative", json_finite(d->relative));
    return json;
}

static json_t *to_json(const struct weights_diff *d, const struct view *v)
{
    json_t *tensors = json_array(), *only_a = json_array(), *only_b = json_array(), *metadata = json_array();
    for (int i = 0; i < d->tensor_count; i++) {
        const struct weights_tensor_diff *t = &d->tensors[i];
        if (!t->a || !t->b)
            json_array_append_new(t->a ? only_a : only_b, nn_text_json((t->a ? t->a : t->b)->name));
        else if (v->all || !weights_diff_is_equal(t, v->tolerance))
            json_array_append_new(tensors, json_tensor(t));
    }
    for (int i = 0; i < v->keys; i++)
        json_array_append_new(metadata, json_pack("{s:o, s:o, s:o}", "key", nn_text_json(d->metas[i].key), "a",
                                                  nn_text_json(d->metas[i].a), "b", nn_text_json(d->metas[i].b)));
    return json_pack("{s:o, s:o, s:b, s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "a", nn_text_json(v->paths[0]), "b",
                     nn_text_json(v->paths[1]), "equal", !(v->different + v->only_a + v->only_b + v->keys), "tensors",
                     d->tensor_count, "equal_tensors", v->equal, "different_tensors", v->different,
                     v->all ? "compared" : "different", tensors, "only_a", only_a, "only_b", only_b, "metadata", metadata);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

enum rudd_status train_cmd_diff(int argc, char **argv, struct rudd_error *err)
{
    struct view v = {.metadata = true};
    bool json = false, done;
    const struct nn_option rows[] = {
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print one JSON object instead of text"},
        {"all", NN_OPTION_FLAG, &v.all, NULL, 0, 0, "also list tensors that are equal"},
        {"tolerance", NN_OPTION_DOUBLE, &v.tolerance, "X", 0, 1,
         "allowed difference, as a share of a tensor's largest value; above 0, types of numbers "
         "may differ too"},
        {"metadata", NN_OPTION_FLAG, &v.metadata, NULL, 0, 0, "also compare metadata"},
    };
    static const struct nn_example examples[] = {
        {"did the weights change?", "rudd diff runs/1/model.safetensors runs/2/model.safetensors"},
        {"equal but for rounding?", "rudd diff a.safetensors b.pth --tolerance 1e-3 --no-metadata"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd diff A B",
                                 .about = "Compares two weights files, tensor by tensor. They may "
                                          "be of different formats; names are those in the files. "
                                          "Exit status 0: equal; 1: they differ, or one cannot be "
                                          "read; 2: wrong use.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 2};
    struct weights_file files[2] = {{0}};
    struct weights_diff diff = {0};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (options.argument_count != 2)
        status = rudd_fail(err, RUDD_ARGUMENT, "diff: %d files given, expected two; usage: %s", options.argument_count,
                           options.usage);
    for (int i = 0; i < 2 && !status; i++) {
        v.paths[i] = options.arguments[i];
        status = weights_open(&files[i], v.paths[i], err);
    }
    if (!status) status = weights_diff_make(&diff, &files[0], &files[1], err);
    if (status) goto out;
    count_up(&v, &diff);
    if (json)
        status = train_command_print(to_json(&diff, &v), err);
    else
        print_text(&diff, &v);
    if (!status && v.different + v.only_a + v.only_b + v.keys)
        status = rudd_fail(err, RUDD_MISMATCH, "%s and %s differ in %d tensors and %d metadata keys", v.paths[0], v.paths[1],
                           v.different + v.only_a + v.only_b, v.keys);
out:
    weights_diff_free(&diff);
    for (int i = 0; i < 2; i++) weights_close(&files[i]);
    nn_options_free(&options);
    return status;
}
