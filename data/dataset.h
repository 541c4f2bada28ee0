/* dataset.h - which pictures there are: a folder of class folders (ImageFolder layout), in a fixed order.
 *
 *     DIR/train/<class>/x.jpg   DIR/val/<class>/   DIR/test/<class>/        or just DIR/<class>/x.jpg, split here (stratified,
 * by seed)
 *
 * Classes are sorted by name (bytes), files within a class likewise, so the order never depends on the file system. Classes
 * meet a model's label map by name, never by position. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "nn/model.h"

struct data_item {
    char *path;
    int label; /* index into class_names */
};
struct data_set {
    char **class_names;
    int class_count;
    struct data_item *items;
    int count;
};

/* One split's folder. names NULL: its class folders are the classes; otherwise these count names, in this order, are (a folder
 * not among them is RUDD_MISMATCH and lists all such; a name without a folder is fine and stays empty). RUDD_FORMAT when there
 * is no picture. */
enum rudd_status data_set_scan(struct data_set *set, const char *dir, char *const *names, int count, struct rudd_error *err);
void data_set_free(struct data_set *set);

/* DIR as users give it: with train/ val/ test/ inside (val or test may be missing: empty sets), or class folders that are split
 * by the three fractions. All three share the class list of train. split NULL: 0.7, 0.15, 0.15. */
struct data_splits {
    struct data_set train, val, test;
};
enum rudd_status data_splits_scan(struct data_splits *splits, const char *dir, const double split[3], uint64_t seed,
                                  struct rudd_error *err);
void data_splits_free(struct data_splits *splits);

/* Root hash over (class, file name, content hash) in order, hex: names a data set in run.json and in model files. */
enum rudd_status data_set_hash(char hex[65], const struct data_set *set, struct rudd_error *err);

#endif
