/* act_avx512.c - act_body.h on AVX-512. */
#include "kernels/act_body.h"
