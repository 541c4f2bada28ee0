/* bn_avx2.c - bn_body.h on AVX2. */
#include "kernels/bn_body.h"
