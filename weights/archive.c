/* archive.c - see archive.h. */
#include "weights/archive.h"
#include "weights/torch_read.h"
#include <string.h>

static bool has_entry(const struct weights_zip *zip, const char *ending)
{
    const size_t n = strlen(ending);
    for (int i = 0; i < zip->entry_count; i++) {
        const size_t length = strlen(zip->entries[i].name);
        if (length >= n && !strcmp(zip->entries[i].name + length - n, ending)) return true;
    }
    return false;
}

/* Archives that hold no weights for rudd: how the name of an entry ends that each such archive has. */
static enum rudd_status refuse(const struct weights_zip *zip, const char *name, struct rudd_error *err)
{
    static const char *const inside[] = {".safetensors", ".pth", ".pt", ".h5", ".keras", ".npz", "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (has_entry(zip, inside[i]))
            return rudd_fail(err, RUDD_FORMAT, "%s: a zip archive with a weights file (%s) in it; unpack it and give that file",
                             name, inside[i]);
    if (has_entry(zip, ".mlmodel"))
        return rudd_fail(err, RUDD_FORMAT, "%s: a Core ML package; rudd does not read it; import the weights it was made from",
                         name);
    return rudd_fail(err, RUDD_FORMAT,
                     "%s: a zip archive without weights: expected arrays of NumPy (X.npy), a PyTorch checkpoint (data.pkl) or "
                     "a Keras model (model.weights.h5)",
                     name);
}

enum rudd_status weights_archive_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                       struct rudd_error *err)
{
    /* A row per sort: how the name of an entry that each such archive has ends. The first that fits. */
    static const struct {
        const char *ending;
        weights_archive_parser *parse;
    } sorts[] = {
        {"model.weights.h5", weights_keras_archive_parse}, {"/data.pkl", weights_torch_zip_parse}, {".npy", weights_npz_parse}};
    enum { SORTS = sizeof sorts / sizeof *sorts };

    struct weights_file parsed = {0};
    struct weights_zip zip;
    enum rudd_status status = weights_zip_open(&zip, bytes, length, name, err);
    if (status) return status;
    size_t k = 0;
    while (k < SORTS && !has_entry(&zip, sorts[k].ending)) k++;
    parsed.path = rudd_strdup(name);
    if (!parsed.path)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to parse it", name);
    else if (k == SORTS)
        status = refuse(&zip, name, err);
    else if (has_entry(&zip, "/constants.pkl"))
        status = rudd_fail(err, RUDD_FORMAT,
                           "%s: TorchScript, a program with its weights; in Python save them alone: "
                           "torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")",
                           name);
    else
        status = sorts[k].parse(&parsed, &zip, err);
    if (!status) status = weights_sort(&parsed, err);
    weights_zip_close(&zip);
    if (status)
        weights_close(&parsed);
    else
        *file = parsed;
    return status;
}
