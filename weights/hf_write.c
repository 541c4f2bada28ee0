/* hf_write.c - a Hugging Face folder is written: see hf_folder.h.
 *
 *     DIR.<pid>.tmp/ <- model.safetensors, config.json | rename to DIR | fsync of its parent
 *
 * Source of the form: timm's models/_hub.py, save_config_for_hf and _parse_model_cfg (timm 1.0). */
#include "weights/hf_folder.h"
#include "nn/graph.h"
#include "weights/metadata.h"
#include "weights/replace.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- config.json ------------------------------------------------------------------------------------------------- */

/* Pixels of a side where the network pools at last, at its own image size; 0: no memory. */
static int pool_side(const struct nn_model *model)
{
    const struct nn_graph *g = model->graph;
    struct nn_shape *shapes = rudd_alloc(sizeof *shapes * (size_t)g->count);
    int side = 0;
    if (!shapes) return 0;
    nn_graph_shapes(shapes, g, model->preprocess.image_size);
    for (int i = 0; i < g->count; i++)
        if (g->nodes[i].op == NN_POOL) side = shapes[g->nodes[i].in[0]].h;
    rudd_free(shapes);
    return side;
}

static json_t *module_name(const struct nn_param *p)
{
    return json_stringn(p->name, (size_t)(strrchr(p->name, '.') - p->name));
}

static json_t *pretrained_json(const struct nn_model *m)
{
    static const char *const modes[] = {[NN_RESIZE_CROP] = "center", [NN_RESIZE_SQUASH] = "squash", [NN_RESIZE_PAD] = "border"};
    const struct nn_preprocess *p = &m->preprocess;
    const int size = p->image_size, pool = pool_side(m);
    json_t *own = weights_preprocess_json(p); /* mean and std with as many digits as they need */
    json_t *json = json_pack("{s:b, s:[i,i,i], s:b, s:s, s:f, s:s, s:O, s:O, s:i, s:[i,i], s:o, s:o}", "custom_load", 0,
                             "input_size", 3, size, size, "fixed_input_size", 0, "interpolation",
                             weights_filter_words[p->filter], "crop_pct", p->mode == NN_RESIZE_CROP ? p->crop_fraction : 1.0,
                             "crop_mode", modes[p->mode], "mean", json_object_get(own, "mean"), "std",
                             json_object_get(own, "std"), "num_classes", m->class_count, "pool_size", pool, pool, "first_conv",
                             module_name(&m->params[0]), "classifier", module_name(&m->params[m->param_count - 1]));
    json_decref(own);
    return json;
}

/* What the constructor must be told: the conventions that are not those of the architecture. */
static json_t *arguments_json(const struct nn_model *m, const struct nn_model *usual)
{
    json_t *args = json_pack("{s:i, s:i, s:s}", "num_classes", m->class_count, "in_chans", 3, "global_pool", "avg");
    if (args && m->pad != usual->pad) json_object_set_new(args, "pad_type", json_string(m->pad == NN_PAD_SAME ? "same" : ""));
    json_t *conventions = weights_conventions_json(m);
    if (args && m->bn_eps != usual->bn_eps) json_object_set(args, "bn_eps", json_object_get(conventions, "bn_eps"));
    json_decref(conventions);
    return args;
}

/* NULL for names that only count: class_0, class_1, ... */
static json_t *names_json(const struct nn_model *m)
{
    json_t *list = json_array();
    bool only_count = true;
    for (int i = 0; i < m->class_count; i++) {
        char number[32];
        snprintf(number, sizeof number, "class_%d", i);
        only_count &= !strcmp(m->classes[i].name, number);
        json_array_append_new(list, json_string(m->classes[i].name));
    }
    if (!only_count) return list;
    json_decref(list);
    return NULL;
}

/* NULL with nothing to say. */
static json_t *descriptions_json(const struct nn_model *m)
{
    json_t *json = NULL;
    for (int i = 0; i < m->class_count; i++) {
        const struct nn_class *c = &m->classes[i];
        const char *text = c->en ? c->en : c->latin;
        if (!text) continue;
        if (!json) json = json_object();
        json_object_set_new(json, c->name, json_string(text));
    }
    return json;
}

