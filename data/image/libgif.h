/* libgif.h - giflib, loaded for the first GIF. Included instead of <gif_lib.h>.
 * Empty where rudd is built without it. */
#ifndef DATA_LIBGIF_H
#define DATA_LIBGIF_H

#ifdef HAVE_GIFLIB

#include <gif_lib.h>
#include "kernels/library.h"

#define DATA_LIBGIF(F)                                                                             \
    F(DGifCloseFile)                                                                               \
    F(DGifGetExtension)                                                                            \
    F(DGifGetExtensionNext)                                                                        \
    F(DGifGetImageDesc)                                                                            \
    F(DGifGetLine)                                                                                 \
    F(DGifGetRecordType)                                                                           \
    F(DGifOpen)                                                                                    \
    F(GifErrorString)

KERN_LIBRARY_DECLARE(data_libgif, DATA_LIBGIF);

#define DGifCloseFile (*data_libgif.DGifCloseFile)
#define DGifGetExtension (*data_libgif.DGifGetExtension)
#define DGifGetExtensionNext (*data_libgif.DGifGetExtensionNext)
#define DGifGetImageDesc (*data_libgif.DGifGetImageDesc)
#define DGifGetLine (*data_libgif.DGifGetLine)
#define DGifGetRecordType (*data_libgif.DGifGetRecordType)
#define DGifOpen (*data_libgif.DGifOpen)
#define GifErrorString (*data_libgif.GifErrorString)

#endif
#endif
