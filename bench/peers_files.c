/* peers_files.c - what rudd writes for the peers, in a folder of its own: see peers.h. */
#include "bench/peers.h"
#include "weights/model_file.h"
#include "weights/onnx_write.h"
#include "weights/replace.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ONNX, MODEL, INPUT, LOGITS, FILES };
static const char *const file_names[FILES] = {"model.onnx", "model.safetensors", "input.f32", "logits.f32"};
enum { PATH = 300 };

static const char *path_of(char out[PATH], const struct peers_row *r, int file)
{
    snprintf(out, PATH, "%s/%s", r->folder, file_names[file]);
    return out;
}

static enum rudd_status make_folder(struct peers_row *r, struct rudd_error *err)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(r->folder, sizeof r->folder, "%s/rudd-peers-XXXXXX", base && *base ? base : P_tmpdir);
    if (n < (int)sizeof r->folder && mkdtemp(r->folder)) return RUDD_OK;
    enum rudd_status status =
        rudd_fail(err, RUDD_IO, "cannot make a temporary folder %.200s: %s; set TMPDIR to one that is writable", r->folder,
                  n < (int)sizeof r->folder ? strerror(errno) : "its name is too long");
    r->folder[0] = 0;
    return status;
}

void peers_remove_files(struct peers_row *r)
{
    char path[PATH];
    if (!r->folder[0]) return;
    for (int i = 0; i < FILES; i++) unlink(path_of(path, r, i));
    rmdir(r->folder);
    r->folder[0] = 0;
}

/* The plan's input [n,h,w,3], for everyone else [n,3,h,w]. */
static enum rudd_status write_input(const struct peers_row *r, struct rudd_error *err)
{
    size_t n = (size_t)r->work.batch, hw = (size_t)r->work.size * (size_t)r->work.size;
    const float *nhwc = nn_plan_input(r->plan);
    float *nchw = rudd_alloc(sizeof *nchw * n * hw * 3);
    char path[PATH];
    if (!nchw) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %zu pictures", n);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            for (size_t p = 0; p < hw; p++) nchw[(i * 3 + c) * hw + p] = nhwc[(i * hw + p) * 3 + c];
    enum rudd_status status = weights_write_bytes(path_of(path, r, INPUT), nchw, sizeof *nchw * n * hw * 3, err);
    rudd_free(nchw);
    return status;
}

enum rudd_status peers_write_files(struct peers_row *r, struct rudd_error *err)
{
    const struct weights_onnx_options onnx = {.image_size = r->work.size};
    char path[PATH];
    enum rudd_status status = make_folder(r, err);
    if (!status) status = weights_onnx_write(path_of(path, r, ONNX), r->model, &onnx, err);
    if (!status) status = weights_model_save(path_of(path, r, MODEL), r->model, NULL, WEIGHTS_TIMM, err);
    if (!status) status = write_input(r, err);
    if (status) return status;
    nn_plan_forward(r->plan, r->work.batch);
    return weights_write_bytes(path_of(path, r, LOGITS), nn_plan_logits(r->plan),
                               sizeof(float) * (size_t)r->work.batch * (size_t)r->model->class_count, err);
}