/* The text, to be freed with free(). */
static enum rudd_status make_config(char **text, const struct nn_model *m, struct rudd_error *err)
{
    struct nn_model *usual;
    enum rudd_status status = nn_model_describe(&usual, m->arch, m->class_count, err);
    if (status) return status;
    const struct nn_param *classifier = &m->params[m->param_count - 2]; /* its weight; the bias is last */
    json_t *json = json_pack("{s:s, s:i, s:i, s:s, s:o*, s:o*, s:o, s:o}", "architecture", m->arch, "num_classes",
                             m->class_count, "num_features", classifier->shape[1], "global_pool", "avg", "label_names",
                             names_json(m), "label_descriptions", descriptions_json(m), "model_args", arguments_json(m, usual),
                             "pretrained_cfg", pretrained_json(m));
    *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    nn_model_destroy(usual);
    return *text ? RUDD_OK
                 : rudd_fail(err, RUDD_ARGUMENT, "config.json: a class name is not UTF-8, or there is no memory for it");
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static enum rudd_status check_target(const char *folder, const struct nn_model *m, struct rudd_error *err)
{
    struct stat st;
    if (!strncmp(m->arch, "rudd_", 5) || strchr(m->arch, '+') || !strcmp(m->arch, "resnet50v2") ||
        !strcmp(m->arch, "mobilenetv2_130"))
        return rudd_fail(err, RUDD_ARGUMENT, "timm has no %s; export --format safetensors or onnx", m->arch);
    if (stat(folder, &st)) return RUDD_OK;
    DIR *d = S_ISDIR(st.st_mode) ? opendir(folder) : NULL;
    int entries = 0;
    while (d && readdir(d)) entries++;
    if (d) closedir(d);
    return entries == 2 ? RUDD_OK /* itself and its parent */
                        : rudd_fail(err, RUDD_ARGUMENT, "%s: exists and is not an empty folder; give another name", folder);
}

/* Paths of one export, in one block. */
struct paths {
    char *temporary, *weights, *config;
};

static enum rudd_status write_files(const struct paths *p, const struct nn_model *model, enum weights_dtype dtype,
                                    struct rudd_error *err)
{
    char *text = NULL;
    enum rudd_status status = make_config(&text, model, err);
    if (!status) status = weights_model_save_as(p->weights, model, NULL, (struct weights_form){WEIGHTS_TIMM, dtype}, err);
    if (!status) status = weights_write_bytes(p->config, text, strlen(text), err);
    free(text); /* jansson's */
    return status;
}

enum rudd_status weights_hf_write(const char *folder, const struct nn_model *model, enum weights_dtype dtype,
                                  struct rudd_error *err)
{
    enum rudd_status status = check_target(folder, model, err);
    if (status) return status;
    size_t length = strlen(folder), room = length + 64;
    while (length > 1 && folder[length - 1] == '/') length--;
    char *block = rudd_alloc(3 * room);
    if (!block) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", folder);
    const struct paths p = {block, block + room, block + 2 * room};
    char *const names[] = {p.temporary, p.weights, p.config};
    static const char *const within[] = {"", "/model.safetensors", "/config.json"};
    for (int i = 0; i < 3; i++) snprintf(names[i], room, "%.*s.%ld.tmp%s", (int)length, folder, (long)getpid(), within[i]);
    if (mkdir(p.temporary, 0777)) {
        status = rudd_fail(err, RUDD_IO, "%s: cannot create a folder beside it: %s", folder, strerror(errno));
        goto out;
    }
    status = write_files(&p, model, dtype, err);
    if (!status && rename(p.temporary, folder))
        status = rudd_fail(err, RUDD_IO, "%s: cannot rename %s to it: %s", folder, p.temporary, strerror(errno));
    if (status) {
        unlink(p.weights);
        unlink(p.config);
        rmdir(p.temporary);
    } else {
        status = weights_sync_folder_of(p.temporary, folder, err);
    }
out:
    rudd_free(block);
    return status;
}
