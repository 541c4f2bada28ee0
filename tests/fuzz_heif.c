/* fuzz_heif.c - HEIC and AVIF files from strangers. */
#include "tests/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#ifdef HAVE_LIBHEIF
    return fuzz_picture(data_heif_decode, false, data, size);
#else
    (void)data, (void)size;
    return 0;
#endif
}
