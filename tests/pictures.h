/* pictures.h - pictures that tests make for themselves: patterns, JPEG and PNG of every kind, files in a folder of their own. */
#ifndef TESTS_PICTURES_H
#define TESTS_PICTURES_H

#include "data/image/decode.h"

#include <stdbool.h>

/* What an encoder may vary. Zeros: colour JPEG 4:2:0 baseline quality 90, or 8-bit RGB PNG. */
struct picture {
    int w, h;
    int channels;     /* samples a pixel of the pattern; 0: 3.   JPEG: 1 grey, 3, 4 CMYK   PNG: 1 grey, 2 +alpha, 3, 4 +alpha */
    bool progressive; /* JPEG progressive, PNG interlaced */
    int sampling;     /* JPEG: 0 4:2:0, 1 4:2:2, 2 4:4:4 */
    int depth;        /* PNG: bits a sample, 0: 8 */
    bool palette;     /* PNG: the pattern's first channel picks among 2^depth colours */
    bool transparent; /* PNG: with a tRNS chunk */
    int orientation;  /* 1..8 writes EXIF; 0: none */
    const uint8_t *exif; /* or these bytes as the EXIF block */
    size_t exif_length;
};

struct bytes {
    uint8_t *at;
    size_t length;
};

/* Sample c of pixel (x, y) of the pattern: every pixel differs from its neighbours. */
uint8_t picture_sample(int x, int y, int c);
struct bytes picture_jpeg(const struct picture *p);
struct bytes picture_png(const struct picture *p);

void file_write(const char *path, struct bytes bytes);
/* A new empty folder under TMPDIR; folder_remove deletes it and everything in it. */
void folder_create(char path[64]);
void folder_remove(const char *path);
/* Writes a JPEG of w x h at folder/name, making the folders in name. The pattern is shifted by key, so files differ. */
void picture_put(const char *folder, const char *name, int w, int h, int key);

/* Makes the n-th allocation from now on fail, and only that one; 0: none. Returns in *count how many there were. */
void fail_allocation(long n);
long allocations(void);

#endif
