/* peak.c - the two ceilings of a roofline (Williams, Waterman & Patterson, CACM 52(4), 2009): multiply-adds and memory.
 *
 * Only here does code outside kernels/ use wide vectors: a loop of 16 independent chains, enough for a latency of 4 cycles on two ports.
 * Not here: peaks of several threads; the table multiplies by their number, which turbo clocks and shared memory make optimistic. */
#include "bench/peak.h"
#include "kernels/kern.h"
#include "nn/rudd.h"

#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 16, STEPS = 1 << 16, ROUNDS = 20 };

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static volatile float sink; /* keeps the loops from being removed */

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void chains_avx512(void)
{
    __m512 v[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    for (int i = 0; i < CHAINS; i++) v[i] = _mm512_set1_ps((float)i);
    for (int s = 0; s < STEPS; s++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) v[i] = _mm512_fmadd_ps(v[i], a, b);
    for (int i = 1; i < CHAINS; i++) v[0] = _mm512_add_ps(v[0], v[i]);
    sink = _mm512_cvtss_f32(v[0]);
}

__attribute__((target("avx2,fma"))) static void chains_avx2(void)
{
    __m256 v[CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    for (int i = 0; i < CHAINS; i++) v[i] = _mm256_set1_ps((float)i);
    for (int s = 0; s < STEPS; s++)
#pragma GCC unroll 16
        for (int i = 0; i < 10; i++) v[i] = _mm256_fmadd_ps(v[i], a, b); /* 16 registers: 10 chains and two constants */
    for (int i = 1; i < 10; i++) v[0] = _mm256_add_ps(v[0], v[i]);
    sink = _mm256_cvtss_f32(v[0]);
}
#endif

static void chains_scalar(void)
{
    float v[CHAINS];
    for (int i = 0; i < CHAINS; i++) v[i] = (float)i;
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < CHAINS; i++) v[i] = v[i] * 0.999f + 0.001f;
    for (int i = 1; i < CHAINS; i++) v[0] += v[i];
    sink = v[0];
}

double bench_peak_gflops(void)
{
    void (*run)(void) = chains_scalar;
    double flops = 2.0 * STEPS * CHAINS, best = 1e9;
#if defined(__x86_64__)
    if (kern_cpu_features() & KERN_CPU_AVX512)
        run = chains_avx512, flops *= 16;
    else if (kern_cpu_features() & KERN_CPU_AVX2)
        run = chains_avx2, flops *= 8 * 10.0 / CHAINS;
#endif
    for (int r = 0; r < ROUNDS; r++) {
        double start = bench_now();
        run();
        double seconds = bench_now() - start;
        if (seconds < best) best = seconds;
    }
    return flops / best * 1e-9;
}

double bench_peak_gbytes(void)
{
    /* Cold pieces of a large array, each timed for itself: on a busy machine some piece still runs undisturbed. */
    const size_t bytes = (size_t)128 << 20, piece = (size_t)2 << 20;
    char *from = rudd_zalloc(bytes, 1), *to = rudd_zalloc(bytes, 1);
    double best = 1e9;
    for (size_t at = 0; from && to && at < 3 * bytes; at += piece) {
        size_t i = at % bytes;
        double start = bench_now();
        memcpy(to + i, from + i, piece);
        double seconds = bench_now() - start;
        if (at >= bytes && seconds < best) best = seconds; /* the first round only brings the pages in */
        sink = to[i + piece / 2];
    }
    double rate = from && to ? 2.0 * (double)piece / best * 1e-9 : 0;
    rudd_free(from);
    rudd_free(to);
    return rate;
}
