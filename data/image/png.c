/* png.c - PNG to RGB over libpng: every colour type, bit depth and interlacing.
 *
 * As Pillow's convert("RGB"): palettes are looked up, grey is repeated, alpha and transparent
 * colours are dropped, and 16-bit samples keep their high byte. (For 16-bit grey Pillow before 12
 * clips at 255 instead, which turns such pictures white; that is not imitated.)
 *
 * libpng reports through a callback that must not return; it jumps back here (setjmp). Its memory
 * comes from rudd_alloc. Sides are bounded before the first row, and chunks that rudd does not need
 * are skipped: libpng looks at IHDR, PLTE, tRNS, IDAT and IEND alone.
 *
 * Damage that costs no pixel for certain is told, not refused: a wrong checksum of pixels (IDAT) or
 * of what is skipped anyway, and whatever is wrong behind the last row, such as a missing IEND. A
 * wrong checksum of IHDR or PLTE is refused, as in Pillow. Pixels that end early or cannot be
 * unpacked are refused unless limits->truncated: then the rest is black, or of the palette's first
 * colour, as in Pillow. Not here: upright turning (decode.c), gamma, colour profiles, animation. */
#include "data/image/codec.h"
#include "data/image/exif.h"
#include "data/image/libpng.h"
#include "nn/library.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CHUNK = 1 << 20 }; /* of palettes; IDAT is streamed */

struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *at, *end;
    enum rudd_status status;
    char text[200];
    char note[DATA_NOTE];
    bool ended; /* libpng asked for bytes behind the last */
    size_t w, h;
    size_t whole; /* rows that are complete */
    uint8_t *rgb; /* [h, w, 3]; NULL: no row was tried yet */
};

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);
    snprintf(d->text, sizeof d->text, "%s", text);
    for (;;)
        png_longjmp(png, 1); /* once: it does not return, but its type in a table cannot say so */
}

static void on_warning(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);
    if (!d->note[0]) snprintf(d->note, sizeof d->note, "damaged, but read: %.120s", text);
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
    d->ended = n > (size_t)(d->end - d->at);
    if (d->ended) png_error(png, "the data end early");
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

/* Whether a chunk claims more bytes than there are, or no IEND comes. */
static bool is_cut(const uint8_t *at, const uint8_t *end)
{
    for (at += 8; end - at >= 12;) { /* behind the signature: length, name, data, checksum */
        const uint32_t n =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        if (memcmp(at + 4, "IEND", 4) == 0) return false;
        if (n > (size_t)(end - at - 12)) return true;
        at += 12 + (size_t)n;
    }
    return true;
}

/* What is not read of a truncated picture: black, or the first colour of the palette. */
static void fill(struct decoder *d, bool indexed)
{
    png_colorp palette = NULL;
    int colours = 0;
    memset(d->rgb, 0, d->w * d->h * 3);
    if (!indexed || !png_get_PLTE(d->png, d->info, &palette, &colours) || colours < 1) return;
    const uint8_t first[3] = {palette[0].red, palette[0].green, palette[0].blue};
    for (size_t i = 0; i < d->w * d->h; i++) memcpy(d->rgb + 3 * i, first, 3);
}

/* libpng counts a row before it looks for what follows the last one. */
static bool all_rows(const struct decoder *d)
{
    return d->whole == d->h || png_get_current_row_number(d->png) == d->h ||
           png_get_current_pass_number(d->png) >= PNG_INTERLACE_ADAM7_PASSES;
}

