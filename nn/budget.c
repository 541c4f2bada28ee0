/* budget.c - how much memory plans may take: see budget.h. */
#include "nn/budget.h"
#include <malloc.h>

static const double mib = 1 << 20;

void nn_budget_make(struct nn_budget *budget, size_t asked, size_t beside, int threads)
{
    *budget = (struct nn_budget){.limit = asked == NN_BYTES_AUTO ? 0 : asked};
    if (asked != NN_BYTES_AUTO || !kern_memory_left(&budget->memory, threads)) return;
    budget->found = true;
    budget->beside = beside + NN_BUDGET_MARGIN;
    budget->limit = budget->memory.left > budget->beside ? (size_t)budget->memory.left - budget->beside : 1;
}

size_t nn_budget_rest(const struct nn_budget *budget, size_t bytes)
{
    if (!budget->limit) return 0;
    return budget->limit > bytes ? budget->limit - bytes : 1;
}

void nn_budget_trim(const struct nn_budget *budget)
{
#ifdef __GLIBC__
    if (budget->found) malloc_trim(0);
#else
    (void)budget;
#endif
}

enum rudd_status nn_budget_tell(const struct nn_budget *budget, enum rudd_status status, const char *advice,
                                struct rudd_error *err)
{
    const struct kern_memory *m = &budget->memory;
    if (status != RUDD_LIMIT || !budget->found || !err) return status;
    return rudd_fail(
        err, status,
        "%s. The limit is what %s leaves: of %.1f MiB %.1f are in use or for threads, and %.1f are for what is needed beside. "
        "Raise that limit, or give %s; --memory-limit 0 tries all the same",
        err->message, m->from, (double)m->limit / mib, (double)m->used / mib, (double)budget->beside / mib, advice);
}
