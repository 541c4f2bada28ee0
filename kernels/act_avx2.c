/* act_avx2.c - act_body.h on AVX2. */
#include "kernels/act_body.h"
