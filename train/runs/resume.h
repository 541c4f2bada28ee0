/* resume.h - what a run that goes on may be told, and what a finished one says. */
#ifndef TRAIN_RUNS_RESUME_H
#define TRAIN_RUNS_RESUME_H

#include "train/fit.h"
#include "train/runs.h"
#include "train/settings.h"

/* Refuses settings that the run cannot take on any more: those that train_settings_kept names, with
 * another value than the run's, weights of other bytes, another folder. own: the run's settings, by
 * its record; now: the same with what was given on top; both resolved.
 * RUDD_ARGUMENT; the line names the option, both values, and the command that makes a new run. */
enum rudd_status train_resume_check(const struct train_run *run, const struct train_settings *own,
                                    const struct train_settings *now, struct rudd_error *err);

/* Whether the run ended by itself and nothing that now says lets it learn longer: no later epoch, no
 * later step, no more patience. False too when the pictures' folder has another
 * name: what lies there is for train_fit to judge. */
bool train_resume_is_finished(const struct train_run *run, const struct train_settings *own,
                              const struct train_settings *now);

/* The figures of a run that has ended, as its record has them, and how many epochs it learned
 * (lines of metrics.jsonl). RUDD_FORMAT when the record has no figures. */
enum rudd_status train_resume_outcome(struct train_outcome *outcome, int *epochs,
                                      const struct train_run *run, struct rudd_error *err);

#endif
