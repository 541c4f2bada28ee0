/* fuzz_bmp.c - BMP files from strangers. */
#include "tests/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_picture(data_bmp_decode, true, data, size);
}
