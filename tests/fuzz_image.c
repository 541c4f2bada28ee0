/* fuzz_image.c - picture files from strangers: JPEG, PNG and the EXIF in them. */
#include "data/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct data_image image = {0};
    struct data_limits limits = {1 << 20, 1 << 20};
    struct rudd_error err;
    if (data_image_decode(&image, data, size, "fuzz", &limits, &err) == RUDD_OK &&
        (size_t)image.w * (size_t)image.h > limits.max_pixels)
        __builtin_trap();
    data_image_free(&image);
    return 0;
}
