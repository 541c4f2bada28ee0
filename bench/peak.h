/* peak.h - what one core of this machine can do at most, measured. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

/* Billions of float32 operations a second in a loop of independent fused multiply-adds held in registers, with the widest vectors. */
double bench_peak_gflops(void);
/* Billions of bytes a second that one thread reads and writes when it copies an array far larger than the caches. 0: no memory. */
double bench_peak_gbytes(void);
/* Seconds on the monotonic clock. */
double bench_now(void);

#endif
