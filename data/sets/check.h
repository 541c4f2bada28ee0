/* check.h - what is wrong with a folder of pictures, before time is spent on training on it; and
 * what is in it.
 *
 * Both read every picture once. */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

#include "data/image/decode.h"
#include "data/sets/dataset.h"

enum data_fault_kind {
    DATA_CORRUPT,     /* cannot be decoded, or exceeds the limits */
    DATA_LEAK,        /* the same bytes in two splits: figures of val or test would be too good */
    DATA_CONFLICT,    /* the same bytes under two classes of one split */
    DATA_DUPLICATE,   /* the same bytes twice in one class */
    DATA_EMPTY_CLASS, /* a class folder, or a split, without a picture */
    DATA_CLASS_MISMATCH, /* a class that another split has not */
    DATA_NEAR,           /* pictures of one photograph (near.h); a hint, not a fault */
    DATA_DAMAGED,        /* can be decoded all the same; a hint */
    DATA_FAULT_KINDS
};
const char *data_fault_name(enum data_fault_kind kind); /* "corrupt", "leak", ... */

/* Texts that are kept of each kind; the rest is counted. */
enum { DATA_FAULT_TEXTS = 1000, DATA_ALIKE_PATHS = 20 };

struct data_fault {
    enum data_fault_kind kind;
    char *text; /* one line with the paths */
};
/* A group of pictures that show one photograph. */
struct data_alike {
    int pictures, splits, classes; /* how many */
    char *paths[DATA_ALIKE_PATHS]; /* the first of them */
    int path_count;
};
struct data_report {
    int pictures, classes;
    struct data_fault *faults; /* at most DATA_FAULT_TEXTS of a kind */
    int count, room;
    int counts[DATA_FAULT_KINDS]; /* all, also those without a text */
    int faulty;                   /* without hints */
    struct data_alike *alike;     /* those with a text, in the order of their texts */
    int alike_count;
    bool searched;            /* for pictures that are alike */
    int plain, cut;           /* of that search: near.h */
    struct data_account left; /* what the scan left out */
};
struct data_check_options {
    bool near;                        /* search for pictures that are alike */
    int threads;                      /* that read; 0: as kern_threads */
    const struct data_limits *limits; /* of pictures; NULL: data_limits_default */
};
/* dir: with train/ (and val/, test/) inside, class folders, or a list. A fault is an entry of the
 * report, not a failure. RUDD_IO when dir cannot be opened. */
enum rudd_status data_check(struct data_report *report, const char *dir,
                            const struct data_check_options *options, struct rudd_error *err);
void data_report_free(struct data_report *report);

/* leader[i] of picture i of a set: the first picture of its group, itself where it is alone. Reads
 * all pictures; those that cannot be read are alone. rudd_free it. *groups: with more than one
 * picture, and *grouped, the pictures in them. */
enum rudd_status data_set_groups(int **leader, int *groups, int *grouped,
                                 const struct data_set *set, int threads,
                                 const struct data_limits *limits, struct rudd_error *err);

/* Sizes and colours of a set. Mean and deviation are over all pixels, scaled to 0..1. */
struct data_stats {
    int pictures, bad;
    int w_min, w_max, h_min, h_max; /* 0 without a picture */
    double w_mean, h_mean;
    double mean[3], std[3];
};
void data_stats(struct data_stats *stats, const struct data_set *set,
                const struct data_limits *limits);

#endif
