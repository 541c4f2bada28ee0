/* fuzz_image.c - picture files from strangers: JPEG, PNG and the EXIF in them; whole, and resized while they are decoded. Both ways agree on
 * what can be read, on its pixels and on its note. */
#include "data/image/preprocess.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { SIDE = 12 };
    struct data_image image = {0};
    struct data_limits limits = {1 << 20, 1 << 20, .truncated = size % 2};
    struct nn_preprocess p = {.mode = (enum nn_resize_mode)(size % 3), .crop_fraction = 0.875};
    uint8_t want[SIDE * SIDE * 3], got[SIDE * SIDE * 3];
    struct data_reading reading = {0};
    struct rudd_error err;
    const enum rudd_status status = data_image_decode(&image, data, size, "fuzz", &limits, &err);
    if (!status && (size_t)image.w * (size_t)image.h > limits.max_pixels) __builtin_trap();
    /* A very long and thin picture has a crop that is larger than itself: seconds of work for the tiny square. */
    const bool tame = !status && image.w < 50 * image.h && image.h < 50 * image.w;
    if (tame || status) {
        enum rudd_status straight = data_preprocess_bytes(got, data, size, "fuzz", &limits, &p, SIDE, 0, &reading, &err);
        if (straight != status) __builtin_trap();
        if (!status && strcmp(reading.note, image.note) != 0) __builtin_trap();
        if (!status && data_preprocess(want, &image, &p, SIDE, &err)) __builtin_trap();
        if (!status && memcmp(got, want, sizeof got)) __builtin_trap();
        p.reduce = 1.5;
        straight = data_preprocess_bytes(got, data, size, "fuzz", &limits, &p, SIDE, 0, NULL, &err);
        if (straight != status) __builtin_trap();
    }
    data_image_free(&image);
    return 0;
}
