/* vec_exp.h - sigmoid and SiLU over one vector: 16 floats in an AVX-512 file, 8 in an AVX2 file; the same formula in both.
 *
 *     n = round(-x / ln 2),  r = -x - n ln 2  (|r| <= ln2/2; ln 2 in two parts, so that n*hi is exact),
 *     e^-x = 2^n (1 + r + r^2 Q(r)),  Q of degree 4, relative error 3.1e-9: fitted by weighted least squares (Lawson) over |r|.
 *     sigmoid = 1 / (1 + e^-x)      silu = x / (1 + e^-x)
 *
 * Rounding is an addition of 1.5 * 2^23, which leaves n in the low bits, and 2^n an addition to the exponent. Neither knows overflow:
 * above 80, where the sum is 1 anyway, x is cut; below -88, where the true values are less than 1e-38 and 6e-37, the sum is made
 * infinite, and they become 0 and -0. In between both are within 3 ulp. NaN stays NaN. No sum is ever denormal, which would cost the
 * vector 150 cycles; as it is, it takes 10, as many as the division alone. tests/test_gemm.c walks the range.
 *
 * Included only by *_avx2.c and *_avx512.c. Not here: the scalar truth (act_ref.h). */
#ifndef KERN_VEC_EXP_H
#define KERN_VEC_EXP_H

#include <immintrin.h>
#include <math.h>

#define EXP_LN2_HI 0.693359375f      /* 355/512: n*hi has at most 9 + 8 bits */
#define EXP_LN2_LO (-2.12194440e-4f) /* ln 2 - hi */
#define EXP_LOG2E 1.44269504f
#define EXP_LEAST (-88.0f) /* 2^127 > e^88 */
#define EXP_MOST 80.0f     /* 1 + e^-80 is 1 */
#define EXP_ROUND 12582912.0f
#define EXP_Q0 0.49999994f
#define EXP_Q1 0.16666521f
#define EXP_Q2 0.041668389f
#define EXP_Q3 0.0083687454f
#define EXP_Q4 0.0013814541f

#ifdef __AVX512F__

static inline __m512 vone_plus_exp_neg(__m512 x)
{
    const __mmask16 lost = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_LEAST), _CMP_LT_OQ);
    x = _mm512_min_ps(_mm512_set1_ps(EXP_MOST), x); /* the second operand is returned when either is NaN */
    __m512 rounded = _mm512_fnmadd_ps(x, _mm512_set1_ps(EXP_LOG2E), _mm512_set1_ps(EXP_ROUND));
    __m512 n = _mm512_sub_ps(rounded, _mm512_set1_ps(EXP_ROUND));
    __m512 r = _mm512_fnmsub_ps(n, _mm512_set1_ps(EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_LO), r);

    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(EXP_Q4), r, _mm512_set1_ps(EXP_Q3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_Q2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_Q1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_Q0));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    __m512i e = _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(rounded), 23));
    return _mm512_mask_mov_ps(_mm512_add_ps(_mm512_set1_ps(1), _mm512_castsi512_ps(e)), lost, _mm512_set1_ps(HUGE_VALF));
}

static inline __m512 vsigmoid(__m512 x)
{
    return _mm512_div_ps(_mm512_set1_ps(1), vone_plus_exp_neg(x));
}

static inline __m512 vsilu(__m512 x)
{
    return _mm512_div_ps(x, vone_plus_exp_neg(x));
}

#else

static inline __m256 vone_plus_exp_neg(__m256 x)
{
    const __m256 lost = _mm256_cmp_ps(x, _mm256_set1_ps(EXP_LEAST), _CMP_LT_OQ);
    x = _mm256_min_ps(_mm256_set1_ps(EXP_MOST), x); /* the second operand is returned when either is NaN */
    __m256 rounded = _mm256_fnmadd_ps(x, _mm256_set1_ps(EXP_LOG2E), _mm256_set1_ps(EXP_ROUND));
    __m256 n = _mm256_sub_ps(rounded, _mm256_set1_ps(EXP_ROUND));
    __m256 r = _mm256_fnmsub_ps(n, _mm256_set1_ps(EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_LO), r);

    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(EXP_Q4), r, _mm256_set1_ps(EXP_Q3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_Q2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_Q1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_Q0));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    __m256i e = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(rounded), 23));
    return _mm256_blendv_ps(_mm256_add_ps(_mm256_set1_ps(1), _mm256_castsi256_ps(e)), _mm256_set1_ps(HUGE_VALF), lost);
}

static inline __m256 vsigmoid(__m256 x)
{
    return _mm256_div_ps(_mm256_set1_ps(1), vone_plus_exp_neg(x));
}

static inline __m256 vsilu(__m256 x)
{
    return _mm256_div_ps(x, vone_plus_exp_neg(x));
}

#endif
#endif
