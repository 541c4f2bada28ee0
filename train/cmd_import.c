/* cmd_import.c - `rudd import`: weights in a foreign naming become a native model file.
 *
 * Says what was recognised, and names every tensor that had to be initialised. Writes nothing unless everything fits. */
#include "data/image/decode.h"
#include "train/cli/cmd_fetch.h"
#include "train/cli/forms.h"
#include "train/command.h"
#include "weights/hf_folder.h"
#include "weights/hub/hub.h"
#include "weights/metadata.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_CLASS_LIST = 16 << 20 };

/* Class names, as lines of a text: name, or name TAB latin TAB English TAB Russian. The fields point into text. */
struct class_list {
    uint8_t *text;
    struct nn_class *classes;
    int count;
};

static void class_list_free(struct class_list *list)
{
    rudd_free(list->text);
    rudd_free(list->classes);
}

/* One line into a class; an empty field stays NULL. */
static void split_line(struct nn_class *c, char *line)
{
    char **const fields[] = {&c->name, &c->latin, &c->en, &c->ru};
    for (size_t f = 0; f < sizeof fields / sizeof *fields && line; f++) {
        char *tab = strchr(line, '\t');
        if (tab) *tab++ = 0;
        *fields[f] = *line ? line : NULL;
        line = tab;
    }
}

static enum rudd_status class_list_read(struct class_list *list, const char *path, struct rudd_error *err)
{
    size_t length = 0;
    enum rudd_status status = data_file_read(&list->text, &length, path, MAX_CLASS_LIST, err);
    if (status) return status;
    char *text = rudd_realloc(list->text, length + 1);
    if (text) {
        list->text = (uint8_t *)text;
        text[length] = 0;
        list->classes = rudd_zalloc(NN_MAX_CLASSES, sizeof *list->classes);
    }
    if (!list->classes) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the class list", path);
    if (strlen(text) != length)
        return rudd_fail(err, RUDD_FORMAT, "%s: holds a zero byte; expected text, one class a line", path);
    for (char *line = text, *next; *line; line = next) {
        size_t end = strcspn(line, "\n");
        next = line[end] ? line + end + 1 : line + end;
        line[end] = 0;
        if (end && line[end - 1] == '\r') line[end - 1] = 0;
        if (list->count == NN_MAX_CLASSES) return rudd_fail(err, RUDD_LIMIT, "%s: more than %d classes", path, NN_MAX_CLASSES);
        split_line(&list->classes[list->count++], line);
        if (!list->classes[list->count - 1].name)
            return rudd_fail(err, RUDD_FORMAT, "%s:%d: empty line; expected a class name", path, list->count);
    }
    return list->count ? RUDD_OK : rudd_fail(err, RUDD_FORMAT, "%s: no class in it", path);
}

static void print_report(const struct weights_report *r, const struct nn_model *model, const char *in, const char *out)
{
    printf("%s: %s, %d classes, %s names -> %s\n", in, model->arch, model->class_count, weights_dialect_name(r->dialect), out);
    for (int i = 0; i < r->missing_count; i++) printf("initialised: %s\n", r->missing[i]);
    if (r->classifier_replaced) printf("initialised: the classifier, for %d classes\n", model->class_count);
    if (r->arch_guessed && r->dialect == WEIGHTS_TIMM && nn_arch_family(model->arch) == NN_EFFICIENTNET &&
        strncmp(model->arch, "tf_", 3))
        printf("note: recognised by shapes alone; if the weights come from TensorFlow, use --arch tf_%s\n", model->arch);
    if (r->arch_guessed && r->dialect == WEIGHTS_TIMM && !strncmp(model->arch, "tf_efficientnetv2_s", 19))
        printf("note: recognised by shapes alone; if the weights come from torchvision, use --arch efficientnetv2_s, and with "
               "--bn-eps 1e-5 if from timm's network of that name\n");
    if (r->imagenet_names)
        puts("note: the file does not name its 1,000 classes; they get ImageNet's names; --classes LIST gives others");
    const struct nn_preprocess *p = &model->preprocess;
    if (r->preprocess_of)
        printf(
            "note: pixels of 0..1 are normalised as by %s, mean %g %g %g and deviation %g %g %g; --preprocess says otherwise\n",
            r->preprocess_of, p->mean[0], p->mean[1], p->mean[2], p->std[0], p->std[1], p->std[2]);
}

/* Takes over what the option says of the preprocessing, in the model file's own words. */
static enum rudd_status set_preprocess(struct nn_model *model, struct weights_report *r, const char *text,
                                       struct rudd_error *err)
{
    json_error_t wrong;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &wrong);
    if (!json)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--preprocess: %s; expected JSON such as {\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]}", wrong.text);
    enum rudd_status status = weights_preprocess_parse(&model->preprocess, json, "--preprocess", err);
    json_decref(json);
    r->preprocess_of = NULL;
    if (status) err->status = status = RUDD_ARGUMENT; /* wrong usage, not a wrong file */
    return status;
}

/* An import writes one form, whatever the name of the output promises. */
static enum rudd_status check_out(const char *out, const char *in, struct rudd_error *err)
{
    struct stat st;
    const enum train_form form = train_form_of(out);
    if (stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        return rudd_fail(err, RUDD_ARGUMENT, "-o %s: is a folder; give a file's name that ends in .safetensors", out);
    if (form != TRAIN_FORM_SAFETENSORS && form != TRAIN_FORM_AUTO && form != TRAIN_FORM_TIMM)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "-o %s: import writes a model file of rudd, not %s; give a name that ends in .safetensors, then make "
                         "%s of that by rudd export",
                         out, train_form_name(form), train_form_name(form));
    return train_output_is_other("-o", out, in, err);
}

