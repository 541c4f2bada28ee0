/* libraries.c - see libraries.h. */
#include "weights/hub/libraries.h"

#include "weights/hub/libcurl.h"

const struct nn_build_library weights_hub_libraries[] = {
#ifdef HAVE_LIBCURL
    {"weights by name", &weights_libcurl_library},
#else
    NN_BUILD_MISSING("weights by name"),
#endif
    {NULL, NULL},
};
