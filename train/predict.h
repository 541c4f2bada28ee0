/* predict.h - where the answers of `rudd predict` go: each answer to every sink that was asked for.
 *
 *     arguments, lists, folders --cmd_predict.c--> answer --> lines | CSV | sorted folder | sheet
 *
 * A picture that cannot be read is an answer too, with its error, so that every sink can say so.
 * Sinks write as they go. Whatever ends a run, `end` leaves files that are usable up to there. */
#ifndef TRAIN_PREDICT_H
#define TRAIN_PREDICT_H

#include <stdbool.h>
#include "data/image/decode.h"
#include "data/image/exif.h"
#include "nn/rudd.h"
#include "train/page.h"

/* What is known of one picture; all pointers are good during the call only. */
struct train_answer {
    const char *path;           /* as it was given or found, any bytes; "-": standard input */
    int image;                  /* its number within a file of tensors; -1: a picture */
    const struct rudd_top *top; /* [count] the likeliest classes; none when it could not be read */
    int count;
    const float *logits; /* [classes] */
    struct rudd_timing timing;
    struct data_exif exif;
    const char *note;     /* what is wrong with it although it was read; "": nothing */
    const char *error;    /* why it could not be read, with its path; NULL: it was */
    const uint8_t *bytes; /* [length] its file; NULL for tensors and where it could not be opened */
    size_t length;
};

struct train_sink {
    /* A failure ends the run: a row that is lost must not go unnoticed. */
    enum rudd_status (*take)(struct train_sink *sink, const struct train_answer *answer, struct rudd_error *err);
    /* Completes the files and frees the sink, also after a failure. stopped: before the last
     * picture. */
    enum rudd_status (*end)(struct train_sink *sink, bool stopped, struct rudd_error *err);
};

/* A row of CSV for each answer; path "-": standard output. An existing file is replaced only if it
 * is such a CSV. RUDD_ARGUMENT, RUDD_IO. model must outlive the sink, as below. */
enum rudd_status train_predict_csv(struct train_sink **sink, const char *path, const rudd_model *model, int top,
                                   struct rudd_error *err);
/* "path,class_1,probability_1": how each of these files begins. */
extern const char train_predict_csv_start[];
/* One field, in quotes where RFC 4180 or this program's own reader wants them. */
void train_csv_field(struct train_page *row, const char *bytes);
/* A field that names a file. One that a spreadsheet would take for a formula gets "./" in front:
 * the same file, by a name that is harmless. */
void train_csv_path(struct train_page *row, const char *path);

/* Links (or copies) of the pictures in folder/sure/CLASS and folder/unsure/CLASS: sure are those
 * whose probability reaches `sure`. See predict_sort.c. RUDD_ARGUMENT when the folder holds
 * something else already. */
struct train_sorting {
    double sure;
    bool copy;
};
enum rudd_status train_predict_sort(struct train_sink **sink, const char *folder, const rudd_model *model,
                                    const struct train_sorting *sorting, struct rudd_error *err);

/* One HTML page with a thumbnail of every picture, doubtful ones first; of more than `most` it shows
 * the most doubtful and says so. An existing file is replaced only if it is such a page. */
struct train_sheet {
    double sure; /* from here on an answer is called sure */
    int most;
    const struct data_limits *limits; /* of pictures; NULL: the default. Must outlive the sink */
};
enum rudd_status train_predict_sheet(struct train_sink **sink, const char *path, const rudd_model *model,
                                     const struct train_sheet *sheet, struct rudd_error *err);

#endif
