/* kernels.c - rudd-bench kernels [FILTER ...]: every row of kernels.def on the layers of shapes.h.
 *
 * A case is a row and a shape; its name is text that can be given back as a filter, and is what a failing test prints:
 *
 *     gemm_f32 avx512 36100x144x24 NT          conv_fwd_f32 avx2 16x56x56x32->56x56x128 k=3 s=1 pad=1,1
 *
 * All words of the filter must occur in it. A filter that spells a whole case, as a line of RUDD_TRACE does, runs that one, in the table
 * or not.
 * Each case runs for at least --ms milliseconds; the fastest run counts. Rows of the plain C reference run only when the filter says ref.
 *
 * Flops are counted as the contracts in kern.h do (an exp is one); bytes are each operand once, read or written.
 * Not here: the networks as a whole (infer.c, train.c). */
#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/shapes.h"
#include "kernels/text.h"
#include "train/command.h"

#include <stdio.h>
#include <string.h>

/* ---- one case --------------------------------------------------------------------------------------------------------------- */

enum { BUFFERS = 4, VECTORS = 5 };

struct work {
    const struct kern_row *row;
    struct kern_gemm g; /* products */
    struct kern_conv s; /* everything else: maps run over its output [n,oh,ow,oc] */
    int expand_from;    /* expand_dw: channels before the expansion; 0: none */
    float *x[BUFFERS];  /* each as large as the case's largest operand */
    float *v[VECTORS];  /* [oc] and [n,oc] */
    float *scratch;
    const struct kern_taps *taps; /* resize */
    double flops, bytes;
    char shape[KERN_TEXT];
};

#define RUN(name) ((kern_##name##_f32 *)w->row->run)

static int rows_of(const struct work *w)
{
    return w->s.n * w->s.oh * w->s.ow;
}
static size_t count_of(const struct work *w)
{
    return (size_t)rows_of(w) * w->s.oc;
}

/* Cost of a map: floats moved and operations, per element of the output. */
static void cost(struct work *w, double floats, double flops)
{
    w->bytes = 4 * floats * (double)count_of(w);
    w->flops = flops * (double)count_of(w);
}

static struct kern_bn bn_of(const struct work *w)
{
    return (struct kern_bn){.rows = rows_of(w),
                            .c = w->s.oc,
                            .act = KERN_ACT_SILU,
                            .mean = w->v[0],
                            .rstd = w->v[1],
                            .gamma = w->v[2],
                            .beta = w->v[3]};
}

static struct kern_expand expand_of(const struct work *w)
{
    return (struct kern_expand){w->s, w->expand_from, w->expand_from ? w->x[2] : NULL, w->v[0], KERN_ACT_SILU};
}

static void run_gemm(struct work *w)
{
    RUN(gemm)(w->x[0], w->x[1], w->x[2], &w->g, w->scratch);
}

