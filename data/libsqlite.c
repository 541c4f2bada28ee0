/* libsqlite.c - see libsqlite.h. */
#include "data/libsqlite.h"

KERN_LIBRARY_DEFINE(data_libsqlite, DATA_LIBSQLITE, SONAME, "libsqlite3-0");
