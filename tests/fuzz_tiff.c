/* fuzz_tiff.c - TIFF files from strangers. */
#include "tests/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#ifdef HAVE_LIBTIFF_4
    return fuzz_picture(data_tiff_decode, true, data, size);
#else
    (void)data, (void)size;
    return 0;
#endif
}
