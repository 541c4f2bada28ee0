/* tiff.c - the first page of a TIFF to RGB over libtiff.
 *
 *     bytes --libtiff--> a row, or a row of a tile, of one plane or of all --here--> RGB
 *
 * Grey (black or white is 0), palettes, RGB and CMYK of 1, 2, 4, 8 and 16 bits, in strips or tiles,
 * with the samples of a pixel side by side or in planes, and up to three samples more than the
 * colour needs. YCbCr in JPEG becomes RGB by libjpeg; other YCbCr by libtiff's own tables.
 *
 * As Pillow's convert("RGB"): 16-bit samples keep their high byte, colours that were multiplied by
 * alpha are divided by it, and alpha is dropped. Three things differ. 16-bit grey keeps its high
 * byte, too, where Pillow cannot convert; and white is 0 where the file says so. A palette whose
 * entries are all below 256 is one of bytes, which libtiff knows and Pillow shows as black.
 *
 * The page is read through a mapping, which is the block of bytes that the caller has: libtiff
 * copies nothing. It may allocate as much as the largest picture takes, at once. Its errors go to a
 * handler of this one file, not to that of the process.
 * Source: TIFF 6.0; libtiff's tiffio.h.
 * Not here: upright turning (decode.c), later pages, Lab, LogLuv, samples of other kinds. */
#include "data/image/codec.h"
#include "data/image/libtiff.h"
#include "nn/library.h"

#ifdef HAVE_LIBTIFF_4

#include <stdio.h>
#include <string.h>

enum { MAX_SAMPLES = 7 }; /* CMYK and three more */

struct decoder {
    const uint8_t *bytes;
    size_t length, at;
    char text[200]; /* the first error */
    bool failed, no_memory;

    TIFF *tiff;
    uint32_t w, h;
    uint16_t bits, samples, colour; /* of a pixel; which samples: PHOTOMETRIC_* */
    bool planar, premultiplied;
    uint8_t palette[3][256];
    uint8_t *rgb;
    uint8_t *row; /* a stored row or tile */
};

/* ---- the file, for libtiff ------------------------------------------------------------------- */

static tmsize_t on_read(thandle_t user, void *out, tmsize_t n)
{
    struct decoder *d = user;
    size_t left = d->at < d->length ? d->length - d->at : 0, taken = n < 0              ? 0
                                                                     : (size_t)n < left ? (size_t)n
                                                                                        : left;
    memcpy(out, d->bytes + (left ? d->at : 0), taken);
    d->at += taken;
    return (tmsize_t)taken;
}

static tmsize_t on_write(thandle_t user, void *in, tmsize_t n)
{
    (void)user, (void)in, (void)n;
    return -1;
}

static toff_t on_seek(thandle_t user, toff_t to, int whence)
{
    struct decoder *d = user;
    if (whence == SEEK_CUR) to += d->at;
    if (whence == SEEK_END) to += d->length;
    d->at = (size_t)to;
    return to;
}

static int on_close(thandle_t user)
{
    (void)user;
    return 0;
}

static toff_t on_size(thandle_t user)
{
    return ((struct decoder *)user)->length;
}

/* libtiff only reads from a file that was opened for reading. */
static int on_map(thandle_t user, void **base, toff_t *size)
{
    struct decoder *d = user;
    *base = (void *)(uintptr_t)d->bytes;
    *size = d->length;
    return 1;
}

static void on_unmap(thandle_t user, void *base, toff_t size)
{
    (void)user, (void)base, (void)size;
}

static int on_error(TIFF *tiff, void *user, const char *module, const char *format,
                    va_list arguments)
{
    struct decoder *d = user;
    (void)tiff, (void)module;
    if (!d->failed) vsnprintf(d->text, sizeof d->text, format, arguments);
    d->failed = true;
    return 1; /* the handler of the process, which prints, is not called */
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format,
                      va_list arguments)
{
    (void)tiff, (void)user, (void)module, (void)format, (void)arguments;
    return 1;
}

static void open_file(struct decoder *d, const char *name, const struct data_limits *limits)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    d->no_memory = !o;
    if (!o) return;
    /* The largest block is a row or a tile: 7 samples of 16 bits. */
    const uint64_t most = 2 * MAX_SAMPLES * limits->max_pixels + (1 << 20);
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, most < INT64_MAX ? (tmsize_t)most : INT64_MAX);
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, d);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, d);
    d->tiff = TIFFClientOpenExt(name, "r", d, on_read, on_write, on_seek, on_close, on_size, on_map,
                                on_unmap, o);
    TIFFOpenOptionsFree(o);
}

