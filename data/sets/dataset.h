/* dataset.h - which pictures there are: a folder of class folders (ImageFolder layout), in a fixed order.
 *
 *     DIR/train/<class>/x.jpg   DIR/val/<class>/   DIR/test/<class>/
 *     or just DIR/<class>/x.jpg, split here (stratified, by seed)
 *
 * Classes are sorted by name (bytes), files within a class likewise, so the order never depends on the file system. Classes
 * meet a model's label map by name, never by position. Sets are read-only after scanning and may be shared by threads. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "data/sets/walk.h"
#include "nn/model.h"
#include "nn/sha256.h"

struct data_item {
    char *path; /* dir/<class>/<file> */
    int label;  /* index into class_names */
};
struct data_set {
    char **class_names;
    int class_count;
    struct data_item *items; /* by class, then by file name */
    int count;
};

/* One split's folder. names NULL: its class folders are the classes; otherwise these count names, in this order, are (a folder
 * not among them is RUDD_MISMATCH and lists all such; a name without a folder is fine and stays empty). RUDD_FORMAT when there
 * is no picture. Only names are looked at; whether a file can be decoded shows when it is read. */
enum rudd_status data_set_scan(struct data_set *set, const char *dir, char *const *names, int count, struct rudd_error *err);
void data_set_free(struct data_set *set);

/* DIR as users give it: with train/ val/ test/ inside (val or test may be missing: empty sets), or class folders that are split
 * by the three fractions. All three share the class list of train. split NULL: 0.7, 0.15, 0.15. Within each class val and test
 * get their share rounded to the nearest, train the rest and at least one picture. */
struct data_splits {
    struct data_set train, val, test;
};
enum rudd_status data_splits_scan(struct data_splits *splits, const char *dir, const double split[3], uint64_t seed,
                                  struct rudd_error *err);
void data_splits_free(struct data_splits *splits);
bool data_has_splits(const char *dir); /* whether DIR has a train/ folder */

/* Root hash over (class, file name, content hash) in order: names a data set in run.json and in model files. A file that cannot
 * be read counts as the word "unreadable". Reads every file: about 250 MB/s. */
void data_set_hash(char hex[NN_SHA256_HEX], const struct data_set *set);
enum rudd_status data_file_hash(char hex[NN_SHA256_HEX], const char *path, struct rudd_error *err);

/* The sorted names of the sub-folders, or of the pictures, that stand in a folder; free with data_list_free. */
enum rudd_status data_list_folder(char ***names, int *count, const char *folder, bool folders, struct rudd_error *err);
void data_list_free(char **names, int count);
bool data_is_picture_name(const char *name);                /* .jpg .jpeg .png, in any case */

#endif
