/* formats.c - see formats.h. A new format is a row here and a file with its decoder. */
#include "data/image/formats.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool begins(const uint8_t *bytes, size_t length, const char *magic, size_t size)
{
    return length >= size && memcmp(bytes, magic, size) == 0;
}

static bool is_jpeg(const uint8_t *bytes, size_t length)
{
    return begins(bytes, length, "\xff\xd8\xff", 3);
}

static bool is_png(const uint8_t *bytes, size_t length)
{
    return begins(bytes, length, "\x89PNG\r\n\x1a\n", 8);
}

static bool is_webp(const uint8_t *bytes, size_t length)
{
    return length >= 12 && begins(bytes, length, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4);
}

/* "ftyp" in bytes 4 to 7 begins a list of brands: one, a version, then others. Video has it, too.
 * The others decide where the first is a general one. */
static bool has_brand(const uint8_t *bytes, size_t length, const char *brands, bool first_only)
{
    const size_t claimed = length < 12 ? 0 : (size_t)bytes[2] << 8 | bytes[3],
                 box = claimed < length ? claimed : length;
    if (length < 12 || bytes[0] || bytes[1] || memcmp(bytes + 4, "ftyp", 4)) return false;
    for (size_t at = 8; at + 4 <= (first_only ? 12 : box); at += at == 8 ? 8 : 4)
        for (const char *b = brands; *b; b += 5)
            if (!memcmp(bytes + at, b, 4)) return true;
    return false;
}

static bool is_avif(const uint8_t *bytes, size_t length)
{
    static const char avif[] = "avif avis ", general[] = "mif1 msf1 miaf ";
    return has_brand(bytes, length, avif, true) ||
           (has_brand(bytes, length, general, true) && has_brand(bytes, length, avif, false));
}

static bool is_heic(const uint8_t *bytes, size_t length)
{
    static const char heic[] = "heic heix heim heis hevc hevx hevm hevs mif1 msf1 miaf ";
    return has_brand(bytes, length, heic, true) && !is_avif(bytes, length);
}

/* Classic TIFF has version 42, BigTIFF 43. */
static bool is_tiff(const uint8_t *bytes, size_t length)
{
    return begins(bytes, length, "II\x2a\0", 4) || begins(bytes, length, "MM\0\x2a", 4) ||
           begins(bytes, length, "II\x2b\0", 4) || begins(bytes, length, "MM\0\x2b", 4);
}

static bool is_gif(const uint8_t *bytes, size_t length)
{
    return begins(bytes, length, "GIF87a", 6) || begins(bytes, length, "GIF89a", 6);
}

/* "BM" alone begins many a text: the size of the header tells more. */
static bool is_bmp(const uint8_t *bytes, size_t length)
{
    return length >= 18 && begins(bytes, length, "BM", 2) && bytes[14] >= 12 && !bytes[15] &&
           !bytes[16] && !bytes[17];
}

#ifdef HAVE_LIBWEBP
#define WEBP data_webp_decode
#else
#define WEBP NULL
#endif
#ifdef HAVE_LIBHEIF
#define HEIF data_heif_decode
#else
#define HEIF NULL
#endif
#ifdef HAVE_LIBTIFF_4
#define TIFF data_tiff_decode
#else
#define TIFF NULL
#endif
#ifdef HAVE_GIFLIB
#define GIF data_gif_decode
#else
#define GIF NULL
#endif

static const struct data_format formats[] = {
    {"JPEG", " .jpg .jpeg .jpe .jfif .jif ", is_jpeg, data_jpeg_decode, NULL},
    {"PNG", " .png .apng ", is_png, data_png_decode, NULL},
    {"WebP", " .webp ", is_webp, WEBP, "libwebp-dev"},
    {"HEIC", " .heic .heif .hif .heics .heifs ", is_heic, HEIF, "libheif-dev"},
    {"AVIF", " .avif .avifs ", is_avif, HEIF, "libheif-dev"},
    {"TIFF", " .tif .tiff ", is_tiff, TIFF, "libtiff-dev (4.5 or later)"},
    {"GIF", " .gif ", is_gif, GIF, "libgif-dev"},
    {"BMP", " .bmp .dib ", is_bmp, data_bmp_decode, NULL},
};
enum { FORMATS = sizeof formats / sizeof *formats };

