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

/* out[n,c] = factor * sum over hw of x, or of x*dy. A task is one image and WIDE channels. */
struct sums {
    float *out;
    const float *x, *dy;
    double factor;
    int hw, c, chunks;
};

/* Where a task's channels begin, and how many they are. */
static size_t task_channels(const struct sums *s, int task, int *first, int *count)
{
    const int groups = (s->c + WIDE - 1) / WIDE;
    *first = task % groups * WIDE;
    *count = least(WIDE, s->c - *first);
    return task / groups;
}

static void sum_one_chunk(double *part, const struct sums *s, int task, int chunk)
{
    int first, count;
    const size_t at = task_channels(s, task, &first, &count) * s->hw * s->c;
    sum_chunk(part, s->x + at, s->dy ? s->dy + at : NULL, s->hw, s->c, first, first + count, chunk, s->chunks);
}

static void put_sums(const struct sums *s, int task, double part[][WIDE])
{
    int first, count;
    float *out = s->out + task_channels(s, task, &first, &count) * s->c + first;
    for (int j = 0; j < count; j++) {
        double sum = 0;
        for (int chunk = 0; chunk < s->chunks; chunk++) sum += part[chunk][j];
        out[j] = (float)(sum * s->factor);
    }
}

static void sum_tasks(const void *work, int first, int end, int place)
{
    const struct sums *s = work;
    double part[KERN_CHUNKS][WIDE];
    (void)place;
    for (int task = first; task < end; task++) {
        for (int chunk = 0; chunk < s->chunks; chunk++) sum_one_chunk(part[chunk], s, task, chunk);
        put_sums(s, task, part);
    }
}

/* The chunks of one task. */
struct task_chunks {
    const struct sums *s;
    int task;
    double (*part)[WIDE];
};

static void sum_chunks(const void *work, int first, int end, int place)
{
    const struct task_chunks *t = work;
    (void)place;
    for (int chunk = first; chunk < end; chunk++) sum_one_chunk(t->part[chunk], t->s, t->task, chunk);
}

static void sum_images(float *out, const float *x, const float *dy, double factor, int n, int hw, int c)
{
    const struct sums s = {out, x, dy, factor, hw, c, least(KERN_CHUNKS, (hw + CHUNK - 1) / CHUNK)};
    const int tasks = n * ((c + WIDE - 1) / WIDE);
    const bool large = (size_t)n * hw * c > ALONE;
    if (!large || tasks >= TASKS_ENOUGH) {
        kern_share(sum_tasks, &s, tasks, 1, large);
        return;
    }
    for (int task = 0; task < tasks; task++) {
        double part[KERN_CHUNKS][WIDE];
        kern_share(sum_chunks, &(struct task_chunks){&s, task, part}, s.chunks, 1, true);
        put_sums(&s, task, part);
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

/* A broadcast: y of x and s, or dx of dy alone. A task is a block of strips of an image. */
struct broadcast {
    float *out;
    const float *x, *s;
    int hw, c, high, blocks; /* high: rows of a block; blocks: of an image */
    bool accumulate;
};

static void share_broadcast(kern_piece *piece, struct broadcast *b, int n)
{
    b->high = BLOCK / STRIP / b->c > 0 ? BLOCK / STRIP / b->c * STRIP : STRIP;
    b->blocks = (b->hw + b->high - 1) / b->high;
    kern_share(piece, b, n * b->blocks, 1, (size_t)n * b->hw * b->c > ALONE);
}

/* Runs statement for each vector j of channels of each strip of the tasks [first, end): image i, `rows` rows, the first of which
 * begins at `at`. */
#define EACH_STRIP(b, first, end, statement)                                                                                   \
    for (int task = first; task < (end); task++) {                                                                             \
        const int i = task / (b).blocks, last = least((b).hw, (task % (b).blocks + 1) * (b).high);                             \
        for (int row = task % (b).blocks * (b).high; row < last; row += STRIP) {                                               \
            const size_t at = ((size_t)i * (b).hw + row) * (b).c;                                                              \
            const int rows = least(STRIP, last - row);                                                                         \
            EACH_VECTOR(0, (b).c, statement);                                                                                  \
        }                                                                                                                      \
    }

INLINE void spread_strip(float *dx, const float *dy, vf inverse, int rows, int c, int lanes, bool accumulate)
{
    vf share = v_mul(v_load(dy, lanes), inverse);
    if (accumulate)
        for (int i = 0; i < rows; i++, dx += c) v_store(dx, v_add(v_load(dx, lanes), share), lanes);
    else
        for (int i = 0; i < rows; i++, dx += c) v_store(dx, share, lanes);
}

static void spread_tasks(const void *work, int first, int end, int place)
{
    const struct broadcast b = *(const struct broadcast *)work;
    const vf inverse = v_set((float)(1.0 / b.hw));
    (void)place;
    EACH_STRIP(b, first, end, spread_strip(b.out + at + j, b.x + (size_t)i * b.c + j, inverse, rows, b.c, lanes, b.accumulate));
}

void TIER(kern_pool_bwd_f32)(float *restrict dx, const float *restrict dy, int n, int hw, int c, bool accumulate)
{
    share_broadcast(spread_tasks, &(struct broadcast){.out = dx, .x = dy, .hw = hw, .c = c, .accumulate = accumulate}, n);
}

INLINE void scale_strip(float *y, const float *x, const float *s, int rows, int c, int lanes)
{
    vf factor = v_load(s, lanes);
    for (int i = 0; i < rows; i++, x += c, y += c) v_store(y, v_mul(v_load(x, lanes), factor), lanes);
}

static void scale_tasks(const void *work, int first, int end, int place)
{
    const struct broadcast b = *(const struct broadcast *)work;
    (void)place;
    EACH_STRIP(b, first, end, scale_strip(b.out + at + j, b.x + at + j, b.s + (size_t)i * b.c + j, rows, b.c, lanes));
}

void TIER(kern_scale_f32)(float *y, const float *x, const float *restrict s, int n, int hw, int c)
{
    share_broadcast(scale_tasks, &(struct broadcast){.out = y, .x = x, .s = s, .hw = hw, .c = c}, n);
}

/* ---- residual ---- */

struct residual {
    float *y;
    const float *x, *r, *scale;
    int count, blocks;
};

static void residual_tasks(const void *work, int first, int end, int place)
{
    const struct residual w = *(const struct residual *)work;
    (void)place;
    for (int task = first; task < end; task++) {
        const int i = task / w.blocks, block = task % w.blocks * BLOCK;
        const size_t at = (size_t)i * w.count;
        vf factor = v_set(w.scale ? w.scale[i] : 1);
        EACH_VECTOR(at + block, at + (block + BLOCK < w.count ? block + BLOCK : w.count),
                    v_store(w.y + j, v_fma(v_load(w.x + j, lanes), factor, w.r ? v_load(w.r + j, lanes) : v_set(0)), lanes));
    }
}

void TIER(kern_residual_f32)(float *y, const float *x, const float *r, const float *scale, int n, int count)
{
    const struct residual w = {y, x, r, scale, count, (count + BLOCK - 1) / BLOCK};
    kern_share(residual_tasks, &w, n * w.blocks, 1, (size_t)n * count > ALONE);
}