/* ---- what the directory says ----------------------------------------------------------------- */

static enum rudd_status explain(const struct decoder *d, const char *name, struct rudd_error *err)
{
    if (d->no_memory)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this TIFF", name);
    return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated TIFF: %s", name,
                     d->failed ? d->text : "libtiff refuses it");
}

static bool read_palette(struct decoder *d)
{
    uint16_t *map[3];
    unsigned any = 0;
    if (!TIFFGetField(d->tiff, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2])) return false;
    const int n = 1 << d->bits;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < n; i++) any |= map[c][i];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < n; i++)
            d->palette[c][i] = (uint8_t)(any < 256 ? map[c][i] : map[c][i] >> 8);
    return true;
}

/* How many samples the colour takes; 0: it is none of ours. */
static int colour_samples(const struct decoder *d)
{
    switch (d->colour) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE: return 1;
    case PHOTOMETRIC_RGB: return 3;
    case PHOTOMETRIC_SEPARATED: return 4;
    default: return 0;
    }
}

/* What is read by rows. YCbCr in JPEG is RGB from here on. */
static enum rudd_status read_kind(struct decoder *d, uint16_t compression, const char *name,
                                  struct rudd_error *err)
{
    uint16_t form = SAMPLEFORMAT_UINT, extras = 0, *kinds = NULL, inks = INKSET_CMYK;
    if (d->colour == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG && !d->planar) {
        TIFFSetField(d->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        d->colour = PHOTOMETRIC_RGB;
    }
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_SAMPLEFORMAT, &form);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_INKSET, &inks);
    const int needs = colour_samples(d), bits = d->bits;
    if (!needs || (d->colour == PHOTOMETRIC_SEPARATED && inks != INKSET_CMYK))
        return rudd_fail(
            err, RUDD_FORMAT,
            "%s: TIFF of colour space %d; grey, palette, RGB, CMYK and YCbCr are known", name,
            d->colour);
    if (form != SAMPLEFORMAT_UINT && form != SAMPLEFORMAT_VOID)
        return rudd_fail(
            err, RUDD_FORMAT,
            "%s: TIFF of signed or floating-point samples; whole numbers from 0 are known", name);
    if (bits != 1 && bits != 2 && bits != 4 && bits != 8 &&
        (bits != 16 || d->colour == PHOTOMETRIC_PALETTE))
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: TIFF of %d bits a sample; 1, 2, 4, 8 and 16 (no palette) are known",
                         name, bits);
    if (d->samples < needs || d->samples > MAX_SAMPLES)
        return rudd_fail(
            err, RUDD_FORMAT,
            "%s: TIFF of %d samples a pixel; its colours take %d, and %d are read at most", name,
            d->samples, needs, MAX_SAMPLES);
    d->premultiplied = d->colour == PHOTOMETRIC_RGB && extras && kinds &&
                       kinds[0] == EXTRASAMPLE_ASSOCALPHA && d->samples > 3;
    if (d->colour == PHOTOMETRIC_PALETTE && !read_palette(d))
        return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated TIFF: its palette is missing",
                         name);
    return RUDD_OK;
}

/* ---- pixels ---------------------------------------------------------------------------------- */

/* Sample i of a row, of any depth, as 8 bits; of a palette as it is. */
static uint8_t sample(const struct decoder *d, const uint8_t *row, size_t i)
{
    if (d->bits == 8) return row[i];
    if (d->bits == 16) {
        uint16_t v; /* libtiff gives the machine's byte order */
        memcpy(&v, row + 2 * i, 2);
        return (uint8_t)(v >> 8);
    }
    const size_t bit = i * d->bits;
    const unsigned most = (1u << d->bits) - 1,
                   v = (unsigned)row[bit / 8] >> (8 - d->bits - bit % 8) & most;
    return (uint8_t)(d->colour == PHOTOMETRIC_PALETTE ? v : v * 255 / most);
}

/* Pillow's Convert.c, cmyk2rgb. */
static uint8_t under_black(unsigned ink, unsigned black)
{
    const unsigned k = 255 - black, product = ink * k + 128, part = (product + (product >> 8)) >> 8;
    return (uint8_t)(k > part ? k - part : 0);
}

/* Pillow's Unpack.c, RGBa: what alpha has been multiplied into. */
static uint8_t divided(unsigned v, unsigned alpha)
{
    const unsigned most = alpha ? v * 255 / alpha : 0;
    return (uint8_t)(most < 255 ? most : 255);
}

