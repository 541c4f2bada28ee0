/* signals.h - commands that are told to stop by SIGTERM or SIGINT (Ctrl-C).
 *
 *     nothing to save yet   train_signals_quit      a line on standard error, exit status 75, at once
 *     something to save     train_signals_listen    the signal sets a flag; work ends at the next place
 *                                                   where it may, saves, and returns RUDD_CANCELLED
 *
 * Under train_signals_listen, a second signal ends the process at once, by the signal itself.
 * Exit status 75 is EX_TEMPFAIL of sysexits.h: the work is unfinished and can go on. */
#ifndef TRAIN_CLI_SIGNALS_H
#define TRAIN_CLI_SIGNALS_H

#include <stdbool.h>

/* Ends the process with status 75. It is called within a signal handler. main.c sets it, before any
 * command runs; while it is NULL, train_signals_quit changes nothing. */
extern void (*train_signals_exit)(void);

/* From now on, a signal prints line, a literal that ends in a line feed, and ends the process. */
void train_signals_quit(const char *line);
/* From now on, a signal sets what train_signals_asked tells. */
void train_signals_listen(void);
bool train_signals_asked(void);
/* From now on, a signal that ends the process writes sequence, a literal, to standard error first: what
 * erases a line of progress. A signal that is ignored stays so. */
void train_signals_erase(const char *sequence);

#endif
