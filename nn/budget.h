/* budget.h - how much memory plans may take: what the user says, or what the limits of this
 * process leave (kernels/limits.h).
 *
 *     limit  200.0 MiB   memory.limit_in_bytes
 *     used   -40.0       weights among it, they are read by now
 *     beside -55.0       gradients, moments, pictures on their way: the caller's sum
 *     margin -24.0       NN_BUDGET_MARGIN
 *            -----
 *             81.0 MiB   for plans
 *
 * A limit that was found never changes what is computed: plans compute again, run on fewer
 * pictures at a time where that changes no bit, or are refused. */
#ifndef NN_BUDGET_H
#define NN_BUDGET_H

#include "kernels/limits.h"
#include "nn/options.h"

/* What nobody counts: code and libraries as they are touched, stacks, the allocator's rounding,
 * JSON, page tables. Runs of `rudd train` in a control group of the least limit that they accept
 * peaked at this much above the sum of what is counted: V2-B0 at 64 pixels 6.5 MiB, ResNet-50 V2
 * at 64 with an average 8.3, B4 at 96 14.7. The margin is the most of these and half as much
 * again. */
#define NN_BUDGET_MARGIN ((size_t)24 << 20)

struct nn_budget {
    size_t limit;              /* for plans, as nn_plan_options.memory_limit; 0: none */
    size_t beside;             /* taken off */
    bool found;                /* a limit of the process, not the user's word */
    struct kern_memory memory; /* where found: which */
};

/* asked: what --memory-limit says, NN_BYTES_AUTO when it was not given. beside: bytes that will be
 * needed beside plans; threads: how many will be started. */
void nn_budget_make(struct nn_budget *budget, size_t asked, size_t beside, int threads);
/* What is left of the budget's limit when `bytes` of it are spent; never 0 where there is a limit. */
size_t nn_budget_rest(const struct nn_budget *budget, size_t bytes);
/* Gives back what malloc keeps of freed blocks, where a found limit counts it: plans of one phase
 * follow those of another. */
void nn_budget_trim(const struct nn_budget *budget);
/* The status, which err tells of. RUDD_LIMIT under a limit that was found gets its figures and
 * what can be done: advice, such as "a smaller --batch". */
enum rudd_status nn_budget_tell(const struct nn_budget *budget, enum rudd_status status, const char *advice,
                                struct rudd_error *err);

#endif
