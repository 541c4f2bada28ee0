/* map_avx512.c - map_body.h on AVX-512. */
#include "kernels/map_body.h"
