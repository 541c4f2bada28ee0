/* kern.h - the arithmetic: every kernel's contract, and the one table through which they are reached.
 *
 * The idea: a kernel is a pure function of pointers and shapes. It returns nothing and cannot fail: what it needs was proven when the
 * plan was made. Rows in kernels.def say which kernels exist and on which instruction tier; kern_table() starts full of plain C
 * references and is overlaid tier by tier with what this processor can run (RUDD_ISA=ref|blas|avx2|avx512 caps it).
 *
 *     nn/ ops  --kern_table()->gemm_f32(...)-->  kern_gemm_f32_avx512 | kern_gemm_f32_avx2 | kern_gemm_f32_ref
 *
 * Common to all: float32, NHWC, contiguous, row-major; destination first. Pointers may have any alignment; buffers are never read or
 * written outside the stated shape, also at tails. `restrict`ed destinations overlap nothing; where aliasing is allowed it is said.
 * Every kernel may share its work among threads (team.h); its result depends on shapes and tier only, never on the number of threads:
 * work is either cut into disjoint outputs, or into KERN_CHUNKS-style chunks whose bounds follow from the shape and whose partial sums
 * are added in order. Kernels are called from one thread at a time per scratch buffer.
 *
 * Who may include this: nn, bench, tests (and train for the optimiser kernels). Nothing here knows graphs, files or errors. */
#ifndef KERN_H
#define KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kern_library;

/* Activation applied by epilogues.   SILU(z) = z * sigmoid(z)   (arXiv:1702.03118);  RELU6(z) = min(max(z, 0), 6)   (arXiv:1704.04861) */
enum kern_act { KERN_ACT_NONE, KERN_ACT_SILU, KERN_ACT_SIGMOID, KERN_ACT_RELU, KERN_ACT_RELU6 };
enum { KERN_ACTS = KERN_ACT_RELU6 + 1 };

/* ---- matrix product ------------------------------------------------------------------------------------------------------- */

/* c[m,n] = act(op(a)[m,k] * op(b)[k,n] + bias[n]) + residual[m,n]          (accumulate: c += the product; then no epilogue)
 *   a is [m,k], or [k,m] when trans_a; b is [k,n], or [n,k] when trans_b. bias and residual may be NULL. c overlaps nothing, except
 *   that residual may be c itself. Any m, n, k >= 1.   2*m*n*k flops. scratch: kern_gemm_scratch(s) floats, contents free. */
struct kern_gemm {
    int m, n, k;
    bool trans_a, trans_b, accumulate;
    enum kern_act act;
    const float *bias, *residual;
};
typedef void kern_gemm_f32(float *c, const float *a, const float *b, const struct kern_gemm *s, float *scratch);
size_t kern_gemm_scratch(const struct kern_gemm *s); /* floats, enough for every tier and the current kern_threads() */

/* ---- convolution ---------------------------------------------------------------------------------------------------------- */

/* Geometry of a convolution, dense or depthwise (then ic == oc == the channel count), and the forward epilogue.
 * Input row of output row p and tap r: p*stride + r - pad_top; taps outside the image count as 0. */
struct kern_conv {
    int n, ih, iw, ic, oh, ow, oc, k, stride, pad_top, pad_left;
    bool accumulate;              /* conv_bwd_data only: dx += */
    enum kern_act act;            /* forward only, as in kern_gemm */
    const float *bias, *residual; /* forward only; NULL: none; residual [n,oh,ow,oc] */
    const float *scale;           /* conv_packed only */
};

/* Dense convolution.   y[n,p,q,o] = act(sum_{r,t,i} x[n, p*stride+r-pad_top, q*stride+t-pad_left, i] * w[o,r,t,i] + bias[o]) + residual
 *   x [n,ih,iw,ic]   w [oc,k,k,ic]   y [n,oh,ow,oc].   2*n*oh*ow*oc*k*k*ic flops.   scratch: kern_conv_scratch(s) floats. */
typedef void kern_conv_fwd_f32(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s,
                               float *restrict scratch);
/* Gradient of the input:  dx[n,i,j,:] = sum over (p,q,r,t) that read (i,j) of  dy[n,p,q,:] * w[:,r,t,:] */
typedef void kern_conv_bwd_data_f32(float *restrict dx, const float *restrict dy, const float *restrict w,
                                    const struct kern_conv *s, float *restrict scratch);
