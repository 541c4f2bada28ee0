/* map_avx2.c - map_body.h on AVX2. */
#include "kernels/map_body.h"
