/* libjpeg.h - libjpeg-turbo, loaded for the first JPEG. Included instead of <jpeglib.h>. */
#ifndef DATA_LIBJPEG_H
#define DATA_LIBJPEG_H

#include <stdio.h> /* jpeglib.h takes it for granted */
#include <jpeglib.h>
#include "kernels/library.h"

#define DATA_LIBJPEG(F)                                                                            \
    F(jpeg_CreateCompress)                                                                         \
    F(jpeg_CreateDecompress)                                                                       \
    F(jpeg_calc_output_dimensions)                                                                 \
    F(jpeg_crop_scanline)                                                                          \
    F(jpeg_destroy_compress)                                                                       \
    F(jpeg_destroy_decompress)                                                                     \
    F(jpeg_finish_compress)                                                                        \
    F(jpeg_finish_decompress)                                                                      \
    F(jpeg_has_multiple_scans)                                                                     \
    F(jpeg_read_header)                                                                            \
    F(jpeg_read_scanlines)                                                                         \
    F(jpeg_resync_to_restart)                                                                      \
    F(jpeg_set_defaults)                                                                           \
    F(jpeg_set_quality)                                                                            \
    F(jpeg_start_compress)                                                                         \
    F(jpeg_start_decompress)                                                                       \
    F(jpeg_std_error)                                                                              \
    F(jpeg_write_scanlines)

KERN_LIBRARY_DECLARE(data_libjpeg, DATA_LIBJPEG);

#define jpeg_CreateCompress (*data_libjpeg.jpeg_CreateCompress)
#define jpeg_CreateDecompress (*data_libjpeg.jpeg_CreateDecompress)
#define jpeg_calc_output_dimensions (*data_libjpeg.jpeg_calc_output_dimensions)
#define jpeg_crop_scanline (*data_libjpeg.jpeg_crop_scanline)
#define jpeg_destroy_compress (*data_libjpeg.jpeg_destroy_compress)
#define jpeg_destroy_decompress (*data_libjpeg.jpeg_destroy_decompress)
#define jpeg_finish_compress (*data_libjpeg.jpeg_finish_compress)
#define jpeg_finish_decompress (*data_libjpeg.jpeg_finish_decompress)
#define jpeg_has_multiple_scans (*data_libjpeg.jpeg_has_multiple_scans)
#define jpeg_read_header (*data_libjpeg.jpeg_read_header)
#define jpeg_read_scanlines (*data_libjpeg.jpeg_read_scanlines)
#define jpeg_resync_to_restart (*data_libjpeg.jpeg_resync_to_restart)
#define jpeg_set_defaults (*data_libjpeg.jpeg_set_defaults)
#define jpeg_set_quality (*data_libjpeg.jpeg_set_quality)
#define jpeg_start_compress (*data_libjpeg.jpeg_start_compress)
#define jpeg_start_decompress (*data_libjpeg.jpeg_start_decompress)
#define jpeg_std_error (*data_libjpeg.jpeg_std_error)
#define jpeg_write_scanlines (*data_libjpeg.jpeg_write_scanlines)

#endif
