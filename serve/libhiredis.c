/* libhiredis.c - see libhiredis.h. */
#include "serve/libhiredis.h"

#ifdef HAVE_HIREDIS
/* Debian names the package after the SONAME, and the header says it: 0.14. */
#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x

KERN_LIBRARY_DEFINE(serve_libhiredis, SERVE_LIBHIREDIS, SONAME, "libhiredis" TEXT(HIREDIS_SONAME));
#endif
