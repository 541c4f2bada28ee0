/* libcurl.c - see libcurl.h. */
#include "weights/hub/libcurl.h"

#ifdef HAVE_LIBCURL
KERN_LIBRARY_DEFINE(weights_libcurl, WEIGHTS_LIBCURL, SONAME, "libcurl3-gnutls");
#endif
