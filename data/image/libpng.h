/* libpng.h - libpng, loaded for the first PNG. Included instead of <png.h>. */
#ifndef DATA_LIBPNG_H
#define DATA_LIBPNG_H

#include <png.h>
#include "kernels/library.h"

#define DATA_LIBPNG(F)                                                                             \
    F(png_create_info_struct)                                                                      \
    F(png_create_read_struct_2)                                                                    \
    F(png_destroy_read_struct)                                                                     \
    F(png_error)                                                                                   \
    F(png_get_PLTE)                                                                                \
    F(png_get_color_type)                                                                          \
    F(png_get_current_pass_number)                                                                 \
    F(png_get_current_row_number)                                                                  \
    F(png_get_error_ptr)                                                                           \
    F(png_get_image_height)                                                                        \
    F(png_get_image_width)                                                                         \
    F(png_get_interlace_type)                                                                      \
    F(png_get_io_ptr)                                                                              \
    F(png_get_mem_ptr)                                                                             \
    F(png_get_rowbytes)                                                                            \
    F(png_longjmp)                                                                                 \
    F(png_read_end)                                                                                \
    F(png_read_info)                                                                               \
    F(png_read_row)                                                                                \
    F(png_read_update_info)                                                                        \
    F(png_set_chunk_malloc_max)                                                                    \
    F(png_set_compression_buffer_size)                                                             \
    F(png_set_crc_action)                                                                          \
    F(png_set_expand_gray_1_2_4_to_8)                                                              \
    F(png_set_gray_to_rgb)                                                                         \
    F(png_set_interlace_handling)                                                                  \
    F(png_set_keep_unknown_chunks)                                                                 \
    F(png_set_longjmp_fn)                                                                          \
    F(png_set_option)                                                                              \
    F(png_set_palette_to_rgb)                                                                      \
    F(png_set_read_fn)                                                                             \
    F(png_set_strip_16)                                                                            \
    F(png_set_strip_alpha)                                                                         \
    F(png_set_user_limits)

KERN_LIBRARY_DECLARE(data_libpng, DATA_LIBPNG);

#define png_create_info_struct (*data_libpng.png_create_info_struct)
#define png_create_read_struct_2 (*data_libpng.png_create_read_struct_2)
#define png_destroy_read_struct (*data_libpng.png_destroy_read_struct)
#define png_error (*data_libpng.png_error)
#define png_get_PLTE (*data_libpng.png_get_PLTE)
#define png_get_color_type (*data_libpng.png_get_color_type)
#define png_get_current_pass_number (*data_libpng.png_get_current_pass_number)
#define png_get_current_row_number (*data_libpng.png_get_current_row_number)
#define png_get_error_ptr (*data_libpng.png_get_error_ptr)
#define png_get_image_height (*data_libpng.png_get_image_height)
#define png_get_image_width (*data_libpng.png_get_image_width)
#define png_get_interlace_type (*data_libpng.png_get_interlace_type)
#define png_get_io_ptr (*data_libpng.png_get_io_ptr)
#define png_get_mem_ptr (*data_libpng.png_get_mem_ptr)
#define png_get_rowbytes (*data_libpng.png_get_rowbytes)
#define png_longjmp (*data_libpng.png_longjmp)
#define png_read_end (*data_libpng.png_read_end)
#define png_read_info (*data_libpng.png_read_info)
#define png_read_row (*data_libpng.png_read_row)
#define png_read_update_info (*data_libpng.png_read_update_info)
#define png_set_chunk_malloc_max (*data_libpng.png_set_chunk_malloc_max)
#define png_set_compression_buffer_size (*data_libpng.png_set_compression_buffer_size)
#define png_set_crc_action (*data_libpng.png_set_crc_action)
#define png_set_expand_gray_1_2_4_to_8 (*data_libpng.png_set_expand_gray_1_2_4_to_8)
#define png_set_gray_to_rgb (*data_libpng.png_set_gray_to_rgb)
#define png_set_interlace_handling (*data_libpng.png_set_interlace_handling)
#define png_set_keep_unknown_chunks (*data_libpng.png_set_keep_unknown_chunks)
#define png_set_longjmp_fn (*data_libpng.png_set_longjmp_fn)
#define png_set_option (*data_libpng.png_set_option)
#define png_set_palette_to_rgb (*data_libpng.png_set_palette_to_rgb)
#define png_set_read_fn (*data_libpng.png_set_read_fn)
#define png_set_strip_16 (*data_libpng.png_set_strip_16)
#define png_set_strip_alpha (*data_libpng.png_set_strip_alpha)
#define png_set_user_limits (*data_libpng.png_set_user_limits)

#endif