/* Gradient of the weight: dw[o,r,t,i] = sum_{n,p,q} dy[n,p,q,o] * x[n, p*stride+r-pad_top, q*stride+t-pad_left, i]; dw is overwritten */
typedef void kern_conv_bwd_weight_f32(float *restrict dw, const float *restrict x, const float *restrict dy,
                                      const struct kern_conv *s, float *restrict scratch);
size_t
kern_conv_scratch(const struct kern_conv *s); /* floats, enough for the three above, every tier, the current kern_threads() */

/* Depthwise convolution, forward.   y[n,p,q,c] = act(sum_{r,t} x[n, p*stride+r-pad_top, q*stride+t-pad_left, c] * w[r,t,c] + bias[c])
 *   x [n,ih,iw,c]   w [k,k,c]   y [n,oh,ow,c]; any c >= 1.   2*n*oh*ow*c*k*k flops.   MobileNets, arXiv:1704.04861, eq. 3. */
typedef void kern_dwconv_fwd_f32(float *restrict y, const float *restrict x, const float *restrict w,
                                 const struct kern_conv *s);
/* dx[n,i,j,c] = sum over (p,q,r,t) that read (i,j) of dy[n,p,q,c] * w[r,t,c]; dx is overwritten */
typedef void kern_dwconv_bwd_data_f32(float *restrict dx, const float *restrict dy, const float *restrict w,
                                      const struct kern_conv *s);
/* dw[r,t,c] = sum_{n,p,q} dy[n,p,q,c] * x[n, p*stride+r-pad_top, q*stride+t-pad_left, c]; scratch: kern_dwconv_scratch(s) floats */
typedef void kern_dwconv_bwd_weight_f32(float *restrict dw, const float *restrict x, const float *restrict dy,
                                        const struct kern_conv *s, float *restrict scratch);
size_t kern_dwconv_scratch(const struct kern_conv *s);

/* Max pooling.   y[n,p,q,c] = max_{r,t} x[n, p*stride+r-pad_top, q*stride+t-pad_left, c]
 *   Geometry as of a depthwise convolution. Taps outside the image are left out; zeros: they count as 0. NaN wins. */
typedef void kern_maxpool_fwd_f32(float *restrict y, const float *restrict x, const struct kern_conv *s, bool zeros);
/* dx[n,i,j,c] = sum of dy over the windows that have their maximum at (i,j): the first one in rising r, then t, the zeros of the border
 * before all others; dx is overwritten */
typedef void kern_maxpool_bwd_f32(float *restrict dx, const float *restrict dy, const float *restrict x,
                                  const struct kern_conv *s, bool zeros);

/* ---- convolution with constant weights (inference) --------------------------------------------------------------------------- */

/* Weights in the form that this tier's kernels read (packed_plan.h): w [oc,ic,k,k], the canonical layout, times scale[oc] (a folded
 * batch norm; NULL: 1).   packed: kern_packed_floats(oc, ic, k) floats. */
typedef void kern_pack_f32(float *restrict packed, const float *restrict w, const float *restrict scale, int oc, int ic, int k);
size_t kern_packed_floats(int oc, int ic, int k);

/* Dense convolution as kern_conv_fwd_f32, over packed weights; with k = 1, x may be scaled by image and channel:
 *   y[n,p,q,o] = act(sum_{r,t,i} x[n, p*stride+r-pad_top, q*stride+t-pad_left, i] * scale[n,i] * w[o,i,r,t] + bias[o]) + residual
 *   scale [n,ic] or NULL (1): squeeze-and-excitation, arXiv:1709.01507, eq. 4. y overlaps nothing, except that with act NONE the
 *   residual may be y itself.   scratch: kern_packed_scratch(s) floats. */
typedef void kern_conv_packed_f32(float *y, const float *restrict x, const float *restrict packed, const struct kern_conv *s,
                                  float *restrict scratch);
size_t kern_packed_scratch(const struct kern_conv *s);

/* The first half of an inverted bottleneck:   e = act(x W + bias)   y = dw.act(depthwise(e, w) + dw.bias)   sums = sum of y
 *   x [n,ih,iw,ic]   weight: packed [c,ic], k = 1; NULL: e = x, ic unused   y [n,oh,ow,c]
 *   w: packed [c,1], k
 *   sums [n,strips,c] over the pixels of each strip of rows, strips = kern_expand_strips(s): their sum over strips is what a squeeze
 *   needs.   dw: geometry of the depthwise convolution with dw.ic == dw.oc == c, k <= KERN_EXPAND_K_MAX, no residual.
 *   MobileNetV2, arXiv:1801.04381, figure 3b.   scratch: kern_expand_scratch(s) floats. */
