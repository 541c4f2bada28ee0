/* cmd_inspect.c - `rudd inspect`: what a model file (or an architecture) is: layers, parameters, arithmetic, classes,
 * conventions. Of any other weights file, and of any file with --tensors: what tensors it holds. */
#include "nn/text.h"
#include "train/cli/cmd_fetch.h"
#include "train/command.h"
#include "weights/hf_folder.h"
#include "weights/hub/hub.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool is_learned(const struct nn_param *p)
{
    return p->kind != NN_BN_MEAN && p->kind != NN_BN_VAR;
}

/* One row per layer: its name, the shape of its weight, its learned parameters (weight and bias), its multiply-adds. */
static void print_layers(const struct nn_model *model, const uint64_t *macs)
{
    printf("%-32s %-20s %12s %14s\n", "layer", "shape", "parameters", "multiply-adds");
    for (int i = 0; i < model->param_count;) {
        const struct nn_param *first = &model->params[i];
        int length = (int)(strrchr(first->name, '.') - first->name);
        char shape[WEIGHTS_SHAPE_TEXT];
        size_t count = 0;
        uint64_t work = 0;
        for (; i < model->param_count && !strncmp(model->params[i].name, first->name, (size_t)length + 1); i++) {
            if (is_learned(&model->params[i])) count += model->params[i].count;
            work += macs[i];
        }
        printf("%-32.*s %-20s %12zu %14" PRIu64 "\n", length, first->name, weights_param_shape_text(shape, first), count, work);
    }
}

static enum rudd_status print_text(const struct nn_model *m, int size, struct rudd_error *err)
{
    const struct nn_preprocess *p = &m->preprocess;
    uint64_t *macs = rudd_alloc(sizeof *macs * (size_t)m->param_count);
    if (!macs) return rudd_fail(err, RUDD_NO_MEMORY, "inspect: no memory for the layers");
    nn_model_macs_each(macs, m, size);
    print_layers(m, macs);
    rudd_free(macs);
    printf("\narchitecture   %s\n", m->arch);
    printf("parameters     %zu\n", nn_model_parameter_count(m));
    printf("multiply-adds  %" PRIu64 " at %dx%d\n", nn_model_macs(m, size), size, size);
    printf("conventions    padding %s", weights_pad_words[m->pad]);
    if (m->pad_size) printf(" as at %d pixels", m->pad_size);
    printf(", batch norm epsilon %g\n", m->bn_eps);
    printf("preprocess     %dx%d, %s", p->image_size, p->image_size, weights_mode_words[p->mode]);
    if (p->mode == NN_RESIZE_CROP) printf(" %g", p->crop_fraction);
    if (p->reduce > 0) printf(", JPEGs reduced to %g times and more", p->reduce);
    printf(", %s, mean %g %g %g, std %g %g %g\n", weights_filter_words[p->filter], p->mean[0], p->mean[1], p->mean[2],
           p->std[0], p->std[1], p->std[2]);
    printf("classes        %d:", m->class_count);
    for (int i = 0; i < m->class_count && i < 20; i++) printf(" %s%s", m->classes[i].name, i + 1 < m->class_count ? "," : "");
    printf("%s\n", m->class_count > 20 ? " ..." : "");
    if (m->dataset) printf("data set       %s\n", m->dataset);
    if (m->run) printf("run            %s\n", m->run);
    if (m->temperature > 0) printf("temperature    %g\n", m->temperature);
    if (m->metrics) printf("metrics        %s\n", m->metrics);
    if (m->sha256) printf("sha256         %s\n", m->sha256);
    return RUDD_OK;
}

static enum rudd_status print_json(const struct nn_model *m, int size, struct rudd_error *err)
{
    json_t *names = json_array(), *metrics = m->metrics ? json_loads(m->metrics, JSON_DECODE_ANY, NULL) : NULL;
    for (int i = 0; i < m->class_count; i++) json_array_append_new(names, json_string(m->classes[i].name));
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:i, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:s?, s:s?, s:s?}", "arch", m->arch, "parameters",
                  (json_int_t)nn_model_parameter_count(m), "multiply_adds", (json_int_t)nn_model_macs(m, size), "tensors",
                  m->param_count, "classes", names, "label_map", weights_classes_json(m), "image_size", size, "preprocess",
                  weights_preprocess_json(&m->preprocess), "conventions", weights_conventions_json(m), "metrics",
                  metrics ? metrics : json_null(), "temperature", m->temperature > 0 ? json_real(m->temperature) : json_null(),
                  "run", m->run, "dataset", m->dataset, "sha256", m->sha256);
    return train_command_print(json, err);
}

/* ---- any file ---------------------------------------------------------------------------------------------------- */

static size_t count_values(const struct weights_file *f)
{
    size_t sum = 0;
    for (int i = 0; i < f->tensor_count; i++) sum += f->tensors[i].count;
    return sum;
}

