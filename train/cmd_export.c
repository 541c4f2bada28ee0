/* cmd_export.c - `rudd export`: a model in the form another program reads.
 *
 * safetensors under timm's names is the native form itself (timm's loader takes it as it is); torchvision's and lukemelas'
 * differ in names. What names cannot carry over (padding, epsilon) is said. timm's folder and ONNX carry the whole network. */
#include "train/cli/forms.h"
#include "train/command.h"
#include "train/run_folder.h"
#include "weights/hf_folder.h"
#include "weights/keras.h"
#include "weights/metadata.h"
#include "weights/npz.h"
#include "weights/onnx_write.h"

#include <stdio.h>
#include <string.h>

/* torchvision pads symmetrically whatever the file says; so an export of a SAME model computes something else there. */
static void print_notes(const struct nn_model *model, enum weights_dialect names)
{
    if (names == WEIGHTS_TORCHVISION && model->pad == NN_PAD_SAME)
        printf("note: torchvision pads strided convolutions symmetrically, this model was made with TensorFlow's SAME: answers "
               "differ "
               "there; timm's %s has the right padding\n",
               model->arch);
    if (names == WEIGHTS_LUKEMELAS && model->pad == NN_PAD_SYMMETRIC)
        printf("note: lukemelas' package pads as TensorFlow does, this model was made with symmetric padding: answers differ "
               "there\n");
    if (names == WEIGHTS_LUKEMELAS && model->pad == NN_PAD_SAME && model->pad_size)
        printf("note: create lukemelas' network with image_size=%d\n", model->pad_size);
    else if (names == WEIGHTS_LUKEMELAS && model->pad == NN_PAD_SAME)
        printf("note: create lukemelas' network with image_size=None\n");
    else if (model->pad_size)
        printf("note: this model pads as at %d pixels whatever the picture; other programs agree at pictures of that size\n",
               model->pad_size);
    if (names != WEIGHTS_TIMM) printf("note: set the batch norms' epsilon to %g in the program that loads it\n", model->bn_eps);
}

/* Keras' networks have conventions of their own, which weights cannot change. */
static void print_keras_notes(const struct nn_model *model)
{
    struct nn_model theirs = *model;
    weights_keras_conventions(&theirs);
    const struct nn_preprocess *p = &model->preprocess, *q = &theirs.preprocess;
    if (theirs.pad != model->pad || theirs.bn_eps != model->bn_eps || model->pad_size)
        printf("note: Keras' network pads %s and has epsilon %g, this model %s%s and %g: answers differ there\n",
               weights_pad_words[theirs.pad], theirs.bn_eps, weights_pad_words[model->pad], model->pad_size ? " (frozen)" : "",
               model->bn_eps);
    if (memcmp(p->mean, q->mean, sizeof p->mean) || memcmp(p->std, q->std, sizeof p->std))
        printf("note: keras.applications has mean %g %g %g and deviation %g %g %g for this network, this model %g %g %g and %g "
               "%g %g\n",
               q->mean[0], q->mean[1], q->mean[2], q->std[0], q->std[1], q->std[2], p->mean[0], p->mean[1], p->mean[2],
               p->std[0], p->std[1], p->std[2]);
}

/* What is to be written. */
struct order {
    const char *out;
    struct weights_form form;
    struct weights_onnx_options onnx;
};
/* How a form is written. in_memory: the writer wants values in memory; the others take them from file to file, one tensor at a time. */
struct format {
    enum rudd_status (*write)(const struct order *order, const struct nn_model *model, struct rudd_error *err);
    bool in_memory, takes_names, takes_dtype, takes_onnx; /* which options mean something to it */
};

static enum rudd_status write_safetensors(const struct order *o, const struct nn_model *model, struct rudd_error *err)
{
    return weights_model_save_as(o->out, model, NULL, o->form, err);
}

static enum rudd_status write_npz(const struct order *o, const struct nn_model *model, struct rudd_error *err)
{
    return weights_model_write(o->out, weights_npz_write, model, NULL, o->form, err);
}

static enum rudd_status write_timm(const struct order *o, const struct nn_model *model, struct rudd_error *err)
{
    return weights_hf_write(o->out, model, o->form.dtype, err);
}

static enum rudd_status write_onnx(const struct order *o, const struct nn_model *model, struct rudd_error *err)
{
    return weights_onnx_write(o->out, model, &o->onnx, err);
}

static enum rudd_status write_keras(const struct order *o, const struct nn_model *model, struct rudd_error *err)
{
    static const char end[] = ".weights.h5";
    const size_t length = strlen(o->out), n = sizeof end - 1;
    if (length <= n || strcmp(o->out + length - n, end))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "%s: expected a name that ends in %s, without which Keras takes it for a file of another form", o->out,
                         end);
    return weights_keras_write(o->out, model, err);
}

static const struct format formats[TRAIN_FORM_COUNT] = {
    [TRAIN_FORM_SAFETENSORS] = {write_safetensors, .takes_names = true, .takes_dtype = true},
    [TRAIN_FORM_NPZ] = {write_npz, .takes_names = true, .takes_dtype = true},
    [TRAIN_FORM_TIMM] = {write_timm, .takes_dtype = true},
    [TRAIN_FORM_ONNX] = {write_onnx, .in_memory = true, .takes_dtype = true, .takes_onnx = true},
    [TRAIN_FORM_KERAS] = {write_keras},
};