enum { KERN_EXPAND_K_MAX = 7 };
struct kern_expand {
    struct kern_conv dw;
    int ic;
    const float *weight, *bias;
    enum kern_act act;
};
typedef void kern_expand_dw_f32(float *restrict y, float *restrict sums, const float *restrict x, const float *restrict w,
                                const struct kern_expand *s, float *restrict scratch);
int kern_expand_strips(const struct kern_expand *s);
size_t kern_expand_scratch(const struct kern_expand *s);

/* ---- per-channel reductions and maps over x [rows,c] ----------------------------------------------------------------------- */

/* Sums over rows are cut into at most KERN_CHUNKS pieces of equal, shape-derived size; partial sums are added in piece order. */
enum { KERN_CHUNKS = 32 };
size_t kern_rows_scratch(int c); /* floats of scratch for every kernel of this section that takes it */

/* mean[c] = sum_rows x / rows;  var[c] = sum_rows (x - mean)^2 / rows  (biased)      Batch Normalization, arXiv:1502.03167, alg. 1
 * Summed around the first row, partial sums kept in double, so that a mean far from 0 costs no accuracy. */
typedef void kern_bn_stats_f32(float *restrict mean, float *restrict var, const float *restrict x, int rows, int c,
                               float *restrict scratch);
/* y = act(x * a[c] + b[c]);  a may be NULL (1), b may be NULL (0); y may be x */
typedef void kern_affine_act_f32(float *y, const float *x, const float *a, const float *b, enum kern_act act, int rows, int c);

/* What batch norm's backward needs: y = act(z), z = gamma * xhat + beta, xhat = (x - mean) * rstd; all four [c].
 * frozen: mean and rstd are constants, not functions of x.
 * gate [n,c], pooled [n,c], n = rows/pixels: in the place of dy the gradient is dy*gate + pooled/pixels, each row's from its own image: what a
 * squeeze-excitation sends back, its scale and its pool, without a pass of its own. Both NULL: dy. */
struct kern_bn {
    int rows, c;
    enum kern_act act;
    bool frozen;
    const float *mean, *rstd, *gamma, *beta;
    const float *gate, *pooled;
    int pixels;
};
/* dz = dy * act'(z), z recomputed from x;  dbeta[c] = sum_rows dz;  dgamma[c] = sum_rows dz * xhat.   dz may be dy. */
typedef void kern_bn_bwd_reduce_f32(float *dz, float *restrict dgamma, float *restrict dbeta, const float *dy,
                                    const float *restrict x, const struct kern_bn *s, float *restrict scratch);
/* dx = gamma*rstd * (dz - dbeta/rows - xhat*dgamma/rows), or gamma*rstd*dz when frozen (x, dgamma, dbeta unused).   dx may be dz.
 *                                                                                                  arXiv:1502.03167, section 3 */
typedef void kern_bn_bwd_apply_f32(float *dx, const float *dz, const float *restrict x, const float *restrict dgamma,
                                   const float *restrict dbeta, const struct kern_bn *s);
/* out[c] = sum_rows x */
typedef void kern_colsum_f32(float *restrict out, const float *restrict x, int rows, int c, float *restrict scratch);

/* ---- per-image maps over x [n,hw,c] ---------------------------------------------------------------------------------------- */

/* y[n,c] = sum_{p<hw} x[n,p,c] / divisor: a mean with hw, or what is left of one over partial sums */
typedef void kern_pool_fwd_f32(float *restrict y, const float *restrict x, int n, int hw, int c, int divisor);
/* dx[n,p,c] = dy[n,c] / hw   (accumulate: +=) */
typedef void kern_pool_bwd_f32(float *restrict dx, const float *restrict dy, int n, int hw, int c, bool accumulate);
/* y[n,p,c] = x[n,p,c] * s[n,c]; y may be x.     Squeeze-and-Excitation, arXiv:1709.01507, eq. 4 */
typedef void kern_scale_f32(float *y, const float *x, const float *restrict s, int n, int hw, int c);
/* ds[n,c] = sum_p dy[n,p,c] * x[n,p,c] */
typedef void kern_scale_bwd_s_f32(float *restrict ds, const float *restrict dy, const float *restrict x, int n, int hw, int c);
/* y[n,i] = x[n,i] * scale[n] + r[n,i], i < count; scale NULL: 1; r NULL: 0; y may be x or r.   Stochastic depth, arXiv:1603.09382 */
typedef void kern_residual_f32(float *y, const float *x, const float *r, const float *scale, int n, int count);

