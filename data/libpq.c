/* libpq.c - see libpq.h. */
#include "data/libpq.h"

#ifdef HAVE_LIBPQ
KERN_LIBRARY_DEFINE(data_libpq, DATA_LIBPQ, SONAME, "libpq5");
#endif
