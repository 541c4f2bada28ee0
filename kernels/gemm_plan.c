/* gemm_plan.c - block sizes of products and dense convolutions, and their scratch. See gemm_plan.h for the picture. */
#include "kernels/gemm_plan.h"
#include "kernels/conv_patch.h"

/* Measured on a core with 32 KiB L1 and 1 MiB L2; smaller caches lose a few per cent. */
enum {
    KC_WHOLE = 512,       /* k up to this is one block: 14 rows x 512 x 4 B = 28 KiB */
    KC = 384,             /* otherwise pieces of about this */
    B_BLOCK = 192 * 1024, /* floats of packed B: 768 KiB of L2 */
    SPLIT_K = 4096,       /* do not split a shorter k ... */
    SPLIT_MIN = 8,        /* ... nor into fewer chunks, which would leave threads idle */
    SPLIT_MAX = 32,       /* enough for 16 threads to stay level */
    SPLIT_CHUNK = 512,    /* least indices of k in a chunk */
    SPLIT_C = 1 << 20,    /* floats of all partial Cs together */
    SPLIT_KC = 128,       /* block of B inside a chunk, packed by one thread for itself */
    SPLIT_NC = 512,
};

static int ceil_div(int a, int b)
{
    return a / b + (a % b != 0);
}

static int round_up(int a, int b)
{
    return ceil_div(a, b) * b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

void kern_gemm_plan(struct kern_gemm_plan *p, int m, int n, int k, bool one_block)
{
    size_t c = (size_t)m * n;
    p->splits = 1;
    if (!one_block && k >= SPLIT_K && c <= SPLIT_C / SPLIT_MIN) {
        p->splits = min_int(SPLIT_MAX, min_int((int)(SPLIT_C / c), k / SPLIT_CHUNK));
        p->chunk = round_up(ceil_div(k, p->splits), 16);
        p->splits = ceil_div(k, p->chunk);
    }
    if (p->splits > 1) {
        p->kc = SPLIT_KC;
        p->nc = min_int(round_up(n, GEMM_NR_MAX), SPLIT_NC);
        p->shared = (c + 15) / 16 * 16 * p->splits;
        p->own = (size_t)p->kc * (p->nc + 16);
    } else {
        p->chunk = k;
        p->kc = one_block || k <= KC_WHOLE ? k : ceil_div(k, ceil_div(k, KC));
        p->nc = B_BLOCK / p->kc / GEMM_NR_MAX * GEMM_NR_MAX;
        if (p->nc < GEMM_NR_MAX) p->nc = GEMM_NR_MAX;
        p->nc = min_int(round_up(n, GEMM_NR_MAX), p->nc);
        p->shared = (size_t)p->kc * p->nc;
        p->own = 0;
    }
    p->own += GEMM_MR_MAX * (size_t)(p->kc + 32) + GEMM_MR_MAX * GEMM_NR_MAX;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t plan_scratch(int m, int n, int k, bool one_block)
{
    struct kern_gemm_plan p;
    kern_gemm_plan(&p, m, n, k, one_block);
    return p.shared + p.own * kern_threads() + 16; /* to start on a cache line */
}

static size_t blas_scratch(int rows, int width)
{
    return (size_t)min_int(rows, kern_blas_strip(width)) * width;
}

size_t kern_gemm_scratch(const struct kern_gemm *s)
{
    /* Whether the residual will be C itself is not known here; with an activation it may. */
    size_t need = plan_scratch(s->m, s->n, s->k, false);
    if (s->residual && s->act != KERN_ACT_NONE) need = max_size(need, plan_scratch(s->m, s->n, s->k, true));
    if (s->residual) need = max_size(need, blas_scratch(s->m, s->n));
    return need;
}

size_t kern_conv_scratch(const struct kern_conv *s)
{
    int out = s->n * s->oh * s->ow, taps = s->k * s->k;
    size_t fwd = plan_scratch(out, s->oc, taps * s->ic, false);
    size_t bwd_weight = plan_scratch(s->oc, taps * s->ic, out, false);
    size_t need = max_size(max_size(fwd, bwd_weight), blas_scratch(out, taps * s->ic));

    for (int i = 0; i < s->stride * s->stride; i++) { /* the gradient of the input is one product per phase */
        struct phase v = conv_phase(i / s->stride, s->ih, s->k, s->stride, s->pad_top);
        struct phase h = conv_phase(i % s->stride, s->iw, s->k, s->stride, s->pad_left);
        int m = s->n * v.count * h.count, k = v.taps * h.taps * s->oc;
        if (m > 0 && k > 0) need = max_size(need, plan_scratch(m, s->ic, k, false));
    }
    return need;
}
