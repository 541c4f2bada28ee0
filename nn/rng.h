/* rng.h - random numbers keyed by what they are for, never by when they are drawn.
 *
 * Two views of one generator, SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014):
 *
 *     key words --folded by the mixing function--> state          state + i * GAMMA --mix--> the i-th number
 *
 * nn_rng_u64 names a number by its key and its place and keeps no state: masks that any thread may recompute. struct nn_rng
 * walks the same sequence from place 0: choices made one after another for one key, such as (seed, epoch, image).
 *
 * Same numbers on every machine. Not for secrets. */
#ifndef NN_RNG_H
#define NN_RNG_H

#include <stdint.h>

/* Number `counter` of the sequence of key (a, b, c). Different keys, or different counters of one key, are independent. */
uint64_t nn_rng_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t counter);

struct nn_rng {
    uint64_t state;
};
/* rng stands before number 0 of key (seed, k1, k2). */
void nn_rng_init(struct nn_rng *rng, uint64_t seed, uint64_t k1, uint64_t k2);
uint64_t nn_rng_next(struct nn_rng *rng);
double nn_rng_uniform(struct nn_rng *rng);                     /* [0, 1), 53 random bits */
double nn_rng_range(struct nn_rng *rng, double lo, double hi); /* [lo, hi); lo when they are equal */
uint64_t nn_rng_below(struct nn_rng *rng, uint64_t n);         /* 0 .. n-1, each exactly as likely; n >= 1 */
double nn_rng_normal(struct nn_rng *rng);                      /* mean 0, variance 1; Box and Muller 1958 */
/* order[0..n-1] = a random permutation of 0..n-1; every one as likely (Fisher and Yates). */
void nn_rng_permutation(struct nn_rng *rng, int *order, int n);

#endif
