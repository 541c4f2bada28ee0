/* maxpool_avx2.c - maxpool_body.h on AVX2. */
#include "kernels/maxpool_body.h"