/* Each kernel as BENCH(name, floats moved per element, flops per element, call); 0, 0: the layer's own cost. */
#define MAPS(BENCH)                                                                                                            \
    BENCH(conv_fwd, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s, w->scratch))                                                      \
    BENCH(conv_bwd_data, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s, w->scratch))                                                 \
    BENCH(conv_bwd_weight, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s, w->scratch))                                               \
    BENCH(pack, 2 * (double)(w->s.k * w->s.k * w->s.ic) / rows_of(w), 1,                                                       \
          (w->x[0], w->x[1], w->v[0], w->s.oc, w->s.ic, w->s.k))                                                               \
    BENCH(conv_packed, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s, w->scratch))                                                   \
    BENCH(expand_dw, 0, 0, (w->x[0], w->x[3], w->x[1], w->v[0], &expand, w->scratch))                                          \
    BENCH(dwconv_fwd, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s))                                                                \
    BENCH(dwconv_bwd_data, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s))                                                           \
    BENCH(dwconv_bwd_weight, 0, 0, (w->x[0], w->x[1], w->x[2], &w->s, w->scratch))                                             \
    BENCH(maxpool_fwd, 2, 9, (w->x[0], w->x[1], &w->s, false))                                                                 \
    BENCH(maxpool_bwd, 3, 18, (w->x[0], w->x[1], w->x[2], &w->s, false))                                                       \
    BENCH(bn_stats, 1, 3, (w->v[0], w->v[1], w->x[1], rows_of(w), w->s.oc, w->scratch))                                        \
    BENCH(affine_act, 2, 5, (w->x[0], w->x[1], w->v[0], w->v[1], KERN_ACT_SILU, rows_of(w), w->s.oc))                          \
    BENCH(bn_bwd_reduce, 3, 14, (w->x[0], w->v[4], w->v[4] + w->s.oc, w->x[1], w->x[2], &bn, w->scratch))                      \
    BENCH(bn_bwd_apply, 3, 6, (w->x[0], w->x[1], w->x[2], w->v[4], w->v[4] + w->s.oc, &bn))                                    \
    BENCH(colsum, 1, 1, (w->v[0], w->x[1], rows_of(w), w->s.oc, w->scratch))                                                   \
    BENCH(pool_fwd, 1, 1, (w->v[0], w->x[1], w->s.n, w->s.oh * w->s.ow, w->s.oc, 1))                                           \
    BENCH(pool_bwd, 1, 1, (w->x[0], w->v[0], w->s.n, w->s.oh * w->s.ow, w->s.oc, false))                                       \
    BENCH(scale, 2, 1, (w->x[0], w->x[1], w->v[0], w->s.n, w->s.oh * w->s.ow, w->s.oc))                                        \
    BENCH(scale_bwd_s, 2, 2, (w->v[0], w->x[1], w->x[2], w->s.n, w->s.oh * w->s.ow, w->s.oc))                                  \
    BENCH(residual, 3, 1, (w->x[0], w->x[1], w->x[2], NULL, w->s.n, w->s.oh * w->s.ow * w->s.oc))                              \
    BENCH(act_fwd, 2, 4, (w->x[0], w->x[1], KERN_ACT_SILU, count_of(w)))                                                       \
    BENCH(act_bwd, 3, 8, (w->x[0], w->x[1], w->x[2], KERN_ACT_SILU, count_of(w)))                                              \
    BENCH(mul, 3, 1, (w->x[0], w->x[1], w->x[2], count_of(w)))                                                                 \
    BENCH(add, 3, 1, (w->x[0], w->x[1], w->x[2], count_of(w)))                                                                 \
    BENCH(softmax, 2, 4, (w->x[0], w->x[1], rows_of(w), w->s.oc))                                                              \
    BENCH(xent, 3, 6, (&sum, w->x[0], w->x[1], w->x[2], 1, rows_of(w), w->s.oc))                                               \
    BENCH(adamw, 7, 14, (w->x[0], w->x[1], w->x[2], w->x[3], count_of(w), &adamw))                                             \
    BENCH(sgd, 5, 6, (w->x[0], w->x[1], w->x[2], count_of(w), &sgd))                                                           \
    BENCH(rmsprop, 7, 11, (w->x[0], w->x[1], w->x[2], w->x[3], count_of(w), &rmsprop))                                         \
    BENCH(lion, 5, 9, (w->x[0], w->x[1], w->x[2], count_of(w), &lion))                                                         \
    BENCH(lerp, 3, 3, (w->x[0], w->x[1], 0.5f, count_of(w)))                                                                   \
    BENCH(sumsq, 1, 2, (&sum, w->x[1], count_of(w)))

/* Decays of 1 and steps of 0, so that a thousand runs leave the numbers in the normal range. */
static const struct kern_adamw adamw = {0, 1, 1, 1e-8f, 0, 1, 1, 1};
static const struct kern_sgd sgd = {0, 0.5f, 0, 1, false};
static const struct kern_rmsprop rmsprop = {0, 1, 1, 1e-3f, 0, 1};
static const struct kern_lion lion = {0, 1, 1, 0, 1};