/* After an error: whether what was read before it will do. */
static enum rudd_status settle(struct decoder *d, const char *name,
                               const struct data_limits *limits, struct rudd_error *err)
{
    const char *what = d->ended ? "truncated" : "broken";
    if (d->status == RUDD_NO_MEMORY)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this PNG", name);
    if (!d->rgb) return rudd_fail(err, RUDD_FORMAT, "%s: %s PNG: %s", name, what, d->text);
    if (all_rows(d)) {
        if (d->note[0]) return RUDD_OK;
        snprintf(d->note, sizeof d->note, "damaged, but read: %.120s",
                 d->ended ? "the end is missing" : d->text);
        return RUDD_OK;
    }
    if (!limits->truncated)
        return rudd_fail(err, RUDD_FORMAT, "%s: %s PNG: %s%s", name, what, d->text,
                         data_truncated_hint(limits));
    if (png_get_interlace_type(d->png, d->info) == PNG_INTERLACE_NONE)
        snprintf(d->note, sizeof d->note, "cut off after %zu of %zu rows", d->whole, d->h);
    else
        snprintf(d->note, sizeof d->note, "cut off; what is missing is black");
    return RUDD_OK;
}

/* All that may jump. What it took stands in *d, for the caller to free. */
static enum rudd_status decode(struct decoder *d, const char *name,
                               const struct data_limits *limits, struct rudd_error *err)
{
    if (setjmp(png_jmpbuf(d->png))) return settle(d, name, limits, err);
    png_structp png = d->png;
    png_set_user_limits(png, PNG_UINT_31_MAX,
                        PNG_UINT_31_MAX); /* ours follow, with a better message */
    png_set_chunk_malloc_max(png, MAX_CHUNK);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    /* Some writers state a smaller window than they use. */
    png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
    png_set_read_fn(png, d, on_read);
    const bool ends_early = is_cut(d->at, d->end);
    png_read_info(png, d->info);
    png_set_crc_action(png, PNG_CRC_WARN_USE,
                       PNG_CRC_WARN_USE); /* from here on: pixels and what follows */

    const png_uint_32 width = png_get_image_width(png, d->info),
                      height = png_get_image_height(png, d->info);
    enum rudd_status status = data_check_size(width, height, name, limits, err);
    if (status) return status;
    const bool indexed = png_get_color_type(png, d->info) == PNG_COLOR_TYPE_PALETTE; /* as stored */
    set_transforms(png, d->info);

    size_t row = (size_t)width * 3;
    if (png_get_rowbytes(png, d->info) != row) png_error(png, "unexpected colour type");
    d->w = width;
    d->h = height;
    d->rgb = rudd_alloc(row * height);
    if (!d->rgb)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %u x %u pixels", name,
                         (unsigned)width, (unsigned)height);
    if (limits->truncated) fill(d, indexed);
    if (ends_early) /* libpng takes all of a piece of IDAT or nothing of it: single bytes, then */
        png_set_compression_buffer_size(png, 1);

    const int passes =
        png_get_interlace_type(png, d->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 1; pass <= passes; pass++)
        for (size_t y = 0; y < height; y++) {
            png_read_row(png, d->rgb + y * row, NULL);
            if (pass == passes) d->whole = y + 1;
        }
    png_read_end(png, NULL);
    return RUDD_OK;
}

enum rudd_status data_png_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                 size_t length, const char *name, const struct data_limits *limits,
                                 struct rudd_error *err)
{
    struct decoder d = {.at = bytes, .end = bytes + length};
    int turn = 1;
    enum rudd_status status =
        nn_library_load(&data_libpng_library, err, "%s: this picture is a PNG", name);
    if (status) return status;
    d.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning, &d, on_malloc,
                                     on_free);
    if (d.png) d.info = png_create_info_struct(d.png);
    if (!d.info)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this PNG", name);
    else
        status = decode(&d, name, limits, err);
    if (!status && (turn = data_image_orientation(bytes, length)) < 0)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to see which way up it is", name);
    if (!status) {
        *image = (struct data_image){(int)d.w, (int)d.h, d.rgb, ""};
        memcpy(image->note, d.note, sizeof d.note);
        *orientation = turn;
        d.rgb = NULL;
    }
    png_destroy_read_struct(&d.png, &d.info, NULL);
    rudd_free(d.rgb);
    return status;
}
