/* decode.h - image files to pixels: any format of formats.h, always to 8-bit RGB, upright.
 *
 * Limits are checked against the header before anything is allocated. Grey, CMYK, palette, alpha (over white... see decode.c),
 * 16-bit and interlaced images all become RGB as Pillow's convert("RGB") makes them; EXIF orientation is applied. Thread-safe.
 */
#ifndef DATA_DECODE_H
#define DATA_DECODE_H

#include "nn/rudd.h"

struct data_image {
    int w, h;
    uint8_t *rgb; /* [h, w, 3]; from rudd_alloc */
};

struct data_limits {
    size_t max_bytes;    /* of the file */
    uint64_t max_pixels; /* w*h */
};
/* 64 MiB and 100 million pixels: what NULL stands for below. */
extern const struct data_limits data_limits_default;

/* RUDD_FORMAT: no picture, not built in, broken or truncated; RUDD_LIMIT: larger than limits. name is for messages only. */
enum rudd_status data_image_decode(struct data_image *image, const void *bytes, size_t length, const char *name,
                                   const struct data_limits *limits, struct rudd_error *err);
enum rudd_status data_image_read(struct data_image *image, const char *path, const struct data_limits *limits,
                                 struct rudd_error *err);
void data_image_free(struct data_image *image);
/* Bytes that reading this file takes at most, by its header: the file, its pixels, and them once more (turned upright, or a progressive
 * JPEG's coefficients). 0 for what is no picture. */
size_t data_image_bytes(const char *path);

/* A whole file into a rudd_alloc'ed block, at most max_bytes of it (RUDD_LIMIT beyond). */
enum rudd_status data_file_read(uint8_t **bytes, size_t *length, const char *path, size_t max_bytes, struct rudd_error *err);

#endif