#define BENCH(name, floats, ops, arguments)                                                                                    \
    static void run_##name(struct work *w)                                                                                     \
    {                                                                                                                          \
        const struct kern_bn bn = bn_of(w);                                                                                    \
        const struct kern_expand expand = expand_of(w);                                                                        \
        double sum = 0;                                                                                                        \
        (void)bn, (void)expand, (void)sum;                                                                                     \
        if (!w->flops) cost(w, floats, ops);                                                                                   \
        RUN(name) arguments;                                                                                                   \
    }
MAPS(BENCH)
#undef BENCH

/* A strip of a photograph, 16 rows of IN pixels; and one output row from what it reads of OUT pixels a row. */
enum { RESIZE_IN = 4000, RESIZE_OUT = 224, RESIZE_ROWS = 16, RESIZE_TAPS = 72 };
static void run_resize_rows(struct work *w)
{
    ((kern_resize_rows_u8 *)w->row->run)((uint8_t *)w->x[0], (const uint8_t *)w->x[1], RESIZE_ROWS, 3 * RESIZE_IN, w->taps);
}
static void run_resize_cols(struct work *w)
{
    ((kern_resize_cols_u8 *)w->row->run)((uint8_t *)w->x[0], (const uint8_t *)w->x[1], 3 * RESIZE_OUT, w->taps, 0);
}

/* Every reference row has its run_<name>, or this does not compile. */
#define KERN_RUN_ref(name, type) {#name "_" #type, run_##name},
#define KERN_RUN_blas(name, type)
#define KERN_RUN_avx2(name, type)
#define KERN_RUN_avx512(name, type)
#define KERNEL(name, type, tier, cpu) KERN_RUN_##tier(name, type)
static const struct runner {
    const char *name;
    void (*run)(struct work *w);
} runners[] = {
#include "kernels/kernels.def"
};
#undef KERNEL

/* ---- measuring and printing ------------------------------------------------------------------------------------------------- */

struct bench {
    double peak_gflops, peak_gbytes; /* of all threads */
    int ms, threads, cases;
    bool json;
    char **words;
    int word_count;
};

static bool wanted(const struct bench *b, const struct work *w)
{
    char name[240];
    snprintf(name, sizeof name, "%s %s %s", w->row->name, w->row->tier, w->shape);
    bool ref = false;
    for (int i = 0; i < b->word_count; i++) {
        if (!strstr(name, b->words[i])) return false;
        ref |= strcmp(b->words[i], "ref") == 0;
    }
    return (kern_features() & w->row->features) == w->row->features && (ref || strcmp(w->row->tier, "ref") != 0);
}

static void print_case(const struct bench *b, const struct work *w, double seconds)
{
    double gflops = w->flops / seconds * 1e-9, gbytes = w->bytes / seconds * 1e-9;
    double compute = gflops / b->peak_gflops * 100, memory = b->peak_gbytes ? gbytes / b->peak_gbytes * 100 : 0;
    if (b->json)
        printf("{\"kernel\":\"%s\",\"tier\":\"%s\",\"shape\":\"%s\",\"threads\":%d,\"microseconds\":%.2f,\"gflops\":%.2f,"
               "\"gbytes\":%.2f,"
               "\"peak_flops_percent\":%.1f,\"peak_memory_percent\":%.1f}\n",
               w->row->name, w->row->tier, w->shape, kern_threads(), seconds * 1e6, gflops, gbytes, compute, memory);
    else
        printf("%-20s %-7s %-46s %10.1f us %8.1f GFLOP/s %7.1f GB/s  %5.1f %% of flops %5.1f %% of memory\n", w->row->name,
               w->row->tier, w->shape, seconds * 1e6, gflops, gbytes, compute, memory);
    fflush(stdout);
}

