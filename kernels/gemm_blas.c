/* gemm_blas.c - the portable product: OpenBLAS on one thread, then the epilogue; and dense convolutions as strips of patches
 * over it.
 *
 * For machines without AVX2, and the yardstick of the rows that have it. The library is loaded where it is needed (library.h).
 *
 * OpenBLAS always runs on one thread: its bits depend on its thread count (0.3.21: m=2 n=1792 k=1000 differs between 1 and 2),
 * and rudd promises the same bits for any number of threads. Debian's default build sits on OpenMP and looks at the calling
 * thread's setting at every call, whatever openblas_set_num_threads() said before: so that is set around the calls.
 * Gathering and epilogues run on all threads.
 *
 *     patches of R output pixels [R, k*k*ic] in scratch -> one product -> R rows of y, of dx (scattered back), or a term of dw
 *
 * Not here: vectorised activations (the rows with AVX2), patches of a whole image (the strip stays in L2). */
#include "kernels/act_ref.h"
#include "kernels/conv_patch.h"
#include "kernels/gemm_plan.h"
#include "kernels/kern.h"
#include "kernels/library.h"
#include "kernels/team.h"

#include <cblas.h>
#include <pthread.h>
#include <string.h>

#define KERN_LIBBLAS(F) F(cblas_sgemm) F(openblas_set_num_threads)
KERN_LIBRARY_DECLARE(kern_libblas, KERN_LIBBLAS);
KERN_LIBRARY_DEFINE(kern_libblas, KERN_LIBBLAS, SONAME, "libopenblas0");

enum { FLOATS_ALONE = 32768 }; /* below it, sharing costs more than it saves */

/* Of the OpenMP runtime that OpenBLAS runs on; NULL: on none. */
static int (*get_openmp_threads)(void);
static void (*set_openmp_threads)(int);

static void find_openmp(void)
{
    void *get = kern_library_find(&kern_libblas_library, "omp_get_max_threads");
    void *set = kern_library_find(&kern_libblas_library, "omp_set_num_threads");
    if (!get || !set) return;
    memcpy(&get_openmp_threads, &get, sizeof get);
    memcpy(&set_openmp_threads, &set, sizeof set);
}

bool kern_blas_load(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!kern_library_load(&kern_libblas_library, NULL, 0)) return false;
    pthread_once(&once, find_openmp);
    return true;
}

/* Around calls: one thread for OpenBLAS; the calling thread's OpenMP setting is kept. */
static int begin(void)
{
    int was = get_openmp_threads ? get_openmp_threads() : 0;
    kern_libblas.openblas_set_num_threads(1);
    if (set_openmp_threads) set_openmp_threads(1);
    return was;
}
static void end(int was)
{
    if (set_openmp_threads) set_openmp_threads(was);
}

struct finishing {
    float *c;
    const float *z, *residual;
    const struct kern_gemm *s;
};

static void finish_rows(const void *work, int first, int end, int place)
{
    const struct finishing *f = work;
    const struct kern_gemm *s = f->s;
    (void)place;
    for (int i = first; i < end; i++)
        for (int j = 0; j < s->n; j++) {
            size_t at = (size_t)i * s->n + j;
            double v = act_value(s->act, f->z[at] + (s->bias ? s->bias[j] : 0));
            f->c[at] = (float)(v + (f->residual ? f->residual[at] : 0));
        }
}

/* rows x n of c: c = act(z + bias) + residual; z [rows, n] may be c, and so may residual when z is not. */
static void epilogue(float *c, const float *z, const struct kern_gemm *s, const float *residual, int rows)
{
    const struct finishing f = {c, z, residual, s};
    const bool worth = (size_t)rows * s->n >= FLOATS_ALONE;
    kern_share(finish_rows, &f, rows, kern_grain(s->n), worth);
}

/* c [rows,n] = rows row0.. of op(a) op(b) + beta c */
static void product(float *c, const float *a, const float *b, const struct kern_gemm *s, int row0, int rows, float beta)
{
    const float *from = a + (size_t)row0 * (s->trans_a ? 1 : s->k);
    int was = begin();
    kern_libblas.cblas_sgemm(CblasRowMajor, s->trans_a ? CblasTrans : CblasNoTrans, s->trans_b ? CblasTrans : CblasNoTrans,
                             rows, s->n, s->k, 1, from, s->trans_a ? s->m : s->k, b, s->trans_b ? s->k : s->n, beta, c, s->n);
    end(was);
}

void kern_gemm_f32_blas(float *c, const float *a, const float *b, const struct kern_gemm *s, float *scratch)
{
    if (s->accumulate) {
        product(c, a, b, s, 0, s->m, 1);
    } else if (s->residual != c) {
        product(c, a, b, s, 0, s->m, 0);
        if (s->act || s->bias || s->residual) epilogue(c, c, s, s->residual, s->m);
    } else {
        int strip = kern_blas_strip(s->n);
        for (int i = 0; i < s->m; i += strip) {
            int rows = s->m - i < strip ? s->m - i : strip;
            product(scratch, a, b, s, i, rows, 0);
            epilogue(c + (size_t)i * s->n, scratch, s, s->residual + (size_t)i * s->n, rows);
        }
    }
}

/* ---- convolution ------------------------------------------------------------------------------------------------------------
 */

/* Output pixel `row` of a batch: its image and place. */
struct place {
    int n, p, q;
};
static struct place place_of(const struct kern_conv *s, int row)
{
    return (struct place){row / s->ow / s->oh, row / s->ow % s->oh, row % s->ow};
}

