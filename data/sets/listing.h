/* listing.h - labels in a list instead of in folders.
 *
 *     FILE.csv, metadata.csv    file,label[,split]    any order of columns; others are passed over
 *     FILE.json                 COCO: images, annotations, categories
 *
 * Paths are relative to the list's folder. In a CSV file the columns are known by their heads:
 * file, file_name, filename, path, image; label, class, category, species, target; split. Of COCO
 * the annotations of a picture must agree on one category; boxes and masks are passed over.
 * What cannot be used is counted: no label, several labels, a file that is not there. */
#ifndef DATA_LISTING_H
#define DATA_LISTING_H

#include "data/sets/dataset.h"

/* Whether a path given for a folder is a list by its ending, .csv .tsv .json, and no folder. */
bool data_is_listing(const char *path);

/* *list = dir itself when it is a list; the metadata.csv or _annotations.coco.json in the folder
 * dir that gives labels; else NULL. rudd_free it. A metadata.csv without a column of labels is no
 * list: captions are not classes. */
enum rudd_status data_listing_find(char **list, const char *dir, struct rudd_error *err);

/* As data_set_scan, of all rows whatever their split. */
enum rudd_status data_listing_scan(struct data_set *set, const char *list, char *const *names,
                                   int count, struct rudd_error *err);
/* As data_splits_scan, where the list has a column of splits; if not, splits->divided is false and
 * nothing is read. */
enum rudd_status data_listing_splits(struct data_splits *splits, const char *list,
                                     struct rudd_error *err);

/* ---- for tests: from bytes ----------------------------------------------------------------- */

struct data_rows_read {
    struct data_listed {
        char *file, *label; /* label NULL: none */
        int split;          /* -1: none named */
        bool several;       /* labels that differ */
    } * rows;
    int count;
    bool divided;
};
/* name: for messages; its ending tells the format. RUDD_FORMAT with the line. */
enum rudd_status data_listing_read(struct data_rows_read *read, const char *bytes, size_t length,
                                   const char *name, struct rudd_error *err);
void data_listing_free(struct data_rows_read *read);

#endif
