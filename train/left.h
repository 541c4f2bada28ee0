/* left.h - what a scan left out (data/sets/account.h), told by a command: a line, and in JSON. */
#ifndef TRAIN_LEFT_H
#define TRAIN_LEFT_H

#include <jansson.h>
#include "data/sets/account.h"
#include "train/events.h"

/* {"total", and each kind that occurs: {"count", "example"}}; with "note" where something was
 * taken otherwise than named. A new reference; NULL: no memory. */
json_t *train_left_json(const struct data_account *account);
/* "left out: ..." and the note, each as a line of its own behind `where`; nothing if there is
 * nothing to tell. */
void train_left_note(const struct train_events *events, const char *where, const struct data_account *account);

#endif