const struct data_format *data_format_sniff(const uint8_t *bytes, size_t length)
{
    for (int i = 0; i < FORMATS; i++)
        if (formats[i].starts(bytes, length)) return &formats[i];
    return NULL;
}

const struct data_format *data_format_of_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot ? strlen(dot) : 0;
    if (n < 2) return NULL;
    for (int i = 0; i < FORMATS; i++)
        for (const char *e = formats[i].endings; (e = strchr(e, '.')); e++)
            if (strncasecmp(e, dot, n) == 0 && e[n] == ' ') return &formats[i];
    return NULL;
}

const struct data_format *data_format_at(int i)
{
    return i < FORMATS ? &formats[i] : NULL;
}

const char *data_format_ending(char ending[8], const struct data_format *format)
{
    sscanf(format->endings, " .%7s", ending);
    return ending;
}

const char *data_format_names(char *text, size_t size)
{
    int known = 0, named = 0;
    size_t used = 0;
    for (int i = 0; i < FORMATS; i++) known += formats[i].decode != NULL;
    text[0] = 0;
    for (int i = 0; i < FORMATS && used < size; i++) {
        if (!formats[i].decode) continue;
        const char *before = named == 0 ? "" : named == known - 1 ? " or " : ", ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", before, formats[i].name);
        named++;
    }
    return text;
}

static bool is_safetensors(const uint8_t *bytes, size_t length)
{
    return length > 8 && bytes[8] == '{' && !bytes[5] && !bytes[6] && !bytes[7];
}

static bool is_html(const uint8_t *bytes, size_t length)
{
    return length >= 5 && (!strncasecmp((const char *)bytes, "<!doc", 5) ||
                           !strncasecmp((const char *)bytes, "<html", 5));
}

static bool is_video(const uint8_t *bytes, size_t length)
{
    return length >= 12 && !memcmp(bytes + 4, "ftyp", 4);
}

static bool is_jpeg_xl(const uint8_t *bytes, size_t length)
{
    return begins(bytes, length, "\xff\x0a", 2) || begins(bytes, length, "\0\0\0\fJXL ", 8);
}

/* Texts have no control characters, and in UTF-8 none of the highest bytes. */
static bool is_text(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length && i < 512; i++)
        if (bytes[i] < 9 || (bytes[i] > 13 && bytes[i] < ' ') || bytes[i] > 0xf7) return false;
    return true;
}

const char *data_not_a_picture(const uint8_t *bytes, size_t length)
{
    /* The first row that fits; starts NULL: these bytes stand first. */
    static const struct {
        bool (*starts)(const uint8_t *bytes, size_t length);
        const char *magic, *words;
    } others[] = {
        {is_safetensors, NULL, "a model file (safetensors), not a picture"},
        {NULL, "\x89HDF", "a model file (HDF5), not a picture"},
        {NULL, "PK\3\4", "a zip archive, not a picture"},
        {NULL, "version https://git-lfs",
         "a Git LFS pointer, not the picture itself (git lfs pull "
         "brings it)"},
        {is_html, NULL, "a web page (HTML), not a picture"},
        {is_video, NULL, "a video, not a picture"},
        {is_jpeg_xl, NULL, "a JPEG XL picture, which rudd does not read"},
        {NULL, "8BPS", "a Photoshop document, which rudd does not read"},
        {NULL, "%PDF", "a PDF document, not a picture"},
        {is_text, NULL, "text, not a picture"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].starts ? others[i].starts(bytes, length)
                             : begins(bytes, length, others[i].magic, strlen(others[i].magic)))
            return others[i].words;
    return "no picture by its first bytes";
}
