/* libraries.h - the libraries that the server may need: a list for --version. */
#ifndef SERVE_LIBRARIES_H
#define SERVE_LIBRARIES_H

#include "nn/base/build.h"

extern const struct nn_build_library serve_libraries[];

#endif