/* Options of one format given for another change nothing: that is a mistake, not a wish granted. */
static enum rudd_status check_format(enum train_form form, const struct order *o, struct rudd_error *err)
{
    const struct format *f = &formats[form];
    const char *name = train_form_name(form);
    const struct weights_onnx_options *onnx = &o->onnx;
    if (!f->takes_names && o->form.dialect != WEIGHTS_TIMM)
        return rudd_fail(err, RUDD_ARGUMENT, "--names is not for --format %s, which has names of its own", name);
    if (!f->takes_dtype && o->form.dtype != WEIGHTS_F32)
        return rudd_fail(err, RUDD_ARGUMENT, "--dtype is not for --format %s, which holds float32", name);
    if (!f->takes_onnx && (onnx->image_size || onnx->keep_batchnorm || onnx->softmax || onnx->preprocess))
        return rudd_fail(
            err, RUDD_ARGUMENT,
            "--image-size, --keep-batchnorm, --softmax and --preprocess are for --format onnx; %s holds weights alone", name);
    if (onnx->raw && !onnx->softmax) return rudd_fail(err, RUDD_ARGUMENT, "--raw is for --softmax; logits have no temperature");
    return RUDD_OK;
}

/* A folder's name as its writer wants it: temporary names are made from it. */
static enum rudd_status without_slash(char folder[TRAIN_PATH], const char **out, struct rudd_error *err)
{
    size_t n = strlen(*out);
    if (n >= TRAIN_PATH)
        return rudd_fail(err, RUDD_ARGUMENT, "-o: the path is %zu bytes long, expected fewer than %d", n, TRAIN_PATH);
    while (n > 1 && (*out)[n - 1] == '/') n--;
    snprintf(folder, TRAIN_PATH, "%.*s", (int)n, *out);
    *out = folder;
    return RUDD_OK;
}

enum rudd_status train_cmd_export(int argc, char **argv, struct rudd_error *err)
{
    const char *path = NULL;
    int format = TRAIN_FORM_AUTO, names = WEIGHTS_TIMM, dtype = WEIGHTS_F32;
    struct order order = {0};
    struct weights_onnx_options *onnx = &order.onnx;
    bool done;
    const struct nn_option rows[] = {
        NN_OPTION_HEADING("What to write"),
        {"model", NN_OPTION_REQUIRED, &path, "FILE", 0, 0, "model file to read", NN_COMMON},
        {"out|o", NN_OPTION_REQUIRED, &order.out, "FILE", 0, 0,
         "file to write; with --format timm a folder, with keras NAME.weights.h5", NN_COMMON},
        {"format", NN_OPTION_CHOICE, &format, train_form_words, 0, 0, "form of the output; auto: as --out ends", NN_COMMON},
        {"names", NN_OPTION_CHOICE, &names, "timm|torchvision|lukemelas", 0, 0,
         "names of the tensors: those of timm, torchvision or lukemelas"},
        {"dtype", NN_OPTION_CHOICE, &dtype, WEIGHTS_STORAGE, 0, 0,
         "how numbers are stored. npz cannot hold bfloat16; onnx converts to float32 when it reads", NN_COMMON},
        NN_OPTION_HEADING("ONNX only"),
        {"image-size", NN_OPTION_INT, &onnx->image_size, "N", 0, 4096,
         "onnx: width and height of the pictures; 0: what the model was made for"},
        {"keep-batchnorm", NN_OPTION_FLAG, &onnx->keep_batchnorm, NULL, 0, 0,
         "onnx: keep batch normalisation as nodes of its own"},
        {"softmax", NN_OPTION_FLAG, &onnx->softmax, NULL, 0, 0, "onnx: output calibrated probabilities instead of logits"},
        {"raw", NN_OPTION_FLAG, &onnx->raw, NULL, 0, 0, "onnx: --softmax without the model's temperature"},
        {"preprocess", NN_OPTION_FLAG, &onnx->preprocess, NULL, 0, 0,
         "onnx: the input is pixels from 0 to 255; the graph normalises them"},
    };
    static const struct nn_example examples[] = {
        {"for ONNX Runtime, OpenVINO and others; pixels go in, probabilities come out",
         "rudd export --model m.safetensors --format onnx --preprocess --softmax -o m.onnx"},
        {"half the size", "rudd export --model m.safetensors --dtype float16 -o small.safetensors"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd export --model FILE [--format FORMAT] -o OUT",
                                 .about = "Writes a model in a form that other programs read.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    struct nn_model *model = NULL;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    enum train_form form = (enum train_form)format;
    char folder[TRAIN_PATH];
    status = train_form_decide(&form, order.out, err);
    if (!status) status = train_output_is_other("-o", order.out, path, err);
    if (!status && form == TRAIN_FORM_TIMM) status = without_slash(folder, &order.out, err);
    if (status) goto out;
    const struct format *f = &formats[form];
    order.form = (struct weights_form){(enum weights_dialect)names, (enum weights_dtype)dtype};
    order.onnx.dtype = order.form.dtype;
    status = check_format(form, &order, err);
    if (!status)
        status = weights_model_load(&model, path, &(struct weights_load_options){.predict_only = !f->in_memory}, NULL, err);
    if (!status) status = f->write(&order, model, err);
    if (status) goto out;
    printf("%s: %s, %d classes, %s names -> %s\n", path, model->arch, model->class_count,
           weights_dialect_name(f->write == write_keras ? WEIGHTS_KERAS : order.form.dialect), order.out);
    if (!f->takes_onnx) print_notes(model, order.form.dialect);
    if (f->write == write_keras) print_keras_notes(model);
out:
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
