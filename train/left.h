/* left.h - what is told of pictures that were not there or not whole: what a scan left out
 * (data/sets/account.h), as a line and in JSON; what a loader skipped, and what is damaged. */
#ifndef TRAIN_LEFT_H
#define TRAIN_LEFT_H

#include <jansson.h>
#include "data/sets/account.h"
#include "data/sets/loader.h"
#include "train/events.h"

/* {"total", and each kind that occurs: {"count", "example"}}; with "note" where something was
 * taken otherwise than named. A new reference; NULL: no memory. */
json_t *train_left_json(const struct data_account *account);
/* "left out: ..." and the note, each as a line of its own behind `where`; nothing if there is
 * nothing to tell. */
void train_left_note(const struct train_events *events, const char *where, const struct data_account *account);

/* How many of a loader's lines have been told. */
struct train_told {
    int bad, notes;
};
/* Each new one: "skipped: ...", and of damaged pictures, which can be many, the first five and how
 * many more. */
void train_pictures_note(const struct train_events *events, const struct data_loader *loader, struct train_told *told);
/* The loader's lines of one kind as a JSON list: data_loader_bad_count, data_loader_bad, or those
 * of notes. A new reference; NULL: no memory. */
json_t *train_pictures_json(const struct data_loader *loader, int (*count)(const struct data_loader *),
                            const char *(*line)(const struct data_loader *, int));

#endif