/* Runs one case, when the filter wants it, with operands of at most `largest` floats. */
static enum rudd_status run_case(struct bench *b, struct work *w, void (*run)(struct work *w), size_t largest,
                                 struct rudd_error *err)
{
    if (!wanted(b, w)) return RUDD_OK;
    const size_t per_image = (size_t)(w->s.n + 2 + w->s.k * w->s.k) * w->s.oc;
    const struct kern_expand expand = expand_of(w);
    size_t scratch = w->g.m ? kern_gemm_scratch(&w->g) : kern_conv_scratch(&w->s) + kern_dwconv_scratch(&w->s);
    if (!w->g.m) scratch += kern_packed_scratch(&w->s) + kern_expand_scratch(&expand);
    if (!w->g.m) scratch += kern_rows_scratch(w->s.oc);

    bool complete = (w->scratch = rudd_alloc(scratch * sizeof(float))) != NULL;
    for (int i = 0; i < BUFFERS; i++) complete &= (w->x[i] = rudd_alloc(largest * sizeof(float))) != NULL;
    for (int i = 0; i < VECTORS; i++) complete &= (w->v[i] = rudd_alloc(per_image * sizeof(float))) != NULL;
    if (complete) {
        for (int i = 0; i < BUFFERS; i++) bench_fill(w->x[i], largest);
        for (int i = 0; i < VECTORS; i++) bench_fill(w->v[i], per_image);
        double best = 1e9, start = bench_now();
        run(w); /* warms caches and the team of threads */
        do {
            double from = bench_now();
            run(w);
            double seconds = bench_now() - from;
            if (seconds < best) best = seconds;
        } while (bench_now() - start < b->ms * 1e-3);
        print_case(b, w, best);
        b->cases++;
    }
    rudd_free(w->scratch);
    for (int i = 0; i < BUFFERS; i++) rudd_free(w->x[i]);
    for (int i = 0; i < VECTORS; i++) rudd_free(w->v[i]);
    return complete ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "out of memory for %s %s", w->row->name, w->shape);
}

/* ---- shapes to cases -------------------------------------------------------------------------------------------------------- */

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* One product through every row of gemm. */
static enum rudd_status bench_gemm(struct bench *b, const struct kern_gemm *g, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    int rows;
    const struct kern_row *row = kern_rows(&rows);
    for (int r = 0; r < rows && !status; r++) {
        if (strcmp(row[r].name, "gemm_f32")) continue;
        double m = g->m, n = g->n, k = g->k;
        struct work w = {.row = &row[r], .g = *g, .flops = 2 * m * n * k, .bytes = 4 * (m * k + k * n + m * n)};
        kern_gemm_text(w.shape, g);
        size_t largest = max_size((size_t)g->m * g->k, max_size((size_t)g->k * g->n, (size_t)g->m * g->n));
        status = run_case(b, &w, run_gemm, largest, err);
    }
    return status;
}

/* Which rows a layer runs through. Constant weights serve dense and pointwise ones; maps go with depthwise ones. */
static bool runs_on(const char *row, enum bench_kind kind, bool maps)
{
    const bool packed = !strcmp(row, "conv_packed_f32") || !strcmp(row, "pack_f32");
    const bool dense = !packed && starts_with(row, "conv_");
    const bool deep = starts_with(row, "dwconv_") || starts_with(row, "expand_") || starts_with(row, "maxpool_");
    if (starts_with(row, "gemm_") || starts_with(row, "resize_")) return false;
    if (packed) return kind != BENCH_DEPTHWISE;
    if (dense) return kind == BENCH_DENSE;
    return kind == BENCH_DEPTHWISE && (deep || maps);
}

/* One convolution through its own rows; maps: for a depthwise one, also the maps over its output. expand_from: channels before the
 * expansion in front of a depthwise one. */
