/* checkpoint.c - last.safetensors: layout in checkpoint.h.
 *
 * One walk over (block, parameter) pairs, `entry`, serves writing, checking and reading, so that they cannot disagree. */
#include "train/checkpoint.h"

#include "weights/metadata.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {TRAIN_STATE_FIELDS(TRAIN_FIELD_NAME)};
enum { STATE_COUNT = sizeof state_names / sizeof *state_names, BLOCKS = 4, ENTRY_NAME = NN_NAME + 16 };

/* Pair number i of this checkpoint: which floats, of which parameter, under which name. False when it holds nothing. */
static bool entry(char name[ENTRY_NAME], float **values, const struct nn_param **param, const struct train_checkpoint *c, int i)
{
    static const char *const prefixes[BLOCKS] = {"", "rudd.ema.", "rudd.m0.", "rudd.m1."};
    float *blocks[BLOCKS] = {c->model->values, c->ema ? c->ema->values : NULL, c->optim->moments[0], c->optim->moments[1]};
    int block = i / c->model->param_count, p = i % c->model->param_count;
    if (!blocks[block] || (block >= 2 && !c->optim->trains[p])) return false;
    *param = &c->model->params[p];
    *values = blocks[block] + (*param)->offset;
    snprintf(name, ENTRY_NAME, "%s%s", prefixes[block], (*param)->name);
    return true;
}

static int entry_count(const struct train_checkpoint *c)
{
    return BLOCKS * c->model->param_count;
}

static char *state_text(const struct train_state *state)
{
    json_t *object = train_record_json((const double *)state, state_names, STATE_COUNT);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    return text;
}

enum rudd_status train_checkpoint_write(const char *path, const struct train_checkpoint *checkpoint,
                                        const struct train_state *state, struct rudd_error *err)
{
    const int most = entry_count(checkpoint);
    enum rudd_status status;
    struct weights_tensor *tensors = rudd_zalloc((size_t)most, sizeof *tensors);
    char(*names)[ENTRY_NAME] = rudd_zalloc((size_t)most, sizeof *names);
    char *text = state_text(state), key[] = "rudd.checkpoint";
    struct weights_metadata metadata = {.count = 0};
    struct weights_meta entries[WEIGHTS_METADATA_KEYS + 1];
    if (!tensors || !names || !text) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
        goto done;
    }
    int count = 0;
    for (int i = 0; i < most; i++) {
        const struct nn_param *p;
        float *values;
        if (!entry(names[count], &values, &p, checkpoint, i)) continue;
        struct weights_tensor *t = &tensors[count];
        *t = (struct weights_tensor){
            .name = names[count], .dtype = WEIGHTS_F32, .rank = p->rank, .count = p->count, .data = values};
        for (int d = 0; d < p->rank; d++) t->shape[d] = p->shape[d];
        count++;
    }
    status = weights_metadata_make(&metadata, checkpoint->model, err);
    if (status != RUDD_OK) goto done;
    memcpy(entries, metadata.entries, sizeof *entries * (size_t)metadata.count);
    entries[metadata.count] = (struct weights_meta){key, text};
    status = weights_write(path, tensors, count, entries, metadata.count + 1, err);
done:
    rudd_free(tensors);
    rudd_free(names);
    weights_metadata_free(&metadata);
    free(text); /* jansson's */
    return status;
}

static enum rudd_status read_state(struct train_state *state, const struct weights_file *file, const char *run,
                                   struct rudd_error *err)
{
    const char *text = weights_meta(file, "rudd.checkpoint"), *id = weights_meta(file, "rudd.run");
    if (!text || !id)
        return rudd_fail(err, RUDD_MISMATCH, "%s: not a checkpoint of rudd: no rudd.checkpoint in it", file->path);
    if (!run || strcmp(id, run) != 0)
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: belongs to run %.64s, but these options, weights and pictures make run %s; go on with the run's own",
            file->path, id, run ? run : "(none)");
    json_t *object = json_loads(text, 0, NULL);
    bool good = train_record_parse((double *)state, state_names, STATE_COUNT, object);
    json_decref(object);
    if (!good) return rudd_fail(err, RUDD_FORMAT, "%s: its rudd.checkpoint lacks counters; the file is damaged", file->path);
    return RUDD_OK;
}

static enum rudd_status check_tensors(const struct weights_file *file, const struct train_checkpoint *c, struct rudd_error *err)
{
    char name[ENTRY_NAME];
    const struct nn_param *p;
    float *values;
    int count = 0;
    for (int i = 0; i < entry_count(c); i++) {
        if (!entry(name, &values, &p, c, i)) continue;
        const struct weights_tensor *t = weights_find(file, name);
        if (!t || t->count != p->count || t->dtype != WEIGHTS_F32)
            return rudd_fail(err, RUDD_MISMATCH, "%s: tensor %s is missing or not %zu float32 values", file->path, name,
                             p->count);
        count++;
    }
    if (count != file->tensor_count)
        return rudd_fail(err, RUDD_MISMATCH, "%s: found %d tensors, expected %d for this model and optimiser", file->path,
                         file->tensor_count, count);
    return RUDD_OK;
}

static void copy_tensors(struct train_checkpoint *c, const struct weights_file *file)
{
    char name[ENTRY_NAME];
    const struct nn_param *p;
    float *values;
    for (int i = 0; i < entry_count(c); i++)
        if (entry(name, &values, &p, c, i)) memcpy(values, weights_find(file, name)->data, p->count * sizeof *values);
}

enum rudd_status train_checkpoint_read(struct train_checkpoint *checkpoint, struct train_state *state, const char *path,
                                       struct rudd_error *err)
{
    struct weights_file file;
    struct train_state fresh;
    enum rudd_status status = weights_open(&file, path, err);
    if (status != RUDD_OK) return status;
    status = read_state(&fresh, &file, checkpoint->model->run, err);
    if (status == RUDD_OK) status = check_tensors(&file, checkpoint, err);
    if (status == RUDD_OK) {
        copy_tensors(checkpoint, &file);
        checkpoint->optim->steps = (uint64_t)fresh.optim_steps;
        if (checkpoint->ema) checkpoint->ema->updates = (uint64_t)fresh.ema_updates;
        *state = fresh;
    }
    weights_close(&file);
    return status;
}
