/* gemm_tile.h - one tile of a matrix product held in registers, and what every kernel built on it shares.
 *
 * The including file (gemm_avx2.c, gemm_avx512.c) gives the vector and the tile: VF, VM, VW, v_* operations, MR rows x 2
 * vectors. Vectors lie along n, so elements of A are broadcast:
 *
 *               NR = 2*VW
 *             +-----------+
 *          kc |  panel    |  B [kc][NR]
 *        kc   +-----------+
 *      +----+ +-----------+
 *   MR |  A | | registers |  acc[i][v] += a[i][p] * panel[p][v]
 *      +----+ +-----------+
 *
 * A may come in segments: the k*k*ic elements that a pixel of a dense convolution reads are k runs of k*ic floats, one per row of
 * the image, so that the tile reads the image itself and nothing is gathered.
 *
 * Here too: a row's epilogue, packing a panel, the widths of panels and the heights of strips.
 * Not here: cutting a product into tiles (gemm_body.h, packed_body.h, expand_body.h). */
#include "kernels/gemm_plan.h"
#include "kernels/vec_exp.h"

#include <math.h>
#include <stdint.h>

#define NR (2 * VW)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

_Static_assert(MR <= GEMM_MR_MAX && NR <= GEMM_NR_MAX && MR <= VW,
               "gemm_plan.h sizes scratch for these; a mask covers a column of A");

/* ---- one tile -------------------------------------------------------------------------------------------------------------
 */

/* One tile: c[mr, nv vectors] = before + A B + bias, row i of segment s of A at a + s*as + i*rs, its elements cs apart; B is
 * segments*kc rows, bs apart. The last vector is cut by mask. before lies like c; before and bias may be NULL. */
struct tile {
    int kc, segments;
    const float *a;
    ptrdiff_t as, rs, cs;
    const float *b;
    ptrdiff_t bs;
    float *c;
    ptrdiff_t ld;
    const float *before, *bias;
    VM mask;
    const float *ahead; /* TILE_AHEAD only: kc lines to fetch on the way, the next strip of A or half of the next panel */
};

INLINE void tile(const struct tile *t, const int mr, const int nv, const ptrdiff_t rs, const ptrdiff_t cs, const bool ahead)
{
    VF acc[MR][2];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_zero();

    const float *b = t->b;
    const ptrdiff_t bs = t->bs;
    const int kc = t->kc;
    for (int s = 0; s < t->segments; s++) {
        /* Rows in threes from a few bases, so that one index register serves rs and 2*rs. */
        const float *base[(MR + 2) / 3];
        UNROLL for (int i = 0; i < (mr + 2) / 3; i++) base[i] = t->a + s * t->as + 3 * i * rs;
        for (int p = 0; p < kc; p++) {
            VF bv[2];
            UNROLL for (int v = 0; v < nv; v++) bv[v] = v_load(b + v * VW);
            UNROLL for (int i = 0; i < mr; i++)
            {
                VF av = v_set1(base[i / 3][i % 3 * rs]);
                UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_fma(av, bv[v], acc[i][v]);
            }
            UNROLL for (int i = 0; i < (mr + 2) / 3; i++) base[i] += cs;
            b += bs;
            /* A line for each step of k: MR rows of k floats are fewer lines than k. */
            if (ahead) _mm_prefetch((const char *)(t->ahead + (ptrdiff_t)p * 16), _MM_HINT_T1);
        }
    }

    const float *before = t->before, *bias = t->bias;
    float *c = t->c;
    const ptrdiff_t ld = t->ld;
    const VM mask = t->mask;
    UNROLL for (int v = 0; v < nv; v++)
    {
        const bool last = v == nv - 1;
        VF add = !bias ? v_zero() : last ? v_loadm(bias + v * VW, mask) : v_load(bias + v * VW);
        UNROLL for (int i = 0; i < mr; i++)
        {
            VF z = acc[i][v];
            if (before) z = v_add(z, last ? v_loadm(before + i * ld + v * VW, mask) : v_load(before + i * ld + v * VW));
            z = v_add(z, add);
            if (last)
                v_storem(c + i * ld + v * VW, z, mask);
            else
                v_store(c + i * ld + v * VW, z);
        }
    }
}

typedef void tile_fn(const struct tile *t);

/* One function per height, width and form: rows of A with cs == 1, the same fetching the next strip on the way, and transposed A
 * (rs == 1). */
enum tile_form { TILE_ROW, TILE_AHEAD, TILE_COL, TILE_FORMS };
#define TILE_FORM(mr, nv, form, RS, CS, ahead)                                                                                 \
    static void tile_##mr##_##nv##_##form(const struct tile *t)                                                                \
    {                                                                                                                          \
        tile(t, mr, nv, RS, CS, ahead);                                                                                        \
    }
#define TILE_WIDTH(mr, nv)                                                                                                     \
    TILE_FORM(mr, nv, row, t->rs, 1, false) TILE_FORM(mr, nv, ahead, t->rs, 1, true) TILE_FORM(mr, nv, col, 1, t->cs, false)
