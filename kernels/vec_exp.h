/* vec_exp.h - sigmoid and SiLU over vectors: 16 floats in an AVX-512 file, 8 in an AVX2 file; one formula for both.
 *
 *     n = round(-x / ln 2),  r = -x - n ln 2  (|r| <= ln2/2; ln 2 in two parts, so that n*hi is exact),
 *     e^-x = 2^n (1 + r + r^2 Q(r)),  Q of degree 4, relative error 3.1e-9: fitted by weighted least squares (Lawson) over |r|.
 *     sigmoid = 1 / (1 + e^-x)      silu = x sigmoid
 *
 * Rounding is an addition of 1.5 * 2^23, which leaves n in the low bits, and 2^n an addition to the exponent. Neither knows overflow:
 * above 80, where the sum is 1 anyway, x is cut; below -88, where the true values are less than 1e-38 and 6e-37, they become 0 and -0.
 * In between both are within 4 ulp. NaN stays NaN. No e^-x is ever denormal, which would cost its vector 150 cycles.
 *
 * A vector is one chain of some 75 cycles, and a processor's scheduler holds only four: so n vectors go through each step together
 * (four: 14 cycles a vector instead of 18). AVX-512 divides by its 14-bit reciprocal and one Newton step, since it divides at 15 cycles a
 * vector; AVX2's reciprocal would need two steps. tests/test_gemm.c walks the range.
 *
 * Included only by *_avx2.c and *_avx512.c. Not here: the scalar truth (act_ref.h). */
#ifndef KERN_VEC_EXP_H
#define KERN_VEC_EXP_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>

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

typedef __m512 exp_v;
#define EXP_(op) _mm512_##op##_ps

/* p * 2^n, n in the low bits of rounded */
static inline exp_v exp_scale(exp_v p, exp_v rounded)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(rounded), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}

/* a / d where x >= EXP_LEAST or NaN, else a * 0 */
static inline exp_v exp_divide(exp_v a, exp_v d, exp_v x)
{
    const __mmask16 held = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_LEAST), _CMP_NLT_UQ);
    exp_v r = _mm512_rcp14_ps(d), error = _mm512_fnmadd_ps(d, r, _mm512_set1_ps(1));
    return _mm512_mul_ps(a, _mm512_maskz_fmadd_ps(held, r, error, r));
}

#else

typedef __m256 exp_v;
#define EXP_(op) _mm256_##op##_ps

static inline exp_v exp_scale(exp_v p, exp_v rounded)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(rounded), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}

static inline exp_v exp_divide(exp_v a, exp_v d, exp_v x)
{
    exp_v lost = _mm256_cmp_ps(x, _mm256_set1_ps(EXP_LEAST), _CMP_LT_OQ);
    return _mm256_div_ps(a, _mm256_blendv_ps(d, _mm256_set1_ps(HUGE_VALF), lost));
}

#endif

#ifdef __clang__
#define EXP_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < n; i++)
#else
#define EXP_EACH _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
#endif

/* y[i] = a[i] * sigmoid(x[i]), i < n <= 8; n a constant. y may be a or x. a NULL: 1 */
static inline __attribute__((always_inline)) void vsigmoids(exp_v *y, const exp_v *a, const exp_v *x, const int n)
{
    exp_v cut[8], rounded[8], whole[8], r[8], p[8];
    const exp_v one = EXP_(set1)(1);
    EXP_EACH cut[i] = EXP_(min)(EXP_(set1)(EXP_MOST), x[i]); /* the second operand is returned when either is NaN */
    EXP_EACH rounded[i] = EXP_(fnmadd)(cut[i], EXP_(set1)(EXP_LOG2E), EXP_(set1)(EXP_ROUND));
    EXP_EACH whole[i] = EXP_(sub)(rounded[i], EXP_(set1)(EXP_ROUND));
    EXP_EACH r[i] = EXP_(fnmsub)(whole[i], EXP_(set1)(EXP_LN2_HI), cut[i]);
    EXP_EACH r[i] = EXP_(fnmadd)(whole[i], EXP_(set1)(EXP_LN2_LO), r[i]);
    EXP_EACH p[i] = EXP_(fmadd)(EXP_(set1)(EXP_Q4), r[i], EXP_(set1)(EXP_Q3));
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], EXP_(set1)(EXP_Q2));
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], EXP_(set1)(EXP_Q1));
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], EXP_(set1)(EXP_Q0));
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], one);
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], one);
    EXP_EACH p[i] = EXP_(add)(one, exp_scale(p[i], rounded[i]));
    EXP_EACH y[i] = exp_divide(a ? a[i] : one, p[i], x[i]);
}

static inline exp_v vsigmoid(exp_v x)
{
    vsigmoids(&x, NULL, &x, 1);
    return x;
}

static inline exp_v vsilu(exp_v x)
{
    vsigmoids(&x, &x, &x, 1);
    return x;
}

#endif
