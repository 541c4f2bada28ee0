/* events.h - what a run tells while it goes on, and how it is asked to stop. The run itself prints nothing; progress.c does.
 *
 * All callbacks come from the thread that runs the training; each may be NULL. */
#ifndef TRAIN_EVENTS_H
#define TRAIN_EVENTS_H

#include "train/record.h"
#include "train/runs/pace.h"
#include "weights/hub/events.h"

/* One epoch: a line of metrics.jsonl. Accuracies are shares 0..1; val_ fields are NaN (null) without validation pictures. */
#define TRAIN_EPOCH_FIELDS(F)                                                                                                  \
    F(epoch)                                                                                                                   \
    F(train_loss)                                                                                                              \
    F(train_accuracy)                                                                                                          \
    F(val_loss)                                                                                                                \
    F(val_accuracy)                                                                                                            \
    F(val_top3)                                                                                                                \
    F(val_macro_f1)                                                                                                            \
    F(learning_rate)                                                                                                           \
    F(images_per_second)                                                                                                       \
    F(seconds)
struct train_epoch {
    TRAIN_EPOCH_FIELDS(TRAIN_FIELD)
};
enum { TRAIN_EPOCH_COUNT = sizeof(struct train_epoch) / sizeof(double) };
extern const char *const train_epoch_names[TRAIN_EPOCH_COUNT];

/* Where a pass over pictures stands. */
struct train_tick {
    const char *phase; /* "train", "val", "test" */
    int epoch, epochs; /* 0 outside training */
    int done, total;   /* pictures */
    double loss;       /* mean so far; NaN while evaluating */
    double seconds;    /* since the pass began */
    enum train_pace_kind kind;
    /* Seconds left of the whole run, where events have a pace, else of the pass; NaN: not known
     * yet. train_tick fills it in. */
    double left;
};

struct train_events {
    void *user;
    void (*tick)(void *user, const struct train_tick *tick);
    void (*pass_over)(void *user); /* the pass that ticked has ended, whatever came of it */
    void (*epoch)(void *user, const struct train_epoch *epoch, int epochs, bool best);
    void (*note)(void *user, const char *line); /* what is opened, skipped, decided */
    void (*listen)(void *user); /* from now on there is something to save: signals ask, where they ended the process */
    bool (*stop)(void *user);   /* asked after each batch */
    const struct weights_hub_events *hub; /* of weights that are fetched; NULL: silence */
    struct train_pace *pace;              /* of the whole run; NULL: passes stand alone */
};

/* note with a format; nothing when events or its note is NULL. */
void train_note(const struct train_events *events, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* tick, with the time left filled in. Once the first batches of a long run show its pace, a note
 * tells how long it will take. */
void train_tick(const struct train_events *events, struct train_tick tick);
/* pass_over. */
void train_pass_over(const struct train_events *events);
/* Whether it is time to stop; false when events or its stop is NULL. */
bool train_is_stopped(const struct train_events *events);
double train_now(void); /* seconds on a clock that only goes forward */

#endif
