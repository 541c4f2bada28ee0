/* gemm_avx2.c - matrix product, convolution and fused expansion with 8-float vectors; the algorithms are gemm_body.h,
 * packed_body.h and expand_body.h.
 *
 * 6 rows x 16 columns: 12 of the 16 registers accumulate, 2 hold B, 1 the broadcast A. Per step of k: 12 multiply-adds in 6
 * cycles, and 8 loads, which two load ports do in 4. */
#include "kernels/kern.h"

#include <immintrin.h>

#define VF __m256
#define VM __m256i
#define VW 8
#define MR 6
#define DOT_N 2
#define TILES(T) T(1) T(2) T(3) T(4) T(5) T(6)

#define v_zero() _mm256_setzero_ps()
#define v_set1(x) _mm256_set1_ps(x)
#define v_load(p) _mm256_loadu_ps(p)
#define v_loadm(p, m) _mm256_maskload_ps(p, m)
#define v_store(p, v) _mm256_storeu_ps(p, v)
#define v_storem(p, v, m) _mm256_maskstore_ps(p, m, v)
#define v_add(a, b) _mm256_add_ps(a, b)
#define v_mul(a, b) _mm256_mul_ps(a, b)
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define v_relu(a) _mm256_max_ps(_mm256_setzero_ps(), a) /* NaN stays NaN */
#define v_min(a, b) _mm256_min_ps(a, b)                 /* b when either is NaN */

/* The first w of 8 lanes. */
static inline __m256i v_mask(int w)
{
    static const int32_t ramp[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ramp + 8 - w));
}

static inline float v_sum(__m256 a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#define gemm kern_gemm_f32_avx2
#define conv_fwd kern_conv_fwd_f32_avx2
#define conv_bwd_data kern_conv_bwd_data_f32_avx2
#define conv_bwd_weight kern_conv_bwd_weight_f32_avx2
#define pack kern_pack_f32_avx2
#define conv_packed kern_conv_packed_f32_avx2
#define expand_dw kern_expand_dw_f32_avx2
#include "kernels/gemm_body.h"
#include "kernels/packed_body.h"
#include "kernels/expand_body.h"
