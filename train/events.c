/* events.c - small things that a run's narration needs: see events.h. */
#include "train/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

const char *const train_epoch_names[TRAIN_EPOCH_COUNT] = {TRAIN_EPOCH_FIELDS(TRAIN_FIELD_NAME)};

void train_note(const struct train_events *events, const char *format, ...)
{
    if (!events || !events->note) return;
    char line[2200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    events->note(events->user, line);
}

double train_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool train_is_stopped(const struct train_events *events)
{
    return events && events->stop && events->stop(events->user);
}
