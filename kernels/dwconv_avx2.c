/* dwconv_avx2.c - dwconv_body.h on AVX2. */
#include "kernels/dwconv_body.h"
