/* conv_ref.c - dense convolution, over packed weights too, and its two gradients as their contracts say them, summed in double.
 *
 * All three walk the same relation: output (p,q) reads input (i,j) through tap (r,t) when
 *     i = p*stride + r - pad_top,   j = q*stride + t - pad_left,   0 <= i < ih,  0 <= j < iw. */
#include "kernels/act_ref.h"
#include "kernels/kern.h"

/* &x[n,i,j,0] of an [n,h,w,c] array, or NULL outside the image. */
static const float *pixel(const float *x, int n, int i, int j, int h, int w, int c)
{
    if (i < 0 || i >= h || j < 0 || j >= w) return NULL;
    return &x[(((size_t)n * h + i) * w + j) * c];
}

/* residual may be y */
static void convolve(float *y, const float *x, const float *w, const struct kern_conv *s, const float *scale)
{
    size_t out = 0;
    for (int n = 0; n < s->n; n++)
        for (int p = 0; p < s->oh; p++)
            for (int q = 0; q < s->ow; q++)
                for (int o = 0; o < s->oc; o++, out++) {
                    double sum = s->bias ? s->bias[o] : 0;
                    for (int r = 0; r < s->k; r++)
                        for (int t = 0; t < s->k; t++) {
                            const float *in = pixel(x, n, p * s->stride + r - s->pad_top, q * s->stride + t - s->pad_left,
                                                    s->ih, s->iw, s->ic);
                            const float *tap = &w[(((size_t)o * s->k + r) * s->k + t) * s->ic];
                            for (int i = 0; in && i < s->ic; i++)
                                sum += (double)in[i] * tap[i] * (scale ? scale[(size_t)n * s->ic + i] : 1);
                        }
                    y[out] = (float)(act_value(s->act, sum) + (s->residual ? s->residual[out] : 0));
                }
}

void kern_conv_fwd_f32_ref(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s,
                           float *restrict scratch)
{
    (void)scratch;
    convolve(y, x, w, s, NULL);
}

/* Packed by packed_ref.c, weights are [oc,k,k,ic] too. */
void kern_conv_packed_f32_ref(float *y, const float *restrict x, const float *restrict packed, const struct kern_conv *s,
                              float *restrict scratch)
{
    (void)scratch;
    convolve(y, x, packed, s, s->scale);
}

void kern_conv_bwd_data_f32_ref(float *restrict dx, const float *restrict dy, const float *restrict w,
                                const struct kern_conv *s, float *restrict scratch)
{
    (void)scratch;
    size_t out = 0;
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < s->ih; i++)
            for (int j = 0; j < s->iw; j++)
                for (int c = 0; c < s->ic; c++, out++) {
                    double sum = 0;
                    for (int r = 0; r < s->k; r++)
                        for (int t = 0; t < s->k; t++) {
                            int ps = i + s->pad_top - r, qs = j + s->pad_left - t; /* p and q times stride */
                            if (ps < 0 || qs < 0 || ps % s->stride || qs % s->stride) continue;
                            const float *g = pixel(dy, n, ps / s->stride, qs / s->stride, s->oh, s->ow, s->oc);
                            for (int o = 0; g && o < s->oc; o++)
                                sum += (double)g[o] * w[(((size_t)o * s->k + r) * s->k + t) * s->ic + c];
                        }
                    dx[out] = (float)sum + (s->accumulate ? dx[out] : 0);
                }
}

void kern_conv_bwd_weight_f32_ref(float *restrict dw, const float *restrict x, const float *restrict dy,
                                  const struct kern_conv *s, float *restrict scratch)
{
    (void)scratch;
    size_t out = 0;
    for (int o = 0; o < s->oc; o++)
        for (int r = 0; r < s->k; r++)
            for (int t = 0; t < s->k; t++)
                for (int i = 0; i < s->ic; i++, out++) {
                    double sum = 0;
                    for (int n = 0; n < s->n; n++)
                        for (int p = 0; p < s->oh; p++)
                            for (int q = 0; q < s->ow; q++) {
                                const float *in = pixel(x, n, p * s->stride + r - s->pad_top, q * s->stride + t - s->pad_left,
                                                        s->ih, s->iw, s->ic);
                                if (in) sum += (double)in[i] * pixel(dy, n, p, q, s->oh, s->ow, s->oc)[o];
                            }
                    dw[out] = (float)sum;
                }
}