struct gathering {
    float *col;
    const float *x;
    const struct kern_conv *s;
    int row0;
};

static void gather_rows(const void *work, int first, int end, int place)
{
    const struct gathering *g = work;
    const struct kern_conv *s = g->s;
    const struct patches patches = patches_of_input(s);
    const int width = s->k * s->k * s->ic;
    (void)place;
    for (int i = first; i < end; i++) {
        struct place at = place_of(s, g->row0 + i);
        patch_row(g->col + (size_t)i * width, g->x + (size_t)at.n * s->ih * s->iw * s->ic, &patches, at.p, at.q, 0, width);
    }
}

static void gather(float *col, const float *x, const struct kern_conv *s, int row0, int rows)
{
    const size_t width = (size_t)s->k * s->k * s->ic;
    const struct gathering g = {col, x, s, row0};
    kern_share(gather_rows, &g, rows, kern_grain(width), rows * width >= FLOATS_ALONE);
}

/* The reverse: every element of the patches is added to the pixel it came from. Neighbours overlap, so one thread adds in
 * order. */
static void scatter(float *dx, const float *col, const struct kern_conv *s, int row0, int rows)
{
    for (int row = row0; row < row0 + rows; row++) {
        struct place at = place_of(s, row);
        for (int r = 0; r < s->k; r++)
            for (int t = 0; t < s->k; t++, col += s->ic) {
                int i = at.p * s->stride + r - s->pad_top, j = at.q * s->stride + t - s->pad_left;
                if (i < 0 || i >= s->ih || j < 0 || j >= s->iw) continue;
                float *pixel = dx + (((size_t)at.n * s->ih + i) * s->iw + j) * s->ic;
                for (int c = 0; c < s->ic; c++) pixel[c] += col[c];
            }
    }
}

void kern_conv_fwd_f32_blas(float *restrict y, const float *restrict x, const float *restrict w, const struct kern_conv *s,
                            float *restrict scratch)
{
    const int width = s->k * s->k * s->ic, pixels = s->n * s->oh * s->ow, strip = kern_blas_strip(width);
    for (int row = 0; row < pixels; row += strip) {
        size_t at = (size_t)row * s->oc;
        struct kern_gemm g = {.m = pixels - row < strip ? pixels - row : strip, .n = s->oc, .k = width, .trans_b = true};
        g.act = s->act, g.bias = s->bias, g.residual = s->residual ? s->residual + at : NULL;
        gather(scratch, x, s, row, g.m);
        kern_gemm_f32_blas(y + at, scratch, w, &g, NULL);
    }
}

/* Packed here is [oc][k][k][ic]: packed_ref.c. The product goes to scratch first, since the residual may be y. */
void kern_conv_packed_f32_blas(float *y, const float *restrict x, const float *restrict packed, const struct kern_conv *s,
                               float *restrict scratch)
{
    const int width = s->k * s->k * s->ic, pixels = s->n * s->oh * s->ow, strip = kern_blas_strip(width);
    for (int row = 0; row < pixels; row += strip) {
        size_t at = (size_t)row * s->oc;
        struct kern_gemm g = {.m = pixels - row < strip ? pixels - row : strip, .n = s->oc, .k = width, .trans_b = true};
        g.act = s->act, g.bias = s->bias;
        float *z = scratch + (size_t)g.m * width;
        gather(scratch, x, s, row, g.m);
        for (int i = 0; s->scale && i < g.m; i++) {
            const float *scale = s->scale + (size_t)place_of(s, row + i).n * s->ic;
            for (int c = 0; c < width; c++) scratch[(size_t)i * width + c] *= scale[c];
        }
        product(z, scratch, packed, &g, 0, g.m, 0);
        epilogue(y + at, z, &g, s->residual ? s->residual + at : NULL, g.m);
    }
}

void kern_conv_bwd_data_f32_blas(float *restrict dx, const float *restrict dy, const float *restrict w,
                                 const struct kern_conv *s, float *restrict scratch)
{
    const int width = s->k * s->k * s->ic, pixels = s->n * s->oh * s->ow, strip = kern_blas_strip(width);
    for (size_t i = 0; i < (size_t)s->n * s->ih * s->iw * s->ic && !s->accumulate; i++) dx[i] = 0;
    for (int row = 0; row < pixels; row += strip) {
        struct kern_gemm g = {.m = pixels - row < strip ? pixels - row : strip, .n = width, .k = s->oc};
        kern_gemm_f32_blas(scratch, dy + (size_t)row * s->oc, w, &g, NULL);
        scatter(dx, scratch, s, row, g.m);
    }
}

void kern_conv_bwd_weight_f32_blas(float *restrict dw, const float *restrict x, const float *restrict dy,
                                   const struct kern_conv *s, float *restrict scratch)
{
    const int width = s->k * s->k * s->ic, pixels = s->n * s->oh * s->ow, strip = kern_blas_strip(width);
    for (int row = 0; row < pixels; row += strip) {
        struct kern_gemm g = {.m = s->oc, .n = width, .k = pixels - row < strip ? pixels - row : strip, .trans_a = true};
        g.accumulate = row > 0;
        gather(scratch, x, s, row, g.k);
        kern_gemm_f32_blas(dw, dy + (size_t)row * s->oc, scratch, &g, NULL);
    }
}
