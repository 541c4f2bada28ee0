/* resize_avx2.c - resize_body.h on AVX2. */
#include "kernels/resize_body.h"
