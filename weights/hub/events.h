/* events.h - what a fetch tells while it goes on. Callbacks come from the caller's own thread; each
 * may be NULL. */
#ifndef WEIGHTS_HUB_EVENTS_H
#define WEIGHTS_HUB_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct weights_hub_tick {
    const char *file;     /* "model.safetensors" */
    uint64_t done, total; /* bytes */
    uint64_t began;       /* bytes that were there before this process */
    bool ended;           /* no more of this file comes, whole or not */
};

struct weights_hub_events {
    void *user;
    void (*tick)(void *user, const struct weights_hub_tick *tick); /* a few times a second */
    void (*note)(void *user, const char *line); /* waits, goes on, starts again */
    bool (*stop)(void *user); /* asked a few times a second: true ends the fetch, the part stays */
};

#endif
