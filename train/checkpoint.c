/* checkpoint.c - last.safetensors: layout in checkpoint.h.
 *
 * One walk over (block, parameter) pairs, `entry`, serves writing, checking and reading, so that they cannot disagree. */
#include "train/checkpoint.h"

#include "weights/metadata.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of struct train_state, which is an array of doubles by other means. */
static const char *const state_names[] = {TRAIN_STATE_COUNTS(TRAIN_FIELD_NAME) TRAIN_STATE_VALUES(TRAIN_FIELD_NAME)
                                              TRAIN_TALLY_COUNTS(TRAIN_FIELD_NAME) TRAIN_TALLY_SUMS(TRAIN_FIELD_NAME)};
static const char *const count_names[] = {TRAIN_STATE_COUNTS(TRAIN_FIELD_NAME) TRAIN_TALLY_COUNTS(TRAIN_FIELD_NAME)};
enum {
    STATE_COUNT = sizeof state_names / sizeof *state_names,
    COUNT_COUNT = sizeof count_names / sizeof *count_names,
    BLOCKS = 5,
    ENTRY_NAME = NN_NAME + 16
};
_Static_assert(sizeof(struct train_state) == sizeof(double[STATE_COUNT]), "a field of train_state has no name");

/* Pair number i of this checkpoint: which floats, of which parameter, under which name. False when it holds nothing. */
static bool entry(char name[ENTRY_NAME], float **values, const struct nn_param **param, const struct train_checkpoint *c, int i)
{
    static const char *const prefixes[BLOCKS] = {"", "rudd.ema.", "rudd.m0.", "rudd.m1.", "rudd.grad."};
    float *blocks[BLOCKS] = {c->model->values, c->ema ? c->ema->values : NULL, c->optim->moments[0], c->optim->moments[1],
                             c->grads};
    int block = i / c->model->param_count, p = i % c->model->param_count;
    if (!blocks[block] || (block >= 2 && !c->optim->trains[p])) return false;
    *param = &c->model->params[p];
    *values = blocks[block] + (*param)->offset;
    snprintf(name, ENTRY_NAME, "%s%s", prefixes[block], (*param)->name);
    return true;
}

/* Gradients belong to it only within a step. */
static struct train_checkpoint with_grads_if_begun(const struct train_checkpoint *checkpoint, const struct train_state *state)
{
    struct train_checkpoint c = *checkpoint;
    if (!(state->tally.step_mass > 0)) c.grads = NULL;
    return c;
}

static int entry_count(const struct train_checkpoint *c)
{
    return BLOCKS * c->model->param_count;
}

static char *state_text(const struct train_state *state, const struct train_optim *optim)
{
    json_t *object = train_record_json((const double *)state, state_names, STATE_COUNT), *began = json_array();
    bool good = true;
    for (int s = 0; s < optim->stage_count; s++)
        good &=
            json_array_append_new(began, json_integer(optim->began[s] == TRAIN_NEVER ? -1 : (json_int_t)optim->began[s])) == 0;
    if (!good || !object || json_object_set(object, "began", began) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(began);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    return text;
}

enum rudd_status train_checkpoint_write(const char *path, const struct train_checkpoint *checkpoint,
                                        const struct train_state *state, struct rudd_error *err)
{
    const struct train_checkpoint c = with_grads_if_begun(checkpoint, state);
    const int most = entry_count(&c);
    enum rudd_status status;
    struct weights_tensor *tensors = rudd_zalloc((size_t)most, sizeof *tensors);
    char(*names)[ENTRY_NAME] = rudd_zalloc((size_t)most, sizeof *names);
    char *text = state_text(state, checkpoint->optim), key[] = "rudd.checkpoint";
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
        if (!entry(names[count], &values, &p, &c, i)) continue;
        struct weights_tensor *t = &tensors[count];
        *t = (struct weights_tensor){
            .name = names[count], .dtype = WEIGHTS_F32, .rank = p->rank, .count = p->count, .data = values};
        for (int d = 0; d < p->rank; d++) t->shape[d] = p->shape[d];
        count++;
    }
    status = weights_metadata_make(&metadata, c.model, err);
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

/* Counters become ints and sizes: nothing but whole numbers that fit. */
static bool counts_are_sane(const json_t *state)
{
    for (int i = 0; i < COUNT_COUNT; i++) {
        double x = json_number_value(json_object_get(state, count_names[i]));
        if (!(x >= 0 && x <= INT32_MAX && x == floor(x))) return false;
    }
    return true;
}

/* Writes began [stage_count]. */
static bool parse_began(uint64_t *began, const struct train_optim *optim, const json_t *array)
{
    if ((int)json_array_size(array) != optim->stage_count) return false;
    for (int s = 0; s < optim->stage_count; s++) {
        const json_t *value = json_array_get(array, (size_t)s);
        if (!json_is_integer(value)) return false;
        began[s] = json_integer_value(value) < 0 ? TRAIN_NEVER : (uint64_t)json_integer_value(value);
    }
    return true;
}

static enum rudd_status read_state(struct train_state *state, uint64_t *began, const struct train_checkpoint *c,
                                   const struct weights_file *file, struct rudd_error *err)
{
    const char *run = c->model->run;
    const char *text = weights_meta(file, "rudd.checkpoint"), *id = weights_meta(file, "rudd.run");
    if (!text || !id)
        return rudd_fail(err, RUDD_MISMATCH, "%s: not a checkpoint of rudd: no rudd.checkpoint in it", file->path);
    if (!run || strcmp(id, run) != 0)
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: belongs to run %.64s, but these options, weights and pictures make run %s; go on with the run's own",
            file->path, id, run ? run : "(none)");
    json_t *object = json_loads(text, 0, NULL);
    bool good = train_record_parse((double *)state, state_names, STATE_COUNT, object) && counts_are_sane(object) &&
                parse_began(began, c->optim, json_object_get(object, "began"));
    json_decref(object);
    if (!good)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: its rudd.checkpoint lacks counters or has senseless ones; it is damaged, or of another version",
                         file->path);
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
        if (!t || t->count != p->count || t->dtype != WEIGHTS_F32 || !t->data) /* no checkpoint of ours is compressed */
            return rudd_fail(err, RUDD_MISMATCH, "%s: tensor %s is missing or not %zu plain float32 values", file->path, name,
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
    uint64_t *began = rudd_alloc(sizeof *began * (size_t)checkpoint->optim->stage_count);
    if (!began) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", path);
    enum rudd_status status = weights_open(&file, path, err);
    if (status != RUDD_OK) goto done;
    status = read_state(&fresh, began, checkpoint, &file, err);
    struct train_checkpoint c = status == RUDD_OK ? with_grads_if_begun(checkpoint, &fresh) : *checkpoint;
    if (status == RUDD_OK) status = check_tensors(&file, &c, err);
    if (status == RUDD_OK) {
        copy_tensors(&c, &file);
        checkpoint->optim->steps = (uint64_t)fresh.optim_steps;
        memcpy(checkpoint->optim->began, began, sizeof *began * (size_t)checkpoint->optim->stage_count);
        if (checkpoint->ema) checkpoint->ema->updates = (uint64_t)fresh.ema_updates;
        *state = fresh;
    }
    weights_close(&file);
done:
    rudd_free(began);
    return status;
}
