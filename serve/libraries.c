/* libraries.c - see libraries.h. A row for each file that defines a library. */
#include "serve/libraries.h"

#include "serve/libgnutls.h"
#include "serve/libhiredis.h"

const struct nn_build_library serve_libraries[] = {
#ifdef HAVE_GNUTLS
    {"--tls-cert", &serve_libgnutls_library},
#else
    NN_BUILD_MISSING("--tls-cert"),
#endif
#ifdef HAVE_HIREDIS
    {"--cache redis://", &serve_libhiredis_library},
#else
    NN_BUILD_MISSING("--cache redis://"),
#endif
    {NULL, NULL},
};
