/* map_ref.c - per-image maps over x [n,hw,c] in plain C: global average pooling, squeeze-and-excitation's scaling, residuals.
 *
 *     x [n,hw,c]  --pool-->  [n,c]  --(two small products)-->  s [n,c]  --scale-->  y [n,hw,c]
 *
 * Squeeze-and-Excitation, arXiv:1709.01507, eq. 2 and 4; stochastic depth, arXiv:1603.09382, eq. 2 (the caller draws the
 * scale). Not here: speed (map_body.h). */
#include "kernels/kern.h"

void kern_pool_fwd_f32_ref(float *restrict y, const float *restrict x, int n, int hw, int c, int divisor)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < c; j++) {
            double sum = 0;
            for (int p = 0; p < hw; p++) sum += x[((size_t)i * hw + p) * c + j];
            y[(size_t)i * c + j] = (float)(sum / divisor);
        }
}

void kern_pool_bwd_f32_ref(float *restrict dx, const float *restrict dy, int n, int hw, int c, bool accumulate)
{
    for (int i = 0; i < n; i++)
        for (int p = 0; p < hw; p++)
            for (int j = 0; j < c; j++) {
                size_t at = ((size_t)i * hw + p) * c + j;
                double d = (double)dy[(size_t)i * c + j] / hw;
                dx[at] = (float)(accumulate ? dx[at] + d : d);
            }
}

void kern_scale_f32_ref(float *y, const float *x, const float *restrict s, int n, int hw, int c)
{
    for (int i = 0; i < n; i++)
        for (int p = 0; p < hw; p++)
            for (int j = 0; j < c; j++) {
                size_t at = ((size_t)i * hw + p) * c + j;
                y[at] = x[at] * s[(size_t)i * c + j];
            }
}

void kern_scale_bwd_s_f32_ref(float *restrict ds, const float *restrict dy, const float *restrict x, int n, int hw, int c)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < c; j++) {
            double sum = 0;
            for (int p = 0; p < hw; p++) {
                size_t at = ((size_t)i * hw + p) * c + j;
                sum += (double)dy[at] * x[at];
            }
            ds[(size_t)i * c + j] = (float)sum;
        }
}

void kern_residual_f32_ref(float *y, const float *x, const float *r, const float *scale, int n, int count)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < count; j++) {
            size_t at = (size_t)i * count + j;
            y[at] = (float)((double)x[at] * (scale ? scale[i] : 1) + (r ? r[at] : 0));
        }
}
