/* dataset.h - which pictures there are and of which class, in a fixed order.
 *
 *     DIR/train/<class>/x.jpg   DIR/val/<class>/   DIR/test/<class>/
 *     DIR/<class>/x.jpg                        split here (stratified, by seed)
 *     DIR/metadata.csv, FILE.csv, FILE.json    labels in a list (listing.h)
 *
 * Classes are sorted by name (bytes), pictures within a class in the order of the walk (walk.h), so
 * the order never depends on the file system. Folders deeper inside a class belong to it.
 * Classes meet a model's label map by name, never by position; two spellings of a name in Unicode
 * (NFC, NFD) are one name. Sets are read-only after scanning and may be shared by threads. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "data/sets/walk.h"
#include "nn/model.h"
#include "nn/sha256.h"

struct data_item {
    char *path;
    int label; /* index into class_names */
    int name;  /* where in path its name within the class begins: "x.jpg", "site1/x.jpg" */
};
struct data_set {
    char **class_names;
    int class_count;
    struct data_item *items; /* by class, then in the order of the walk */
    int count;
    struct data_account left; /* what the scan left out */
};

/* One split's folder, or a list. names NULL: its class folders are the classes; otherwise these
 * count names, in this order, are. A folder not among them is RUDD_MISMATCH and lists all such; a
 * name without a folder is fine and stays empty. RUDD_FORMAT when there is no picture; where the
 * pictures of class folders lie a level deeper, the message names the folder that was probably
 * meant. Only names are looked at, and the first bytes of files with an unknown ending; whether a
 * picture can be decoded shows when it is read. */
enum rudd_status data_set_scan(struct data_set *set, const char *dir, char *const *names, int count,
                               struct rudd_error *err);
void data_set_free(struct data_set *set);
/* Pictures of each class, [class_count], rudd_alloc'ed; NULL: no memory. */
int *data_set_counts(const struct data_set *set);

/* DIR as users give it: with train/, val/ and test/ inside (val or test may be missing: empty
 * sets; valid/, validation/, dev/ are val/, in any case), or class folders, or a list. What is not
 * divided yet is split by the three fractions. All three share the class list of train. split NULL:
 * 0.7, 0.15, 0.15. Within each class val and test get their share rounded to the nearest, train
 * the rest and at least one picture. A val/ or test/ without class folders is left out and
 * counted. */
struct data_splits {
    struct data_set train, val, test;
    struct data_account left; /* of all three; theirs are empty */
    bool divided;             /* it was found divided, not divided here */
};
enum rudd_status data_splits_scan(struct data_splits *splits, const char *dir,
                                  const double split[3], uint64_t seed, struct rudd_error *err);
/* RUDD_ARGUMENT: not three shares that add up to 1, or none for train. */
enum rudd_status data_shares_check(const double split[3], struct rudd_error *err);
/* Divides *all as data_splits_scan does, and leaves it empty of pictures. leader[all->count] (or
 * NULL): pictures with one leader go into the same split; where all are their own leaders, the
 * split is that without. *splits: empty, and to be freed in any case. */
enum rudd_status data_splits_make(struct data_splits *splits, struct data_set *all,
                                  const int *leader, const double split[3], uint64_t seed,
                                  struct rudd_error *err);
void data_splits_free(struct data_splits *splits);

/* Where the splits of DIR are. */
enum { DATA_TRAIN, DATA_VAL, DATA_TEST, DATA_SPLITS };
struct data_layout {
    bool split;                /* it has a train/ with class folders or a list in it */
    char *folder[DATA_SPLITS]; /* when split: paths; NULL: there is none */
};
/* Folders that are no split are counted in *account (may be NULL). RUDD_IO: DIR cannot be read. */
enum rudd_status data_layout_find(struct data_layout *layout, const char *dir,
                                  struct data_account *account, struct rudd_error *err);
void data_layout_free(struct data_layout *layout);
bool data_has_splits(const char *dir);    /* data_layout_find's split; false on any failure */
const char *data_split_name(int split);   /* "train", "val", "test" */
int data_split_of_name(const char *name); /* by any of its names, in any case; -1: none */

/* Root hash over (class, name within it, content hash) in order: names a data set in run.json and
 * in model files. A file that cannot be read counts as the word "unreadable". Reads every file:
 * about 250 MB/s. */
void data_set_hash(char hex[NN_SHA256_HEX], const struct data_set *set);
enum rudd_status data_file_hash(char hex[NN_SHA256_HEX], const char *path, struct rudd_error *err);

/* ---- for those that build sets ------------------------------------------------------------- */

/* Appends a picture; takes path over (also on failure). room: of set->items. */
enum rudd_status data_set_add(struct data_set *set, int *room, char *path, int label, int name,
                              struct rudd_error *err);
/* Copies count names in as the classes. */
enum rudd_status data_set_name(struct data_set *set, char *const *names, int count,
                               struct rudd_error *err);

#endif
