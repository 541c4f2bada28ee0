/* packed_ref.c - packed weights and the fused expansion in plain C: the meaning of the contracts in kern.h.
 *
 * Packed here is [oc][k][k][ic], as conv_ref.c convolves and OpenBLAS multiplies (gemm_blas.c). The fused expansion keeps the k expanded rows
 * that an output row reads in scratch, as the vector rows do, and sums in double.
 * Not here: speed (packed_body.h, expand_body.h). */
#include "kernels/act_ref.h"

void kern_pack_f32_ref(float *restrict packed, const float *restrict w, const float *restrict scale, int oc, int ic, int k)
{
    const int taps = k * k;
    for (int o = 0; o < oc; o++)
        for (int i = 0; i < ic; i++)
            for (int t = 0; t < taps; t++)
                packed[((size_t)o * taps + t) * ic + i] = w[((size_t)o * ic + i) * taps + t] * (scale ? scale[o] : 1);
}

/* e [iw,c]: input row i of image n, expanded */
static void expand_row(float *e, const float *x, const struct kern_expand *s, int n, int i)
{
    const struct kern_conv *d = &s->dw;
    const int in_c = s->weight ? s->ic : d->ic;
    for (int j = 0; j < d->iw; j++) {
        const float *in = x + (((size_t)n * d->ih + i) * d->iw + j) * in_c;
        for (int c = 0; c < d->ic; c++) {
            double sum = s->weight ? 0 : in[c];
            for (int l = 0; s->weight && l < s->ic; l++) sum += (double)in[l] * s->weight[(size_t)c * s->ic + l];
            if (s->weight) sum = act_value(s->act, sum + (s->bias ? s->bias[c] : 0));
            e[(size_t)j * d->ic + c] = (float)sum;
        }
    }
}

/* One output pixel of one channel, from the ring of rows. */
static double depthwise(const float *ring, const float *w, const struct kern_conv *d, int p, int q, int c)
{
    double sum = d->bias ? d->bias[c] : 0;
    for (int r = 0; r < d->k; r++)
        for (int t = 0; t < d->k; t++) {
            int i = p * d->stride + r - d->pad_top, j = q * d->stride + t - d->pad_left;
            if (i < 0 || i >= d->ih || j < 0 || j >= d->iw) continue;
            sum += (double)ring[((size_t)(i % d->k) * d->iw + j) * d->ic + c] * w[((size_t)c * d->k + r) * d->k + t];
        }
    return act_value(d->act, sum);
}

void kern_expand_dw_f32_ref(float *restrict y, float *restrict sums, const float *restrict x, const float *restrict w,
                            const struct kern_expand *s, float *restrict scratch)
{
    const struct kern_conv *d = &s->dw;
    const int strips = kern_expand_strips(s);
    for (int n = 0; n < d->n; n++) {
        int next = 0;
        for (int strip = 0; strip < strips; strip++) {
            float *sum = sums + ((size_t)n * strips + strip) * d->ic;
            for (int c = 0; c < d->ic; c++) sum[c] = 0;
            for (int p = d->oh * strip / strips; p < d->oh * (strip + 1) / strips; p++) {
                for (; next < d->ih && next < p * d->stride - d->pad_top + d->k; next++)
                    expand_row(scratch + (size_t)(next % d->k) * d->iw * d->ic, x, s, n, next);
                for (int q = 0; q < d->ow; q++)
                    for (int c = 0; c < d->ic; c++) {
                        float v = (float)depthwise(scratch, w, d, p, q, c);
                        y[(((size_t)n * d->oh + p) * d->ow + q) * d->ic + c] = v;
                        sum[c] += v;
                    }
            }
        }
    }
}
