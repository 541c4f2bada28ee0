/* loss.c - focal loss and distillation: formulas in loss.h. */
#include "train/loss.h"

#include <math.h>
#include <stddef.h>

bool train_loss_is_plain(const struct train_loss *loss)
{
    return loss->focal == 0 && loss->distill == 0;
}

/* log sum exp(scale * x), stable: log softmax(scale * x)_c is scale * x_c minus it. */
static double log_sum(const float *x, double scale, int count)
{
    double most = -INFINITY, sum = 0;
    for (int c = 0; c < count; c++) most = fmax(most, scale * (double)x[c]);
    for (int c = 0; c < count; c++) sum += exp(scale * (double)x[c] - most);
    return log(sum) + most;
}

/* The focal term of one class: q (1-p)^gamma log p in *value, q times its derivative by log p returned. log p = l. */
static double focal_term(double *value, double q, double l, double gamma)
{
    double rest = -expm1(l); /* 1 - p, exact also where p is nearly 1 */
    if (gamma == 0) {
        *value = -q * l;
        return -q;
    }
    double power = pow(rest, gamma);
    *value = -q * power * l;
    /* (1-p)^(gamma-1) log p goes to 0 with 1-p, as log p is about p-1, though for gamma < 1 its first factor is infinite. */
    return rest > 0 ? q * (gamma * power / rest * exp(l) * l - power) : 0;
}

static double run_row(float *dz, const float *z, const float *q, const float *teacher, const struct train_loss *loss,
                      int classes)
{
    const double a = loss->distill, cool = a > 0 ? 1 / loss->temperature : 1;
    const double norm = log_sum(z, 1, classes);
    const double student_norm = a > 0 ? log_sum(z, cool, classes) : 0;
    const double teacher_norm = a > 0 ? log_sum(teacher, cool, classes) : 0;
    double focal = 0, divergence = 0, slope = 0, mass = 0, value;
    for (int c = 0; c < classes; c++) {
        if (q[c] != 0) slope += focal_term(&value, (double)q[c], (double)z[c] - norm, loss->focal), focal += value;
        mass += (double)q[c];
        if (a > 0) {
            double t = cool * (double)teacher[c] - teacher_norm, s = cool * (double)z[c] - student_norm;
            divergence += exp(t) * (t - s);
        }
    }
    for (int c = 0; c < classes; c++) {
        double l = (double)z[c] - norm, own = q[c] != 0 ? focal_term(&value, (double)q[c], l, loss->focal) : 0;
        double grad = (1 - a) * (own - exp(l) * slope);
        if (a > 0)
            grad += a * mass * loss->temperature *
                    (exp(cool * (double)z[c] - student_norm) - exp(cool * (double)teacher[c] - teacher_norm));
        dz[c] = (float)grad;
    }
    return (1 - a) * focal + (a > 0 ? a * mass * loss->temperature * loss->temperature * divergence : 0);
}

double train_loss_run(float *dlogits, const float *logits, const float *q, const float *teacher, const struct train_loss *loss,
                      int n, int classes)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        size_t row = (size_t)i * (size_t)classes;
        sum += run_row(dlogits + row, logits + row, q + row, teacher ? teacher + row : NULL, loss, classes);
    }
    return sum;
}
