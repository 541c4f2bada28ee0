/* pace.h - how long a run still takes, from how fast it has been so far.
 *
 *     seconds left = pictures still to learn from  * seconds a picture of learning
 *                  + pictures still to be judged   * seconds a picture of evaluation
 *                  + pictures still to be cached   * seconds a picture of caching
 *
 * Evaluation counts as a third of learning, which goes forward once and back twice, until it has
 * been measured. What costs next to nothing, such as files written, is not counted. */
#ifndef TRAIN_RUNS_PACE_H
#define TRAIN_RUNS_PACE_H

#include <stdbool.h>
#include <stddef.h>

/* What is measured apart. */
enum train_pace_kind { TRAIN_PACE_LEARN, TRAIN_PACE_JUDGE, TRAIN_PACE_CACHE, TRAIN_PACE_KINDS };

struct train_pace {
    /* The whole work, set by the caller: pictures learned from in all epochs, judged in all
     * validations and in the last evaluation, run through a frozen part at the start. */
    double work[TRAIN_PACE_KINDS];
    /* Of the work, what is done; and what this process took for how much. */
    double done[TRAIN_PACE_KINDS], pictures[TRAIN_PACE_KINDS], seconds[TRAIN_PACE_KINDS];
    double pass_done, pass_seconds; /* of the pass under way, as it was told last */
    bool announced;                 /* the whole time has been told */
};

/* A pass stands at `done` pictures after `seconds`; both begin at 0, or where an earlier process
 * left the pass. A smaller `done` than the last one begins a new pass. */
void train_pace_pass(struct train_pace *pace, enum train_pace_kind kind, double done,
                     double seconds);
/* The pass has ended; the next one begins at 0. */
void train_pace_pass_over(struct train_pace *pace);
/* Seconds left of the whole work; NaN while nothing has been measured. */
double train_pace_left(const struct train_pace *pace);

/* seconds as "about 3 min", "about 2 h 10 min", "a few seconds". Returns text. */
enum { TRAIN_PACE_TEXT = 40 };
const char *train_pace_words(char text[TRAIN_PACE_TEXT], double seconds);

#endif
