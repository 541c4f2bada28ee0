/* report.h - report.html: a run on one page that needs nothing else, no network, no script. */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "train/evaluate.h"
#include "train/run_folder.h"

struct train_report {
    const struct train_run_folder *folder; /* curves */
    const json_t *record;                  /* run.json: facts and options */
    const struct nn_model *model;
    const struct train_evaluation *evaluation; /* of the best model */
    const char *phase;                         /* on which pictures: "test", "val" */
    const struct data_set *set;                /* these */
    struct data_limits limits;                 /* as they were read */
};
/* Writes RUN/report.html, atomically. */
enum rudd_status train_report_write(const struct train_report *report, struct rudd_error *err);

#endif
