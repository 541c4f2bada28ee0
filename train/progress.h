/* progress.h - a run told to people: a bar that redraws itself on a terminal, plain lines elsewhere.
 *
 * The bar is one line of the terminal, never wider than it. It is gone before anything else is
 * printed there: notes, epochs, what a command prints at its end, an error, the shell's prompt after
 * a signal. */
#ifndef TRAIN_PROGRESS_H
#define TRAIN_PROGRESS_H

#include "train/cli/cmd_fetch.h"
#include "train/events.h"

struct train_progress {
    bool bar, quiet;
    struct train_fetch_bar fetch;
    double drawn; /* when, so that the terminal is not flooded; 0: nothing stands there */
};

/* Events that print: epochs and notes on stdout, the bar on stderr when that is a terminal. progress must outlive them. SIGINT
 * and SIGTERM end the process as usual until listen() is called; then the first makes stop() true and a second one ends it. */
struct train_events train_progress_events(struct train_progress *progress, bool quiet);
/* Notes alone, on stderr: for commands whose stdout is JSON or a table. Signals are left alone. */
extern const struct train_events train_progress_notes;

#endif
