/* forms.h - the forms in which a model is written, each with the ending of its files' names.
 *
 * The ending of the name decides the form. A name without an ending, a name with a / behind it and a
 * folder that exists are folders: timm's form. */
#ifndef TRAIN_CLI_FORMS_H
#define TRAIN_CLI_FORMS_H

#include "nn/rudd.h"

/* A row a form: its constant, its name on the command line, its ending ("" for a folder). */
#define TRAIN_FORMS(ROW)                                                                           \
    ROW(SAFETENSORS, "safetensors", ".safetensors")                                                \
    ROW(NPZ, "npz", ".npz")                                                                        \
    ROW(TIMM, "timm", "")                                                                          \
    ROW(ONNX, "onnx", ".onnx")                                                                     \
    ROW(KERAS, "keras", ".weights.h5")

/* AUTO: the ending decides. The others follow in the order of the rows. */
#define TRAIN_FORM_CONSTANT(constant, name, ending) TRAIN_FORM_##constant,
enum train_form { TRAIN_FORM_AUTO, TRAIN_FORMS(TRAIN_FORM_CONSTANT) TRAIN_FORM_COUNT };
#undef TRAIN_FORM_CONSTANT

/* "auto|safetensors|...": the words of an option that chooses an enum train_form. */
extern const char train_form_words[];
const char *train_form_name(enum train_form form);

/* The form that a name means; TRAIN_FORM_AUTO when its ending is none of the rows'. */
enum train_form train_form_of(const char *path);

/* Decides: *form is what was asked for, and becomes what path says when that was AUTO. RUDD_ARGUMENT:
 * path's ending contradicts what was asked for, or nothing decides. */
enum rudd_status train_form_decide(enum train_form *form, const char *path, struct rudd_error *err);

/* A file that is read must not be written. Folders stand for the model.safetensors in them.
 * RUDD_ARGUMENT when out would replace in; what: the option that names out. */
enum rudd_status train_output_is_other(const char *what, const char *out, const char *in,
                                       struct rudd_error *err);

#endif
