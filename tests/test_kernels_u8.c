/* test_kernels_u8.c - the kernels over bytes: every row of resize_rows and resize_cols that this processor can run equals the reference to
 * the last bit, reads nothing beyond its input, and writes nothing beyond its output.
 *
 * Inputs end at the end of a page with no access behind it, so that an over-read dies; they begin at odd addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "kernels/kern.h"

enum { SPAN = 1 << 18, BAND = 64 };

/* n bytes that end where memory ends. */
static uint8_t *edge;
static uint8_t *at_edge(size_t n)
{
    assert_true(n <= SPAN);
    return edge - n;
}

static int make_edge(void **state)
{
    (void)state;
    uint8_t *map = mmap(NULL, SPAN + (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return -1;
    edge = map + SPAN;
    return mprotect(edge, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE);
}

static uint32_t seed = 1;
static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

/* n outputs over `in` pixels, each of 1..most taps whose weights add up to 2^22 as a filter's do, with overshoot; the last output reads the last
 * pixel. */
static struct kern_taps draw_taps(int n, int in, int most)
{
    const int stride = (most + KERN_TAP_GROUP - 1) / KERN_TAP_GROUP * KERN_TAP_GROUP;
    int *start = malloc((size_t)n * 2 * sizeof *start), *count = start + n;
    int16_t *hi = calloc((size_t)n * stride, 2 * sizeof *hi), *lo = hi + (size_t)n * stride;
    for (int i = 0; i < n; i++) {
        count[i] = i % 3 == 0 ? most : 1 + (int)draw((uint32_t)most);
        start[i] = i == n - 1 ? in - count[i] : (int)draw((uint32_t)(in - count[i] + 1));
        int32_t left = 1 << KERN_TAP_BITS;
        for (int k = 0; k < count[i]; k++) {
            int32_t w = (int32_t)draw(1 << 20) - (1 << 18);
            if (w > left || k == count[i] - 1) w = left;
            if (w > 5000000) w = 5000000;
            left -= w;
            lo[i * stride + k] = (int16_t)(w & ((1 << KERN_TAP_LOW) - 1));
            hi[i * stride + k] = (int16_t)((w - lo[i * stride + k]) / (1 << KERN_TAP_LOW));
        }
    }
    return (struct kern_taps){in, n, stride, start, count, hi, lo};
}
static void free_taps(struct kern_taps *t)
{
    free((void *)t->start);
    free((void *)t->hi);
}

static void fill(uint8_t *p, size_t n)
{
    /* Black and white often: sums that must be clipped. */
    for (size_t i = 0; i < n; i++) p[i] = draw(4) ? (uint8_t)draw(256) : draw(2) ? 255 : 0;
}

/* One pass by a row of the table and by the reference, into out[count] between bands. */
struct pass {
    const struct kern_taps *taps;
    const uint8_t *in;
    int rows, output; /* along rows: how many; along columns: which output row */
    size_t stride;    /* along rows: between them; along columns: bytes of a row */
};
static void run(const struct kern_row *row, uint8_t *out, const struct pass *p)
{
    if (!strcmp(row->name, "resize_rows_u8"))
        ((kern_resize_rows_u8 *)row->run)(out, p->in, p->rows, p->stride, p->taps);
    else
        ((kern_resize_cols_u8 *)row->run)(out, p->in, p->stride, p->taps, p->output);
}

static void every_row_agrees(const char *name, const struct pass *p, size_t count)
{
    int rows;
    const struct kern_row *row = kern_rows(&rows), *ref = NULL;
    uint8_t *want = malloc(count), *got = malloc(count + 2 * BAND);
    for (int r = 0; r < rows; r++) {
        if (strcmp(row[r].name, name) || (kern_cpu_features() & row[r].features) != row[r].features) continue;
        if (!ref) run(ref = &row[r], want, p); /* the first */
        memset(got, 0xa5, count + 2 * BAND);
        run(&row[r], got + BAND, p);
        for (size_t i = 0; i < count; i++)
            if (got[BAND + i] != want[i])
                fail_msg("%s %s n=%d rows=%d bytes=%zu: %d at %zu, expected %d", name, row[r].tier, p->taps->n, p->rows,
                         p->stride, got[BAND + i], i, want[i]);
        for (size_t i = 0; i < BAND; i++)
            if (got[i] != 0xa5 || got[BAND + count + i] != 0xa5) fail_msg("%s %s: written outside", name, row[r].tier);
    }
    assert_non_null(ref);
    free(want);
    free(got);
}

static const int tap_counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 24, 73, 300};
enum { TAP_COUNTS = sizeof tap_counts / sizeof *tap_counts };

static void rows_agree(void **state)
{
    (void)state;
    for (int i = 0; i < TAP_COUNTS; i++)
        for (int rows = 1; rows <= 9; rows++) {
            const int in = tap_counts[i] + (int)draw(40), n = 1 + (int)draw(20);
            struct kern_taps t = draw_taps(n, in, tap_counts[i]);
            const size_t stride = (size_t)in * 3 + draw(5), bytes = stride * (size_t)(rows - 1) + (size_t)in * 3;
            struct pass p = {.taps = &t, .in = at_edge(bytes), .rows = rows, .stride = stride};
            fill(at_edge(bytes), bytes);
            every_row_agrees("resize_rows_u8", &p, (size_t)rows * n * 3);
            free_taps(&t);
        }
}

static void columns_agree(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 3, 15, 16, 17, 31, 32, 33, 48, 100, 672};
    for (int i = 0; i < TAP_COUNTS; i++)
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++) {
            struct kern_taps t = draw_taps(3, tap_counts[i] + 5, tap_counts[i]);
            for (int k = 0; k < t.n; k++) {
                const size_t bytes = widths[j] * (size_t)t.count[k];
                struct pass p = {.taps = &t, .in = at_edge(bytes), .rows = t.count[k], .output = k, .stride = widths[j]};
                fill(at_edge(bytes), bytes);
                every_row_agrees("resize_cols_u8", &p, widths[j]);
            }
            free_taps(&t);
        }
}

/* The reference itself: taps of one pixel copy it, equal taps give the rounded mean, and overshoot is clipped at both ends. */
static void reference_is_right(void **state)
{
    (void)state;
    const int start[] = {1, 0, 0, 0}, count[] = {1, 2, 2, 2};
    const int32_t weights[4][2] = {{1 << 22, 0}, {1 << 21, 1 << 21}, {5 << 20, -(1 << 20)}, {-(1 << 20), 5 << 20}};
    int16_t hi[32] = {0}, lo[32] = {0};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) {
            lo[8 * i + k] = (int16_t)(weights[i][k] & ((1 << KERN_TAP_LOW) - 1));
            hi[8 * i + k] = (int16_t)((weights[i][k] - lo[8 * i + k]) / (1 << KERN_TAP_LOW));
        }
    const struct kern_taps t = {2, 4, 8, start, count, hi, lo};
    const uint8_t in[6] = {250, 10, 7, 20, 201, 8};
    static const uint8_t want[12] = {20, 201, 8, 135, 106, 8, 255, 0, 7, 0, 249, 8};
    uint8_t out[12], column[3];
    kern_resize_rows_u8_ref(out, in, 1, 6, &t);
    assert_memory_equal(out, want, 12);
    for (int i = 1; i < 4; i++) {
        kern_resize_cols_u8_ref(column, in, 3, &t, i);
        assert_memory_equal(column, want + 3 * i, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference_is_right), cmocka_unit_test(rows_agree),
                                       cmocka_unit_test(columns_agree)};
    return cmocka_run_group_tests(tests, make_edge, NULL);
}
