/* names.h - lists of file names of any length, and standard input, read in bounded memory.
 *
 * Names end in a line feed, or each in a 0 byte if there is one in the first piece of the list: what
 * `find -print0` writes, and the only form for names with line feeds. In lists of lines a carriage
 * return before the line feed and a byte order mark in front are dropped. Empty names are passed
 * over; the last name needs no end.
 *
 * Reading waits for a slow writer, but asks events->stop five times a second. */
#ifndef TRAIN_NAMES_H
#define TRAIN_NAMES_H

#include "train/events.h"
#include "nn/rudd.h"

struct train_names;
/* path "-": standard input. events must outlive the list. RUDD_IO. */
enum rudd_status train_names_open(struct train_names **names, const char *path, const struct train_events *events,
                                  struct rudd_error *err);
/* The next name, valid until the next call; NULL behind the last. RUDD_FORMAT: a name longer than
 * any path, or a 0 byte in a list of lines; RUDD_CANCELLED; RUDD_IO. */
enum rudd_status train_names_next(const char **name, struct train_names *names, struct rudd_error *err);
void train_names_close(struct train_names *names); /* NULL is fine */

/* All of standard input, at most max bytes (RUDD_LIMIT beyond), rudd_alloc'ed. RUDD_CANCELLED. */
enum rudd_status train_stdin_read(uint8_t **bytes, size_t *length, size_t max, const struct train_events *events,
                                  struct rudd_error *err);

#endif
