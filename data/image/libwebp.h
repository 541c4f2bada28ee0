/* libwebp.h - libwebp, loaded for the first WebP. Included instead of <webp/decode.h>.
 * Empty where rudd is built without it. */
#ifndef DATA_LIBWEBP_H
#define DATA_LIBWEBP_H

#ifdef HAVE_LIBWEBP

#include <webp/decode.h>
#include "kernels/library.h"

#define DATA_LIBWEBP(F)                                                                            \
    F(WebPDecode)                                                                                  \
    F(WebPGetFeaturesInternal)                                                                     \
    F(WebPInitDecoderConfigInternal)

KERN_LIBRARY_DECLARE(data_libwebp, DATA_LIBWEBP);

#define WebPDecode (*data_libwebp.WebPDecode)
#define WebPGetFeaturesInternal (*data_libwebp.WebPGetFeaturesInternal)
#define WebPInitDecoderConfigInternal (*data_libwebp.WebPInitDecoderConfigInternal)

#endif
#endif
