/* libpng.c - see libpng.h. */
#include "data/image/libpng.h"

KERN_LIBRARY_DEFINE(data_libpng, DATA_LIBPNG, SONAME, "libpng16-16");
