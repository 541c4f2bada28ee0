/* fuzz_npy.c - .npy files: what is accepted has the bytes it claims. */
#include "data/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *values;
    int64_t n[4];
    struct rudd_error err;
    if (data_npy_parse(&values, n, data, size, "fuzz", &err)) return 0;
    if (values < data || (uint64_t)(n[0] * n[1] * n[2] * n[3]) * 4 != (uint64_t)(data + size - values)) __builtin_trap();
    return 0;
}
