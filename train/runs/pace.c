/* pace.c - how long a run still takes: see pace.h. */
#include "train/runs/pace.h"

#include <math.h>
#include <stdio.h>

/* Learning goes forward once and computes two gradients, each as much work as the way forward. */
static const double forward_share = 1 / 3.0;

void train_pace_pass(struct train_pace *pace, enum train_pace_kind kind, double done,
                     double seconds)
{
    struct train_pace *p = pace;
    if (done < p->pass_done) train_pace_pass_over(p);
    p->done[kind] += done - p->pass_done;
    p->pictures[kind] += done - p->pass_done;
    p->seconds[kind] += seconds - p->pass_seconds;
    p->pass_done = done;
    p->pass_seconds = seconds;
}

void train_pace_pass_over(struct train_pace *pace)
{
    pace->pass_done = pace->pass_seconds = 0;
}

/* Seconds a picture, or NaN. */
static double price(const struct train_pace *p, enum train_pace_kind kind)
{
    return p->pictures[kind] > 0 ? p->seconds[kind] / p->pictures[kind] : NAN;
}

double train_pace_left(const struct train_pace *pace)
{
    const double learn = price(pace, TRAIN_PACE_LEARN), cache = price(pace, TRAIN_PACE_CACHE);
    double prices[TRAIN_PACE_KINDS], left = 0;
    bool measured = false;
    prices[TRAIN_PACE_LEARN] = learn;
    prices[TRAIN_PACE_JUDGE] = price(pace, TRAIN_PACE_JUDGE);
    prices[TRAIN_PACE_CACHE] = cache;
    if (isnan(prices[TRAIN_PACE_JUDGE])) prices[TRAIN_PACE_JUDGE] = forward_share * learn;
    for (int k = 0; k < TRAIN_PACE_KINDS; k++) {
        const double rest = pace->work[k] - pace->done[k];
        if (rest <= 0) continue;
        /* Behind a cache, epochs cost little beside it. They are counted once they are measured. */
        if (isnan(prices[k]) && isnan(cache)) return NAN;
        if (!isnan(prices[k])) left += rest * prices[k];
        measured = true;
    }
    return measured ? left : 0;
}

const char *train_pace_words(char text[TRAIN_PACE_TEXT], double seconds)
{
    enum { MINUTE = 60, HOUR = 3600, DAY = 86400, MOST = 100 * DAY };
    const double minutes = round(seconds / MINUTE), hours = round(seconds / HOUR);
    if (seconds < 5)
        snprintf(text, TRAIN_PACE_TEXT, "a few seconds");
    else if (seconds < 57.5)
        snprintf(text, TRAIN_PACE_TEXT, "about %.0f s", 5 * round(seconds / 5));
    else if (minutes < 60)
        snprintf(text, TRAIN_PACE_TEXT, "about %.0f min", minutes);
    else if (minutes < 600) {
        const double tens = 10 * round(seconds / MINUTE / 10); /* to ten minutes */
        const int whole = (int)(tens / 60), rest = (int)tens % 60;
        snprintf(text, TRAIN_PACE_TEXT, rest ? "about %d h %d min" : "about %d h", whole, rest);
    } else if (hours < 48)
        snprintf(text, TRAIN_PACE_TEXT, "about %.0f h", hours);
    else if (seconds < MOST)
        snprintf(text, TRAIN_PACE_TEXT, "about %.0f days", round(seconds / DAY));
    else
        snprintf(text, TRAIN_PACE_TEXT, "more than 100 days");
    return text;
}
