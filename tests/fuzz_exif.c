/* fuzz_exif.c - the EXIF block alone: always an orientation, never a read outside. */
#include "data/image/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int o = data_exif_orientation(data, size);
    if (o < 1 || o > 8) __builtin_trap();
    return 0;
}