/* ---- elementwise over count floats ------------------------------------------------------------------------------------------ */

typedef void kern_act_fwd_f32(float *y, const float *x, enum kern_act act, size_t count); /* y may be x */
typedef void kern_act_bwd_f32(float *dx, const float *dy, const float *x, enum kern_act act,
                              size_t count);                                       /* dx = dy*act'(x); may be dy */
typedef void kern_mul_f32(float *y, const float *a, const float *b, size_t count); /* y may be a or b */
typedef void kern_add_f32(float *y, const float *a, const float *b, size_t count); /* y may be a or b */

/* ---- loss ------------------------------------------------------------------------------------------------------------------- */

/* p[n,c] = softmax(logits) per row, by subtracting the row's maximum; p may be logits */
typedef void kern_softmax_f32(float *p, const float *logits, int n, int c);
/* Cross-entropy against any non-negative target mass q [n,c] (one-hot, smoothed, class-weighted, mixed: the caller's affair):
 *   *loss = -inv_norm * sum_{n,c} q log softmax(logits);   dlogits = inv_norm * (softmax(logits) * sum_c q - q);   summed in double.
 *   dlogits may be NULL or logits. */
typedef void kern_xent_f32(double *loss, float *dlogits, const float *logits, const float *restrict q, double inv_norm, int n,
                           int c);

/* ---- optimiser steps, elementwise over one parameter tensor ----------------------------------------------------------------- */

/* Decoupled weight decay Adam, arXiv:1711.05101, alg. 2, as PyTorch does it:
 *   w -= lr*decay*w;  m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g^2;  w -= lr * (m/bias1) / (sqrt(v/bias2) + eps);  g is read times g_scale */
struct kern_adamw {
    float lr, beta1, beta2, eps, decay, bias1, bias2, g_scale; /* bias1 = 1 - beta1^t, bias2 = 1 - beta2^t */
};
typedef void kern_adamw_f32(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                            const struct kern_adamw *s);
/* Momentum: g' = g*g_scale + decay*w;  m = momentum*m + g';  w -= lr * (nesterov ? g' + momentum*m : m)        (PyTorch's form) */
struct kern_sgd {
    float lr, momentum, decay, g_scale;
    bool nesterov;
};
typedef void kern_sgd_f32(float *restrict w, float *restrict m, const float *restrict g, size_t count,
                          const struct kern_sgd *s);
/* RMSprop, TensorFlow's form (eps inside the root, the rate inside the buffer), as timm's RMSpropTF; v starts at 1:
 *   g' = g*g_scale + decay*w;  v += (1-alpha) * (g'^2 - v);  m = momentum*m + lr * g' / sqrt(v + eps);  w -= m */
struct kern_rmsprop {
    float lr, alpha, momentum, eps, decay, g_scale;
};
typedef void kern_rmsprop_f32(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t count,
                              const struct kern_rmsprop *s);
/* Lion, arXiv:2302.06675, alg. 2:   c = b1*m + (1-b1)*g;  w -= lr*(sign(c) + decay*w);  m = b2*m + (1-b2)*g;  sign(0) = 0; g is read
 * times g_scale */
struct kern_lion {
    float lr, beta1, beta2, decay, g_scale;
};
typedef void kern_lion_f32(float *restrict w, float *restrict m, const float *restrict g, size_t count,
                           const struct kern_lion *s);
/* y = y*keep + x*(1-keep): exponential moving averages of weights and of batch-norm statistics */
typedef void kern_lerp_f32(float *restrict y, const float *restrict x, float keep, size_t count);
/* *sum = sum of x^2, partial sums per fixed chunk, in double */
typedef void kern_sumsq_f32(double *sum, const float *x, size_t count);

/* ---- image resize ------------------------------------------------------------------------------------------------------------ */

