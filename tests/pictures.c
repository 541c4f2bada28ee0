/* pictures.c - encoders over libjpeg and libpng, written apart from those of data/, so that a shared mistake cannot hide. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/pictures.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>
#include <png.h>

static void must(bool ok, const char *what)
{
    if (ok) return;
    perror(what);
    abort();
}

static int pattern_key; /* of the picture being written */

uint8_t picture_sample(int x, int y, int c)
{
    return (uint8_t)(x * 37 + y * 91 + c * 50 + x * y * 13);
}

static uint8_t keyed_sample(int x, int y, int c)
{
    return (uint8_t)(picture_sample(x / 3, y / 3, c) + pattern_key * 29); /* coarser: JPEG keeps it recognisable */
}

/* A TIFF block with one directory of one entry, big-endian for odd orientations and little-endian for even ones. */
static struct bytes exif_block(int orientation)
{
    static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct bytes b = {malloc(sizeof big), sizeof big};
    must(b.at, "malloc");
    memcpy(b.at, orientation % 2 ? big : little, sizeof big);
    b.at[orientation % 2 ? 19 : 18] = (uint8_t)orientation;
    return b;
}

static struct bytes exif_of(const struct picture *p)
{
    struct bytes b = {0};
    if (p->orientation) return exif_block(p->orientation);
    if (!p->exif) return b;
    b = (struct bytes){malloc(p->exif_length + 1), p->exif_length};
    must(b.at, "malloc");
    memcpy(b.at, p->exif, p->exif_length);
    return b;
}

struct bytes picture_jpeg(const struct picture *p)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long length = 0;
    int channels = p->channels ? p->channels : 3;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &length);
    c.image_width = (JDIMENSION)p->w;
    c.image_height = (JDIMENSION)p->h;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    if (p->progressive) jpeg_simple_progression(&c);
    if (channels == 3 && p->sampling) {
        c.comp_info[0].v_samp_factor = 1;
        c.comp_info[0].h_samp_factor = p->sampling == 1 ? 2 : 1;
    }
    jpeg_start_compress(&c, TRUE);

    struct bytes exif = exif_of(p);
    if (exif.at) {
        uint8_t *marker = malloc(exif.length + 6);
        must(marker, "malloc");
        memcpy(marker, "Exif\0", 6);
        memcpy(marker + 6, exif.at, exif.length);
        jpeg_write_marker(&c, JPEG_APP0 + 1, marker, (unsigned)exif.length + 6);
        free(marker);
        free(exif.at);
    }
    uint8_t *row = malloc((size_t)p->w * (size_t)channels);
    must(row, "malloc");
    for (int y = 0; y < p->h; y++) {
        for (int x = 0; x < p->w; x++)
            for (int ch = 0; ch < channels; ch++) row[x * channels + ch] = keyed_sample(x, y, ch);
        jpeg_write_scanlines(&c, &row, 1);
    }
    free(row);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return (struct bytes){out, length};
}

static void append(png_structp png, png_bytep data, size_t n)
{
    struct bytes *b = png_get_io_ptr(png);
    b->at = realloc(b->at, b->length + n);
    must(b->at, "realloc");
    memcpy(b->at + b->length, data, n);
    b->length += n;
}

/* One row of samples of `depth` bits, packed as PNG wants them. */
static void png_row(uint8_t *row, const struct picture *p, int channels, int depth, int y)
{
    memset(row, 0, (size_t)p->w * (size_t)channels * 2);
    for (int x = 0; x < p->w; x++)
        for (int c = 0; c < channels; c++) {
            size_t i = (size_t)(x * channels + c);
            uint8_t v = picture_sample(x, y, c);
            if (depth == 16) {
                row[2 * i] = v;
                row[2 * i + 1] = (uint8_t)(255 - v);
            } else if (depth == 8)
                row[i] = v;
            else
                row[i * (size_t)depth / 8] |= (uint8_t)(v >> (8 - depth) << (8 - depth - (int)(i * (size_t)depth % 8)));
        }
}

struct bytes picture_png(const struct picture *p)
{
    static const int types[5] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA};
    int depth = p->depth ? p->depth : 8, channels = p->palette ? 1 : p->channels ? p->channels : 3;
    int type = p->palette ? PNG_COLOR_TYPE_PALETTE : types[channels];
    struct bytes out = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, append, NULL);
    png_set_IHDR(png, info, (png_uint_32)p->w, (png_uint_32)p->h, depth, type,
                 p->progressive ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (p->palette) {
        png_color colours[256];
        for (int i = 0; i < 256; i++) colours[i] = (png_color){(png_byte)(i * 7), (png_byte)(255 - i), (png_byte)(i * 31)};
        png_set_PLTE(png, info, colours, 1 << depth);
    }
    if (p->transparent) {
        png_byte alpha[2] = {0, 128};
        png_color_16 key = {.gray = 1, .red = 1, .green = 2, .blue = 3};
        png_set_tRNS(png, info, alpha, p->palette ? 2 : 0, &key);
    }
    struct bytes exif = exif_of(p);
    if (exif.at) png_set_eXIf_1(png, info, (png_uint_32)exif.length, exif.at);
    png_write_info(png, info);
    uint8_t *row = malloc((size_t)p->w * (size_t)channels * 2);
    must(row, "malloc");
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < p->h; y++) {
            png_row(row, p, channels, depth, y);
            png_write_row(png, row);
        }
    free(row);
    free(exif.at);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return out;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------- */

void file_write(const char *path, struct bytes bytes)
{
    FILE *f = fopen(path, "wb");
    must(f && fwrite(bytes.at, 1, bytes.length, f) == bytes.length && fclose(f) == 0, path);
}

void folder_create(char path[64])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 64, "%s/rudd_XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    must(mkdtemp(path), path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void folder_remove(const char *path)
{
    must(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, path);
}

void picture_put(const char *folder, const char *name, int w, int h, int key)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    pattern_key = key;
    struct bytes b = picture_jpeg(&(struct picture){.w = w, .h = h});
    pattern_key = 0;
    file_write(path, b);
    free(b.at);
}

/* ---- failing allocations --------------------------------------------------------------------------------------------------------- */

static atomic_long counted, fatal;

static int allow(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    return atomic_fetch_add(&counted, 1) + 1 != atomic_load(&fatal);
}

void fail_allocation(long n)
{
    atomic_store(&counted, 0);
    atomic_store(&fatal, n);
    rudd_set_alloc_hook(allow, NULL);
}

long allocations(void)
{
    return atomic_load(&counted);
}
