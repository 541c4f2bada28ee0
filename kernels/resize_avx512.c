/* resize_avx512.c - resize_body.h on AVX-512. */
#include "kernels/resize_body.h"
