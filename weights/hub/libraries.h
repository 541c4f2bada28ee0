/* libraries.h - what brings weights by name, and rudd-serve's pictures by URL: a list for
 * --version. */
#ifndef WEIGHTS_HUB_LIBRARIES_H
#define WEIGHTS_HUB_LIBRARIES_H

#include "nn/base/build.h"

extern const struct nn_build_library weights_hub_libraries[];

#endif