static enum rudd_status bench_layer_rows(struct bench *b, const struct kern_conv *s, enum bench_kind kind, bool maps,
                                         int expand_from, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    const size_t in = (size_t)s->n * s->ih * s->iw * s->ic, out = (size_t)s->n * s->oh * s->ow * s->oc;
    const size_t weights = (size_t)s->k * s->k * (s->oc + 15) * (kind == BENCH_DEPTHWISE ? 1 : s->ic);
    static const float mark;
    int rows;
    const struct kern_row *row = kern_rows(&rows);
    for (int r = 0; r < rows && !status; r++) {
        if (!runs_on(row[r].name, kind, maps)) continue;
        struct work w = {.row = &row[r], .s = *s};
        w.s.act = KERN_ACT_SILU;
        if (!strcmp(row[r].name, "expand_dw_f32")) {
            const double pixels = (double)s->n * s->ih * s->iw;
            w.expand_from = expand_from;
            w.flops = 2.0 * (double)out * s->k * s->k + 2.0 * (double)in * expand_from;
            w.bytes = 4.0 * (pixels * (expand_from ? expand_from : s->ic) + (double)out);
            const struct kern_expand e = {.dw = *s, .ic = expand_from, .weight = expand_from ? &mark : NULL};
            kern_expand_text(w.shape, &e);
        } else if (strstr(row[r].name, "conv_")) {
            w.flops = 2.0 * (double)out * s->k * s->k * (kind == BENCH_DEPTHWISE ? 1 : s->ic);
            w.bytes = 4.0 * (double)(in + out + weights);
            kern_conv_text(w.shape, s);
        } else if (starts_with(row[r].name, "maxpool_")) {
            kern_conv_text(w.shape, s);
        } else {
            kern_map_text(w.shape, s->n, s->oh, s->ow, s->oc);
        }
        for (size_t i = 0; i < sizeof runners / sizeof runners[0]; i++)
            if (strcmp(runners[i].name, row[r].name) == 0)
                status = run_case(b, &w, runners[i].run,
                                  max_size(max_size(in, out), max_size(weights, (size_t)expand_from * (s->ic + 15))), err);
    }
    return status;
}

/* A pointwise layer as its three products: forward, gradient of the input, gradient of the weight. */
static enum rudd_status bench_pointwise(struct bench *b, const struct bench_layer *l, struct rudd_error *err)
{
    const int pixels = l->n * l->in * l->in;
    const struct kern_gemm g[] = {{.m = pixels, .n = l->oc, .k = l->ic, .trans_b = true},
                                  {.m = pixels, .n = l->ic, .k = l->oc},
                                  {.m = l->oc, .n = l->ic, .k = pixels, .trans_a = true}};
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < 3 && !status; i++) status = bench_gemm(b, &g[i], err);
    const struct kern_conv s = bench_conv(l);
    return status ? status : bench_layer_rows(b, &s, BENCH_POINTWISE, false, 0, err);
}

static enum rudd_status bench_resize(struct bench *b, struct rudd_error *err)
{
    int rows, start[RESIZE_OUT], count[RESIZE_OUT];
    static int16_t weights[RESIZE_OUT * RESIZE_TAPS];
    const struct kern_taps taps = {RESIZE_IN, RESIZE_OUT, RESIZE_TAPS, start, count, weights, weights};
    const struct kern_row *row = kern_rows(&rows);
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < RESIZE_OUT; i++) {
        start[i] = i * (RESIZE_IN - RESIZE_TAPS) / (RESIZE_OUT - 1);
        count[i] = RESIZE_TAPS;
    }
    for (int r = 0; r < rows && !status; r++) {
        if (!starts_with(row[r].name, "resize_")) continue;
        const bool along = !strcmp(row[r].name, "resize_rows_u8");
        const double in = 3.0 * (along ? RESIZE_ROWS * RESIZE_IN : RESIZE_TAPS * RESIZE_OUT);
        const double out = 3.0 * RESIZE_OUT * (along ? RESIZE_ROWS : 1);
        const struct kern_conv none = {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, false, KERN_ACT_NONE, NULL, NULL, NULL};
        struct work w = {.row = &row[r], .taps = &taps, .s = none, .flops = 2 * out * RESIZE_TAPS, .bytes = in + out};
        snprintf(w.shape, sizeof w.shape, along ? "%dx%d->%d" : "%dx%d->1x%d", along ? RESIZE_ROWS : RESIZE_TAPS,
                 along ? RESIZE_IN : RESIZE_OUT, RESIZE_OUT);
        status = run_case(b, &w, along ? run_resize_rows : run_resize_cols, 3 * RESIZE_ROWS * RESIZE_IN / 4, err);
    }
    return status;
}

