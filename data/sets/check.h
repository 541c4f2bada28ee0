/* check.h - what is wrong with a folder of pictures, before time is spent on training on it; and what is in it.
 *
 * Both read every picture once, one at a time. */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

#include "data/sets/dataset.h"

enum data_fault_kind {
    DATA_CORRUPT,   /* cannot be decoded, or exceeds the limits */
    DATA_LEAK,      /* the same bytes in two splits: the figures of val or test would be too good */
    DATA_CONFLICT,  /* the same bytes under two classes of one split */
    DATA_DUPLICATE, /* the same bytes twice in one class */
    DATA_EMPTY_CLASS,    /* a class folder, or a split, without a picture */
    DATA_CLASS_MISMATCH, /* a class that another split has not */
    DATA_NEAR,           /* looks the same as a picture of another split; a hint, not a fault */
    DATA_FAULT_KINDS
};
const char *data_fault_name(enum data_fault_kind kind); /* "corrupt", "leak", ... */

struct data_fault {
    enum data_fault_kind kind;
    char *text; /* one line with the paths */
};
struct data_report {
    int pictures, classes;
    struct data_fault *faults;
    int count, faulty; /* all; without the hints */
    int room;
    struct data_account left; /* what the scan left out */
};
/* dir: with train/ (and val/, test/) inside, or class folders. A fault is an entry of the report, not a failure. RUDD_IO when dir
 * cannot be opened. */
enum rudd_status data_check(struct data_report *report, const char *dir, struct rudd_error *err);
void data_report_free(struct data_report *report);

/* Sizes and colours of a set. Mean and deviation are over all pixels, scaled to 0..1. */
struct data_stats {
    int pictures, bad;
    int w_min, w_max, h_min, h_max; /* 0 without a picture */
    double w_mean, h_mean;
    double mean[3], std[3];
};
void data_stats(struct data_stats *stats, const struct data_set *set);

#endif
