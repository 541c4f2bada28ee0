/* libgnutls.c - see libgnutls.h. */
#include "serve/libgnutls.h"

#ifdef HAVE_GNUTLS
KERN_LIBRARY_DEFINE(serve_libgnutls, SERVE_LIBGNUTLS, SONAME, "libgnutls30");
#endif
