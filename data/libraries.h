/* libraries.h - the libraries that pictures, labels, stores and products of matrices may need: a
 * list for --version. */
#ifndef DATA_LIBRARIES_H
#define DATA_LIBRARIES_H

#include "nn/base/build.h"

extern const struct nn_build_library data_libraries[];

#endif
