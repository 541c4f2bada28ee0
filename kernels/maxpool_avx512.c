/* maxpool_avx512.c - maxpool_body.h on AVX-512. */
#include "kernels/maxpool_body.h"
