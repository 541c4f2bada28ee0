/* libjpeg.c - see libjpeg.h. */
#include "data/image/libjpeg.h"

KERN_LIBRARY_DEFINE(data_libjpeg, DATA_LIBJPEG, SONAME, "libjpeg62-turbo");
