/* kernel_arena.h - buffers between bands of NaN, and a kernel compared with its reference over them: see test_kernels.c. */
#ifndef TESTS_KERNEL_ARENA_H
#define TESTS_KERNEL_ARENA_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernels/kern.h"
#include "tests/sanitized.h"

/* ---- arena ---- */

enum { BAND = 64, MOST = 16 };

struct block {
    float *data; /* between two bands */
    size_t count;
    bool output;
};
struct arena {
    struct block block[MOST];
    int used;
    uint32_t seed;
};

static float uniform(uint32_t *seed) /* [-1, 1) */
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (1 << 23) - 1;
}

static float *take(struct arena *a, size_t count, bool output)
{
    assert_true(a->used < MOST);
    float *whole = malloc((count + 2 * BAND) * sizeof *whole);
    assert_non_null(whole);
    for (size_t i = 0; i < count + 2 * BAND; i++) whole[i] = NAN;
    a->block[a->used++] = (struct block){whole + BAND, count, output};
    return whole + BAND;
}
static float *out(struct arena *a, size_t count)
{
    return take(a, count, true);
}
static float *scratch(struct arena *a, size_t count)
{
    return take(a, count, false);
}
static float *inout(struct arena *a, size_t count)
{
    float *p = take(a, count, true);
    for (size_t i = 0; i < count; i++) p[i] = uniform(&a->seed);
    return p;
}
static float *in(struct arena *a, size_t count)
{
    float *p = inout(a, count);
    a->block[a->used - 1].output = false;
    return p;
}
static void release(struct arena *a)
{
    for (int i = 0; i < a->used; i++) free(a->block[i].data - BAND);
    a->used = 0;
}

/* ---- comparing ---- */

/* One shape: what each letter means is the check's affair; printed when it fails. */
struct shape {
    int n, h, w, c, k, stride, pad_top, pad_left, act, flag, alias;
};
typedef void kernel(void); /* any kernel; a check casts it to its own type */
typedef void invoke(kernel *fn, struct arena *a, const struct shape *s);
struct row {
    const char *name, *tier;
    unsigned needs;
    kernel *fn, *ref;
    void (*check)(const struct row *row);
};

static void complain(const struct row *row, const struct shape *s, const char *what, int block, size_t i, double got,
                     double want)
{
    fail_msg("%s %s n=%d h=%d w=%d c=%d k=%d stride=%d pad=%d,%d act=%d flag=%d alias=%d: %s in buffer %d at %zu: %.9g, "
             "expected %.9g",
             row->name, row->tier, s->n, s->h, s->w, s->c, s->k, s->stride, s->pad_top, s->pad_left, s->act, s->flag, s->alias,
             what, block, i, got, want);
}

static void check_bands(const struct row *row, const struct shape *s, const struct arena *a)
{
    for (int b = 0; b < a->used; b++)
        for (size_t i = 0; i < BAND; i++)
            if (!isnan(a->block[b].data[-1 - (ptrdiff_t)i]) || !isnan(a->block[b].data[a->block[b].count + i]))
                complain(row, s, "written outside", b, i, 0, NAN);
}

/* Within 2e-5 of the buffer's largest value: float sums of a few thousand terms, in another order than the reference's. */
static void check_close(const struct row *row, const struct shape *s, const struct arena *got, const struct arena *want)
{
    for (int b = 0; b < got->used; b++) {
        const float *g = got->block[b].data, *r = want->block[b].data;
        if (!got->block[b].output) continue;
        double largest = 0;
        for (size_t i = 0; i < got->block[b].count; i++) largest = fmax(largest, fabs(r[i]));
        for (size_t i = 0; i < got->block[b].count; i++)
            if (!(fabs((double)g[i] - r[i]) <= 2e-5 * largest + 1e-7)) complain(row, s, "too far", b, i, g[i], r[i]);
    }
}

static void compare(const struct row *row, invoke *call, const struct shape *s)
{
    static const int threads[] = {1, 2, 4};
    const int begin = SANITIZED ? 2 : 0; /* sanitizers see all there is to see with four threads */
    struct arena want = {.seed = 1}, first = {.seed = 1};
    call(row->ref, &want, s);
    check_bands(row, s, &want);
    for (int t = begin; t < 3; t++) {
        struct arena got = {.seed = 1}, *a = t > begin ? &got : &first;
        kern_set_threads(threads[t]);
        call(row->fn, a, s);
        check_bands(row, s, a);
        if (t == begin) check_close(row, s, a, &want);
        for (int b = 0; b < a->used; b++)
            for (size_t i = 0; i < a->block[b].count; i++)
                if (a->block[b].output && memcmp(&a->block[b].data[i], &first.block[b].data[i], sizeof(float)) != 0)
                    complain(row, s, "bits depend on threads", b, i, a->block[b].data[i], first.block[b].data[i]);
        release(&got);
    }
    release(&first);
    release(&want);
}

#endif
