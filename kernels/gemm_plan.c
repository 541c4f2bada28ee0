/* gemm_plan.c - scratch of products and dense convolutions. */
#include "kernels/kern.h"

size_t kern_gemm_scratch(const struct kern_gemm *s)
{
    (void)s;
    return 1 << 20;
}

size_t kern_conv_scratch(const struct kern_conv *s)
{
    (void)s;
    return 1 << 20;
}
