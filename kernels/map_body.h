/* map_body.h - per-image maps over x [n,hw,c]; included by map_avx2.c and map_avx512.c.
 *
 * Broadcasts along hw go in strips of rows, a vector of channels at a time. Sums along hw (pooling, the gradient of a scale)
 * have no scratch: a task is one image and WIDE channels, cut along hw into chunks whose sums lie on the stack. A batch is
 * shared by tasks; a single image, whose tasks may be two, by chunks. Either way the same additions in the same order.
 *
 * Not here: what it means (map_ref.c). */
#include "kernels/kern.h"
#include "kernels/vec.h"

enum {
    STRIP = 8,          /* rows whose sum is kept in float */
    CHUNK = 16 * STRIP, /* least rows of a chunk */
    WIDE = 64,          /* channels of a task: four cache lines of every row */
    TASKS_ENOUGH = 8    /* tasks from which they are shared rather than the chunks within them */
};

/* ---- sums along hw ---- */

/* sums += sum over rows of x, or of x*dy. */
INLINE void add_strip(double *sums, const float *x, const float *dy, int rows, int c, int lanes)
{
    vf sum = v_set(0);
    if (dy)
        for (int i = 0; i < rows; i++, x += c, dy += c) sum = v_fma(v_load(x, lanes), v_load(dy, lanes), sum);
    else
        for (int i = 0; i < rows; i++, x += c) sum = v_add(sum, v_load(x, lanes));
    v_add_to_double(sums, sum);
}

/* part = sums of chunk `chunk` of `chunks`, channels [first, end). */
static void sum_chunk(double *part, const float *x, const float *dy, int hw, int c, int first, int end, int chunk, int chunks)
{
    const int strips = (hw + STRIP - 1) / STRIP;
    int row = (int)((int64_t)strips * chunk / chunks) * STRIP;
    const int last = least(hw, (int)((int64_t)strips * (chunk + 1) / chunks) * STRIP);
    for (int i = 0; i < WIDE; i++) part[i] = 0;
    for (; row < last; row += STRIP) {
        const size_t at = (size_t)row * c;
        const int rows = least(STRIP, last - row);
        EACH_VECTOR(first, end, add_strip(part + (j - first), x + at + j, dy ? dy + at + j : NULL, rows, c, lanes));
    }
}

/* Channels [first, end) of one image. */
static void sum_image(float *out, const float *x, const float *dy, double factor, int hw, int c, int first, int end,
                      bool shared)
{
    double part[KERN_CHUNKS][WIDE];
    const int chunks = least(KERN_CHUNKS, (hw + CHUNK - 1) / CHUNK);
    if (shared) {
#pragma omp parallel for schedule(static) num_threads(kern_threads())
        for (int chunk = 0; chunk < chunks; chunk++) sum_chunk(part[chunk], x, dy, hw, c, first, end, chunk, chunks);
    } else { /* not an `if` of the pragma: a team of one costs a microsecond, and there are tasks smaller than that */
        for (int chunk = 0; chunk < chunks; chunk++) sum_chunk(part[chunk], x, dy, hw, c, first, end, chunk, chunks);
    }
    for (int j = first; j < end; j++) {
        double sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++) sum += part[chunk][j - first];
        out[j] = (float)(sum * factor);
    }
}

/* out[n,c] = factor * sum over hw of x, or of x*dy. */
static void sum_images(float *out, const float *x, const float *dy, double factor, int n, int hw, int c)
{
    const int groups = (c + WIDE - 1) / WIDE, tasks = n * groups;
    const bool large = (size_t)n * hw * c > ALONE, by_task = tasks >= TASKS_ENOUGH;
#pragma omp parallel for schedule(static) num_threads(kern_threads()) if (large && by_task)
    for (int task = 0; task < tasks; task++) {
        const int i = task / groups, first = task % groups * WIDE;
        const size_t at = (size_t)i * hw * c;
        sum_image(out + (size_t)i * c, x + at, dy ? dy + at : NULL, factor, hw, c, first, least(c, first + WIDE),
                  large && !by_task);
    }
}