static void print_tensors(const struct weights_file *f)
{
    enum { SHOWN = 80 }; /* characters of a metadata value */
    printf("%-52s %-5s %-20s %12s\n", "tensor", "dtype", "shape", "values");
    for (int i = 0; i < f->tensor_count; i++) {
        const struct weights_tensor *t = &f->tensors[i];
        char shape[WEIGHTS_SHAPE_TEXT];
        printf("%-52s %-5s %-20s %12zu\n", t->name, weights_dtype_name(t->dtype), weights_shape_text(shape, t->rank, t->shape),
               t->count);
    }
    printf("\ntensors        %d\nvalues         %zu\n", f->tensor_count, count_values(f));
    for (int i = 0; i < f->meta_count; i++)
        printf("%-14s %.*s%s\n", f->meta[i].key, SHOWN, f->meta[i].value, strlen(f->meta[i].value) > SHOWN ? "..." : "");
}

/* why: no network of rudd's; NULL when that was not asked. */
static enum rudd_status print_tensors_json(const struct weights_file *f, const char *why, struct rudd_error *err)
{
    json_t *table = json_array(), *meta = json_object();
    for (int i = 0; i < f->tensor_count; i++) {
        const struct weights_tensor *t = &f->tensors[i];
        json_t *shape = json_array();
        for (int k = 0; k < t->rank; k++) json_array_append_new(shape, json_integer(t->shape[k]));
        json_array_append_new(table, json_pack("{s:o, s:s, s:o, s:I}", "name", nn_text_json(t->name), "dtype",
                                               weights_dtype_name(t->dtype), "shape", shape, "values", (json_int_t)t->count));
    }
    for (int i = 0; i < f->meta_count; i++) json_object_set_new(meta, f->meta[i].key, nn_text_json(f->meta[i].value));
    return train_command_print(json_pack("{s:n, s:o, s:i, s:I, s:o, s:o}", "arch", "why", nn_text_json(why), "tensors",
                                         f->tensor_count, "values", (json_int_t)count_values(f), "tensor_table", table,
                                         "metadata", meta),
                               err);
}

static enum rudd_status show_tensors(const char *path, const char *why, bool json, struct rudd_error *err)
{
    struct weights_file file;
    enum rudd_status status = weights_open(&file, path, err);
    if (status) return status;
    if (json) {
        status = print_tensors_json(&file, why, err);
    } else {
        print_tensors(&file);
        if (why) printf("note: no model of rudd's: %s\n", why);
    }
    weights_close(&file);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

enum rudd_status train_cmd_inspect(int argc, char **argv, struct rudd_error *err)
{
    const char *arch = NULL;
    bool json = false, tensors = false, done;
    int classes = 0, size = 0;
    const struct nn_option rows[] = {
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print one JSON object instead of text", NN_COMMON},
        {"tensors", NN_OPTION_FLAG, &tensors, NULL, 0, 0, "list the tensors under their own names, of any weights file",
         NN_COMMON},
        {"arch", NN_OPTION_STRING, &arch, "ARCH", 0, 0,
         "show an architecture instead of a file; or the architecture of the file", NN_COMMON},
        {"classes", NN_OPTION_INT, &classes, "N", 0, NN_MAX_CLASSES, "with --arch alone: number of classes; 0: 1000"},
        {"size", NN_OPTION_INT, &size, "N", 0, 4096, "image size for counting multiply-adds; 0: what the model was made for"},
    };
    static const struct nn_example examples[] = {
        {"what is in a file?", "rudd inspect runs/1/model.safetensors"},
        {"how large is a network?", "rudd inspect --arch efficientnet_b4"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd inspect FILE|NAME | --arch ARCH",
                                 .about = "Shows what a model file, a weights file or an "
                                          "architecture is. That is layers, parameters, "
                                          "multiply-adds, classes and preprocessing; or the "
                                          "tensors, if the file fits no architecture.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 1};
    struct nn_model *model = NULL;
    char *path = NULL;
    struct rudd_error why;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    struct train_fetch_bar bar;
    const struct weights_hub_options fetch = {.events = train_fetch_events(&bar, false)};
    if (options.argument_count) status = weights_hub_locate(&path, options.arguments[0], &fetch, err);
    if (status) goto out;
    if (path && tensors) {
        status = show_tensors(path, NULL, json, err);
        goto out;
    }
    if (path) {
        status = weights_model_load(
            &model, path, &(struct weights_load_options){.arch = arch, .predict_only = true, .hash = true}, NULL, &why);
        if (status == RUDD_MISMATCH && !arch) {
            status = show_tensors(path, why.message, json, err);
            goto out;
        }
        if (status) rudd_fail(err, status, "%s", why.message);
    } else if (arch)
        status = nn_model_describe(&model, arch, classes ? classes : 1000, err);
    else
        status = rudd_fail(err, RUDD_ARGUMENT, "inspect: give a model file or --arch; usage: %s", options.usage);
    if (status) goto out;
    if (!size) size = model->preprocess.image_size;
    status = json ? print_json(model, size, err) : print_text(model, size, err);
out:
    rudd_free(path);
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