/* n pixels at (x, y), whose samples lie side by side. */
static void put_pixels(struct decoder *d, const uint8_t *row, uint32_t x, uint32_t y, uint32_t n)
{
    uint8_t *to = d->rgb + ((size_t)y * d->w + x) * 3;
    if (d->colour == PHOTOMETRIC_RGB && d->bits == 8 && d->samples == 3) {
        memcpy(to, row, (size_t)n * 3);
        return;
    }
    for (size_t i = 0; i < n; i++, to += 3) {
        const size_t at = i * d->samples;
        const uint8_t v = sample(d, row, at);
        if (d->colour == PHOTOMETRIC_PALETTE) {
            for (int c = 0; c < 3; c++) to[c] = d->palette[c][v];
        } else if (d->colour == PHOTOMETRIC_RGB || d->colour == PHOTOMETRIC_SEPARATED) {
            for (size_t c = 0; c < 3; c++) to[c] = sample(d, row, at + c);
            const bool inks = d->colour == PHOTOMETRIC_SEPARATED;
            const uint8_t fourth = inks || d->premultiplied ? sample(d, row, at + 3) : 0;
            for (int c = 0; c < 3 && inks; c++) to[c] = under_black(to[c], fourth);
            for (int c = 0; c < 3 && d->premultiplied; c++) to[c] = divided(to[c], fourth);
        } else {
            memset(to, d->colour == PHOTOMETRIC_MINISWHITE ? 255 - v : v, 3);
        }
    }
}

/* n samples of one plane at (x, y). The first plane of one colour is the picture. The fourth is the
 * last that matters: it changes the three before it. */
static void put_plane(struct decoder *d, const uint8_t *row, uint32_t x, uint32_t y, uint32_t n,
                      int plane)
{
    uint8_t *to = d->rgb + ((size_t)y * d->w + x) * 3;
    for (size_t i = 0; i < n; i++, to += 3) {
        const uint8_t v = sample(d, row, i);
        if (d->colour == PHOTOMETRIC_PALETTE)
            for (int c = 0; c < 3; c++) to[c] = d->palette[c][v];
        else if (d->colour == PHOTOMETRIC_MINISWHITE || d->colour == PHOTOMETRIC_MINISBLACK)
            memset(to, d->colour == PHOTOMETRIC_MINISWHITE ? 255 - v : v, 3);
        else if (plane < 3)
            to[plane] = v;
        else
            for (int c = 0; c < 3; c++)
                to[c] = d->premultiplied ? divided(to[c], v) : under_black(to[c], v);
    }
}

static void put(struct decoder *d, const uint8_t *row, uint32_t x, uint32_t y, uint32_t n,
                int plane)
{
    if (d->planar)
        put_plane(d, row, x, y, n, plane);
    else
        put_pixels(d, row, x, y, n);
}

/* Planes that change the picture. */
static int planes(const struct decoder *d)
{
    if (!d->planar) return 1;
    return d->colour == PHOTOMETRIC_SEPARATED || d->premultiplied ? 4
           : d->colour == PHOTOMETRIC_RGB                         ? 3
                                                                  : 1;
}

/* Bytes that one row of n pixels takes. */
static uint64_t row_bytes(const struct decoder *d, uint64_t n)
{
    return (n * d->bits * (d->planar ? 1 : d->samples) + 7) / 8;
}

static enum rudd_status read_strips(struct decoder *d, const char *name, struct rudd_error *err)
{
    const uint64_t size = TIFFScanlineSize64(d->tiff);
    if (size < row_bytes(d, d->w)) return explain(d, name, err);
    d->row = rudd_alloc(size);
    d->no_memory = !d->row;
    for (int plane = 0; d->row && plane < planes(d); plane++)
        for (uint32_t y = 0; y < d->h; y++) {
            if (TIFFReadScanline(d->tiff, d->row, y, (uint16_t)plane) < 0 || d->failed)
                return explain(d, name, err);
            put(d, d->row, 0, y, d->w, plane);
        }
    return d->row ? RUDD_OK : explain(d, name, err);
}

