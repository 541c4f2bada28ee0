/* fuzz_hdf5.c - any bytes as HDF5 and as Keras' weights; what is accepted must be readable to the last element. */
#include "weights/hdf5.h"
#include "weights/keras.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void try(weights_parser *parse, const uint8_t *bytes, size_t length)
{
    struct weights_file f;
    struct rudd_error err;
    struct nn_model model = {.arch = "tf_efficientnet_b0"};
    bool found;
    size_t data = 0;
    if (parse(&f, bytes, length, "fuzz", &err)) return;
    for (int i = 0; i < f.tensor_count; i++) {
        const struct weights_tensor *t = &f.tensors[i];
        float *values = malloc(t->count * sizeof *values + 1);
        if (!values || weights_find(&f, t->name) != t) abort();
        weights_to_f32(values, t);
        free(values);
        data += t->count * weights_dtype_size(t->dtype);
    }
    if (data > length) abort(); /* they overlap nowhere */
    for (int i = 0; i < f.meta_count; i++)
        if (strlen(f.meta[i].value) > length) abort();
    weights_keras_preprocess(&model, &found, &f, WEIGHTS_KERAS_AUTO, &err);
    weights_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    try(weights_hdf5_parse, bytes, length);
    try(weights_keras_parse, bytes, length);
    return 0;
}
