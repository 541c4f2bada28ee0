/* caution.h - what is likely to go wrong with a run, told before it starts.
 *
 * Each caution is a sentence that begins with "Caution: ", says what it means and what to do. None
 * stops the run. */
#ifndef TRAIN_RUNS_CAUTION_H
#define TRAIN_RUNS_CAUTION_H

#include "data/sets/dataset.h"
#include "train/events.h"
#include "train/settings.h"

/* What is known of a run before it starts. */
struct train_caution_facts {
    const struct train_settings *settings;
    const struct data_splits *splits;
    const char *arch;
};

/* Tells events what applies. Needs memory for the pictures of each class: RUDD_NO_MEMORY. */
enum rudd_status train_caution(const struct train_caution_facts *facts,
                               const struct train_events *events, struct rudd_error *err);

#endif