#define TILE(mr) TILE_WIDTH(mr, 1) TILE_WIDTH(mr, 2)
TILES(TILE)
#undef TILE
#define TILE(mr)                                                                                                               \
    {{tile_##mr##_1_row, tile_##mr##_2_row},                                                                                   \
     {tile_##mr##_1_ahead, tile_##mr##_2_ahead},                                                                               \
     {tile_##mr##_1_col, tile_##mr##_2_col}},
static tile_fn *const tiles[MR][TILE_FORMS][2] = {TILES(TILE)};
#undef TILE

INLINE int least_int(int a, int b)
{
    return a < b ? a : b;
}

/* z[0..n) activated together; n a constant. */
INLINE void activate_all(enum kern_act act, VF *z, const int n)
{
    static const float most[KERN_ACTS] = {[KERN_ACT_RELU] = INFINITY, [KERN_ACT_RELU6] = 6};
    if (act == KERN_ACT_SILU)
        vsigmoids(z, z, true, n);
    else if (act == KERN_ACT_SIGMOID)
        vsigmoids(z, z, false, n);
    else if (act != KERN_ACT_NONE) /* ReLU and ReLU6 in one, and no switch: of five cases compilers make an indirect jump */
        UNROLL for (int i = 0; i < n; i++) z[i] = v_min(v_set1(most[act]), v_relu(z[i]));
}

INLINE VF activate(enum kern_act act, VF z)
{
    activate_all(act, &z, 1);
    return z;
}

/* dst[w] = act(z + before + bias) + after; before, bias and after may be NULL. dst may be before or after. */
static void finish_row(float *dst, const float *z, int w, const float *before, const float *bias, enum kern_act act,
                       const float *after)
{
    for (int j = 0; j < w; j += VW) {
        VM mask = v_mask(w - j < VW ? w - j : VW);
        VF v = v_loadm(z + j, mask);
        if (before) v = v_add(v, v_loadm(before + j, mask));
        if (bias) v = v_add(v, v_loadm(bias + j, mask));
        v = activate(act, v);
        if (after) v = v_add(v, v_loadm(after + j, mask));
        v_storem(dst + j, v, mask);
    }
}

/* dst[p][0..stride) = src[j*ld + p], j < w, zero beyond w: a panel from n-major B. 8 x 8 at a time where both run full. */
static void pack_transposed(float *restrict dst, int stride, const float *restrict src, ptrdiff_t ld, int kc, int w)
{
    for (int j = 0; j < stride; j += 8) {
        int p = 0;
        if (j + 8 <= w)
            for (; p + 8 <= kc; p += 8) {
                const float *s = src + j * ld + p;
                __m256 r0 = _mm256_loadu_ps(s), r1 = _mm256_loadu_ps(s + ld), r2 = _mm256_loadu_ps(s + 2 * ld);
                __m256 r3 = _mm256_loadu_ps(s + 3 * ld), r4 = _mm256_loadu_ps(s + 4 * ld), r5 = _mm256_loadu_ps(s + 5 * ld);
                __m256 r6 = _mm256_loadu_ps(s + 6 * ld), r7 = _mm256_loadu_ps(s + 7 * ld);
                __m256 t0 = _mm256_unpacklo_ps(r0, r1), t1 = _mm256_unpackhi_ps(r0, r1), t2 = _mm256_unpacklo_ps(r2, r3);
                __m256 t3 = _mm256_unpackhi_ps(r2, r3), t4 = _mm256_unpacklo_ps(r4, r5), t5 = _mm256_unpackhi_ps(r4, r5);
                __m256 t6 = _mm256_unpacklo_ps(r6, r7), t7 = _mm256_unpackhi_ps(r6, r7);
                r0 = _mm256_shuffle_ps(t0, t2, 0x44), r1 = _mm256_shuffle_ps(t0, t2, 0xee);
                r2 = _mm256_shuffle_ps(t1, t3, 0x44), r3 = _mm256_shuffle_ps(t1, t3, 0xee);
                r4 = _mm256_shuffle_ps(t4, t6, 0x44), r5 = _mm256_shuffle_ps(t4, t6, 0xee);
                r6 = _mm256_shuffle_ps(t5, t7, 0x44), r7 = _mm256_shuffle_ps(t5, t7, 0xee);
                float *d = dst + (ptrdiff_t)p * stride + j;
                _mm256_storeu_ps(d, _mm256_permute2f128_ps(r0, r4, 0x20));
                _mm256_storeu_ps(d + stride, _mm256_permute2f128_ps(r1, r5, 0x20));
                _mm256_storeu_ps(d + 2 * stride, _mm256_permute2f128_ps(r2, r6, 0x20));
                _mm256_storeu_ps(d + 3 * stride, _mm256_permute2f128_ps(r3, r7, 0x20));
                _mm256_storeu_ps(d + 4 * stride, _mm256_permute2f128_ps(r0, r4, 0x31));
                _mm256_storeu_ps(d + 5 * stride, _mm256_permute2f128_ps(r1, r5, 0x31));
                _mm256_storeu_ps(d + 6 * stride, _mm256_permute2f128_ps(r2, r6, 0x31));
                _mm256_storeu_ps(d + 7 * stride, _mm256_permute2f128_ps(r3, r7, 0x31));
            }
        for (; p < kc; p++)
            for (int l = j; l < j + 8; l++) dst[(ptrdiff_t)p * stride + l] = l < w ? src[l * ld + p] : 0;
    }
}

/* Width of the panel at column j: NR, or at the right edge what holds the rest. */
INLINE int panel_width(int j, int n)
{
    return n - j > VW ? NR : VW;
}

/* Balanced heights: strips of 49 rows are 13 12 12 12 rather than 14 14 14 7. */
INLINE int strip_count(int m)
{
    return (m + MR - 1) / MR;
}
INLINE int strip_start(int m, int s)
{
    return (int)((int64_t)m * s / strip_count(m));
}
