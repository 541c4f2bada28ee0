/* fit_record.c - run.json of a run in progress: begun, gone on with, finished. */
#include "train/fit_run.h"

#include "nn/text.h"
#include "train/left.h"
#include "train/run_json.h"
#include <string.h>

static json_t *model_json(const struct train_fit_run *f)
{
    size_t trained = 0;
    for (int i = 0; i < f->model->param_count; i++)
        if (f->learner.trains[i]) trained += f->model->params[i].count;
    return json_pack("{s:s,s:I,s:I,s:i,s:I}", "arch", f->model->arch, "parameters",
                     (json_int_t)nn_model_parameter_count(f->model), "trained", (json_int_t)trained, "image_size",
                     f->model->preprocess.image_size, "plan_bytes", (json_int_t)nn_plan_bytes(f->learner.plan));
}

static json_t *pictures_json(const struct train_fit_run *f)
{
    return json_pack("{s:s,s:i,s:i,s:i,s:i,s:o}", "root_hash", f->dataset, "classes", f->splits.train.class_count, "train",
                     f->splits.train.count, "val", f->splits.val.count, "test", f->splits.test.count, "left_out",
                     train_left_json(&f->splits.left));
}

/* Starts run.json for a fresh run, and gives model and data set the run's id and hash. */
enum rudd_status train_fit_record_begin(struct train_fit_run *f, struct rudd_error *err)
{
    char id[TRAIN_RUN_ID];
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    int count = train_settings_table(rows, &f->s);
    train_run_id(id, rows, count, f->dataset, f->model->sha256 ? f->model->sha256 : "");
    enum rudd_status status = nn_model_set_text(&f->model->run, id, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->dataset, f->dataset, err);
    if (status != RUDD_OK) return status;
    f->record = json_pack("{s:s,s:s,s:o,s:o,s:{s:o,s:s?},s:o,s:o,s:o,s:[]}", "id", id, "status", "running", "options",
                          train_options_json(rows, count), "dataset", pictures_json(f), "weights", "path",
                          nn_text_json(f->s.weights), "sha256", f->model->sha256, "model", model_json(f), "machine",
                          train_machine_json(), "versions", train_versions_json(), "skipped");
    if (!f->record) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record");
    return train_run_json_write(f->folder.path, f->record, err);
}

/* Goes on with a run's own record: options may have been changed on the command line, pictures may not. */
enum rudd_status train_fit_record_resume(struct train_fit_run *f, struct rudd_error *err)
{
    struct nn_option rows[TRAIN_SETTINGS_ROWS];
    enum rudd_status status = train_run_json_read(&f->record, f->s.resume, err);
    if (status != RUDD_OK) return status;
    const char *root = json_string_value(json_object_get(json_object_get(f->record, "dataset"), "root_hash"));
    const char *id = json_string_value(json_object_get(f->record, "id"));
    if (!json_is_array(json_object_get(f->record, "skipped"))) json_object_set_new(f->record, "skipped", json_array());
    if (!root || !id) return rudd_fail(err, RUDD_FORMAT, "%s/run.json: lacks the run's id or its data set's hash", f->s.resume);
    const char *data = json_string_value(json_object_get(json_object_get(f->record, "options"), "data"));
    if (strcmp(root, f->dataset) != 0)
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: the pictures in %s %s; bring those back, or make a new run: rudd train --config %s/run.json "
                         "--data %s",
                         f->s.resume, f->s.data,
                         data && strcmp(data, f->s.data) ? "are not those that this run began with"
                                                         : "have changed since this run began",
                         f->s.resume, f->s.data);
    /* Read again only where no checkpoint took their place. */
    const char *weights = json_string_value(json_object_get(json_object_get(f->record, "weights"), "sha256"));
    if (f->model->sha256 && weights && strcmp(weights, f->model->sha256) != 0)
        return rudd_fail(err, RUDD_MISMATCH, "%s: the weights in %s have changed since this run began; start a new one",
                         f->s.resume, f->s.weights);
    status = nn_model_set_text(&f->model->run, id, err);
    if (status == RUDD_OK) status = nn_model_set_text(&f->model->dataset, f->dataset, err);
    if (status != RUDD_OK) return status;
    json_t *options = train_options_json(rows, train_settings_table(rows, &f->s));
    json_object_del(f->record, "error");
    if (json_object_set_new(f->record, "options", options) != 0 ||
        json_object_set_new(f->record, "status", json_string("running")) != 0)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record");
    return train_run_json_write(f->folder.path, f->record, err);
}

/* Adds what this process could not read to what those before it could not. */
static bool add_skipped(json_t *record, const struct data_loader *loader)
{
    json_t *skipped = json_object_get(record, "skipped"), *known = json_object(), *text;
    bool ok = known;
    size_t j;
    json_array_foreach(skipped, j, text) ok = ok && !json_object_set_new(known, json_string_value(text), json_true());
    for (int i = 0; ok && i < data_loader_bad_count(loader); i++) {
        json_t *line = nn_text_json(data_loader_bad(loader, i));
        const char *key = line ? json_string_value(line) : "";
        ok = line;
        if (ok && !json_object_get(known, key))
            ok = !json_object_set_new(known, key, json_true()) && !json_array_append(skipped, line);
        json_decref(line);
    }
    json_decref(known);
    return ok;
}

enum rudd_status train_fit_record_skipped(struct train_fit_run *f, const struct data_loader *loader, struct rudd_error *err)
{
    if (add_skipped(f->record, f->learner.loader) && (!f->val || add_skipped(f->record, train_evaluator_loader(f->val))) &&
        add_skipped(f->record, loader))
        return RUDD_OK;
    return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the list of skipped pictures");
}

/* Whether these are the figures of a run that ended by itself, on pictures that its stops are not judged on. */
static bool is_judged(const json_t *final)
{
    return json_object_get(final, "test") || json_object_get(final, "train");
}

enum rudd_status train_fit_record_end(struct train_fit_run *f, const char *outcome, json_t *final, struct rudd_error *err)
{
    bool failed = json_object_set_new(f->record, "status", json_string(outcome)) != 0;
    failed |= !add_skipped(f->record, f->learner.loader);
    if (f->val) failed |= !add_skipped(f->record, train_evaluator_loader(f->val));
    /* A finished run that went on and was stopped keeps its figures until it has new ones of all its pictures. */
    const bool keeps = strcmp(outcome, "stopped") == 0 && is_judged(json_object_get(f->record, "final"));
    if (final && !keeps) failed |= json_object_set(f->record, "final", final) != 0;
    return failed ? rudd_fail(err, RUDD_NO_MEMORY, "no memory for the run's record") : RUDD_OK;
}

enum rudd_status train_fit_record_finish(struct train_fit_run *f, const char *outcome, json_t *final, struct rudd_error *err)
{
    enum rudd_status status = train_fit_record_end(f, outcome, final, err);
    return status == RUDD_OK ? train_run_json_write(f->folder.path, f->record, err) : status;
}

/* The record says why, for whoever looks at the run later. */
void train_fit_record_failure(struct train_fit_run *f, const struct rudd_error *why)
{
    json_object_set_new(f->record, "error", nn_text_json(why->message));
    if (train_fit_record_finish(f, "failed", NULL, NULL) != RUDD_OK) train_run_json_mark(f->folder.path, "running", "failed");
}
