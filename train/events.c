/* events.c - small things that a run's narration needs: see events.h. */
#include "train/events.h"

#include <math.h>
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

/* A whole time is told once: where it is worth telling, and when some seconds of learning have
 * shown it. */
static void announce(const struct train_events *events, const struct train_tick *t)
{
    enum { MEASURED = 3, WORTH = 20 };
    struct train_pace *pace = events->pace;
    char words[TRAIN_PACE_TEXT];
    if (pace->announced || t->kind != TRAIN_PACE_LEARN) return;
    if (pace->seconds[t->kind] < MEASURED) return;
    pace->announced = true;
    if (t->left >= WORTH) train_note(events, "The whole run will take %s more.", train_pace_words(words, t->left));
}

void train_tick(const struct train_events *events, struct train_tick tick)
{
    if (!events) return;
    tick.left = tick.done > 0 ? (tick.total - tick.done) * tick.seconds / tick.done : NAN;
    if (events->pace) {
        train_pace_pass(events->pace, tick.kind, tick.done, tick.seconds);
        tick.left = train_pace_left(events->pace);
        announce(events, &tick);
    }
    if (events->tick) events->tick(events->user, &tick);
}

void train_pass_over(const struct train_events *events)
{
    if (!events) return;
    if (events->pace) train_pace_pass_over(events->pace);
    if (events->pass_over) events->pass_over(events->user);
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
