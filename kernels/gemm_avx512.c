/* gemm_avx512.c - matrix product, convolution and fused expansion with 16-float vectors; the algorithms are gemm_body.h,
 * packed_body.h and expand_body.h.
 *
 * 14 rows x 32 columns: 28 of the 32 registers accumulate, 2 hold B, 1 the broadcast A. Per step of k: 28 multiply-adds in 14
 * cycles, and 16 loads, which two load ports do in 8. */
#include "kernels/kern.h"

#include <immintrin.h>

#define VF __m512
#define VM __mmask16
#define VW 16
#define MR 14
#define DOT_N 4
#define TILES(T) T(1) T(2) T(3) T(4) T(5) T(6) T(7) T(8) T(9) T(10) T(11) T(12) T(13) T(14)

#define v_zero() _mm512_setzero_ps()
#define v_set1(x) _mm512_set1_ps(x)
#define v_load(p) _mm512_loadu_ps(p)
#define v_loadm(p, m) _mm512_maskz_loadu_ps(m, p)
#define v_store(p, v) _mm512_storeu_ps(p, v)
#define v_storem(p, v, m) _mm512_mask_storeu_ps(p, m, v)
#define v_add(a, b) _mm512_add_ps(a, b)
#define v_mul(a, b) _mm512_mul_ps(a, b)
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v_relu(a) _mm512_max_ps(_mm512_setzero_ps(), a) /* NaN stays NaN */
#define v_min(a, b) _mm512_min_ps(a, b)                 /* b when either is NaN */
#define v_sum(a) _mm512_reduce_add_ps(a)

/* The first w of 16 lanes. */
static inline __mmask16 v_mask(int w)
{
    return (__mmask16)((1u << w) - 1);
}

#define gemm kern_gemm_f32_avx512
#define conv_fwd kern_conv_fwd_f32_avx512
#define conv_bwd_data kern_conv_bwd_data_f32_avx512
#define conv_bwd_weight kern_conv_bwd_weight_f32_avx512
#define pack kern_pack_f32_avx512
#define conv_packed kern_conv_packed_f32_avx512
#define expand_dw kern_expand_dw_f32_avx512
#include "kernels/gemm_body.h"
#include "kernels/packed_body.h"
#include "kernels/expand_body.h"
