/* libraries.c - see libraries.h. A row for each file that defines a library. */
#include "data/libraries.h"

#include "data/image/libgif.h"
#include "data/image/libheif.h"
#include "data/image/libjpeg.h"
#include "data/image/libpng.h"
#include "data/image/libtiff.h"
#include "data/image/libwebp.h"
#include "data/libpq.h"
#include "data/libsqlite.h"
#include "data/sets/libutf8proc.h"
#include "kernels/kern.h"

const struct nn_build_library data_libraries[] = {
    {"JPEG pictures", &data_libjpeg_library},         {"PNG pictures", &data_libpng_library},
#ifdef HAVE_LIBWEBP
    {"WebP pictures", &data_libwebp_library},
#else
    NN_BUILD_MISSING("WebP pictures"),
#endif
#ifdef HAVE_LIBHEIF
    {"HEIC pictures", &data_libheif_library},
#else
    NN_BUILD_MISSING("HEIC pictures"),
#endif
#ifdef HAVE_LIBTIFF_4
    {"TIFF pictures", &data_libtiff_library},
#else
    NN_BUILD_MISSING("TIFF pictures"),
#endif
#ifdef HAVE_GIFLIB
    {"GIF pictures", &data_libgif_library},
#else
    NN_BUILD_MISSING("GIF pictures"),
#endif
#ifdef HAVE_LIBUTF8PROC
    {"labels in Unicode", &data_libutf8proc_library},
#else
    NN_BUILD_MISSING("labels in Unicode"),
#endif
    {"stores in SQLite", &data_libsqlite_library},
#ifdef HAVE_LIBPQ
    {"stores in PostgreSQL", &data_libpq_library},
#else
    NN_BUILD_MISSING("stores in PostgreSQL"),
#endif
    {"old processors", &kern_libblas_library},        {NULL, NULL},
};
