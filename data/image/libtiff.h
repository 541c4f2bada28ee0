/* libtiff.h - libtiff, loaded for the first TIFF. Included instead of <tiffio.h>.
 * Empty where rudd is built without it. */
#ifndef DATA_LIBTIFF_H
#define DATA_LIBTIFF_H

#ifdef HAVE_LIBTIFF_4

#include <tiffio.h>
#include "kernels/library.h"

#define DATA_LIBTIFF(F)                                                                            \
    F(TIFFClientOpenExt)                                                                           \
    F(TIFFClose)                                                                                   \
    F(TIFFGetField)                                                                                \
    F(TIFFGetFieldDefaulted)                                                                       \
    F(TIFFIsTiled)                                                                                 \
    F(TIFFOpenOptionsAlloc)                                                                        \
    F(TIFFOpenOptionsFree)                                                                         \
    F(TIFFOpenOptionsSetErrorHandlerExtR)                                                          \
    F(TIFFOpenOptionsSetMaxSingleMemAlloc)                                                         \
    F(TIFFOpenOptionsSetWarningHandlerExtR)                                                        \
    F(TIFFRGBAImageBegin)                                                                          \
    F(TIFFRGBAImageEnd)                                                                            \
    F(TIFFRGBAImageGet)                                                                            \
    F(TIFFReadScanline)                                                                            \
    F(TIFFReadTile)                                                                                \
    F(TIFFScanlineSize64)                                                                          \
    F(TIFFSetField)                                                                                \
    F(TIFFTileSize64)

KERN_LIBRARY_DECLARE(data_libtiff, DATA_LIBTIFF);

#define TIFFClientOpenExt (*data_libtiff.TIFFClientOpenExt)
#define TIFFClose (*data_libtiff.TIFFClose)
#define TIFFGetField (*data_libtiff.TIFFGetField)
#define TIFFGetFieldDefaulted (*data_libtiff.TIFFGetFieldDefaulted)
#define TIFFIsTiled (*data_libtiff.TIFFIsTiled)
#define TIFFOpenOptionsAlloc (*data_libtiff.TIFFOpenOptionsAlloc)
#define TIFFOpenOptionsFree (*data_libtiff.TIFFOpenOptionsFree)
#define TIFFOpenOptionsSetErrorHandlerExtR (*data_libtiff.TIFFOpenOptionsSetErrorHandlerExtR)
#define TIFFOpenOptionsSetMaxSingleMemAlloc (*data_libtiff.TIFFOpenOptionsSetMaxSingleMemAlloc)
#define TIFFOpenOptionsSetWarningHandlerExtR (*data_libtiff.TIFFOpenOptionsSetWarningHandlerExtR)
#define TIFFRGBAImageBegin (*data_libtiff.TIFFRGBAImageBegin)
#define TIFFRGBAImageEnd (*data_libtiff.TIFFRGBAImageEnd)
#define TIFFRGBAImageGet (*data_libtiff.TIFFRGBAImageGet)
#define TIFFReadScanline (*data_libtiff.TIFFReadScanline)
#define TIFFReadTile (*data_libtiff.TIFFReadTile)
#define TIFFScanlineSize64 (*data_libtiff.TIFFScanlineSize64)
#define TIFFSetField (*data_libtiff.TIFFSetField)
#define TIFFTileSize64 (*data_libtiff.TIFFTileSize64)

#endif
#endif
