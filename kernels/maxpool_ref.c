/* maxpool_ref.c - max pooling and its gradient in plain C: the meaning of the contracts in kern.h.
 *
 * Not here: speed (maxpool_body.h). */
#include "kernels/kern.h"

#include <math.h>
#include <string.h>

/* Where the window of output (p,q) has its first maximum in channel c; x: the image. -1: in the zeros of the border. */
static ptrdiff_t find(float *value, const float *x, const struct kern_conv *s, bool zeros, int p, int q, int c)
{
    ptrdiff_t found = -1;
    const int i0 = p * s->stride - s->pad_top, j0 = q * s->stride - s->pad_left;
    const bool border = i0 < 0 || j0 < 0 || i0 + s->k > s->ih || j0 + s->k > s->iw;
    *value = zeros && border ? 0 : -INFINITY;
    for (int i = i0; i < i0 + s->k; i++)
        for (int j = j0; j < j0 + s->k; j++) {
            if (i < 0 || i >= s->ih || j < 0 || j >= s->iw) continue;
            const ptrdiff_t at = ((ptrdiff_t)i * s->iw + j) * s->ic + c;
            if (x[at] > *value || isnan(x[at])) *value = x[at], found = at;
        }
    return found;
}

void kern_maxpool_fwd_f32_ref(float *restrict y, const float *restrict x, const struct kern_conv *s, bool zeros)
{
    for (int n = 0; n < s->n; n++, x += (size_t)s->ih * s->iw * s->ic)
        for (int p = 0; p < s->oh; p++)
            for (int q = 0; q < s->ow; q++)
                for (int c = 0; c < s->ic; c++) find(y++, x, s, zeros, p, q, c);
}

void kern_maxpool_bwd_f32_ref(float *restrict dx, const float *restrict dy, const float *restrict x, const struct kern_conv *s,
                              bool zeros)
{
    const size_t image = (size_t)s->ih * s->iw * s->ic;
    memset(dx, 0, image * s->n * sizeof *dx);
    for (int n = 0; n < s->n; n++, x += image, dx += image)
        for (int p = 0; p < s->oh; p++)
            for (int q = 0; q < s->ow; q++)
                for (int c = 0; c < s->ic; c++, dy++) {
                    float value;
                    const ptrdiff_t at = find(&value, x, s, zeros, p, q, c);
                    if (at >= 0) dx[at] += *dy;
                }
}
