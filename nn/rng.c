/* rng.c - SplitMix64 by key; see rng.h. */
#include "nn/rng.h"

#include <math.h>

/* 2^64 / golden ratio, odd: steps through all 2^64 states. */
static const uint64_t GAMMA = 0x9e3779b97f4a7c15;

/* Stafford's variant 13 of MurmurHash3's finaliser: a bijection in which each input bit flips each output bit half of the time.
 */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Order matters: (1, 0, 0) and (0, 1, 0) must not meet, so each word is mixed in before the next. */
static uint64_t fold(uint64_t a, uint64_t b, uint64_t c)
{
    return mix(mix(mix(a + GAMMA) + b + GAMMA) + c + GAMMA);
}

uint64_t nn_rng_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t counter)
{
    return mix(fold(a, b, c) + (counter + 1) * GAMMA);
}

void nn_rng_init(struct nn_rng *rng, uint64_t seed, uint64_t k1, uint64_t k2)
{
    rng->state = fold(seed, k1, k2);
}

uint64_t nn_rng_next(struct nn_rng *rng)
{
    return mix(rng->state += GAMMA);
}

double nn_rng_uniform(struct nn_rng *rng)
{
    return (double)(nn_rng_next(rng) >> 11) * 0x1p-53;
}

double nn_rng_range(struct nn_rng *rng, double lo, double hi)
{
    return lo + (hi - lo) * nn_rng_uniform(rng);
}

uint64_t nn_rng_below(struct nn_rng *rng, uint64_t n)
{
    /* The last, incomplete run of n numbers below 2^64 would favour small remainders: draw again. */
    uint64_t whole = UINT64_MAX - UINT64_MAX % n, x;
    do x = nn_rng_next(rng);
    while (x >= whole);
    return x % n;
}

double nn_rng_normal(struct nn_rng *rng)
{
    double u = 1 - nn_rng_uniform(rng), v = nn_rng_uniform(rng); /* u in (0, 1]: its logarithm is finite */
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

void nn_rng_permutation(struct nn_rng *rng, int *order, int n)
{
    for (int i = 0; i < n; i++) {
        int j = (int)nn_rng_below(rng, (uint64_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
