/* dwconv_ref.c - depthwise convolution in plain C: the meaning of the contract in kern.h, summed in double.
 *
 * Every channel is its own k x k image filter, so that all three kernels visit the same quadruples (output p,q; tap r,t) and
 * differ only in which of y, dx, dw they add to.   MobileNets, arXiv:1704.04861, section 3.1.
 *
 * Not here: speed (dwconv_body.h). */
#include "kernels/act_ref.h"

/* The input pixel that tap (r,t) of output (p,q) of image n reads, channel 0; NULL outside the image. */
static const float *tap(const float *x, const struct kern_conv *s, int n, int p, int q, int r, int t)
{
    int i = p * s->stride + r - s->pad_top, j = q * s->stride + t - s->pad_left;
    if (i < 0 || i >= s->ih || j < 0 || j >= s->iw) return NULL;
    return x + (((size_t)n * s->ih + i) * s->iw + j) * s->ic;
}

void kern_dwconv_fwd_f32_ref(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s)
{
    for (int n = 0; n < s->n; n++)
        for (int p = 0; p < s->oh; p++)
            for (int q = 0; q < s->ow; q++)
                for (int c = 0; c < s->ic; c++) {
                    double sum = 0;
                    for (int r = 0; r < s->k; r++)
                        for (int t = 0; t < s->k; t++) {
                            const float *in = tap(x, s, n, p, q, r, t);
                            if (in) sum += (double)in[c] * w[(r * s->k + t) * s->ic + c];
                        }
                    size_t at = (((size_t)n * s->oh + p) * s->ow + q) * s->ic + c;
                    double z = act_value(s->act, sum + (s->bias ? s->bias[c] : 0));
                    y[at] = (float)(z + (s->residual ? s->residual[at] : 0));
                }
}

void kern_dwconv_bwd_data_f32_ref(float *restrict dx, const float *restrict dy, const float *restrict w,
                                  const struct kern_conv *s)
{
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < s->ih; i++)
            for (int j = 0; j < s->iw; j++)
                for (int c = 0; c < s->ic; c++) {
                    double sum = 0;
                    for (int r = 0; r < s->k; r++)
                        for (int t = 0; t < s->k; t++) {
                            int p = i + s->pad_top - r, q = j + s->pad_left - t; /* times stride */
                            if (p < 0 || q < 0 || p % s->stride || q % s->stride) continue;
                            p /= s->stride, q /= s->stride;
                            if (p >= s->oh || q >= s->ow) continue;
                            sum +=
                                (double)dy[(((size_t)n * s->oh + p) * s->ow + q) * s->ic + c] * w[(r * s->k + t) * s->ic + c];
                        }
                    dx[(((size_t)n * s->ih + i) * s->iw + j) * s->ic + c] = (float)sum;
                }
}

void kern_dwconv_bwd_weight_f32_ref(float *restrict dw, const float *restrict x, const float *restrict dy,
                                    const struct kern_conv *s, float *restrict scratch)
{
    (void)scratch;
    for (int r = 0; r < s->k; r++)
        for (int t = 0; t < s->k; t++)
            for (int c = 0; c < s->ic; c++) {
                double sum = 0;
                for (int n = 0; n < s->n; n++)
                    for (int p = 0; p < s->oh; p++)
                        for (int q = 0; q < s->ow; q++) {
                            const float *in = tap(x, s, n, p, q, r, t);
                            if (in) sum += (double)in[c] * dy[(((size_t)n * s->oh + p) * s->ow + q) * s->ic + c];
                        }
                dw[(r * s->k + t) * s->ic + c] = (float)sum;
            }
}

/* One partial weight gradient per chunk of output rows: every tier cuts rows into at most KERN_CHUNKS. */
size_t kern_dwconv_scratch(const struct kern_conv *s)
{
    return (size_t)KERN_CHUNKS * s->k * s->k * s->ic;
}
