/* png.c - PNG to RGB over libpng: every colour type, bit depth and interlacing.
 *
 * As Pillow's convert("RGB"): palettes are looked up, grey is repeated, alpha and transparent colours are dropped, and 16-bit samples keep
 * their high byte. (For 16-bit grey Pillow before 12 clips at 255 instead, which turns such pictures white; that is not imitated.)
 *
 * libpng reports through a callback that must not return; it jumps back here (setjmp). Its memory comes from rudd_alloc. Sides are
 * bounded before the first row, and chunks that rudd does not need are skipped unread: only IHDR, PLTE, tRNS, IDAT, IEND
 * and eXIf are looked at.
 * Not here: upright turning (decode.c), gamma, colour profiles, animation. */
#include "data/image/codec.h"
#include "data/image/libpng.h"
#include "nn/library.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CHUNK = 1 << 20 }; /* of eXIf and palette chunks; IDAT is streamed */

struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *at, *end;
    enum rudd_status status;
    char text[200];
    uint8_t *rgb; /* [h, w, 3] */
};

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);
    snprintf(d->text, sizeof d->text, "%s", text);
    for (;;) png_longjmp(png, 1); /* once: it does not return, but its type in a table cannot say so */
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text; /* the library never prints */
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes)
{
    void *block = rudd_alloc(bytes);
    struct decoder *d = png_get_mem_ptr(png);
    if (!block) d->status = RUDD_NO_MEMORY; /* libpng makes an error of it, or does without */
    return block;
}

static void on_free(png_structp png, png_voidp block)
{
    (void)png;
    rudd_free(block);
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct decoder *d = png_get_io_ptr(png);
    if (n > (size_t)(d->end - d->at)) png_error(png, "the data ends early");
    memcpy(out, d->at, n);
    d->at += n;
}

/* 8-bit RGB from whatever the header says. */
static void set_transforms(png_structp png, png_infop info)
{
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

/* All that may jump. What it took stands in *d, for the caller to free. */
static enum rudd_status decode(struct decoder *d, int *w, int *h, const char *name, const struct data_limits *limits,
                               struct rudd_error *err)
{
    if (setjmp(png_jmpbuf(d->png))) {
        if (d->status == RUDD_NO_MEMORY) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this PNG", name);
        return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated PNG: %s", name, d->text);
    }
    png_structp png = d->png;
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours follow, with a better message */
    png_set_chunk_malloc_max(png, MAX_CHUNK);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    png_set_read_fn(png, d, on_read);
    png_read_info(png, d->info);

    png_uint_32 width = png_get_image_width(png, d->info), height = png_get_image_height(png, d->info);
    enum rudd_status status = data_check_size(width, height, name, limits, err);
    if (status) return status;
    set_transforms(png, d->info);

    size_t row = (size_t)width * 3;
    if (png_get_rowbytes(png, d->info) != row) png_error(png, "unexpected colour type");
    d->rgb = rudd_alloc(row * height);
    if (!d->rgb)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %u x %u pixels", name, (unsigned)width, (unsigned)height);

    int passes = png_get_interlace_type(png, d->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) png_read_row(png, d->rgb + y * row, NULL);
    png_read_end(png, d->info);
    *w = (int)width;
    *h = (int)height;
    return RUDD_OK;
}

static int chunk_orientation(png_structp png, png_infop info)
{
    png_bytep exif = NULL;
    png_uint_32 length = 0;
    if (!png_get_eXIf_1(png, info, &length, &exif)) return 1;
    return data_exif_orientation(exif, length);
}

enum rudd_status data_png_decode(struct data_image *image, int *orientation, const uint8_t *bytes, size_t length,
                                 const char *name, const struct data_limits *limits, struct rudd_error *err)
{
    struct decoder d = {.at = bytes, .end = bytes + length};
    int w, h;
    enum rudd_status status = nn_library_load(&data_libpng_library, err, "%s: this picture is a PNG", name);
    if (status) return status;
    d.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning, &d, on_malloc, on_free);
    if (d.png) d.info = png_create_info_struct(d.png);
    if (!d.info)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this PNG", name);
    else
        status = decode(&d, &w, &h, name, limits, err);
    if (!status) {
        *image = (struct data_image){w, h, d.rgb};
        *orientation = chunk_orientation(d.png, d.info);
        d.rgb = NULL;
    }
    png_destroy_read_struct(&d.png, &d.info, NULL);
    rudd_free(d.rgb);
    return status;
}