/* A case that a filter spells in full, as a failing test and a line of RUDD_TRACE do. */
struct spelled {
    struct kern_gemm g; /* m 0: not a product */
    struct kern_conv s;
    enum bench_kind kind;
    bool maps;
    int expand_from;
};

static bool spells_product(struct spelled *c, char **words, int count)
{
    char ta, tb;
    if (count < 4 || !starts_with(words[0], "gemm_")) return false;
    if (sscanf(words[2], "%dx%dx%d", &c->g.m, &c->g.n, &c->g.k) != 3 || sscanf(words[3], "%c%c", &ta, &tb) != 2) return false;
    c->g.trans_a = ta == 'T';
    c->g.trans_b = tb == 'T';
    return c->g.m > 0 && c->g.n > 0 && c->g.k > 0;
}

/* The text of an expansion has no padding: as for SAME. */
static bool spells_expansion(struct spelled *c, char **words, int count)
{
    struct kern_conv *s = &c->s;
    if (count < 5 || !starts_with(words[0], "expand_")) return false;
    if (sscanf(words[2], "%dx%dx%dx%d-%d->%dx%dx%d", &s->n, &s->ih, &s->iw, &c->expand_from, &s->ic, &s->oh, &s->ow, &s->oc) !=
        8)
        return false;
    if (sscanf(words[3], "k=%d", &s->k) != 1 || sscanf(words[4], "s=%d", &s->stride) != 1) return false;
    int total = (s->oh - 1) * s->stride + s->k - s->ih;
    s->pad_top = s->pad_left = total > 0 ? total / 2 : 0;
    c->kind = BENCH_DEPTHWISE;
    return c->expand_from >= 0 && s->k <= KERN_EXPAND_K_MAX;
}

static bool spells_convolution(struct spelled *c, char **words, int count)
{
    struct kern_conv *s = &c->s;
    if (count < 6 || !(starts_with(words[0], "conv_") || starts_with(words[0], "dwconv_"))) return false;
    c->kind = words[0][0] == 'd' ? BENCH_DEPTHWISE : BENCH_DENSE;
    return sscanf(words[2], "%dx%dx%dx%d->%dx%dx%d", &s->n, &s->ih, &s->iw, &s->ic, &s->oh, &s->ow, &s->oc) == 7 &&
           sscanf(words[3], "k=%d", &s->k) == 1 && sscanf(words[4], "s=%d", &s->stride) == 1 &&
           sscanf(words[5], "pad=%d,%d", &s->pad_top, &s->pad_left) == 2;
}

static bool spells_map(struct spelled *c, char **words, int count)
{
    struct kern_conv *s = &c->s;
    if (count < 3 || sscanf(words[2], "%dx%dx%dx%d", &s->n, &s->oh, &s->ow, &s->oc) != 4) return false;
    s->ih = s->oh, s->iw = s->ow, s->ic = s->oc, s->k = s->stride = 1;
    c->kind = BENCH_DEPTHWISE;
    c->maps = true;
    return true;
}

