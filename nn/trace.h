/* trace.h - RUDD_TRACE=1: where the time of a plan goes, step by step.
 *
 *     node operation direction | kernel tier shape | time, share, GFLOP/s, GB/s | byte of the block where its output lies
 *
 * Kernel, tier and shape are an argument of `rudd-bench kernels`. */
#ifndef NN_TRACE_H
#define NN_TRACE_H

#include <stdio.h>
#include "nn/plan.h"

struct nn_trace_log;
/* With RUDD_TRACE set to anything but 0: notes each step's fastest time from now on (on a shared machine that is the one that says what
 * the code can do). Otherwise, or out of memory, NULL, for which nn_trace_end does nothing. */
struct nn_trace_log *nn_trace_begin(struct nn_plan *plan);
/* Writes the steps in the order of execution, a warning for each that takes more than a hundredth of the time on a plain C
 * reference, and sums by kernel; frees log. The plan may be gone. */
void nn_trace_end(FILE *out, struct nn_trace_log *log);

#endif
