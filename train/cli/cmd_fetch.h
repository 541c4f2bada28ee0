/* cmd_fetch.h - a fetch of weights (weights/hub/hub.h) told to people: a bar on a terminal, and
 * notes; all of it on stderr. For every command that takes weights by name. */
#ifndef TRAIN_CLI_CMD_FETCH_H
#define TRAIN_CLI_CMD_FETCH_H

#include "weights/hub/events.h"

struct train_fetch_bar {
    struct weights_hub_events events;
    bool bar, drawn;
    double began, last; /* seconds of train_now: the first tick of this file, the last drawing */
};

/* Events that draw on *bar, which must outlive them. Signals are left alone: they end the process,
 * and the part that is on the disk stays. */
const struct weights_hub_events *train_fetch_events(struct train_fetch_bar *bar, bool quiet);

#endif
