/* compare.h - is one model better than another, or was it luck? Both answered the same pictures, so only those count on which
 * exactly one of them is right: McNemar's test.
 *
 *                      B right     B wrong
 *          A right      both       only_a         if the models were equally good, only_a of only_a + only_b
 *          A wrong     only_b     neither         would be so many heads in throws of a fair coin
 *
 *     fewer than 25 throws   p = min(1, 2 sum_{i <= min(only_a, only_b)} C(n, i) / 2^n)             exact, two-sided
 *     else                   p = P(chi^2_1 >= (|only_a - only_b| - 1)^2 / (only_a + only_b))         Edwards' correction
 *
 * Q. McNemar, Psychometrika 12 (1947) 153; A. L. Edwards, ibid. 13 (1948) 185; T. Dietterich, Neural Computation 10 (1998) 1895. */
#ifndef TRAIN_COMPARE_H
#define TRAIN_COMPARE_H

#include <stdbool.h>

struct train_comparison {
    int images; /* answered by both */
    int both, only_a, only_b, neither;
    bool exact;        /* p is the binomial's; else chi^2's */
    double statistic;  /* chi^2; NaN when exact */
    double p;          /* chance of so large a difference, or a larger one, between equally good models */
    double difference; /* accuracy of B minus that of A, 0 without pictures */
    double low, high;  /* its 95 % interval: difference -+ 1.96 sqrt(n (b + c) - (b - c)^2) / n^1.5 */
};

/* What became of a picture; [n] of them for each model, in the same order. */
enum train_answer { TRAIN_UNREAD, TRAIN_WRONG, TRAIN_RIGHT };
void train_compare(struct train_comparison *comparison, const unsigned char *a, const unsigned char *b, int n);

#endif
