/* cmd_export.c - `rudd export`: a model in the form another program reads.
 *
 * safetensors under timm's names is the native form itself (timm's loader takes it as it is); torchvision's and lukemelas'
 * differ in names. What names cannot carry over (padding, epsilon) is said. ONNX carries the whole network. */
#include "train/command.h"
#include "weights/model_file.h"
#include "weights/onnx_write.h"

#include <stdio.h>

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
    if (names != WEIGHTS_TIMM) printf("note: set the batch norms' epsilon to %g in the program that loads it\n", model->bn_eps);
}

enum format { SAFETENSORS, ONNX };

/* Options of one format given for the other change nothing: that is a mistake, not a wish granted. */
static enum rudd_status check_format(enum format format, int names, int dtype, const struct weights_onnx_options *onnx,
                                     struct rudd_error *err)
{
    if (format == ONNX && names != WEIGHTS_TIMM)
        return rudd_fail(err, RUDD_ARGUMENT, "--names is for --format safetensors; an ONNX file keeps timm's names");
    if (format == ONNX && dtype != WEIGHTS_F32)
        return rudd_fail(err, RUDD_ARGUMENT, "--dtype is for --format safetensors; an ONNX file holds float32");
    if (format == SAFETENSORS && (onnx->image_size || onnx->keep_batchnorm || onnx->softmax))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--image-size, --keep-batchnorm and --softmax are for --format onnx; safetensors hold weights alone");
    return RUDD_OK;
}

enum rudd_status train_cmd_export(int argc, char **argv, struct rudd_error *err)
{
    const char *path = NULL, *out = NULL;
    int format = SAFETENSORS, names = WEIGHTS_TIMM, dtype = WEIGHTS_F32;
    struct weights_onnx_options onnx = {0};
    bool done;
    const struct nn_option rows[] = {
        {"model", NN_OPTION_REQUIRED, &path, "FILE", 0, 0, "the model file"},
        {"out|o", NN_OPTION_REQUIRED, &out, "FILE", 0, 0, "what to write"},
        {"format", NN_OPTION_CHOICE, &format, "safetensors|onnx", 0, 0, "form of the output"},
        {"names", NN_OPTION_CHOICE, &names, "timm|torchvision|lukemelas", 0, 0, "whose names the tensors get"},
        {"dtype", NN_OPTION_CHOICE, &dtype, WEIGHTS_STORAGE, 0, 0, "safetensors: how numbers are stored"},
        {"image-size", NN_OPTION_INT, &onnx.image_size, "N", 0, 4096, "onnx: side of the pictures; 0: the model's own"},
        {"keep-batchnorm", NN_OPTION_FLAG, &onnx.keep_batchnorm, NULL, 0, 0, "onnx: batch norms as nodes, not folded"},
        {"softmax", NN_OPTION_FLAG, &onnx.softmax, NULL, 0, 0, "onnx: probabilities instead of logits"},
    };
    struct nn_options options = {.usage = "rudd export --model FILE [--format safetensors|onnx] -o OUT",
                                 .about = "Writes a model in the form another program reads.",
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    struct nn_model *model = NULL;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    status = check_format((enum format)format, names, dtype, &onnx, err);
    /* Safetensors go from file to file, one tensor at a time. */
    if (!status)
        status =
            weights_model_load(&model, path, &(struct weights_load_options){.predict_only = format == SAFETENSORS}, NULL, err);
    if (status) goto out;
    status = format == ONNX
                 ? weights_onnx_write(out, model, &onnx, err)
                 : weights_model_save_as(out, model, NULL,
                                         (struct weights_form){(enum weights_dialect)names, (enum weights_dtype)dtype}, err);
    if (status) goto out;
    printf("%s: %s, %d classes, %s names -> %s\n", path, model->arch, model->class_count,
           weights_dialect_name((enum weights_dialect)names), out);
    if (format == SAFETENSORS) print_notes(model, (enum weights_dialect)names);
out:
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