enum rudd_status train_cmd_import(int argc, char **argv, struct rudd_error *err)
{
    const char *out = NULL, *classes = NULL, *preprocess = NULL;
    int pad = WEIGHTS_PAD_AUTO, keras_norm = WEIGHTS_KERAS_AUTO, seed = 0, dtype = WEIGHTS_F32;
    double eps = 0;
    bool done;
    struct weights_load_options load = {.predict_only = true}; /* so that values go from file to file, one tensor at a time */
    const struct nn_option rows[] = {
        {"out|o", NN_OPTION_REQUIRED, &out, "FILE", 0, 0, "model file to write", NN_COMMON},
        {"arch", NN_OPTION_STRING, &load.arch, "ARCH", 0, 0, "architecture; without it, recognised from the tensors",
         NN_COMMON},
        {"classes", NN_OPTION_STRING, &classes, "LIST", 0, 0,
         "file with the class names, one in each line; or name, latin, en and ru with tabs between", NN_COMMON},
        {"pad", NN_OPTION_CHOICE, &pad, "auto|symmetric|same", 0, 0, "padding of convolutions with stride 2"},
        {"keras-norm", NN_OPTION_CHOICE, &keras_norm, "auto|variance|std|none", 0, 0,
         "meaning of the variance in a Keras Normalization layer. auto: a standard deviation if "
         "it is ImageNet's; none: leave the layer out"},
        {"preprocess", NN_OPTION_STRING, &preprocess, "JSON", 0, 0,
         "what differs from the file: "
         "{\"mean\":[R,G,B],\"std\":[R,G,B],\"image_size\":N,\"mode\":\"squash\" ...}"},
        {"pad-size", NN_OPTION_INT, &load.pad_size, "N", 0, 4096, "pad as for pictures of N pixels, whatever their size is"},
        {"bn-eps", NN_OPTION_DOUBLE, &eps, "X", 0, 1, "epsilon of batch normalisation; 0: as usual for the architecture"},
        {"dtype", NN_OPTION_CHOICE, &dtype, WEIGHTS_STORAGE, 0, 0, "how the model file stores numbers"},
        {"allow-missing", NN_OPTION_FLAG, &load.allow_missing, NULL, 0, 0,
         "fill missing tensors with random values instead of refusing the file"},
        {"seed", NN_OPTION_INT, &seed, "N", 0, 2147483647, "number that decides these random values"},
    };
    static const struct nn_example examples[] = {
        {"weights of PyTorch, with the names of your classes",
         "rudd import best.pth --classes classes.txt -o model.safetensors"},
        {"weights that do not say their architecture", "rudd import w.h5 --arch efficientnet_b4 -o model.safetensors"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd import FILE|FOLDER|NAME -o OUT.safetensors",
                                 .about = "Makes a model file of another program's weights. It "
                                          "reads safetensors, .pth, .npz, .h5 and .keras files, "
                                          "and folders of the Hugging Face hub. NAME is one of that "
                                          "hub, as in rudd fetch.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = 1};
    struct class_list list = {NULL, NULL, 0};
    struct weights_report report = {0};
    struct nn_model *model = NULL;
    char *path = NULL;

    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (options.argument_count != 1) {
        status = rudd_fail(err, RUDD_ARGUMENT, "import: no weights file given; usage: %s", options.usage);
        goto out;
    }
    status = check_out(out, options.arguments[0], err);
    if (!status && classes) status = class_list_read(&list, classes, err);
    if (load.allow_missing) load.class_count = list.count; /* a new classifier where the file's has another number */
    load.pad = (enum weights_pad)pad;
    load.bn_eps = (float)eps;
    load.keras_norm = (enum weights_keras_norm)keras_norm;
    load.seed = (uint64_t)seed;
    struct train_fetch_bar bar;
    const struct weights_hub_options fetch = {.events = train_fetch_events(&bar, false)};
    if (!status) status = weights_hub_locate(&path, options.arguments[0], &fetch, err);
    if (!status) status = weights_model_load(&model, path, &load, &report, err);
    if (!status && classes && list.count != model->class_count)
        status = rudd_fail(err, RUDD_MISMATCH,
                           "%s: holds %d class names, but the weights have %d classes; give as many names, or --allow-missing "
                           "for a new classifier that has learned nothing",
                           classes, list.count, model->class_count);
    if (!status && preprocess) status = set_preprocess(model, &report, preprocess, err);
    struct rudd_error why;
    if (!status && classes && (status = nn_model_set_classes(model, list.classes, list.count, &why)))
        rudd_fail(err, status, "%s: %s", classes, why.message);
    if (!status)
        status = weights_model_save_as(out, model, NULL, (struct weights_form){WEIGHTS_TIMM, (enum weights_dtype)dtype}, err);
    report.imagenet_names &= !classes;
    if (!status) print_report(&report, model, options.arguments[0], out);
out:
    rudd_free(path);
    nn_model_destroy(model);
    weights_report_free(&report);
    class_list_free(&list);
    nn_options_free(&options);
    return status;
}
