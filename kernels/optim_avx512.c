/* optim_avx512.c - optim_body.h on AVX-512. */
#include "kernels/optim_body.h"