static enum rudd_status read_tiles(struct decoder *d, const char *name,
                                   const struct data_limits *limits, struct rudd_error *err)
{
    uint32_t tw = 0, th = 0;
    TIFFGetField(d->tiff, TIFFTAG_TILEWIDTH, &tw);
    TIFFGetField(d->tiff, TIFFTAG_TILELENGTH, &th);
    enum rudd_status status = data_check_size(tw, th, name, limits, err);
    if (status) return status;
    const uint64_t size = TIFFTileSize64(d->tiff), row = row_bytes(d, tw);
    if (size < row * th) return explain(d, name, err);
    d->row = rudd_alloc(size);
    d->no_memory = !d->row;
    for (int plane = 0; d->row && plane < planes(d); plane++)
        for (uint32_t y = 0; y < d->h; y += th)
            for (uint32_t x = 0; x < d->w; x += tw) {
                if (TIFFReadTile(d->tiff, d->row, x, y, 0, (uint16_t)plane) < 0 || d->failed)
                    return explain(d, name, err);
                const uint32_t n = tw < d->w - x ? tw : d->w - x,
                               rows = th < d->h - y ? th : d->h - y;
                for (uint32_t i = 0; i < rows; i++) put(d, d->row + i * row, x, y + i, n, plane);
            }
    return d->row ? RUDD_OK : explain(d, name, err);
}

/* YCbCr that is not in JPEG: libtiff makes pixels of 4 bytes. */
static enum rudd_status read_by_libtiff(struct decoder *d, const char *name, struct rudd_error *err)
{
    TIFFRGBAImage image;
    char why[1024];
    if (!TIFFRGBAImageBegin(&image, d->tiff, 1, why)) {
        if (!d->failed) snprintf(d->text, sizeof d->text, "%.180s", why);
        d->failed = true;
        return explain(d, name, err);
    }
    const size_t pixels = (size_t)d->w * d->h;
    uint32_t *raster = rudd_alloc(pixels * sizeof *raster);
    d->no_memory = !raster;
    image.req_orientation = image.orientation; /* as stored */
    const bool read = raster && TIFFRGBAImageGet(&image, raster, d->w, d->h) && !d->failed;
    for (size_t i = 0; read && i < pixels; i++)
        memcpy(d->rgb + 3 * i,
               (uint8_t[3]){TIFFGetR(raster[i]), TIFFGetG(raster[i]), TIFFGetB(raster[i])}, 3);
    rudd_free(raster);
    TIFFRGBAImageEnd(&image);
    return read ? RUDD_OK : explain(d, name, err);
}

static enum rudd_status decode(struct decoder *d, const char *name,
                               const struct data_limits *limits, struct rudd_error *err)
{
    uint16_t compression = COMPRESSION_NONE, planar = PLANARCONFIG_CONTIG;
    open_file(d, name, limits);
    if (!d->tiff) return explain(d, name, err);
    TIFFGetField(d->tiff, TIFFTAG_IMAGEWIDTH, &d->w);
    TIFFGetField(d->tiff, TIFFTAG_IMAGELENGTH, &d->h);
    enum rudd_status status = data_check_size(d->w, d->h, name, limits, err);
    if (status) return status;
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_BITSPERSAMPLE, &d->bits);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_SAMPLESPERPIXEL, &d->samples);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_PLANARCONFIG, &planar);
    d->colour = PHOTOMETRIC_MINISWHITE; /* what Pillow takes for granted */
    TIFFGetField(d->tiff, TIFFTAG_PHOTOMETRIC, &d->colour);
    d->planar = planar == PLANARCONFIG_SEPARATE && d->samples > 1;

    const bool by_libtiff =
        d->colour == PHOTOMETRIC_YCBCR && (compression != COMPRESSION_JPEG || d->planar);
    if (!by_libtiff) status = read_kind(d, compression, name, err);
    if (status) return status;
    d->rgb = rudd_alloc((size_t)d->w * d->h * 3);
    if (!d->rgb)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %u x %u pixels", name,
                         (unsigned)d->w, (unsigned)d->h);
    d->failed = false; /* a bad tag costs nothing; from here on an error means lost pixels */
    if (by_libtiff) return read_by_libtiff(d, name, err);
    return TIFFIsTiled(d->tiff) ? read_tiles(d, name, limits, err) : read_strips(d, name, err);
}

enum rudd_status data_tiff_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                  size_t length, const char *name, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    struct decoder d = {.bytes = bytes, .length = length};
    uint16_t turned = 1;
    enum rudd_status status =
        nn_library_load(&data_libtiff_library, err, "%s: this picture is a TIFF", name);
    if (status) return status;
    status = decode(&d, name, limits, err);
    if (!status) {
        TIFFGetFieldDefaulted(d.tiff, TIFFTAG_ORIENTATION, &turned);
        *image = (struct data_image){(int)d.w, (int)d.h, d.rgb};
        *orientation = turned >= 1 && turned <= 8 ? turned : 1;
        d.rgb = NULL;
    }
    if (d.tiff) TIFFClose(d.tiff);
    rudd_free(d.row);
    rudd_free(d.rgb);
    return status;
}

#endif
