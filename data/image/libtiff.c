/* libtiff.c - see libtiff.h. */
#include "data/image/libtiff.h"

#ifdef HAVE_LIBTIFF_4
KERN_LIBRARY_DEFINE(data_libtiff, DATA_LIBTIFF, SONAME, "libtiff6");
#endif
