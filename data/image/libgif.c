/* libgif.c - see libgif.h. */
#include "data/image/libgif.h"

#ifdef HAVE_GIFLIB
KERN_LIBRARY_DEFINE(data_libgif, DATA_LIBGIF, SONAME, "libgif7");
#endif
