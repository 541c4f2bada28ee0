/* bn_avx512.c - bn_body.h on AVX-512. */
#include "kernels/bn_body.h"
