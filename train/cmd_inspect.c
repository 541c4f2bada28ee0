/* cmd_inspect.c - `rudd inspect`: what a model file (or an architecture) is: layers, parameters, arithmetic, classes,
 * conventions. */
#include "train/command.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_learned(const struct nn_param *p)
{
    return p->kind != NN_BN_MEAN && p->kind != NN_BN_VAR;
}

/* One row per layer: its name, the shape of its weight, its learned parameters (weight and bias). */
static void print_layers(const struct nn_model *model)
{
    printf("%-32s %-20s %12s\n", "layer", "shape", "parameters");
    for (int i = 0; i < model->param_count;) {
        const struct nn_param *first = &model->params[i];
        int length = (int)(strrchr(first->name, '.') - first->name), n = 0;
        char shape[64];
        size_t count = 0;
        for (int k = 0; k < first->rank; k++)
            n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%d", k ? "," : "[", first->shape[k]);
        snprintf(shape + n, sizeof shape - (size_t)n, "]");
        for (; i < model->param_count && !strncmp(model->params[i].name, first->name, (size_t)length + 1); i++)
            if (is_learned(&model->params[i])) count += model->params[i].count;
        printf("%-32.*s %-20s %12zu\n", length, first->name, shape, count);
    }
}

static void print_text(const struct nn_model *m, int size)
{
    const struct nn_preprocess *p = &m->preprocess;
    print_layers(m);
    printf("\narchitecture   %s\n", m->arch);
    printf("parameters     %zu\n", nn_model_parameter_count(m));
    printf("multiply-adds  %" PRIu64 " at %dx%d\n", nn_model_macs(m, size), size, size);
    printf("conventions    padding %s, batch norm epsilon %g\n", weights_pad_words[m->pad], m->bn_eps);
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
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "inspect: no memory for the JSON");
    puts(text);
    free(text);
    return RUDD_OK;
}

enum rudd_status train_cmd_inspect(int argc, char **argv, struct rudd_error *err)
{
    const char *arch = NULL;
    bool json = false, done;
    int classes = 0, size = 0;
    const struct nn_option rows[] = {
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "one JSON object instead of text"},
        {"arch", NN_OPTION_STRING, &arch, "ARCH", 0, 0, "an architecture instead of a file, or the file's"},
        {"classes", NN_OPTION_INT, &classes, "N", 0, NN_MAX_CLASSES, "with --arch alone: classes (0: 1000)"},
        {"size", NN_OPTION_INT, &size, "N", 0, 4096, "image size for the multiply-adds (0: the model's)"},
    };
    struct nn_options options = {.usage = "rudd inspect FILE | --arch ARCH",
                                 .about = "Shows layers, parameters, multiply-adds, classes and conventions of a model.",
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 1};
    struct nn_model *model = NULL;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (options.argument_count)
        status =
            weights_model_load(&model, options.arguments[0],
                               &(struct weights_load_options){.arch = arch, .predict_only = true, .hash = true}, NULL, err);
    else if (arch)
        status = nn_model_describe(&model, arch, classes ? classes : 1000, err);
    else
        status = rudd_fail(err, RUDD_ARGUMENT, "inspect: give a model file or --arch; usage: %s", options.usage);
    if (status) goto out;
    if (!size) size = model->preprocess.image_size;
    if (json)
        status = print_json(model, size, err);
    else
        print_text(model, size);
out:
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
