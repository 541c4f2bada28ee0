/* gif.c - the first frame of a GIF to RGB over giflib.
 *
 *     header | screen { w u16, h u16, background, colours? } | extensions ..
 *     | frame { x, y, w, h, colours? | rows in LZW } | ..
 *
 * As Pillow's convert("RGB"): a frame that reaches beyond the screen enlarges the picture. What the
 * frame leaves out has colour 0 of its palette, or the colour that is declared transparent. That
 * transparency itself is dropped. Without a palette, and beyond the end of a short one, index i is
 * the grey i.
 *
 * Rows are decoded one at a time, so that nothing but the picture is as large as the picture.
 * Source: GIF89a specification, sections 18 to 23.
 * Not here: later frames. */
#include "data/image/codec.h"
#include "data/image/libgif.h"
#include "nn/library.h"

#ifdef HAVE_GIFLIB

#include <string.h>

struct source {
    const uint8_t *at, *end;
};

static int on_read(GifFileType *gif, GifByteType *out, int n)
{
    struct source *s = gif->UserData;
    const size_t left = (size_t)(s->end - s->at), taken = n < 0              ? 0
                                                          : (size_t)n < left ? (size_t)n
                                                                             : left;
    memcpy(out, s->at, taken);
    s->at += taken;
    return (int)taken;
}

static enum rudd_status explain(int error, const char *name, struct rudd_error *err)
{
    const char *words = GifErrorString(error);
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this GIF", name);
    return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated GIF: %s", name,
                     words ? words : "the data ends early");
}

/* Up to and with the head of the first frame; its transparent colour, or -1. */
static bool seek_frame(GifFileType *gif, int *transparent)
{
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    *transparent = -1;
    while (DGifGetRecordType(gif, &type) == GIF_OK) {
        if (type == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif) == GIF_OK;
        if (type == TERMINATE_RECORD_TYPE) {
            gif->Error = D_GIF_ERR_NO_IMAG_DSCR;
            return false;
        }
        int code;
        GifByteType *block; /* its length, then its bytes */
        bool read = DGifGetExtension(gif, &code, &block) == GIF_OK;
        if (read && block && code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && block[1] & 1)
            *transparent = block[4];
        while (read && block) read = DGifGetExtensionNext(gif, &block) == GIF_OK;
        if (!read) return false;
    }
    return false;
}

static void set_colours(uint8_t colours[256][3], const GifFileType *gif)
{
    const ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
    for (int i = 0; i < 256; i++) memset(colours[i], i, 3);
    for (int i = 0; map && i < map->ColorCount && i < 256; i++)
        memcpy(colours[i],
               (uint8_t[3]){map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue}, 3);
}

/* The rows of the frame into a picture of w columns, in the order in which they are stored. */
static bool read_rows(uint8_t *rgb, size_t w, GifFileType *gif, uint8_t colours[256][3],
                      uint8_t *row)
{
    static const int first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
    const GifImageDesc *f = &gif->Image;
    for (int pass = 0; pass < (f->Interlace ? 4 : 1); pass++)
        for (int y = f->Interlace ? first[pass] : 0; y < f->Height;
             y += f->Interlace ? step[pass] : 1) {
            if (DGifGetLine(gif, row, f->Width) != GIF_OK) return false;
            uint8_t *to = rgb + ((size_t)(f->Top + y) * w + (size_t)f->Left) * 3;
            for (int x = 0; x < f->Width; x++) memcpy(to + 3 * x, colours[row[x]], 3);
        }
    return true;
}

static enum rudd_status decode(struct data_image *image, GifFileType *gif, const char *name,
                               const struct data_limits *limits, struct rudd_error *err)
{
    uint8_t colours[256][3];
    int transparent;
    if (!seek_frame(gif, &transparent)) return explain(gif->Error, name, err);
    const GifImageDesc *f = &gif->Image;
    const int right = f->Left + f->Width, bottom = f->Top + f->Height; /* of 16 bits each */
    const int w = right > gif->SWidth ? right : gif->SWidth,
              h = bottom > gif->SHeight ? bottom : gif->SHeight;
    enum rudd_status status = data_check_size((uint64_t)w, (uint64_t)h, name, limits, err);
    if (status) return status;
    if (f->Width <= 0 || f->Height <= 0) return explain(D_GIF_ERR_NO_IMAG_DSCR, name, err);

    const size_t pixels = (size_t)w * (size_t)h;
    uint8_t *rgb = rudd_alloc(pixels * 3), *row = rudd_alloc((size_t)f->Width);
    set_colours(colours, gif);
    if (!rgb || !row) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d x %d pixels", name, w, h);
    } else {
        const uint8_t *back = colours[transparent > 0 ? transparent : 0];
        if (f->Width != w || f->Height != h)
            for (size_t i = 0; i < pixels; i++) memcpy(rgb + 3 * i, back, 3);
        if (!read_rows(rgb, (size_t)w, gif, colours, row)) status = explain(gif->Error, name, err);
    }
    rudd_free(row);
    if (status)
        rudd_free(rgb);
    else
        *image = (struct data_image){w, h, rgb};
    return status;
}

enum rudd_status data_gif_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                 size_t length, const char *name, const struct data_limits *limits,
                                 struct rudd_error *err)
{
    struct source source = {bytes, bytes + length};
    int error = 0;
    enum rudd_status status =
        nn_library_load(&data_libgif_library, err, "%s: this picture is a GIF", name);
    if (status) return status;
    GifFileType *gif = DGifOpen(&source, on_read, &error);
    if (!gif) return explain(error, name, err);
    status = decode(image, gif, name, limits, err);
    if (!status) *orientation = 1;
    DGifCloseFile(gif, &error);
    return status;
}

#endif
