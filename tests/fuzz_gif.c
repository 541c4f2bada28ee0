/* fuzz_gif.c - GIF files from strangers. */
#include "tests/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#ifdef HAVE_GIFLIB
    return fuzz_picture(data_gif_decode, true, data, size);
#else
    (void)data, (void)size;
    return 0;
#endif
}
