/* lbfgs.h - L-BFGS: minimises a smooth function of many variables from its values and gradients, with strong Wolfe line searches.
 *
 *     d = -H g by the two-loop recursion over the last `history` steps      Nocedal & Wright, Numerical Optimization, alg. 7.4, 7.5
 *     x += a d, with  f(a) <= f(0) + c1 a f'(0)  and  |f'(a)| <= c2 |f'(0)|     alg. 3.5, 3.6; c1 1e-4, c2 0.9
 *
 * All sums run in order on one thread: the same function gives the same steps, bit for bit. */
#ifndef TRAIN_LBFGS_H
#define TRAIN_LBFGS_H

#include <stdbool.h>
#include "nn/rudd.h"

/* The function at x [n], its gradient into gradient [n]. */
typedef double train_lbfgs_fn(void *user, double *gradient, const double *x);

struct train_lbfgs_options {
    size_t n;
    int history;              /* 10 is usual */
    int max_iterations;       /* at least 0 */
    double tolerance;         /* done when no component of the gradient is larger */
    bool (*stop)(void *user); /* asked before each iteration, with the function's user; may be NULL */
};

struct train_lbfgs_result {
    int iterations, evaluations;
    double value, gradient; /* its largest component */
    /* Whether tolerance was reached. When not, and iterations were left, no step made the value smaller any more: it is as exact as the
     * function's own rounding. */
    bool converged;
};

/* x [n]: the start, then the best point found. RUDD_LIMIT when the value at the start is not finite, RUDD_CANCELLED (x is then where it
 * stood), RUDD_NO_MEMORY. */
enum rudd_status train_lbfgs(struct train_lbfgs_result *result, double *x, train_lbfgs_fn *fn, void *user,
                             const struct train_lbfgs_options *options, struct rudd_error *err);

#endif
