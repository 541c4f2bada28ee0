/* vec_exp.h - e^x, sigmoid and SiLU over one vector: 16 floats in an AVX-512 file, 8 in an AVX2 file; the same formula in both.
 *
 *     n = round(x / ln 2),  r = x - n ln 2  (|r| <= ln2/2; ln 2 in two parts, so that n*hi is exact),
 *     e^x = 2^n (1 + r + r^2 P(r)),  P of degree 5: Cephes expf (Moshier, netlib.org/cephes/single.tgz, expf.c).
 *
 * Within 1.01 ulp of e^x in the normal range, gradual below it, +inf above 88.72; NaN stays NaN; -inf gives 0. sigmoid and silu
 * divide exactly rounded, so they stay within 3 ulp for every x whose e^-x is finite; beyond, they are 0 and -0, as in float
 * arithmetic. tests/test_gemm.c walks the whole range.
 *
 * Included only by *_avx2.c and *_avx512.c. Not here: the scalar truth (act_ref.h). */
#ifndef KERN_VEC_EXP_H
#define KERN_VEC_EXP_H

#include <immintrin.h>

#define EXP_LN2_HI 0.693359375f      /* 355/512: n*hi has at most 9 + 8 bits */
#define EXP_LN2_LO (-2.12194440e-4f) /* ln 2 - hi */
#define EXP_LOG2E 1.44269504f
#define EXP_MIN (-110.0f) /* below: 0 (the least denormal is e^-103.3) */
#define EXP_MAX 90.0f     /* above: inf */
#define EXP_P0 1.9875691500e-4f
#define EXP_P1 1.3981999507e-3f
#define EXP_P2 8.3334519073e-3f
#define EXP_P3 4.1665795894e-2f
#define EXP_P4 1.6666665459e-1f
#define EXP_P5 5.0000001201e-1f

#ifdef __AVX512F__

static inline __m512 vexp(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(EXP_MIN), x); /* the second operand is returned when either is NaN */
    x = _mm512_min_ps(_mm512_set1_ps(EXP_MAX), x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_LO), r);

    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(EXP_P0), r, _mm512_set1_ps(EXP_P1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P5));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1)), n);
}

static inline __m512 vone_plus_exp_neg(__m512 z)
{
    return _mm512_add_ps(_mm512_set1_ps(1), vexp(_mm512_sub_ps(_mm512_setzero_ps(), z)));
}

static inline __m512 vsigmoid(__m512 z)
{
    return _mm512_div_ps(_mm512_set1_ps(1), vone_plus_exp_neg(z));
}

static inline __m512 vsilu(__m512 z)
{
    return _mm512_div_ps(z, vone_plus_exp_neg(z));
}

#else

static inline __m256 vexp(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(EXP_MIN), x); /* the second operand is returned when either is NaN */
    x = _mm256_min_ps(_mm256_set1_ps(EXP_MAX), x);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_LO), r);

    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(EXP_P0), r, _mm256_set1_ps(EXP_P1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P5));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1));

    /* 2^n in two halves: n reaches -159..130, one exponent field only -126..127. */
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
    __m256i lo = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i hi = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(lo)), _mm256_castsi256_ps(hi));
}

static inline __m256 vone_plus_exp_neg(__m256 z)
{
    return _mm256_add_ps(_mm256_set1_ps(1), vexp(_mm256_sub_ps(_mm256_setzero_ps(), z)));
}

static inline __m256 vsigmoid(__m256 z)
{
    return _mm256_div_ps(_mm256_set1_ps(1), vone_plus_exp_neg(z));
}

static inline __m256 vsilu(__m256 z)
{
    return _mm256_div_ps(z, vone_plus_exp_neg(z));
}

#endif
#endif
