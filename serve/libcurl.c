/* libcurl.c - see libcurl.h. */
#include "serve/libcurl.h"

#ifdef HAVE_LIBCURL
KERN_LIBRARY_DEFINE(serve_libcurl, SERVE_LIBCURL, SONAME, "libcurl3-gnutls");
#endif
