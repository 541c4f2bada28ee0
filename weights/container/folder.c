/* folder.c - see folder.h. What is looked for in a folder is two tables: names of weights files,
 * and names that tell a folder of another kind. */
#include "weights/container/folder.h"
#include "nn/base/refuse.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* "folder/name"; false: too long for the system. */
static bool join(char out[WEIGHTS_PATH], const char *folder, const char *name)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    const int length = snprintf(out, WEIGHTS_PATH, "%.*s/%s", (int)n, folder, name);
    return length > 0 && length < WEIGHTS_PATH;
}

static bool holds(const char *folder, const char *name)
{
    char path[WEIGHTS_PATH];
    return join(path, folder, name) && !access(path, F_OK);
}

bool weights_is_hf_folder(const char *path)
{
    return is_folder(path) && holds(path, "config.json") && !holds(path, "run.json");
}

/* ---- folders of other kinds ------------------------------------------------------------------ */

static const char *ending_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot : "";
}

static bool is_one_of(const char *ending, const char *const *endings)
{
    for (; *endings; endings++)
        if (!strcasecmp(ending, *endings)) return true;
    return false;
}

/* Whether one of the first few hundred names in folder is that of a picture. */
static bool holds_pictures(const char *folder)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".heic",
                                          ".bmp", ".gif",  ".tif", ".tiff", NULL};
    DIR *dir = opendir(folder);
    bool found = false;
    struct dirent *e;
    for (int i = 0; dir && !found && i < 500 && (e = readdir(dir)); i++)
        found = is_one_of(ending_of(e->d_name), endings);
    if (dir) closedir(dir);
    return found;
}

/* What the entries of a folder tell. */
struct contents {
    char weights[256], run[256]; /* a weights file, a folder that is a run; empty: none in it */
    int weights_count;
    bool pictures; /* in it, or in folders inside */
};

static void look_into(struct contents *c, const char *folder, int most, bool top);

/* top: the entry is the folder's own, not one of a folder inside. */
static void look_at(struct contents *c, const char *folder, const char *name, bool top)
{
    static const char *const endings[] = {".safetensors", ".pth", ".pt",    ".npz",
                                          ".h5",          ".bin", ".keras", NULL};
    char path[WEIGHTS_PATH];
    if (!join(path, folder, name)) return;
    if (is_folder(path)) {
        if (top && holds(path, "run.json") && strlen(name) < sizeof c->run)
            memcpy(c->run, name, strlen(name) + 1);
        c->pictures |= holds_pictures(path);
        if (top && !c->pictures) look_into(c, path, 100, false);
    } else if (top && is_one_of(ending_of(name), endings) && strlen(name) < sizeof c->weights) {
        memcpy(c->weights, name, strlen(name) + 1);
        c->weights_count++;
    }
}

/* The first names of a folder, most at most. */
static void look_into(struct contents *c, const char *folder, int most, bool top)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    for (int i = 0; dir && i < most && (e = readdir(dir)); i++)
        if (e->d_name[0] != '.') look_at(c, folder, e->d_name, top);
    if (dir) closedir(dir);
}

static enum rudd_status refuse(const char *folder, struct rudd_error *err)
{
    static const struct {
        const char *name, *text;
    } kinds[] = {
        {"run.json", "a run that has no model yet; its first epoch has not ended; wait for it, or "
                     "continue it with rudd train --resume"},
        {"saved_model.pb", "a TensorFlow SavedModel; in Keras save it with "
                           "model.save(\"model.keras\") and import that"},
        {"model.safetensors.index.json", "weights in several files; rudd reads one file; join them "
                                         "where they come from"},
        {"pytorch_model.bin.index.json", "weights in several files; rudd reads one file; join them "
                                         "where they come from"},
        {"Manifest.json", "a Core ML package; rudd does not read it; import the weights it was "
                          "made from"},
        {"config.json", "a configuration without weights; expected model.safetensors or "
                        "pytorch_model.bin beside it; download that too"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (holds(folder, kinds[i].name))
            return rudd_fail(err, RUDD_MISMATCH, "%s: %s", folder, kinds[i].text);

    struct contents c = {.pictures = holds_pictures(folder)};
    if (access(folder, R_OK | X_OK)) return nn_refuse_open(folder, "folder", errno, err);
    look_into(&c, folder, 1000, true);
    if (c.weights_count == 1)
        return rudd_fail(err, RUDD_MISMATCH, "%s: a folder; give the weights file in it: %s/%s",
                         folder, folder, c.weights);
    if (c.weights_count)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: a folder of %d weights files; give one of them, such as %s/%s",
                         folder, c.weights_count, folder, c.weights);
    if (*c.run)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: a folder of runs; give one of them, such as %s/%s", folder, folder,
                         c.run);
    if (c.pictures)
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: a folder of pictures; expected a model: a run's folder or a file such "
            "as model.safetensors",
            folder);
    return rudd_fail(err, RUDD_MISMATCH,
                     "%s: a folder without model.safetensors; expected a run's folder or a weights "
                     "file",
                     folder);
}

enum rudd_status weights_find_file(char out[WEIGHTS_PATH], const char *path, struct rudd_error *err)
{
    /* A run's or rudd's own, then as timm looks for them. */
    static const char *const names[] = {"model.safetensors", "pytorch_model.bin",
                                        "pytorch_model.pth", "model.pth"};
    size_t i = 0;
    if (!is_folder(path)) {
        if (strlen(path) >= WEIGHTS_PATH)
            return rudd_fail(err, RUDD_IO, "%.200s...: cannot open: %s", path,
                             strerror(ENAMETOOLONG));
        memcpy(out, path, strlen(path) + 1);
        return RUDD_OK;
    }
    while (i < sizeof names / sizeof *names && !holds(path, names[i])) i++;
    return i < sizeof names / sizeof *names && join(out, path, names[i]) ? RUDD_OK
                                                                         : refuse(path, err);
}
