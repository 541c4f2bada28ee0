/* compare.c - McNemar's test: see compare.h. */
#include "train/compare.h"

#include <math.h>
#include <stdlib.h>

enum { EXACT_BELOW = 25 }; /* 2^24 / C(24, 12): every term below is exact in double */

static double binomial_p(int b, int c)
{
    const int n = b + c, least = b < c ? b : c;
    double ways = 1, sum = 0;
    for (int i = 0; i <= least; i++) {
        sum += ways;
        ways = ways * (n - i) / (i + 1);
    }
    return fmin(1, 2 * ldexp(sum, -n));
}

void train_compare(struct train_comparison *comparison, const unsigned char *a, const unsigned char *b, int n)
{
    struct train_comparison r = {.statistic = NAN};
    for (int i = 0; i < n; i++) {
        if (a[i] == TRAIN_UNREAD || b[i] == TRAIN_UNREAD) continue;
        bool right_a = a[i] == TRAIN_RIGHT, right_b = b[i] == TRAIN_RIGHT;
        r.images++;
        r.both += right_a && right_b;
        r.only_a += right_a && !right_b;
        r.only_b += !right_a && right_b;
        r.neither += !right_a && !right_b;
    }
    const int throws = r.only_a + r.only_b, more = r.only_b - r.only_a;
    r.exact = throws < EXACT_BELOW;
    if (r.exact) {
        r.p = binomial_p(r.only_a, r.only_b);
    } else {
        double excess = fmax(0, abs(more) - 1);
        r.statistic = excess * excess / throws;
        r.p = erfc(sqrt(r.statistic / 2)); /* chi^2 of one degree is a normal's square */
    }
    if (r.images) {
        double m = r.images, half = 1.96 * sqrt(fmax(0, m * throws - (double)more * more)) / (m * sqrt(m));
        r.difference = more / m;
        r.low = r.difference - half;
        r.high = r.difference + half;
    }
    *comparison = r;
}
