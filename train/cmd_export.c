/* cmd_export.c - `rudd export`: a model in the form another program reads.
 *
 * safetensors under timm's names is the native form itself (timm's loader takes it as it is); torchvision's and lukemelas'
 * differ in names. What names cannot carry over (padding, epsilon) is said. */
#include "train/command.h"
#include "weights/model_file.h"

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

enum rudd_status train_cmd_export(int argc, char **argv, struct rudd_error *err)
{
    const char *path = NULL, *out = NULL;
    int format = 0, names = WEIGHTS_TIMM;
    bool done;
    const struct nn_option rows[] = {
        {"model", NN_OPTION_REQUIRED, &path, "FILE", 0, 0, "the model file"},
        {"out|o", NN_OPTION_REQUIRED, &out, "FILE", 0, 0, "what to write"},
        {"format", NN_OPTION_CHOICE, &format, "safetensors", 0, 0, "form of the output"},
        {"names", NN_OPTION_CHOICE, &names, "timm|torchvision|lukemelas", 0, 0, "whose names the tensors get"},
    };
    struct nn_options options = {.usage = "rudd export --model FILE -o OUT",
                                 .about = "Writes a model in the form another program reads.",
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    struct nn_model *model = NULL;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    status = weights_model_load(&model, path, NULL, NULL, err);
    if (!status) status = weights_model_save(out, model, NULL, (enum weights_dialect)names, err);
    if (status) goto out;
    printf("%s: %s, %d classes, %s names -> %s\n", path, model->arch, model->class_count,
           weights_dialect_name((enum weights_dialect)names), out);
    print_notes(model, (enum weights_dialect)names);
out:
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
