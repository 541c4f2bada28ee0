/* head_fit.h - a linear classifier over fixed features, fitted as a whole: multinomial logistic regression by L-BFGS.
 *
 *     minimise   inv_norm * sum_i xent(V z_i + c, q_i)  +  decay/2 * |V|^2        z = (x - mean) / deviation, feature by feature
 *     then       weight = V / deviation,   bias = c - V (mean / deviation)
 *
 * Standardised features make one decay suit every network, and far fewer iterations; the bias is free of it. With decay = 1/(C n) and
 * plain labels this is scikit-learn's LogisticRegression(C) behind a StandardScaler. */
#ifndef TRAIN_HEAD_FIT_H
#define TRAIN_HEAD_FIT_H

#include "train/lbfgs.h"
#include "train/learner.h"

struct train_head_options {
    double decay;
    int max_iterations;
    double tolerance;         /* of the gradient's largest component */
    bool (*stop)(void *user); /* may be NULL */
    void *user;
};

/* weight [classes, features], bias [classes]; x [n, features], standardised in place; q [n, classes] and inv_norm as nn_targets gives them;
 * logits [n, classes] receives those of the fitted classifier. Starts from 0. What train_lbfgs says. */
enum rudd_status train_head_fit(float *weight, float *bias, struct train_lbfgs_result *result, float *logits, float *x,
                                const float *q, double inv_norm, int n, int features, int classes,
                                const struct train_head_options *options, struct rudd_error *err);

/* Fits the learner's classifier to all of its pictures, in each of `views` views, where only the classifier learns (options.plan.first_stage)
 * and the loader neither shuffles nor drops.
 * Stands for an epoch: the tally says how it went. RUDD_FORMAT when no picture could be read. */
enum rudd_status train_head_learn(struct train_learner *learner, int views, const struct train_events *events,
                                  struct rudd_error *err);

#endif
