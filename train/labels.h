/* labels.h - which class is which number, and what people call it.
 *
 * A model's label map and a data set's folders meet by name. labels.json beside the folders adds what a folder name cannot say:
 *
 *     [{"name": "esox_lucius", "latin": "Esox lucius", "en": "northern pike", "ru": "щука"}, ...] */
#ifndef TRAIN_LABELS_H
#define TRAIN_LABELS_H

#include "data/sets/dataset.h"

/* Gives the model the classes of the set, with the words of the label file. path NULL: names alone. The model has
 * set->class_count classes. Entries for other classes are ignored. RUDD_FORMAT: not such a file, or a name twice. */
enum rudd_status train_labels_apply(struct nn_model *model, const struct data_set *set, const char *path,
                                    struct rudd_error *err);

/* The pictures of dir, one folder per class, under the model's own class numbers; data_set_scan's errors. */
enum rudd_status train_labels_scan(struct data_set *set, const struct nn_model *model, const char *dir, struct rudd_error *err);

/* When the model's class names are the set's in some order: renumbers the labels of all three sets to the model's order, so
 * that a trained classifier keeps its meaning, and *followed is true. Else nothing changes. RUDD_NO_MEMORY. */
enum rudd_status train_labels_follow(bool *followed, struct data_splits *splits, const struct nn_model *model,
                                     struct rudd_error *err);

#endif
