/* labels.c - classes by name: see labels.h. */
#include "train/labels.h"

#include "data/image/decode.h"
#include <jansson.h>
#include <string.h>

enum { LABELS_MAX_BYTES = 64 << 20 };

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

    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        bool twice = false;
        for (size_t j = 0; name && j < i; j++)
            twice |= strcmp(name, json_string_value(json_object_get(json_array_get(list, j), "name"))) == 0;
        if (name && !twice) continue;
        status = rudd_fail(err, RUDD_FORMAT, "%s: entry %zu %s%s, expected a list of {\"name\",\"latin\",\"en\",\"ru\"}", path,
                           i + 1, name ? "repeats " : "has no name", name ? name : "");
        json_decref(list);
        return status;
    }
    if (!json_is_array(list)) {
        json_decref(list);
        return rudd_fail(err, RUDD_FORMAT, "%s: expected a list of {\"name\",\"latin\",\"en\",\"ru\"}", path);
    }
    *labels = list;
    return RUDD_OK;
}

/* The entry's word, or NULL. The model copies it. */
static char *word(const json_t *entry, const char *key)
{
    return (char *)json_string_value(json_object_get(entry, key));
}

enum rudd_status train_labels_apply(struct nn_model *model, const struct data_set *set, const char *path,
                                    struct rudd_error *err)
{
    json_t *labels = NULL, *entry;
    enum rudd_status status = path ? read_labels(&labels, path, err) : RUDD_OK;
    if (status != RUDD_OK) return status;
    struct nn_class *classes = rudd_zalloc((size_t)set->class_count, sizeof *classes);
    if (classes) {
        for (int k = 0; k < set->class_count; k++) {
            size_t i;
            classes[k].name = set->class_names[k];
            json_array_foreach(labels, i, entry)
            {
                if (strcmp(word(entry, "name"), set->class_names[k]) != 0) continue;
                classes[k].latin = word(entry, "latin");
                classes[k].en = word(entry, "en");
                classes[k].ru = word(entry, "ru");
            }
        }
        status = nn_model_set_classes(model, classes, set->class_count, err);
    } else {
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d labels", set->class_count);
    }
    rudd_free(classes);
    json_decref(labels);
    return status;
}

static int find_class(const struct nn_model *model, const char *name)
{
    for (int k = 0; k < model->class_count; k++)
        if (strcmp(model->classes[k].name, name) == 0) return k;
    return -1;
}

/* Swaps names until each stands where the model has it; labels are renumbered first, from the old order. */
static void follow(struct data_set *set, const struct nn_model *model)
{
    for (int i = 0; i < set->count; i++) set->items[i].label = find_class(model, set->class_names[set->items[i].label]);
    for (int k = 0; k < set->class_count;) {
        int to = find_class(model, set->class_names[k]);
        if (to == k) {
            k++;
            continue;
        }
        char *other = set->class_names[to];
        set->class_names[to] = set->class_names[k];
        set->class_names[k] = other;
    }
}

bool train_labels_follow(struct data_splits *splits, const struct nn_model *model)
{
    if (model->class_count != splits->train.class_count) return false;
    /* Names within a set are distinct, so one-to-one follows from all being found. */
    for (int k = 0; k < model->class_count; k++)
        if (find_class(model, splits->train.class_names[k]) < 0) return false;
    struct data_set *sets[] = {&splits->train, &splits->val, &splits->test};
    for (int i = 0; i < 3; i++)
        if (sets[i]->class_count == model->class_count) follow(sets[i], model);
    return true;
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
