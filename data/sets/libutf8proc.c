/* libutf8proc.c - see libutf8proc.h. Without the package there is nothing to load: names are then
 * compared as they are. */
#ifdef HAVE_LIBUTF8PROC
#include "data/sets/libutf8proc.h"

KERN_LIBRARY_DEFINE(data_libutf8proc, DATA_LIBUTF8PROC, SONAME, "libutf8proc2");
#endif
