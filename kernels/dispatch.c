/* dispatch.c - from kernels.def and the processor to a table of kernels.
 *
 * The table is filled row by row in the order of kernels.def, so the last row that the processor can run wins:
 *
 *     ref -> blas -> avx2 -> avx512          cap: RUDD_ISA=ref|blas|avx2|avx512, read once; anything else is ignored
 *
 * OpenBLAS is loaded only where no later row takes the place of its rows. Where it is missing, they do not exist.
 *
 * Not here: benchmarking at start. The order of the rows is a measured fact (rudd-bench kernels), not a guess made anew each
 * run. */
#include "kernels/kern.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Tiers in rising order; the names are those of kernels.def and of RUDD_ISA. */
enum tier { TIER_ref, TIER_blas, TIER_avx2, TIER_avx512, TIERS };
static const char *const tier_name[TIERS] = {"ref", "blas", "avx2", "avx512"};

/* What a tier's own rows need; the tier in use is the highest one that this machine has. */
static const unsigned tier_needs[TIERS] = {0, KERN_HAS_BLAS, KERN_CPU_AVX2, KERN_CPU_AVX512};

unsigned kern_cpu_features(void)
{
    unsigned have = 0;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) have |= KERN_CPU_AVX2;
    if (have && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        have |= KERN_CPU_AVX512;
#endif
    return have;
}

unsigned kern_features(void)
{
    return kern_cpu_features() | (kern_blas_load() ? KERN_HAS_BLAS : 0);
}

static void fill(struct kern_table *t, unsigned features, enum tier cap)
{
#define KERNEL(name, type, tier, cpu)                                                                                          \
    if (TIER_##tier <= cap && (features & (cpu)) == (cpu)) t->name##_##type = kern_##name##_##type##_##tier;
#include "kernels.def"
#undef KERNEL
}

void kern_table_fill(struct kern_table *t, unsigned features)
{
    fill(t, features, TIERS - 1);
}

const struct kern_row *kern_rows(int *count)
{
    static const struct kern_row rows[] = {
#define KERNEL(name, type, tier, cpu) {#name "_" #type, #tier, cpu, (void (*)(void))kern_##name##_##type##_##tier},
#include "kernels.def"
#undef KERNEL
    };
    *count = sizeof rows / sizeof rows[0];
    return rows;
}

bool kern_expand_pays(const struct kern_table *t)
{
    return t->expand_dw_f32 != kern_expand_dw_f32_ref;
}

static struct kern_table table;
static enum tier tier;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    unsigned features = kern_cpu_features();
    const char *wish = getenv("RUDD_ISA");

    enum tier cap = TIERS - 1;
    for (int i = 0; wish && i < TIERS; i++)
        if (strcmp(wish, tier_name[i]) == 0) cap = (enum tier)i;

    const bool blas_wins = cap == TIER_blas || (cap > TIER_blas && !(features & KERN_CPU_AVX2));
    if (blas_wins && kern_blas_load()) features |= KERN_HAS_BLAS;
    fill(&table, features, cap);
    for (tier = cap; (features & tier_needs[tier]) != tier_needs[tier]; tier--) continue;
}

const struct kern_table *kern_table(void)
{
    pthread_once(&once, choose);
    return &table;
}

const char *kern_isa(void)
{
    pthread_once(&once, choose);
    return tier_name[tier];
}
