/* labels.c - classes by name: see labels.h. */
#include "train/labels.h"

#include "data/image/decode.h"
#include "nn/name_index.h"
#include <jansson.h>
#include <string.h>

enum { LABELS_MAX_BYTES = 64 << 20 };

/* The entry's word, or NULL. The model copies it. */
static char *word(const json_t *entry, const char *key)
{
    return (char *)json_string_value(json_object_get(entry, key));
}

static const char *name_of_entry(const void *list, int i)
{
    return word(json_array_get(list, (size_t)i), "name");
}

static enum rudd_status check_entries(const json_t *list, const char *path, struct rudd_error *err)
{
    struct nn_name_index index;
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (!word(entry, "name"))
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: entry %zu has no name, expected a list of {\"name\",\"latin\",\"en\",\"ru\"}; --labels none "
                             "leaves the file alone",
                             path, i + 1);
    }
    enum rudd_status status = nn_name_index_make(&index, name_of_entry, list, (int)json_array_size(list), err);
    if (status == RUDD_OK && index.twice >= 0)
        status =
            rudd_fail(err, RUDD_FORMAT, "%s: entry %d repeats %s", path, index.twice + 1, name_of_entry(list, index.twice));
    nn_name_index_free(&index);
    return status;
}

static enum rudd_status read_labels(json_t **labels, const char *path, struct rudd_error *err)
{
    uint8_t *bytes;
    size_t length;
    json_error_t where;
    enum rudd_status status = data_file_read(&bytes, &length, path, LABELS_MAX_BYTES, err);
    if (status != RUDD_OK) return status;
    json_t *list = json_loadb((const char *)bytes, length, JSON_REJECT_DUPLICATES, &where);
    rudd_free(bytes);
    if (!list) return rudd_fail(err, RUDD_FORMAT, "%s:%d: %s", path, where.line, where.text);

    if (!json_is_array(list)) {
        json_decref(list);
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: expected a list of {\"name\",\"latin\",\"en\",\"ru\"}; --labels none leaves the file alone",
                         path);
    }
    status = check_entries(list, path, err);
    if (status != RUDD_OK)
        json_decref(list);
    else
        *labels = list;
    return status;
}

/* The words of every class that has an entry. */
static enum rudd_status add_words(struct nn_class *classes, int count, const json_t *labels, struct rudd_error *err)
{
    struct nn_name_index index;
    enum rudd_status status = nn_name_index_make(&index, name_of_entry, labels, (int)json_array_size(labels), err);
    for (int k = 0; k < count && status == RUDD_OK; k++) {
        const int at = nn_name_index_find(&index, classes[k].name);
        if (at < 0) continue;
        const json_t *entry = json_array_get(labels, (size_t)at);
        classes[k].latin = word(entry, "latin");
        classes[k].en = word(entry, "en");
        classes[k].ru = word(entry, "ru");
    }
    if (status == RUDD_OK) nn_name_index_free(&index);
    return status;
}

enum rudd_status train_labels_apply(struct nn_model *model, const struct data_set *set, const char *path,
                                    struct rudd_error *err)
{
    json_t *labels = NULL;
    enum rudd_status status = path ? read_labels(&labels, path, err) : RUDD_OK;
    if (status != RUDD_OK) return status;
    struct nn_class *classes = rudd_zalloc((size_t)set->class_count, sizeof *classes);
    if (!classes) status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d labels", set->class_count);
    for (int k = 0; k < set->class_count && classes; k++) classes[k].name = set->class_names[k];
    if (status == RUDD_OK && labels) status = add_words(classes, set->class_count, labels, err);
    if (status == RUDD_OK) status = nn_model_set_classes(model, classes, set->class_count, err);
    rudd_free(classes);
    json_decref(labels);
    return status;
}

static const char *name_of_class(const void *model, int k)
{
    return ((const struct nn_model *)model)->classes[k].name;
}

/* place[k]: where class k of the set stands in the model. Names go along; labels are renumbered. */
static void follow(struct data_set *set, const int *place, char **names)
{
    for (int i = 0; i < set->count; i++) set->items[i].label = place[set->items[i].label];
    for (int k = 0; k < set->class_count; k++) names[place[k]] = set->class_names[k];
    memcpy(set->class_names, names, (size_t)set->class_count * sizeof *names);
}

enum rudd_status train_labels_follow(bool *followed, struct data_splits *splits, const struct nn_model *model,
                                     struct rudd_error *err)
{
    const int count = splits->train.class_count;
    struct nn_name_index index;
    *followed = false;
    if (model->class_count != count) return RUDD_OK;
    enum rudd_status status = nn_name_index_make(&index, name_of_class, model, count, err);
    if (status != RUDD_OK) return status;
    int *place = rudd_alloc(((size_t)count + 1) * sizeof *place);
    char **names = rudd_alloc(((size_t)count + 1) * sizeof *names);
    if (!place || !names) status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d labels", count);
    /* Names within a set are distinct, so one-to-one follows from all being found. */
    bool all = status == RUDD_OK;
    for (int k = 0; k < count && all; k++) all = (place[k] = nn_name_index_find(&index, splits->train.class_names[k])) >= 0;
    struct data_set *sets[] = {&splits->train, &splits->val, &splits->test};
    for (int i = 0; i < 3 && all; i++)
        if (sets[i]->class_count == count) follow(sets[i], place, names);
    *followed = all;
    rudd_free(place);
    rudd_free(names);
    nn_name_index_free(&index);
    return status;
}

enum rudd_status train_labels_scan(struct data_set *set, const struct nn_model *model, const char *dir, struct rudd_error *err)
{
    char **names = rudd_zalloc((size_t)model->class_count, sizeof *names);
    if (!names) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d class names", model->class_count);
    for (int k = 0; k < model->class_count; k++) names[k] = model->classes[k].name;
    enum rudd_status status = data_set_scan(set, dir, names, model->class_count, err);
    rudd_free(names);
    return status;
}
