/* text.c - shapes as text. See text.h. */
#include "kernels/text.h"

#include <stdio.h>

void kern_gemm_text(char out[KERN_TEXT], const struct kern_gemm *s)
{
    snprintf(out, KERN_TEXT, "%dx%dx%d %c%c", s->m, s->n, s->k, s->trans_a ? 'T' : 'N', s->trans_b ? 'T' : 'N');
}

void kern_conv_text(char out[KERN_TEXT], const struct kern_conv *s)
{
    snprintf(out, KERN_TEXT, "%dx%dx%dx%d->%dx%dx%d k=%d s=%d pad=%d,%d", s->n, s->ih, s->iw, s->ic, s->oh, s->ow, s->oc, s->k,
             s->stride, s->pad_top, s->pad_left);
}

/* A channel count of 0 before the expansion: there is none. */
void kern_expand_text(char out[KERN_TEXT], const struct kern_expand *s)
{
    const struct kern_conv *d = &s->dw;
    snprintf(out, KERN_TEXT, "%dx%dx%dx%d-%d->%dx%dx%d k=%d s=%d", d->n, d->ih, d->iw, s->weight ? s->ic : 0, d->ic, d->oh,
             d->ow, d->oc, d->k, d->stride);
}

void kern_map_text(char out[KERN_TEXT], int n, int h, int w, int c)
{
    snprintf(out, KERN_TEXT, "%dx%dx%dx%d", n, h, w, c);
}
