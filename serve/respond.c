/* respond.c - see respond.h. */
#include "serve/respond.h"
#include "nn/text.h"
#include <string.h>

const char *serve_state_name(enum serve_state state)
{
    static const char *const names[] = {"loading", "ready", "draining"};
    return names[state];
}

/* Languages of the label map, where it has them. */
static void add_names(json_t *object, const struct nn_class *class)
{
    if (class->latin) json_object_set_new(object, "latin", json_string(class->latin));
    if (class->en) json_object_set_new(object, "en", json_string(class->en));
    if (class->ru) json_object_set_new(object, "ru", json_string(class->ru));
}

static json_t *top_list(const struct nn_model *m, const struct rudd_top *top, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_t *entry = json_pack("{s:i,s:s,s:f}", "class", top[i].index, "label", m->classes[top[i].index].name, "probability",
                                  (double)top[i].probability);
        if (entry) add_names(entry, &m->classes[top[i].index]);
        json_array_append_new(list, entry);
    }
    return list;
}

/* {"pike":0.953,...}. Label maps may name two classes alike (ImageNet: crane, maillot); such a name gets the sum. */
static json_t *all_probabilities(const struct nn_model *m, const float *p)
{
    json_t *all = json_object();
    for (int i = 0; i < m->class_count; i++) {
        json_t *same = json_object_get(all, m->classes[i].name);
        json_object_set_new(all, m->classes[i].name, json_real((double)p[i] + json_real_value(same)));
    }
    return all;
}

json_t *serve_json_prediction(const struct serve_model *model, const struct serve_job *job, int top_k, double total_ms,
                              const char *id)
{
    const struct nn_model *m = model->model;
    struct rudd_top *top = rudd_alloc(sizeof *top * (size_t)top_k);
    if (!top) return NULL;
    int count = rudd_top_k(top, top_k, job->probabilities, m->class_count);
    const char *name = m->classes[top[0].index].name;
    json_t *root = json_pack("{s:i,s:s,s:s,s:f,s:i,s:s,s:o,s:o,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:s,s:s,s:b,s:s}",             //
                             "species_id", top[0].index, "species_name", name, "class", name,                             //
                             "confidence", (double)top[0].probability, "predicted_class", top[0].index,                   //
                             "predicted_label", name, "top_3_predictions", top_list(m, top, count),                       //
                             "all_predictions", all_probabilities(m, job->probabilities), "processing_time_ms", total_ms, //
                             "prediction_time", total_ms / 1e3, "queue_ms", job->queue_ms, "decode_ms", job->decode_ms,   //
                             "resize_ms", job->resize_ms, "infer_ms", job->infer_ms, "batch_size", job->batch, "model_name",
                             model->name, "model_version", model->version, //
                             "cached", job->cached, "prediction_id", id);
    if (root && job->note[0]) json_object_set_new(root, "note", json_string(job->note));
    rudd_free(top);
    return root;
}

static const char *const resize_names[] = {"crop", "squash", "pad"};
static const char *const filter_names[] = {"bicubic", "bilinear"};

/* JSON text that the model file carries along; what is not JSON stays a string. */
static json_t *carried(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value ? value : nn_text_json(text);
}

json_t *serve_json_model(const struct serve_model *model)
{
    const struct nn_model *m = model->model;
    const struct nn_preprocess *p = &m->preprocess;
    json_t *classes = json_array(), *labels = json_array();
    for (int i = 0; i < m->class_count; i++) {
        json_t *entry = json_pack("{s:i,s:s}", "class", i, "name", m->classes[i].name);
        if (entry) add_names(entry, &m->classes[i]);
        json_array_append_new(labels, entry);
        json_array_append_new(classes, json_string(m->classes[i].name));
    }
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:i,s:i,s:i,s:{s:i,s:s,s:s,s:f,s:[fff],s:[fff]},s:I,s:s?,s:s?,s:s?,s:o,s:o}", //
                     "model_name", model->name, "version", model->version, "arch", m->arch, "classes", classes,          //
                     "labels", labels, "num_classes", m->class_count, "max_batch", model->net.max_batch, "image_size",
                     p->image_size,                                                                                        //
                     "preprocess", "image_size", p->image_size, "resize", resize_names[p->mode],                           //
                     "interpolation", filter_names[p->filter], "crop_fraction", p->crop_fraction,                          //
                     "mean", (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],                                   //
                     "std", (double)p->std[0], (double)p->std[1], (double)p->std[2],                                       //
                     "parameters", (json_int_t)nn_model_parameter_count(m), "sha256", m->sha256, "run", m->run, "dataset", //
                     m->dataset, "metrics", carried(m->metrics), "temperature",
                     m->temperature > 0 && !model->net.raw ? json_real(m->temperature) : json_null());
}

json_t *serve_json_versions(struct serve_models *models)
{
    const struct serve_model *all[SERVE_MODELS_MAX];
    int count = serve_models_all(all, models);
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:s,s:s,s:s?,s:b}", "version", all[i]->version, "model_name", all[i]->name,
                                              "sha256", all[i]->model->sha256, "default", i == 0));
        serve_models_put(models, all[i]);
    }
    return list;
}

json_t *serve_json_facts(const struct serve_model *model, size_t max_body, uint64_t max_pixels)
{
    return json_pack("{s:s,s:s,s:s?,s:s?,s:I,s:I,s:{s:s,s:s,s:s,s:s,s:s}}", "service", "rudd-serve", "version", RUDD_VERSION,
                     "model_name", model ? model->name : NULL, "model_version", model ? model->version : NULL, "max_body_bytes",
                     (json_int_t)max_body, "max_pixels", (json_int_t)max_pixels, "endpoints", "predict", "/predict", "health",
                     "/health", "ready", "/ready", "model_info", "/model_info", "metrics", "/metrics");
}

json_t *serve_json_health(const struct serve_model *model, enum serve_state state, double uptime_s)
{
    return json_pack("{s:s,s:b,s:s,s:s,s:s?,s:s?,s:f}", "status", "healthy", "model_loaded", model != NULL, "state",
                     serve_state_name(state), "version", RUDD_VERSION, "model_name", model ? model->name : NULL,
                     "model_version", model ? model->version : NULL, "uptime_seconds", uptime_s);
}

json_t *serve_json_status(const char *status)
{
    return json_pack("{s:s}", "status", status);
}

json_t *serve_json_problem(const struct serve_problem *problem)
{
    return json_pack("{s:o,s:s}", "detail", nn_text_json(problem->detail), "code", problem->code);
}

static int append(const char *text, size_t n, void *user)
{
    return serve_bytes_add(user, text, n, SIZE_MAX) ? -1 : 0;
}

enum rudd_status serve_json_print(struct serve_bytes *out, json_t *root)
{
    bool failed = !root || json_dump_callback(root, append, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) ||
                  serve_bytes_add(out, "\n", 1, SIZE_MAX);
    json_decref(root);
    return failed ? RUDD_NO_MEMORY : RUDD_OK;
}