/* Kernel, tier and shape; words after the shape are dropped. */
static bool spelled(struct spelled *c, struct bench *b)
{
    static const struct {
        bool (*spells)(struct spelled *c, char **words, int count);
        int words;
    } forms[] = {{spells_product, 4}, {spells_expansion, 5}, {spells_convolution, 6}, {spells_map, 3}};
    for (int i = 0; i < 4; i++) {
        const struct kern_conv *s = &c->s;
        *c = (struct spelled){.kind = BENCH_DENSE};
        if (!forms[i].spells(c, b->words, b->word_count)) continue;
        b->word_count = forms[i].words;
        return c->g.m || (s->n > 0 && s->ih > 0 && s->iw > 0 && s->ic > 0 && s->oh > 0 && s->ow > 0 && s->oc > 0 && s->k > 0 &&
                          s->stride > 0 && (c->kind == BENCH_DENSE || s->ic == s->oc));
    }
    return false;
}

/* Two layers of one output shape need its maps timed once. */
static bool first_of_its_output(int layer)
{
    struct kern_conv s = bench_conv(&bench_layers[layer]);
    for (int i = 0; i < layer; i++) {
        struct kern_conv e = bench_conv(&bench_layers[i]);
        if (bench_layers[i].kind == BENCH_DEPTHWISE && e.n == s.n && e.oh == s.oh && e.oc == s.oc) return false;
    }
    return true;
}

/* Channels of the pointwise layer whose output a depthwise layer reads; 0: none. */
static int channels_before(int layer)
{
    const struct bench_layer *l = &bench_layers[layer];
    for (int i = 0; i < BENCH_LAYERS; i++) {
        const struct bench_layer *e = &bench_layers[i];
        if (e->kind == BENCH_POINTWISE && e->n == l->n && e->in == l->in && e->oc == l->ic && e->ic < e->oc) return e->ic;
    }
    return 0;
}

static enum rudd_status bench_all(struct bench *b, struct rudd_error *err)
{
    struct spelled c;
    if (spelled(&c, b)) return c.g.m ? bench_gemm(b, &c.g, err) : bench_layer_rows(b, &c.s, c.kind, c.maps, c.expand_from, err);

    enum rudd_status status = bench_resize(b, err);
    for (int i = 0; i < BENCH_LAYERS && !status; i++) {
        const struct kern_conv s = bench_conv(&bench_layers[i]);
        if (bench_layers[i].kind == BENCH_POINTWISE)
            status = bench_pointwise(b, &bench_layers[i], err);
        else
            status = bench_layer_rows(b, &s, bench_layers[i].kind, first_of_its_output(i), channels_before(i), err);
    }
    return status;
}

enum rudd_status bench_kernels(int argc, char **argv, struct rudd_error *err)
{
    struct bench b = {.ms = 50, .threads = 1};
    const struct nn_option rows[] = {
        NN_OPTION_THREADS(&b.threads, "threads"),
        {"ms", NN_OPTION_INT, &b.ms, "N", 0, 60000, "least milliseconds for each case; its fastest run counts"},
        {"json", NN_OPTION_FLAG, &b.json, NULL, 0, 0, "print one JSON object for each case instead of a table"},
    };
    static const struct nn_example examples[] = {
        {"depthwise convolutions with AVX2", "rudd-bench kernels dwconv avx2"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd-bench kernels [FILTER ...]",
                                 .about = "Measures every kernel on the layers of EfficientNet-B4 "
                                          "and V2-B0. A case runs when each word of FILTER occurs "
                                          "in its line; the plain C reference only when a word is "
                                          "ref.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = -1};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        kern_set_threads(kern_threads_within(b.threads));
        b.peak_gflops = bench_peak_gflops() * kern_threads();
        b.peak_gbytes = bench_peak_gbytes() * kern_threads();
        b.words = options.arguments;
        b.word_count = options.argument_count;
        if (!b.json) printf("%d threads; peaks: %.1f GFLOP/s, %.1f GB/s\n", kern_threads(), b.peak_gflops, b.peak_gbytes);
        status = bench_all(&b, err);
        if (!status && !b.cases)
            status = rudd_fail(err, RUDD_ARGUMENT, "no kernel and shape match the filter; rudd-bench kernels lists them");
    }
    nn_options_free(&options);
    return status;
}
