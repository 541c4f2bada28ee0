/* decode.h - image files to pixels: any format of formats.h, always to 8-bit RGB, upright.
 *
 * Limits are checked against the header before anything is allocated. Grey, CMYK, palette, alpha
 * (over white... see decode.c), 16-bit and interlaced images all become RGB as Pillow's
 * convert("RGB") makes them; EXIF orientation is applied. Thread-safe. */
#ifndef DATA_DECODE_H
#define DATA_DECODE_H

#include <stdbool.h>
#include "nn/rudd.h"

enum { DATA_NOTE = 160 };
struct data_image {
    int w, h;
    uint8_t *rgb; /* [h, w, 3]; from rudd_alloc */
    /* What is wrong with the file although it could be read: a piece of a sentence for the user,
     * such as "damaged, but read: bad Huffman code". "": nothing. */
    char note[DATA_NOTE];
};

struct data_limits {
    size_t max_bytes;    /* of the file */
    uint64_t max_pixels; /* w*h */
    /* A JPEG or PNG that ends early or breaks off is read as far as it goes. */
    bool truncated;
    bool fixed; /* whoever reads the messages cannot change these: they name no option */
};
/* 64 MiB, 100 million pixels, nothing truncated: what NULL stands for below. */
extern const struct data_limits data_limits_default;
/* For the options below: max_megapixels million pixels, and 64 MiB for each hundred of them, at
 * least for one. */
struct data_limits data_limits_of(double max_megapixels, bool truncated);

/* Rows of every command that reads pictures (nn/options.h); max_megapixels is 100 before. */
#define DATA_MEGAPIXELS 100
#define DATA_OPTION_MEGAPIXELS(target)                                                             \
    {                                                                                              \
        "max-megapixels", NN_OPTION_DOUBLE, target, "X", 0.0001, 10000,                            \
            "largest picture, in millions of pixels; its file may have 0.64 MiB for each, or 64 "  \
            "MiB"                                                                                  \
    }
#define DATA_OPTION_TRUNCATED(target)                                                              \
    {                                                                                              \
        "truncated", NN_OPTION_FLAG, target, NULL, 0, 0,                                           \
            "also read JPEG and PNG files that are cut short; the missing part is grey or black"   \
    }

/* RUDD_FORMAT: no picture, not built in, too broken to read, or truncated; RUDD_LIMIT: larger than
 * limits. name is for messages only. A picture that is damaged but readable has a note. */
enum rudd_status data_image_decode(struct data_image *image, const void *bytes, size_t length,
                                   const char *name, const struct data_limits *limits,
                                   struct rudd_error *err);
enum rudd_status data_image_read(struct data_image *image, const char *path,
                                 const struct data_limits *limits, struct rudd_error *err);
void data_image_free(struct data_image *image);
/* Bytes that reading this file takes at most, by its header: the file, its pixels, and them once
 * more (turned upright, or a progressive JPEG's coefficients). 0 for what is no picture. */
size_t data_image_bytes(const char *path, const struct data_limits *limits);

/* A picture's file into a rudd_alloc'ed block. RUDD_LIMIT: larger than limits. */
enum rudd_status data_image_load(uint8_t **bytes, size_t *length, const char *path,
                                 const struct data_limits *limits, struct rudd_error *err);

/* The same for any file, at most max_bytes of it. */
enum rudd_status data_file_read(uint8_t **bytes, size_t *length, const char *path, size_t max_bytes,
                                struct rudd_error *err);

#endif
