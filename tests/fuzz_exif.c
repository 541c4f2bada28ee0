/* fuzz_exif.c - what cameras write beside pixels: any bytes give facts that make sense, and never a
 * read outside. As a whole file, and as a block of EXIF and a text of XMP alone. */
#include "data/image/codec.h"
#include "data/image/exif.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct data_exif e;
    int o = data_exif_orientation(data, size);
    if (o < 1 || o > 8) __builtin_trap();
    o = data_xmp_orientation(data, size);
    if (o < 0 || o > 8) __builtin_trap();

    data_image_exif(&e, data, size);
    if (e.orientation < 1 || e.orientation > 8) __builtin_trap();
    if (e.orientation != data_image_orientation(data, size)) __builtin_trap();
    const size_t n = strnlen(e.time, sizeof e.time);
    if (n != 0 && n != sizeof e.time - 1) __builtin_trap();
    if (!(e.latitude >= -90 && e.latitude <= 90)) __builtin_trap();
    if (!(e.longitude >= -180 && e.longitude <= 180)) __builtin_trap();
    return 0;
}
