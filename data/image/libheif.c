/* libheif.c - see libheif.h. */
#include "data/image/libheif.h"

#ifdef HAVE_LIBHEIF
KERN_LIBRARY_DEFINE(data_libheif, DATA_LIBHEIF, SONAME, "libheif1");
#endif
