/* vec.h - one vocabulary over AVX2's eight and AVX-512's sixteen floats, so that an algorithm is written once per family.
 *
 * A family's body (bn_body.h, ...) is included by its two tier files; the compiler flags that the Makefile derives from their
 * names decide here what a vector is.
 *
 *     vf  VW floats      TIER(f)  f_avx2 or f_avx512      v_load(p, n)  lanes [0,n) from p, the rest 0; n >= VW: all
 *
 * Tails run the same vector code with fewer lanes, so that an element's bits do not depend on where in the array it lies, and
 * memory beyond the array is never touched. Call with a literal VW in the core: the test then vanishes.
 *
 * Not here: exp and what is built on it (vec_exp.h). */
#ifndef KERN_VEC_H
#define KERN_VEC_H

#include "kernels/team.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* Before a loop with constant bounds whose array must live in registers. */
#define UNROLL_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define UNROLL UNROLL_PRAGMA(clang loop unroll(full))
#pragma clang diagnostic ignored "-Wpass-failed" /* bounds that are constants in one caller need not be in another */
#else
#define UNROLL UNROLL_PRAGMA(GCC unroll 32)
#endif

#ifdef __AVX512F__

#define TIER(name) name##_avx512
enum { VW = 16 };
typedef __m512 vf;

INLINE vf v_set(float a)
{
    return _mm512_set1_ps(a);
}
INLINE vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
INLINE vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
INLINE vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
INLINE vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
INLINE vf v_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
INLINE vf v_fma(vf a, vf b, vf c) /* a*b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf v_max(vf a, vf b) /* b when either is NaN */
{
    return _mm512_max_ps(a, b);
}
INLINE vf v_min(vf a, vf b) /* b when either is NaN */
{
    return _mm512_min_ps(a, b);
}
INLINE vf v_positive(vf a, vf b) /* b where a > 0, else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), b);
}
INLINE vf v_where_more(vf a, vf b, vf yes, vf no) /* yes where a > b or a is NaN */
{
    const __mmask16 more = _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) | _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    return _mm512_mask_blend_ps(more, no, yes);
}
INLINE vf v_where_equal(vf a, vf b, vf yes) /* yes where a = b, else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), yes);
}
INLINE __mmask16 v_lanes(ptrdiff_t n)
{
    return (__mmask16)((1u << n) - 1);
}
INLINE vf v_load(const float *p, ptrdiff_t n)
{
    return n >= VW ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(v_lanes(n), p);
}
INLINE void v_store(float *p, vf a, ptrdiff_t n)
{
    if (n >= VW)
        _mm512_storeu_ps(p, a);
    else
        _mm512_mask_storeu_ps(p, v_lanes(n), a);
}
/* sums[0..VW) += a, in double */
INLINE void v_add_to_double(double *sums, vf a)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}

#else

#define TIER(name) name##_avx2
enum { VW = 8 };
typedef __m256 vf;

INLINE vf v_set(float a)
{
    return _mm256_set1_ps(a);
}
INLINE vf v_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
INLINE vf v_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
INLINE vf v_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vf v_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
INLINE vf v_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vf v_fma(vf a, vf b, vf c) /* a*b + c */
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf v_max(vf a, vf b) /* b when either is NaN */
{
    return _mm256_max_ps(a, b);
}
INLINE vf v_min(vf a, vf b) /* b when either is NaN */
{
    return _mm256_min_ps(a, b);
}
INLINE vf v_positive(vf a, vf b) /* b where a > 0, else 0 */
{
    return _mm256_and_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ), b);
}
INLINE vf v_where_more(vf a, vf b, vf yes, vf no) /* yes where a > b or a is NaN */
{
    const vf more = _mm256_or_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ), _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_blendv_ps(no, yes, more);
}
INLINE vf v_where_equal(vf a, vf b, vf yes) /* yes where a = b, else 0 */
{
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), yes);
}
INLINE __m256i v_lanes(ptrdiff_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vf v_load(const float *p, ptrdiff_t n)
{
    return n >= VW ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, v_lanes(n));
}
INLINE void v_store(float *p, vf a, ptrdiff_t n)
{
    if (n >= VW)
        _mm256_storeu_ps(p, a);
    else
        _mm256_maskstore_ps(p, v_lanes(n), a);
}
/* sums[0..VW) += a, in double */
INLINE void v_add_to_double(double *sums, vf a)
{
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_loadu_pd(sums), low));
    _mm256_storeu_pd(sums + 4, _mm256_add_pd(_mm256_loadu_pd(sums + 4), high));
}

#endif

/* ---- walking arrays ---- */

enum {
    BLOCK = 16384, /* floats of a unit of work: half of a first cache for a source and a destination */
    ALONE = 32768  /* elements below which waking a team (about 5 us) does not pay */
};

static inline int least(int a, int b)
{
    return a < b ? a : b;
}

/* Runs statement for each vector of [begin, end), which starts at j and has `lanes` lanes: the literal VW but for the last. */
#define EACH_VECTOR(begin, end, statement)                                                                                     \
    do {                                                                                                                       \
        ptrdiff_t j = begin;                                                                                                   \
        for (; j + VW <= (ptrdiff_t)(end); j += VW) {                                                                          \
            const int lanes = VW;                                                                                              \
            statement;                                                                                                         \
        }                                                                                                                      \
        if (j < (ptrdiff_t)(end)) {                                                                                            \
            const int lanes = (int)((end)-j);                                                                                  \
            statement;                                                                                                         \
        }                                                                                                                      \
    } while (0)

/* What an elementwise kernel works on; a kernel uses the fields that it needs. */
struct elements {
    float *y, *m, *v;
    const float *a, *b;
    ptrdiff_t count;
    const void *how; /* the kernel's own parameters */
};

/* Runs piece over the elements, BLOCK of them an item. */
static inline void share_elements(kern_piece *piece, const struct elements *e)
{
    kern_share(piece, e, (int)((e->count + BLOCK - 1) / BLOCK), 1, e->count > ALONE);
}

/* Runs statement for each vector of the items [first, end) of struct elements *e. */
#define EACH_VECTOR_OF(e, first, end, statement)                                                                               \
    do {                                                                                                                       \
        const ptrdiff_t beyond = (ptrdiff_t)(end)*BLOCK < (e)->count ? (ptrdiff_t)(end)*BLOCK : (e)->count;                    \
        EACH_VECTOR((ptrdiff_t)(first)*BLOCK, beyond, statement);                                                              \
    } while (0)

#endif
