/* fuzz_picture.h - any bytes into one decoder of picture files, past the look at the first ones.
 *
 * A picture that comes of it keeps to the limits, and comes out the same twice: no pixel is left as
 * the memory was. (Not of HEVC: libde265 goes on where bits are broken.) A refusal changes nothing.
 * Included by one fuzzer a format. */
#ifndef TESTS_FUZZ_PICTURE_H
#define TESTS_FUZZ_PICTURE_H

#include "data/image/codec.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int fuzz_picture(data_codec *decode, bool twice, const uint8_t *data, size_t size)
{
    enum { SMALL = 1 << 14 }; /* pixels; a second look at larger ones would cost too much */
    const struct data_limits limits = {1 << 20, 1 << 20};
    struct data_image image = {0}, again = {0};
    struct rudd_error err;
    int orientation = 0, turned = 0;
    if (decode(&image, &orientation, data, size, "fuzz", &limits, &err)) {
        if (image.rgb || image.w || image.h || orientation) __builtin_trap();
        return 0;
    }
    const size_t pixels = (size_t)image.w * (size_t)image.h;
    if (image.w < 1 || image.h < 1 || pixels > limits.max_pixels || !image.rgb) __builtin_trap();
    if (orientation < 1 || orientation > 8) __builtin_trap();
    if (twice && pixels <= SMALL) {
        if (decode(&again, &turned, data, size, "fuzz", &limits, &err)) __builtin_trap();
        if (again.w != image.w || again.h != image.h || turned != orientation) __builtin_trap();
        if (memcmp(again.rgb, image.rgb, pixels * 3)) __builtin_trap();
    }
    data_image_free(&image);
    data_image_free(&again);
    return 0;
}

#endif
