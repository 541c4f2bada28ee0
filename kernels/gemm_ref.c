/* gemm_ref.c - the matrix product as its contract says it, summed in double. The truth that faster rows are tested against. */
#include "kernels/act_ref.h"
#include "kernels/kern.h"

void kern_gemm_f32_ref(float *c, const float *a, const float *b, const struct kern_gemm *s, float *scratch)
{
    (void)scratch;
    for (int i = 0; i < s->m; i++)
        for (int j = 0; j < s->n; j++) {
            double sum = 0;
            for (int p = 0; p < s->k; p++)
                sum += (double)a[s->trans_a ? (size_t)p * s->m + i : (size_t)i * s->k + p] *
                       b[s->trans_b ? (size_t)j * s->k + p : (size_t)p * s->n + j];
            float *out = &c[(size_t)i * s->n + j];
            if (s->accumulate) {
                *out += (float)sum;
                continue;
            }
            double z = act_value(s->act, sum + (s->bias ? s->bias[j] : 0));
            *out = (float)(z + (s->residual ? s->residual[(size_t)i * s->n + j] : 0));
        }
}
