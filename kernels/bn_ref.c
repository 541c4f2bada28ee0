/* bn_ref.c - batch norm and the other per-channel work over x [rows,c], in plain C and double.
 *
 *     forward    mean, var  ->  a = gamma/sqrt(var+eps), b = beta - mean*a  (the caller)  ->  y = act(x*a + b)
 *     backward   dz = dy*act'(z), dbeta = sum dz, dgamma = sum dz*xhat      ->  dx = gamma*rstd*(dz - dbeta/rows -
 * xhat*dgamma/rows)
 *
 * Ioffe & Szegedy, arXiv:1502.03167, algorithm 1 and section 3.
 * Not here: epsilon and running averages, which belong to the model; speed (bn_body.h). */
#include "kernels/act_ref.h"

/* Two sums per channel and chunk in double (two floats each), channels rounded up to the widest vector, and one double to align. */
size_t kern_rows_scratch(int c)
{
    return (size_t)KERN_CHUNKS * 2 * 2 * (((size_t)c + 15) / 16 * 16) + 2;
}

void kern_bn_stats_f32_ref(float *restrict mean, float *restrict var, const float *restrict x, int rows, int c,
                           float *restrict scratch)
{
    (void)scratch;
    for (int j = 0; j < c; j++) {
        double sum = 0, square = 0;
        for (int i = 0; i < rows; i++) sum += x[(size_t)i * c + j];
        double mu = sum / rows;
        for (int i = 0; i < rows; i++) {
            double d = x[(size_t)i * c + j] - mu;
            square += d * d;
        }
        mean[j] = (float)mu;
        var[j] = (float)(square / rows);
    }
}

void kern_affine_act_f32_ref(float *y, const float *x, const float *a, const float *b, enum kern_act act, int rows, int c)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < c; j++) {
            size_t at = (size_t)i * c + j;
            y[at] = (float)act_value(act, (double)x[at] * (a ? a[j] : 1) + (b ? b[j] : 0));
        }
}

static double xhat(const struct kern_bn *s, float x, int j)
{
    return ((double)x - s->mean[j]) * s->rstd[j];
}

void kern_bn_bwd_reduce_f32_ref(float *dz, float *restrict dgamma, float *restrict dbeta, const float *dy,
                                const float *restrict x, const struct kern_bn *s, float *restrict scratch)
{
    (void)scratch;
    for (int j = 0; j < s->c; j++) {
        double beta = 0, gamma = 0;
        for (int i = 0; i < s->rows; i++) {
            size_t at = (size_t)i * s->c + j;
            double h = xhat(s, x[at], j), d = dy[at];
            if (s->gate) {
                size_t image = (size_t)(i / s->pixels) * s->c + j;
                d = d * s->gate[image] + (double)s->pooled[image] / s->pixels;
            }
            d *= act_slope(s->act, s->gamma[j] * h + s->beta[j]);
            beta += d;
            gamma += d * h;
            dz[at] = (float)d;
        }
        dbeta[j] = (float)beta;
        dgamma[j] = (float)gamma;
    }
}

void kern_bn_bwd_apply_f32_ref(float *dx, const float *dz, const float *restrict x, const float *restrict dgamma,
                               const float *restrict dbeta, const struct kern_bn *s)
{
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->c; j++) {
            size_t at = (size_t)i * s->c + j;
            double d = dz[at];
            if (!s->frozen) d -= ((double)dbeta[j] + xhat(s, x[at], j) * dgamma[j]) / s->rows;
            dx[at] = (float)(d * s->gamma[j] * s->rstd[j]);
        }
}

void kern_colsum_f32_ref(float *restrict out, const float *restrict x, int rows, int c, float *restrict scratch)
{
    (void)scratch;
    for (int j = 0; j < c; j++) {
        double sum = 0;
        for (int i = 0; i < rows; i++) sum += x[(size_t)i * c + j];
        out[j] = (float)sum;
    }
}
