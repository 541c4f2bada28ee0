/* forms.c - forms of model files by the endings of their names: see forms.h. */
#include "train/cli/forms.h"

#include "train/run_folder.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define WORD(constant, name, ending) "|" name
const char train_form_words[] = "auto" TRAIN_FORMS(WORD);
#undef WORD

static const struct {
    const char *name, *ending;
} forms[TRAIN_FORM_COUNT] = {{"auto", ""},
#define ROW(constant, name, ending) {name, ending},
                             TRAIN_FORMS(ROW)
#undef ROW
};

const char *train_form_name(enum train_form form)
{
    return forms[form].name;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum train_form train_form_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t length = strlen(name);
    if (is_folder(path) || !strchr(length ? name + 1 : name, '.')) return TRAIN_FORM_TIMM;
    for (int i = 1; i < TRAIN_FORM_COUNT; i++) {
        const size_t n = strlen(forms[i].ending);
        if (n && length > n && strcasecmp(name + length - n, forms[i].ending) == 0)
            return (enum train_form)i;
    }
    return TRAIN_FORM_AUTO;
}

/* Whether path must be a folder. A name without an ending may be a file, too. */
static bool is_surely_folder(const char *path)
{
    const size_t length = strlen(path);
    return (length && path[length - 1] == '/') || is_folder(path);
}

enum rudd_status train_form_decide(enum train_form *form, const char *path, struct rudd_error *err)
{
    const enum train_form asked = *form, named = train_form_of(path);
    if (asked == TRAIN_FORM_AUTO && named == TRAIN_FORM_AUTO)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "%s: this name does not say which format to write; give a name that ends "
                         "in .safetensors, "
                         ".onnx, .npz, .weights.h5 or / (a folder, for timm), or say --format",
                         path);
    if (asked == TRAIN_FORM_AUTO) *form = named;
    const bool loose = named == TRAIN_FORM_TIMM && !is_surely_folder(path);
    if (asked == TRAIN_FORM_AUTO || asked == named || named == TRAIN_FORM_AUTO || loose)
        return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT,
                     "%s: this name is for --format %s, found --format %s; leave --format out, or "
                     "give a name that ends in %s",
                     path, forms[named].name, forms[asked].name,
                     asked == TRAIN_FORM_TIMM ? "/" : forms[asked].ending);
}

/* The file itself, or the one in a folder. False: there is none. */
static bool file_of(struct stat *st, const char *path)
{
    char file[TRAIN_PATH];
    if (stat(path, st) != 0) return false;
    if (!S_ISDIR(st->st_mode)) return true;
    return stat(train_run_path(file, path, "model.safetensors"), st) == 0;
}

enum rudd_status train_output_is_other(const char *what, const char *out, const char *in,
                                       struct rudd_error *err)
{
    struct stat a, b;
    if (!file_of(&a, out) || !file_of(&b, in) || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return RUDD_OK;
    if (!S_ISREG(a.st_mode)) return RUDD_OK; /* /dev/null, a terminal */
    return rudd_fail(err, RUDD_ARGUMENT,
                     "%s %s: is the file that is read, and would be replaced; give another name",
                     what, out);
}