void TIER(kern_pool_fwd_f32)(float *restrict y, const float *restrict x, int n, int hw, int c, int divisor)
{
    sum_images(y, x, NULL, 1.0 / divisor, n, hw, c);
}

void TIER(kern_scale_bwd_s_f32)(float *restrict ds, const float *restrict dy, const float *restrict x, int n, int hw, int c)
{
    sum_images(ds, x, dy, 1, n, hw, c);
}

/* ---- broadcasts along hw ---- */

/* Runs statement for each vector j of channels of each strip of rows: image i, `rows` rows, the first of which begins at `at`.
 */
#define EACH_STRIP(n, hw, c, statement)                                                                                        \
    do {                                                                                                                       \
        const int high = BLOCK / STRIP / (c) > 0 ? BLOCK / STRIP / (c)*STRIP : STRIP, blocks = ((hw) + high - 1) / high;       \
        const size_t total = (size_t)(n) * (hw) * (c);                                                                         \
        _Pragma("omp parallel for schedule(static) num_threads(kern_threads()) if (total > ALONE)") for (int task = 0;         \
                                                                                                         task < (n)*blocks;    \
                                                                                                         task++)               \
        {                                                                                                                      \
            const int i = task / blocks, last = least(hw, (task % blocks + 1) * high);                                         \
            for (int row = task % blocks * high; row < last; row += STRIP) {                                                   \
                const size_t at = ((size_t)i * (hw) + row) * (c);                                                              \
                const int rows = least(STRIP, last - row);                                                                     \
                EACH_VECTOR(0, c, statement);                                                                                  \
            }                                                                                                                  \
        }                                                                                                                      \
    } while (0)

INLINE void spread_strip(float *dx, const float *dy, vf inverse, int rows, int c, int lanes, bool accumulate)
{
    vf share = v_mul(v_load(dy, lanes), inverse);
    if (accumulate)
        for (int i = 0; i < rows; i++, dx += c) v_store(dx, v_add(v_load(dx, lanes), share), lanes);
    else
        for (int i = 0; i < rows; i++, dx += c) v_store(dx, share, lanes);
}

void TIER(kern_pool_bwd_f32)(float *restrict dx, const float *restrict dy, int n, int hw, int c, bool accumulate)
{
    EACH_STRIP(n, hw, c,
               spread_strip(dx + at + j, dy + (size_t)i * c + j, v_set((float)(1.0 / hw)), rows, c, lanes, accumulate));
}

INLINE void scale_strip(float *y, const float *x, const float *s, int rows, int c, int lanes)
{
    vf factor = v_load(s, lanes);
    for (int i = 0; i < rows; i++, x += c, y += c) v_store(y, v_mul(v_load(x, lanes), factor), lanes);
}

void TIER(kern_scale_f32)(float *y, const float *x, const float *restrict s, int n, int hw, int c)
{
    EACH_STRIP(n, hw, c, scale_strip(y + at + j, x + at + j, s + (size_t)i * c + j, rows, c, lanes));
}

/* ---- residual ---- */

void TIER(kern_residual_f32)(float *y, const float *x, const float *r, const float *scale, int n, int count)
{
    const int blocks = (count + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) num_threads(kern_threads()) if ((size_t)n * count > ALONE)
    for (int task = 0; task < n * blocks; task++) {
        const int i = task / blocks, block = task % blocks * BLOCK;
        const size_t at = (size_t)i * count;
        vf factor = v_set(scale ? scale[i] : 1);
        EACH_VECTOR(at + block, at + (block + BLOCK < count ? block + BLOCK : count),
                    v_store(y + j, v_fma(v_load(x + j, lanes), factor, r ? v_load(r + j, lanes) : v_set(0)), lanes));
    }
}
