/* libheif.h - libheif, loaded for the first HEIC or AVIF. Included instead of <libheif/heif.h>.
 * Empty where rudd is built without it. */
#ifndef DATA_LIBHEIF_H
#define DATA_LIBHEIF_H

#ifdef HAVE_LIBHEIF

#include <libheif/heif.h>
#include "kernels/library.h"

#define DATA_LIBHEIF(F)                                                                            \
    F(heif_context_alloc)                                                                          \
    F(heif_context_free)                                                                           \
    F(heif_context_get_primary_image_handle)                                                       \
    F(heif_context_read_from_memory_without_copy)                                                  \
    F(heif_context_set_max_decoding_threads)                                                       \
    F(heif_context_set_maximum_image_size_limit)                                                   \
    F(heif_decode_image)                                                                           \
    F(heif_decoding_options_alloc)                                                                 \
    F(heif_decoding_options_free)                                                                  \
    F(heif_image_get_height)                                                                       \
    F(heif_image_get_plane_readonly)                                                               \
    F(heif_image_get_width)                                                                        \
    F(heif_image_handle_get_height)                                                                \
    F(heif_image_handle_get_width)                                                                 \
    F(heif_image_handle_release)                                                                   \
    F(heif_image_release)

KERN_LIBRARY_DECLARE(data_libheif, DATA_LIBHEIF);

#define heif_context_alloc (*data_libheif.heif_context_alloc)
#define heif_context_free (*data_libheif.heif_context_free)
#define heif_context_get_primary_image_handle (*data_libheif.heif_context_get_primary_image_handle)
#define heif_context_read_from_memory_without_copy                                                 \
    (*data_libheif.heif_context_read_from_memory_without_copy)
#define heif_context_set_max_decoding_threads (*data_libheif.heif_context_set_max_decoding_threads)
#define heif_context_set_maximum_image_size_limit                                                  \
    (*data_libheif.heif_context_set_maximum_image_size_limit)
#define heif_decode_image (*data_libheif.heif_decode_image)
#define heif_decoding_options_alloc (*data_libheif.heif_decoding_options_alloc)
#define heif_decoding_options_free (*data_libheif.heif_decoding_options_free)
#define heif_image_get_height (*data_libheif.heif_image_get_height)
#define heif_image_get_plane_readonly (*data_libheif.heif_image_get_plane_readonly)
#define heif_image_get_width (*data_libheif.heif_image_get_width)
#define heif_image_handle_get_height (*data_libheif.heif_image_handle_get_height)
#define heif_image_handle_get_width (*data_libheif.heif_image_handle_get_width)
#define heif_image_handle_release (*data_libheif.heif_image_handle_release)
#define heif_image_release (*data_libheif.heif_image_release)

#endif
#endif
