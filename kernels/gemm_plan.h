/* gemm_plan.h - how a product is cut into blocks, and what scratch that takes; shared by the AVX2 and AVX-512 rows.
 *
 * Everything here follows from the shape alone, never from the number of threads, so every element of C is the same chain of
 * operations on any machine of a tier. Two forms:
 *
 *   tiles   C is cut into strips of rows; each strip is an item of work. B is packed by all threads together, block by block:
 *
 *               n                    kc   k is cut into equal pieces of at most KC: a strip of A stays in L1
 *           +-------+                nc   kc x nc floats of packed B stay in L2
 *         k | kc{ B |  <- packed
 *           +-------+
 *       k   +-------+
 *      +---+|   C   | } strip
 *      | A |+-------+
 *
 *   splits  C is small and k is huge (gradients of weights: 24 x 144 out of k = 200704): k is cut into `splits` chunks, each an
 * item that makes a whole partial C in scratch; the partial sums are added in the order of the chunks. */
#ifndef KERN_GEMM_PLAN_H
#define KERN_GEMM_PLAN_H

#include "kernels/kern.h"

/* Bounds over the tiers: rows of a strip, columns of a panel. Each tier asserts that its own fit. */
enum { GEMM_MR_MAX = 16, GEMM_NR_MAX = 32 };

struct kern_gemm_plan {
    int kc, nc;        /* block of packed B */
    int splits, chunk; /* splits == 1: tiles; else partial sums over chunk indices of k each */
    size_t shared;     /* floats: packed B (tiles) or the partial Cs (splits) */
    size_t own;        /* floats per thread: a strip of A, a tile of C and, when splitting, a block of B */
};

/* one_block: k must not be cut (the epilogue reads a residual that C overwrites). */
void kern_gemm_plan(struct kern_gemm_plan *p, int m, int n, int k, bool one_block);

/* True when a product needs one_block. */
static inline bool kern_gemm_one_block(const struct kern_gemm *s, const float *c)
{
    return s->residual == c && s->act != KERN_ACT_NONE;
}

/* Rows of `width` floats that the OpenBLAS rows hold in scratch at a time: 512 KiB, but at least 16. */
static inline int kern_blas_strip(int width)
{
    int rows = (1 << 17) / width;
    return rows < 16 ? 16 : rows;
}

#endif