/* The filter of one axis in fixed point: output i reads count[i] inputs from start[i] on under the weights hi * 2^KERN_TAP_LOW + lo. Halves,
 * so that 16-bit multiplies are enough: 0 <= lo < 2^KERN_TAP_LOW. The whole sum of an output must fit an int32. */
enum { KERN_TAP_BITS = 22, KERN_TAP_LOW = 11, KERN_TAP_GROUP = 8 };
struct kern_taps {
    int in;        /* inputs */
    int n, stride; /* outputs; weights of each, a multiple of KERN_TAP_GROUP; those beyond count[i] are 0 */
    const int *start, *count;
    const int16_t *hi, *lo; /* [n, stride] */
};
/* 8-bit RGB along rows:  out[y,i,c] = clip((2^21 + sum_k weight[i,k] * in[y, start[i]+k, c]) >> 22)
 *   out [rows,n,3]   in [rows,in,3]: rows in_stride bytes apart. One thread. */
typedef void kern_resize_rows_u8(uint8_t *restrict out, const uint8_t *restrict in, int rows, size_t in_stride,
                                 const struct kern_taps *t);
/* Along columns, output row i:  out[x] = clip((2^21 + sum_k weight[i,k] * in[k,x]) >> 22)     out [bytes]   in [count[i],bytes].
 * in is the row start[i] of the source. One thread. */
typedef void kern_resize_cols_u8(uint8_t *restrict out, const uint8_t *restrict in, size_t bytes, const struct kern_taps *t,
                                 int i);

/* ---- the table -------------------------------------------------------------------------------------------------------------- */

/* What a row may need: features of the processor (AVX2: also FMA; AVX512: F, BW, DQ, VL), and OpenBLAS. */
enum { KERN_CPU_AVX2 = 1 << 0, KERN_CPU_AVX512 = 1 << 1, KERN_HAS_BLAS = 1 << 2 };

/* One prototype per row. */
#define KERNEL(name, type, tier, cpu) kern_##name##_##type kern_##name##_##type##_##tier;
#include "kernels.def"
#undef KERNEL

/* One field per kernel: the reference rows name them. */
#define KERN_FIELD_ref(name, type) kern_##name##_##type *name##_##type;
#define KERN_FIELD_blas(name, type)
#define KERN_FIELD_avx2(name, type)
#define KERN_FIELD_avx512(name, type)
#define KERNEL(name, type, tier, cpu) KERN_FIELD_##tier(name, type)
struct kern_table {
#include "kernels.def"
};
#undef KERNEL

/* The table for this processor, capped by RUDD_ISA (ref, blas, avx2, avx512; read once, at the first call). Thread-safe. */
const struct kern_table *kern_table(void);
/* Features of this processor, uncapped; the same and KERN_HAS_BLAS, if OpenBLAS can be loaded, for tests and benches; and the name of the tier kern_table() uses: "blas" (OpenBLAS products,
 * C for the rest), "avx2", "avx512"; "ref" when capped, or where OpenBLAS is needed and missing. */
unsigned kern_cpu_features(void);
unsigned kern_features(void);
const char *kern_isa(void);
/* A table limited to the given features, for tests and benches. */
void kern_table_fill(struct kern_table *t, unsigned features);

/* Every row of kernels.def, in its order; for tests and benches, which cast run back to kern_<name>_<type>. */
struct kern_row {
    const char *name, *tier; /* "gemm_f32", "avx512" */
    unsigned features;       /* what it needs */
    void (*run)(void);
};
const struct kern_row *kern_rows(int *count);
/* Whether the table's expand_dw is more than its reference, so that a plan gains by it. */
bool kern_expand_pays(const struct kern_table *t);

/* Threads: the one place that owns their number (threads.c). n <= 0: one per processor this process
 * may use, up to KERN_THREADS_MAX (limits.h). The number is process-wide. Thread-safe; set it while no
 * kernel runs, and make scratch (kern_*_scratch) afterwards. team.h: how they share work. */
void kern_set_threads(int n);
int kern_threads(void);
/* From now on kernels that the calling thread runs take at most n; 0: no cap. Plans and scratch made
 * without a cap serve under one. Returns the cap that was there before. */
int kern_cap_threads(int n);
/* Whether OpenBLAS is there: loads it (gemm_blas.c), before any row of its tier may run. Thread-safe. */
bool kern_blas_load(void);
extern struct kern_library kern_libblas_library; /* OpenBLAS itself (library.h), for --version */

#endif
