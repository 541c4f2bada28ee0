/* vec_exp.h - sigmoid and SiLU over vectors: 16 floats in an AVX-512 file, 8 in an AVX2 file; one formula for both.
 *
 *     n = round(-x N / ln 2),  r = -x - n ln 2 / N,  |r| <= ln 2 / 2N,  N = 32 powers of two in a table (AVX2: 8)
 *     e^-x = 2^(n/N) (1 + r + r^2 (C2 + C3 r)),  relative error 1e-10 (AVX2: 2.7e-8): fitted by weighted least squares (Lawson)
 *     sigmoid = 1 / (1 + e^-x)      silu = x sigmoid
 *
 * Rounding is an addition of 1.5 * 2^23 / N, which leaves n in the low bits: its lowest choose from the table, which a permutation
 * of registers reads. x is cut to -87..80: above, the sum is 1 anyway; below, sigmoid stays at 1.6e-38 and SiLU at -1.4e-36, where
 * the true values are smaller still. So no e^-x overflows, and none is denormal, which would cost its vector 150 cycles. In between
 * both are within 4 ulp. NaN stays NaN.
 *
 * A vector is one chain of some 75 cycles, and a processor's scheduler holds only four: so n vectors go through each step together
 * (four: 10.5 cycles a vector instead of 18). AVX-512 divides by its 14-bit reciprocal and one Newton step, since it divides at 15 cycles a
 * vector; AVX2's reciprocal would need two steps. tests/test_gemm.c walks the range.
 *
 * Included only by *_avx2.c and *_avx512.c. Not here: the scalar truth (act_ref.h). */
#ifndef KERN_VEC_EXP_H
#define KERN_VEC_EXP_H

#include <immintrin.h>
#include <stdbool.h>

#define EXP_LN2_HI 0.693147182464599609375f
#define EXP_LN2_LO (-1.90465421e-9f) /* ln 2 - hi */
#define EXP_LOG2E 1.44269504f
#define EXP_LEAST (-87.0f)
#define EXP_MOST 80.0f

#ifdef __AVX512F__

typedef __m512 exp_v;
#define EXP_(op) _mm512_##op##_ps
#define EXP_ROUND (12582912.0f / 32)
#define EXP_C2 0.500004053f
#define EXP_C3 0.166665182f

/* 2^whole; rounded holds 32*whole in its low bits */
static inline exp_v exp_power(exp_v rounded, exp_v whole)
{
    /* 2^(i/32) */
    const exp_v low = _mm512_setr_ps(0x1p0f, 0x1.059b0ep0f, 0x1.0b5586p0f, 0x1.11301ep0f, 0x1.172b84p0f, 0x1.1d4874p0f,
                                     0x1.2387a6p0f, 0x1.29e9ep0f, 0x1.306fep0f, 0x1.371a74p0f, 0x1.3dea64p0f, 0x1.44e086p0f,
                                     0x1.4bfdaep0f, 0x1.5342b6p0f, 0x1.5ab07ep0f, 0x1.6247ecp0f);
    const exp_v high = _mm512_setr_ps(0x1.6a09e6p0f, 0x1.71f75ep0f, 0x1.7a1148p0f, 0x1.82589ap0f, 0x1.8ace54p0f, 0x1.93737cp0f,
                                      0x1.9c4918p0f, 0x1.a5503cp0f, 0x1.ae89fap0f, 0x1.b7f77p0f, 0x1.c199bep0f, 0x1.cb720ep0f,
                                      0x1.d5818ep0f, 0x1.dfc974p0f, 0x1.ea4afap0f, 0x1.f50766p0f);
    return _mm512_scalef_ps(_mm512_permutex2var_ps(low, _mm512_castps_si512(rounded), high), whole);
}

static inline exp_v exp_divide(exp_v a, exp_v d)
{
    exp_v r = _mm512_rcp14_ps(d), error = _mm512_fnmadd_ps(d, r, _mm512_set1_ps(1));
    return _mm512_mul_ps(a, _mm512_fmadd_ps(r, error, r));
}

#else

typedef __m256 exp_v;
#define EXP_(op) _mm256_##op##_ps
#define EXP_ROUND (12582912.0f / 8)
#define EXP_C2 0.50006479f
#define EXP_C3 0.166642979f

/* 2^whole; rounded holds 8*whole in its low bits */
static inline exp_v exp_power(exp_v rounded, exp_v whole)
{
    (void)whole;
    /* The bits of 2^(i/8), less the i that n << 20 adds to them. */
    const __m256i table =
        _mm256_setr_epi32(0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7);
    const __m256i n = _mm256_castps_si256(rounded), power = _mm256_permutevar8x32_epi32(table, n);
    return _mm256_castsi256_ps(_mm256_add_epi32(power, _mm256_slli_epi32(n, 20)));
}

static inline exp_v exp_divide(exp_v a, exp_v d)
{
    return _mm256_div_ps(a, d);
}

#endif

#ifdef __clang__
#define EXP_EACH _Pragma("clang loop unroll(full)") for (int i = 0; i < n; i++)
#else
#define EXP_EACH _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
#endif

/* y[i] = (times_x ? x[i] : 1) * sigmoid(x[i]), i < n <= 8; n and times_x constants. y may be x. */
static inline __attribute__((always_inline)) void vsigmoids(exp_v *y, const exp_v *x, const bool times_x, const int n)
{
    exp_v cut[8], held[8], rounded[8], whole[8], r[8], p[8];
    const exp_v one = EXP_(set1)(1);
    EXP_EACH cut[i] = EXP_(max)(EXP_(set1)(EXP_LEAST), x[i]); /* the second operand is returned when either is NaN */
    EXP_EACH held[i] = EXP_(min)(EXP_(set1)(EXP_MOST), cut[i]);
    EXP_EACH rounded[i] = EXP_(fnmadd)(held[i], EXP_(set1)(EXP_LOG2E), EXP_(set1)(EXP_ROUND));
    EXP_EACH whole[i] = EXP_(sub)(rounded[i], EXP_(set1)(EXP_ROUND));
    EXP_EACH r[i] = EXP_(fnmsub)(whole[i], EXP_(set1)(EXP_LN2_HI), held[i]);
    EXP_EACH r[i] = EXP_(fnmadd)(whole[i], EXP_(set1)(EXP_LN2_LO), r[i]);
    EXP_EACH p[i] = EXP_(fmadd)(EXP_(set1)(EXP_C3), r[i], EXP_(set1)(EXP_C2));
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], one);
    EXP_EACH p[i] = EXP_(fmadd)(p[i], r[i], one);
    EXP_EACH p[i] = EXP_(fmadd)(exp_power(rounded[i], whole[i]), p[i], one);
    EXP_EACH y[i] = exp_divide(times_x ? cut[i] : one, p[i]);
}

static inline exp_v vsigmoid(exp_v x)
{
    vsigmoids(&x, &x, false, 1);
    return x;
}

static inline exp_v vsilu(exp_v x)
{
    vsigmoids(&x, &x, true, 1);
    return x;
}

#endif
