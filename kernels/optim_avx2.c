/* optim_avx2.c - optim_body.h on AVX2. */
#include "kernels/optim_body.h"
