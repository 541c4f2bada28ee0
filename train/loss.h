/* loss.h - losses beyond the plain cross-entropy of nn_plan_backward: from logits and targets to a value and its gradient.
 *
 *     p = softmax(z)      q: target mass, any: smoothed, class-weighted, mixed (nn_targets, mix.h)      m = sum_c q_c
 *
 *     focal         F = -sum_c q_c (1-p_c)^gamma log p_c              arXiv:1708.02002, eq. 4, over a whole distribution of targets
 *     distillation  L = (1-a) F + a m T^2 KL(t || s)                  arXiv:1503.02531, section 2
 *                   t = softmax(teacher/T), s = softmax(z/T); T^2 keeps the gradient's size when T changes
 *
 * gamma = 0 is cross-entropy, a = 0 is no teacher. The gradient:
 *
 *     g_c = q_c (gamma (1-p_c)^(gamma-1) p_c log p_c - (1-p_c)^gamma)          dF/dz_k = g_k - p_k sum_c g_c
 *     dL/dz_k = (1-a) dF/dz_k + a m T (s_k - t_k)
 *
 * Pure functions: nothing is kept between calls; everything is computed in double, in order. */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H

#include <stdbool.h>

struct train_loss {
    double focal;       /* gamma >= 0 */
    double distill;     /* a, 0..1: the teacher's part */
    double temperature; /* T > 0, where a > 0 */
};

/* Whether it is plain cross-entropy, which the plan has a kernel for. */
bool train_loss_is_plain(const struct train_loss *loss);

/* The sum of L over n pictures; dlogits = its gradient. logits, q, teacher, dlogits: [n, classes]; dlogits may be logits. teacher is
 * used when loss->distill > 0 only. Not divided by anything: the mean is that over sum of m, or over the class weights (nn_targets). */
double train_loss_run(float *dlogits, const float *logits, const float *q, const float *teacher, const struct train_loss *loss,
                      int n, int classes);

#endif
