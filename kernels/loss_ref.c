/* loss_ref.c - softmax and cross-entropy over logits [n,c], in double.
 *
 * Both subtract the row's maximum first, so that no exponential overflows and at least one is 1:
 *
 *     softmax_j = e^(l_j - max) / sum_i e^(l_i - max)          log softmax_j = l_j - max - log sum_i e^(l_i - max)
 *
 * Rows are as many as a batch has images and columns as many as classes: little work, which these references do well enough for
 * every tier. */
#include "kernels/act_ref.h"

/* The row's maximum; *sum = sum_j e^(l_j - max). */
static double row_max(double *sum, const float *l, int c)
{
    double max = l[0];
    for (int j = 1; j < c; j++) max = l[j] > max ? l[j] : max;
    *sum = 0;
    for (int j = 0; j < c; j++) *sum += exp(l[j] - max);
    return max;
}

void kern_softmax_f32_ref(float *p, const float *logits, int n, int c)
{
    for (int i = 0; i < n; i++, p += c, logits += c) {
        double sum, max = row_max(&sum, logits, c);
        for (int j = 0; j < c; j++) p[j] = (float)(exp(logits[j] - max) / sum);
    }
}

void kern_xent_f32_ref(double *loss, float *dlogits, const float *logits, const float *restrict q, double inv_norm, int n,
                       int c)
{
    double total = 0;
    for (int i = 0; i < n; i++, logits += c, q += c) {
        double sum, max = row_max(&sum, logits, c), log_sum = log(sum), mass = 0;
        for (int j = 0; j < c; j++) {
            mass += q[j];
            if (q[j] > 0) total -= q[j] * (logits[j] - max - log_sum); /* no mass, no loss: also where the logit is -inf */
        }
        if (!dlogits) continue;
        for (int j = 0; j < c; j++) dlogits[j] = (float)(inv_norm * (exp(logits[j] - max) / sum * mass - q[j]));
        dlogits += c;
    }
    *loss = total * inv_norm;
}
