/* packed_plan.c - scratch and strips of the kernels over packed weights. See packed_plan.h. */
#include "kernels/packed_plan.h"

size_t kern_packed_floats(int oc, int ic, int k)
{
    return (size_t)(oc + 15) / 16 * 16 * ic * k * k;
}

/* Whole cache lines: the next thread's scratch starts on one too. */
static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

size_t kern_packed_own(const struct kern_conv *s)
{
    size_t z = GEMM_MR_MAX * GEMM_NR_MAX;
    if (s->k > 1 || s->stride > 1) {
        size_t rows = (size_t)(kern_packed_rows(s) - 1) * s->stride + s->k;
        return whole_lines(rows * kern_padded_width(s) * s->ic + z + 32);
    }
    /* A panel, or a strip. */
    size_t copy = kern_packed_by_panel(s->oc, s->ic) ? (size_t)s->ic * GEMM_NR_MAX : (size_t)GEMM_MR_MAX * (s->ic + 32);
    return whole_lines(copy + z + 32);
}

size_t kern_packed_scratch(const struct kern_conv *s)
{
    const int width = s->k * s->k * s->ic;
    const size_t pixels = (size_t)s->n * s->oh * s->ow, rows = kern_blas_strip(width);
    size_t strip = (rows < pixels ? rows : pixels) * (width + s->oc); /* gemm_blas.c */
    size_t own = kern_packed_own(s) * kern_threads() + 16;
    return own > strip ? own : strip;
}

/* Strips of output rows: as many as it takes to have PACKED_ITEMS of work with groups of 32 channels, but so tall that the rows
 * that two strips both expand stay below a sixteenth (an eighth of that height where there is nothing to expand). */
int kern_expand_strips(const struct kern_expand *s)
{
    const struct kern_conv *d = &s->dw;
    int groups = (d->ic + 31) / 32, wanted = (PACKED_ITEMS + groups - 1) / groups;
    int least = (d->k - d->stride) * (s->weight ? 16 : 2) / d->stride, strips = d->oh / (least > 4 ? least : 4);
    if (strips > wanted) strips = wanted;
    return strips < 1 ? 1 : strips;
}

size_t kern_expand_own(const struct kern_expand *s)
{
    const struct kern_conv *d = &s->dw;
    size_t ring = (size_t)kern_expand_slots(d) * kern_expand_columns(d) * GEMM_NR_MAX;
    return whole_lines(ring + 2 * GEMM_NR_MAX + (size_t)d->ow * GEMM_NR_MAX / 2 +
                       GEMM_MR_MAX * GEMM_NR_MAX); /* ring, biases, line, tile */
}

size_t kern_expand_scratch(const struct kern_expand *s)
{
    const struct kern_conv *d = &s->dw;
    size_t own = kern_expand_own(s) * kern_threads() + 16, ring = (size_t)d->k * d->iw * d->ic; /* ring: the reference's */
    return own > ring ? own : ring;
}
