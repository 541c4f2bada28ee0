/* libwebp.c - see libwebp.h. */
#include "data/image/libwebp.h"

#ifdef HAVE_LIBWEBP
KERN_LIBRARY_DEFINE(data_libwebp, DATA_LIBWEBP, SONAME, "libwebp7");
#endif
