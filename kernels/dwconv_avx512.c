/* dwconv_avx512.c - dwconv_body.h on AVX-512. */
#include "kernels/dwconv_body.h"
