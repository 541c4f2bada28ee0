/* watch.h - deadlines for requests that are still arriving.
 *
 * libmicrohttpd can time out an idle connection, but neither one that trickles nor with an answer. Here every connection whose next request
 * has not arrived is on a list, oldest first; a thread sleeps until the oldest one's deadline and calls `expired` for those that are still
 * there. */
#ifndef SERVE_WATCH_H
#define SERVE_WATCH_H

#include <stdbool.h>
#include "nn/rudd.h"

/* One's entry, inside the caller's own structure. */
struct serve_deadline {
    double at_ms; /* serve_now_ms() */
    bool listed;
    struct serve_deadline *next, *previous;
};

struct serve_watch;
/* expired runs on the watch's thread with its lock held: it must not call back. Entries are off the list by then. */
enum rudd_status serve_watch_create(struct serve_watch **watch, double limit_ms,
                                    void (*expired)(struct serve_deadline *deadline), struct rudd_error *err);
/* The list must be empty or its owners gone. NULL is fine. */
void serve_watch_destroy(struct serve_watch *watch);

void serve_watch_add(struct serve_watch *watch, struct serve_deadline *deadline); /* limit_ms from now. Thread-safe. */
/* Afterwards expired is not running for it and will not be; again is fine. Thread-safe. */
void serve_watch_remove(struct serve_watch *watch, struct serve_deadline *deadline);

#endif
