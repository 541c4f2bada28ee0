/* fuzz_safetensors.c - any bytes through the strict reader; what it accepts must be readable to the last element. */
#include "weights/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct weights_file f;
    struct rudd_error err;
    if (weights_parse(&f, bytes, length, "fuzz", &err)) return 0;
    size_t data = 0;
    for (int i = 0; i < f.tensor_count; i++) {
        const struct weights_tensor *t = &f.tensors[i];
        float *values = malloc(t->count * sizeof *values + 1);
        if (!values || weights_find(&f, t->name) != t) abort();
        weights_to_f32(values, t);
        free(values);
        data += t->count * weights_dtype_size(t->dtype);
    }
    if (data > length) abort(); /* they tile the file, so together they cannot be larger */
    weights_close(&f);
    return 0;
}
