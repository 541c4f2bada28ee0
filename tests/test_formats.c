/* test_formats.c - the table of picture formats, and a small file of each that test_decode.c does
 * not write: its pixels, what is left of it when it is cut, too large, or out of memory.
 *
 * Equality with Pillow and heif-convert over a thousand files: parity/parity_formats.py. A format
 * that was not built in is skipped here. */
#define _GNU_SOURCE /* memmem */
#include "data/image/formats.h"
#include "data/image/heif_check.h"
#include "tests/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 3 x 2 pixels: red, green, blue; white, black, grey. HEIC and AVIF: 16 x 16 of one brown. */
static const uint8_t colours[18] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 128, 128, 128};
static const uint8_t brown[3] = {200, 100, 50};

/* clang-format off */
static const uint8_t webp[116] = {
    0x52, 0x49, 0x46, 0x46, 0x6c, 0x00, 0x00, 0x00, 0x57, 0x45, 0x42, 0x50, 0x56, 0x50, 0x38, 0x58,
    0x0a, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x01, 0x00, 0x00, 0x56, 0x50,
    0x38, 0x4c, 0x2b, 0x00, 0x00, 0x00, 0x2f, 0x02, 0x40, 0x00, 0x00, 0x2f, 0x20, 0x10, 0x20, 0x48,
    0x57, 0x6e, 0x43, 0x40, 0x50, 0x74, 0xdd, 0x72, 0x02, 0x01, 0x82, 0x74, 0xe5, 0xe6, 0x3f, 0x40,
    0x6c, 0x72, 0x6c, 0x15, 0x28, 0x48, 0xdb, 0x80, 0xc5, 0xdd, 0x53, 0xb2, 0x88, 0xfe, 0xc7, 0xd5,
    0x01, 0x00, 0x45, 0x58, 0x49, 0x46, 0x1a, 0x00, 0x00, 0x00, 0x4d, 0x4d, 0x00, 0x2a, 0x00, 0x00,
    0x00, 0x08, 0x00, 0x01, 0x01, 0x12, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00,
};
static const uint8_t gif[56] = {
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 0x03, 0x00, 0x02, 0x00, 0x82, 0x00, 0x00, 0xff, 0x00, 0x00,
    0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x80, 0x80, 0x80, 0x09,
    0x09, 0x09, 0x09, 0x09, 0x09, 0x2c, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03,
    0x05, 0x08, 0x21, 0x43, 0x95, 0x00, 0x00, 0x3b,
};
static const uint8_t bmp[78] = {
    0x42, 0x4d, 0x4e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x36, 0x00, 0x00, 0x00, 0x28, 0x00,
    0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x18, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x13, 0x0b, 0x00, 0x00, 0x13, 0x0b, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x80, 0x80, 0x80, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0x00, 0xff, 0x00, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t tiff[170] = {
    0x49, 0x49, 0x2a, 0x00, 0x1a, 0x00, 0x00, 0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0x00, 0x00, 0x00,
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x80, 0x80, 0x80, 0x0b, 0x00, 0x00, 0x01, 0x04, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x01, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0x02, 0x01, 0x03, 0x00, 0x03, 0x00, 0x00, 0x00, 0xa4, 0x00, 0x00, 0x00,
    0x03, 0x01, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x06, 0x01, 0x03, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x11, 0x01, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x08, 0x00, 0x00, 0x00, 0x12, 0x01, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x15, 0x01, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x16, 0x01, 0x04, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x17, 0x01, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x12, 0x00, 0x00, 0x00, 0x1c, 0x01, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x08, 0x00, 0x08, 0x00,
};
static const uint8_t heic[517] = {
    0x00, 0x00, 0x00, 0x1c, 0x66, 0x74, 0x79, 0x70, 0x68, 0x65, 0x69, 0x63, 0x00, 0x00, 0x00, 0x00,
    0x6d, 0x69, 0x66, 0x31, 0x68, 0x65, 0x69, 0x63, 0x6d, 0x69, 0x61, 0x66, 0x00, 0x00, 0x01, 0xad,
    0x6d, 0x65, 0x74, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x68, 0x64, 0x6c, 0x72,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x70, 0x69, 0x63, 0x74, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x70, 0x69, 0x74,
    0x6d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x10, 0x69, 0x64, 0x61, 0x74, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x10, 0x00, 0x00, 0x00, 0x38, 0x69, 0x6c, 0x6f, 0x63, 0x01,
    0x00, 0x00, 0x00, 0x44, 0x40, 0x00, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0xd1, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x34, 0x00, 0x02, 0x00, 0x01, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00,
    0x00, 0x00, 0x38, 0x69, 0x69, 0x6e, 0x66, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
    0x15, 0x69, 0x6e, 0x66, 0x65, 0x02, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0x68, 0x76, 0x63,
    0x31, 0x00, 0x00, 0x00, 0x00, 0x15, 0x69, 0x6e, 0x66, 0x65, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x00, 0x67, 0x72, 0x69, 0x64, 0x00, 0x00, 0x00, 0x00, 0xd8, 0x69, 0x70, 0x72, 0x70, 0x00,
    0x00, 0x00, 0xb6, 0x69, 0x70, 0x63, 0x6f, 0x00, 0x00, 0x00, 0x76, 0x68, 0x76, 0x63, 0x43, 0x01,
    0x03, 0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e, 0xf0, 0x00, 0xfc, 0xfd,
    0xf8, 0xf8, 0x00, 0x00, 0x0f, 0x03, 0x20, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff,
    0xff, 0x03, 0x70, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e,
    0xba, 0x02, 0x40, 0x21, 0x00, 0x01, 0x00, 0x2a, 0x42, 0x01, 0x01, 0x03, 0x70, 0x00, 0x00, 0x03,
    0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0xa0, 0x20, 0x81, 0x05, 0x96, 0xea,
    0xae, 0x9a, 0xe6, 0xe0, 0x40, 0x40, 0xc0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x03,
    0x00, 0x84, 0x22, 0x00, 0x01, 0x00, 0x06, 0x44, 0x01, 0xc1, 0x73, 0xc1, 0x89, 0x00, 0x00, 0x00,
    0x14, 0x69, 0x73, 0x70, 0x65, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,
    0x40, 0x00, 0x00, 0x00, 0x14, 0x69, 0x73, 0x70, 0x65, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x10, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x70, 0x69, 0x78, 0x69, 0x00, 0x00, 0x00,
    0x00, 0x03, 0x08, 0x08, 0x08, 0x00, 0x00, 0x00, 0x1a, 0x69, 0x70, 0x6d, 0x61, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x01, 0x02, 0x81, 0x02, 0x00, 0x02, 0x02, 0x03, 0x84, 0x00,
    0x00, 0x00, 0x1a, 0x69, 0x72, 0x65, 0x66, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x64,
    0x69, 0x6d, 0x67, 0x00, 0x02, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x3c, 0x6d, 0x64, 0x61,
    0x74, 0x00, 0x00, 0x00, 0x30, 0x28, 0x01, 0xaf, 0x09, 0xc8, 0x59, 0x98, 0xd0, 0x39, 0x23, 0x57,
    0x7f, 0xfe, 0x16, 0x9f, 0xff, 0xda, 0x52, 0x68, 0x7e, 0x91, 0x85, 0xb5, 0x67, 0xf1, 0x3a, 0xfe,
    0x80, 0xec, 0x65, 0x3a, 0xca, 0x43, 0x9f, 0x44, 0xb1, 0x93, 0xce, 0x3b, 0xbe, 0x0c, 0x80, 0x87,
    0x83, 0xb8, 0x5e, 0xcb, 0x70,
};
static const uint8_t avif[301] = {
    0x00, 0x00, 0x00, 0x1c, 0x66, 0x74, 0x79, 0x70, 0x61, 0x76, 0x69, 0x66, 0x00, 0x00, 0x00, 0x00,
    0x61, 0x76, 0x69, 0x66, 0x6d, 0x69, 0x66, 0x31, 0x6d, 0x69, 0x61, 0x66, 0x00, 0x00, 0x00, 0xea,
    0x6d, 0x65, 0x74, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x68, 0x64, 0x6c, 0x72,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x70, 0x69, 0x63, 0x74, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x70, 0x69, 0x74,
    0x6d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x22, 0x69, 0x6c, 0x6f, 0x63, 0x00,
    0x00, 0x00, 0x00, 0x44, 0x40, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x0e, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00, 0x23, 0x69, 0x69, 0x6e,
    0x66, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x15, 0x69, 0x6e, 0x66, 0x65, 0x02,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x61, 0x76, 0x30, 0x31, 0x00, 0x00, 0x00, 0x00, 0x6a,
    0x69, 0x70, 0x72, 0x70, 0x00, 0x00, 0x00, 0x4b, 0x69, 0x70, 0x63, 0x6f, 0x00, 0x00, 0x00, 0x13,
    0x63, 0x6f, 0x6c, 0x72, 0x6e, 0x63, 0x6c, 0x78, 0x00, 0x02, 0x00, 0x02, 0x00, 0x06, 0x80, 0x00,
    0x00, 0x00, 0x0c, 0x61, 0x76, 0x31, 0x43, 0x81, 0x00, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x14, 0x69,
    0x73, 0x70, 0x65, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00,
    0x00, 0x00, 0x10, 0x70, 0x69, 0x78, 0x69, 0x00, 0x00, 0x00, 0x00, 0x03, 0x08, 0x08, 0x08, 0x00,
    0x00, 0x00, 0x17, 0x69, 0x70, 0x6d, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,
    0x01, 0x04, 0x81, 0x82, 0x03, 0x84, 0x00, 0x00, 0x00, 0x27, 0x6d, 0x64, 0x61, 0x74, 0x12, 0x00,
    0x0a, 0x09, 0x18, 0x0c, 0xff, 0xd8, 0x20, 0x40, 0x40, 0xd0, 0x80, 0x32, 0x10, 0x16, 0x40, 0x06,
    0x18, 0x61, 0x84, 0x00, 0x00, 0x76, 0x8d, 0xe5, 0x3a, 0x7e, 0xe0, 0xb2, 0x40,
};
/* clang-format on */

static const struct sample {
    const char *name;
    const uint8_t *bytes;
    size_t length, whole; /* so many bytes are enough */
} samples[] = {
    {"WebP", webp, sizeof webp, sizeof webp}, {"GIF", gif, sizeof gif, sizeof gif - 1}, /* the mark of the end */
    {"BMP", bmp, sizeof bmp, sizeof bmp - 3},                                           /* the last row's filling */
    {"TIFF", tiff, sizeof tiff, sizeof tiff}, {"HEIC", heic, sizeof heic, sizeof heic},
    {"AVIF", avif, sizeof avif, sizeof avif},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static bool built_in(const struct sample *s)
{
    const struct data_format *format = data_format_sniff(s->bytes, s->length);
    assert_non_null(format);
    assert_string_equal(format->name, s->name);
    if (!format->decode) print_message("  %s is not built in\n", s->name);
    return format->decode != NULL;
}

static uint8_t *copy_of(const struct sample *s)
{
    uint8_t *copy = malloc(s->length);
    assert_non_null(copy);
    return memcpy(copy, s->bytes, s->length);
}

/* Where these four bytes are first in a file. */
static uint8_t *find(uint8_t *bytes, size_t length, const char *four)
{
    for (size_t i = 0; i + 4 <= length; i++)
        if (!memcmp(bytes + i, four, 4)) return bytes + i;
    fail_msg("\"%.4s\" is not in the file", four);
    return NULL;
}

static enum rudd_status refused(const uint8_t *bytes, size_t length, const struct data_limits *limits, const char *why)
{
    uint8_t mark;
    struct data_image image = {-1, -2, &mark};
    struct rudd_error err = {0};
    enum rudd_status status = data_image_decode(&image, bytes, length, "a/name.x", limits, &err);
    if (!status) fail_msg("%zu bytes are read; expected \"%s\"", length, why);
    assert_non_null(strstr(err.message, "a/name.x: "));
    if (!strstr(err.message, why)) fail_msg("\"%s\" does not say \"%s\"", err.message, why);
    assert_true(image.w == -1 && image.h == -2 && image.rgb == &mark);
    return status;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *format_of(const char *bytes, size_t length)
{
    const struct data_format *format = data_format_sniff((const uint8_t *)bytes, length);
    return format ? format->name : "none";
}

/* The first bytes decide. What only begins alike is none. */
static void first_bytes(void **state)
{
    (void)state;
#define IS(name, text) assert_string_equal(format_of(text, sizeof text - 1), name)
    IS("WebP", "RIFF\x24\0\0\0WEBPVP8 ");
    IS("none", "RIFF\x24\0\0\0WAVEfmt ");
    IS("none", "RIFF\x24\0\0\0WEB");
    IS("GIF", "GIF87a");
    IS("GIF", "GIF89a");
    IS("none", "GIF88a");
    IS("TIFF", "II\x2a\0\x08\0\0\0");
    IS("TIFF", "MM\0\x2a\0\0\0\x08");
    IS("TIFF", "II\x2b\0\x08\0\0\0");
    IS("TIFF", "MM\0\x2b\0\x08\0\0");
    IS("none", "II\x2c\0\x08\0\0\0");
    IS("BMP", "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0");
    IS("none", "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0");
    IS("none", "BMW is no picture, it is a text");
    IS("HEIC", "\0\0\0\x18"
               "ftypheic\0\0\0\0mif1heic");
    IS("HEIC", "\0\0\0\x18"
               "ftypheix\0\0\0\0mif1heic");
    IS("HEIC", "\0\0\0\x18"
               "ftyphevc\0\0\0\0msf1hevc");
    IS("HEIC", "\0\0\0\x18"
               "ftypmif1\0\0\0\0mif1heic");
    IS("HEIC", "\0\0\0\x14"
               "ftypmsf1\0\0\0\0msf1avif"); /* the box ends before the last brand */
    IS("AVIF", "\0\0\0\x18"
               "ftypavif\0\0\0\0mif1avif");
    IS("AVIF", "\0\0\0\x18"
               "ftypavis\0\0\0\0msf1avis");
    IS("AVIF", "\0\0\0\x18"
               "ftypmif1\0\0\0\0mif1avif");
    IS("none", "\0\0\0\x18"
               "ftypisom\0\0\0\0mp42avif"); /* a film */
    IS("none", "\0\0\0\x18"
               "ftypavi");
    IS("none", "");
    /* So many bytes are enough. */
    for (int i = 0; i < SAMPLES; i++)
        assert_string_equal(format_of((const char *)samples[i].bytes, DATA_SNIFF), samples[i].name);
}

/* Endings in any case; a name that only contains one has none. */
static void endings(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
    } names[] = {
        {"a.jpg", "JPEG"},  {"a.JFIF", "JPEG"}, {"a.jpe", "JPEG"},    {"a.PNG", "PNG"},   {"a.webp", "WebP"},
        {"a.HEIC", "HEIC"}, {"a.heif", "HEIC"}, {"a.hif", "HEIC"},    {"a.avif", "AVIF"}, {"a.tif", "TIFF"},
        {"a.TIFF", "TIFF"}, {"a.gif", "GIF"},   {"b.gif.bmp", "BMP"}, {"a.dib", "BMP"},   {"a.gifs", NULL},
        {"gif", NULL},      {"a.", NULL},       {"a.bm", NULL},       {"a.gif/b", NULL},  {"a.webp.txt", NULL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct data_format *format = data_format_of_name(names[i].name);
        if (!format != !names[i].format || (format && strcmp(format->name, names[i].format)))
            fail_msg("%s is %s", names[i].name, format ? format->name : "none");
    }
}

/* Messages name what this program reads; a row without a decoder has a package. */
static void names(void **state)
{
    (void)state;
    char text[200], short_text[12];
    data_format_names(text, sizeof text);
    assert_int_equal(strncmp(text, "JPEG, PNG", 9), 0);
    assert_non_null(strstr(text, " or BMP"));
    assert_non_null(data_format_of_name("x.webp")->package);
    assert_int_equal(strlen(data_format_names(short_text, sizeof short_text)), sizeof short_text - 1);
    refused((const uint8_t *)"some text in a file", 19, NULL, "expected JPEG, PNG");
}

/* ---- pixels ---------------------------------------------------------------------------------- */

static void pixels(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        struct data_image image = {0};
        struct rudd_error err;
        if (!built_in(&samples[i])) continue;
        uint8_t *bytes = copy_of(&samples[i]); /* its own block: a sanitizer sees reads beyond the end */
        if (data_image_decode(&image, bytes, samples[i].length, "x", NULL, &err)) fail_msg("%s", err.message);
        if (image.w == 3) {
            assert_int_equal(image.h, 2);
            assert_memory_equal(image.rgb, colours, sizeof colours);
        } else {
            assert_true(image.w == 16 && image.h == 16);
            for (int k = 0; k < 16 * 16 * 3; k++) assert_in_range(image.rgb[k] + 3, brown[k % 3], brown[k % 3] + 6);
        }
        data_image_free(&image);
        if (samples[i].bytes == gif) { /* a frame that reaches beyond the screen enlarges it */
            bytes[6] = bytes[8] = 1;
            assert_int_equal(data_image_decode(&image, bytes, samples[i].length, "x", NULL, NULL), RUDD_OK);
            assert_true(image.w == 3 && image.h == 2);
            assert_memory_equal(image.rgb, colours, sizeof colours);
            data_image_free(&image);
        }
        free(bytes);
    }
}

/* The eight orientations of WebP's EXIF and of TIFF's own tag. Another number means upright. */
static void orientations(void **state)
{
    (void)state;
    enum { W = 3, H = 2 };
    for (int i = 0; i < SAMPLES; i++) {
        const bool is_webp = samples[i].bytes == webp;
        if ((!is_webp && samples[i].bytes != tiff) || !built_in(&samples[i])) continue;
        uint8_t *bytes = copy_of(&samples[i]);
        uint8_t *value = is_webp ? find(bytes, samples[i].length, "\x01\x12\0\x03") + 9
                                 : find(bytes, samples[i].length, "\x12\x01\x03\0") + 8;
        for (int o = 0; o <= 9; o++) {
            struct data_image image = {0};
            *value = (uint8_t)o;
            assert_int_equal(data_image_decode(&image, bytes, samples[i].length, "x", NULL, NULL), RUDD_OK);
            assert_int_equal(image.w, o < 5 || o > 8 ? W : H);
            for (int y = 0; y < image.h; y++)
                for (int x = 0; x < image.w; x++) {
                    /* where upright (x, y) is stored; by cases, not by decode.c's table */
                    const int sx[10] = {x, x, W - 1 - x, W - 1 - x, x, y, y, W - 1 - y, W - 1 - y, x};
                    const int sy[10] = {y, y, y, H - 1 - y, H - 1 - y, x, H - 1 - x, H - 1 - x, x, y};
                    assert_memory_equal(image.rgb + (y * image.w + x) * 3, colours + (sy[o] * W + sx[o]) * 3, 3);
                }
            data_image_free(&image);
        }
        free(bytes);
    }
}

/* ---- what is wrong with a file --------------------------------------------------------------- */

/* A file that ends early anywhere is refused by a sentence with its format. */
static void truncated(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        if (!built_in(&samples[i])) continue;
        for (size_t n = DATA_SNIFF; n < samples[i].whole; n++) {
            uint8_t *cut = malloc(n);
            assert_non_null(cut);
            memcpy(cut, samples[i].bytes, n);
            assert_int_equal(refused(cut, n, NULL, samples[i].name), RUDD_FORMAT);
            free(cut);
        }
    }
}

/* Flipped bytes give a picture within the limits or a refusal. */
static void corrupted(void **state)
{
    (void)state;
    const struct data_limits small = {1 << 20, 1 << 20};
    for (int i = 0; i < SAMPLES; i++) {
        int survived = 0, fell = 0;
        if (!built_in(&samples[i])) continue;
        uint8_t *bytes = copy_of(&samples[i]);
        for (size_t at = 0; at < samples[i].length; at++)
            for (int bit = 0; bit < 8; bit += 3) {
                struct data_image image = {0};
                bytes[at] ^= (uint8_t)(1 << bit);
                if (data_image_decode(&image, bytes, samples[i].length, "x", &small, NULL))
                    fell++;
                else
                    survived++;
                assert_true((long)image.w * image.h <= 1 << 20);
                data_image_free(&image);
                bytes[at] ^= (uint8_t)(1 << bit);
            }
        free(bytes);
        assert_true(survived > 5 && fell > 5);
    }
}

/* Refused as too large before rudd allocates anything but the two lists of heif_check.c. */
static void assert_too_large(const uint8_t *bytes, size_t length, const struct data_limits *limits, const char *why)
{
    fail_allocation(0);
    assert_int_equal(refused(bytes, length, limits, why), RUDD_LIMIT);
    assert_in_range(allocations(), 0, memcmp(bytes + 4, "ftyp", 4) ? 0 : 2);
    rudd_set_alloc_hook(NULL, NULL);
}

static void limits(void **state)
{
    (void)state;
    const struct data_limits small = {1 << 20, 5};
    for (int i = 0; i < SAMPLES; i++)
        if (built_in(&samples[i])) assert_too_large(samples[i].bytes, samples[i].length, &small, "");

    /* Headers that claim what no file of theirs could hold. */
    uint8_t *bytes = copy_of(&samples[1]);
    memset(bytes + 6, 0xff, 4);
    if (built_in(&samples[1])) assert_too_large(bytes, sizeof gif, NULL, "65535 x 65535 pixels");
    free(bytes);
    bytes = copy_of(&samples[2]);
    memcpy(bytes + 18, "\0\0\x01\0\0\0\x01\0", 8);
    assert_too_large(bytes, sizeof bmp, NULL, "65536 x 65536 pixels");
    memcpy(bytes + 22, "\0\0\0\x80", 4); /* -2^31: highest row first */
    assert_too_large(bytes, sizeof bmp, NULL, "65536 x 2147483648 pixels");
    free(bytes);
    bytes = copy_of(&samples[3]);
    memcpy(find(bytes, sizeof tiff, "\0\x01\x04\0") + 8, "\xff\xff\xff\xff", 4);
    if (built_in(&samples[3])) assert_too_large(bytes, sizeof tiff, NULL, "4294967295 x 2 pixels");
    free(bytes);
    for (int i = 4; i < SAMPLES; i++) {
        bytes = copy_of(&samples[i]);
        uint8_t *end = bytes + samples[i].length, *box = bytes;
        for (; (box = memmem(box, (size_t)(end - box), "ispe", 4)); box += 4) memcpy(box + 8, "\0\0\xff\xfe\0\0\xff\xfe", 8);
        if (built_in(&samples[i])) assert_too_large(bytes, samples[i].length, NULL, "65534");
        memcpy(find(bytes, samples[i].length, "ispe") + 8, "\x7f\xff\xff\xff\x7f\xff\xff\xff", 8);
        if (built_in(&samples[i])) assert_too_large(bytes, samples[i].length, NULL, "2147483647");
        free(bytes);
    }
    /* A WebP whose canvas is larger than what it holds is an animation. */
    static const uint8_t canvas[] = "RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\x3f\0\xff\x3f\0ANMF\0\0\0\0";
    if (built_in(&samples[0])) assert_too_large(canvas, sizeof canvas - 1, NULL, "16384 x 16384 pixels");
    if (built_in(&samples[0])) assert_int_equal(refused(canvas, sizeof canvas - 2, NULL, "ends early"), RUDD_FORMAT);
}

/* ---- HEIC and AVIF before libheif ------------------------------------------------------------ */

struct writer {
    uint8_t bytes[200];
    size_t bit;
};

static void put(struct writer *w, uint32_t v, int n)
{
    while (n-- > 0) {
        w->bytes[w->bit / 8] |= (uint8_t)((v >> n & 1) << (7 - w->bit % 8));
        w->bit++;
    }
}

/* Zeros, as many as v + 1 has bits behind its first, and v + 1. */
static void put_long(struct writer *w, uint32_t v)
{
    int n = 0;
    while ((v + 1) >> (n + 1)) n++;
    put(w, 0, n);
    put(w, v + 1, n + 1);
}

/* The size is found behind every kind of fields that may stand before it. */
static void hevc_sizes(void **state)
{
    (void)state;
    for (uint32_t layers = 0; layers < 7; layers++)
        for (uint32_t chroma = 0; chroma < 4; chroma++) {
            struct writer w = {{0}, 0};
            struct data_coded_size size = {0, 0};
            uint8_t escaped[320] = {0, 0, 0, 0};
            size_t n = 4;
            int zeros = 0;
            put(&w, 33 << 9 | 1, 16);
            put(&w, layers << 1 | 1, 8);
            for (int i = 0; i < 12; i++) put(&w, i % 5 ? 0 : 0x5a, 8); /* zeros, which are escaped */
            for (uint32_t i = 0; i < layers; i++) put(&w, i & 3, 2);
            if (layers) put(&w, 0, 2 * (8 - (int)layers));
            for (uint32_t i = 0; i < layers; i++) {
                for (int k = 0; k < 11 && i & 2; k++) put(&w, 0, 8);
                if (i & 1) put(&w, 93, 8);
            }
            put_long(&w, layers);
            put_long(&w, chroma);
            if (chroma == 3) put(&w, 1, 1);
            put_long(&w, 4032 + layers);
            put_long(&w, 3024 + chroma);
            put(&w, 0xff, 8);
            for (size_t i = 0; i < (w.bit + 7) / 8; i++) {
                if (zeros == 2 && w.bytes[i] <= 3) escaped[n++] = 3, zeros = 0;
                escaped[n++] = w.bytes[i];
                zeros = w.bytes[i] ? 0 : zeros + 1;
            }
            escaped[3] = (uint8_t)(n - 4);
            assert_true(data_hevc_size(&size, escaped, n));
            assert_true(size.w == 4032 + layers && size.h == 3024 + chroma);
            assert_false(data_hevc_size(&size, escaped, n - 1));
            escaped[3] = 12; /* ends before the size */
            assert_false(data_hevc_size(&size, escaped, 16));
        }
    /* Two slices of one picture are one; two pictures are refused. */
    struct data_coded_size size = {0, 0};
    uint8_t slices[] = {0, 0, 0, 3, 0x26, 1, 0x80, 0, 0, 0, 3, 0x26, 1, 0};
    assert_true(data_hevc_size(&size, slices, sizeof slices));
    slices[13] = 0x80;
    assert_false(data_hevc_size(&size, slices, sizeof slices));
}

static void av1_sizes(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 16; kind++) {
        const uint32_t still = kind & 1, timed = kind >> 1 & 1, modelled = kind >> 2 & 1, shown = kind >> 3 & 1;
        struct writer w = {{0}, 0};
        struct data_coded_size size = {0, 0};
        put(&w, 0x12000a00, 32); /* a mark, then what follows, whose length is put in below */
        put(&w, still * 3, 5);   /* a still picture, in the short form */
        if (still) {
            put(&w, 9, 5);
        } else {
            put(&w, timed, 1);
            if (timed) {
                put(&w, 1, 32);
                put(&w, 30, 32);
                put(&w, 1, 1);
                put_long(&w, 5);
                put(&w, modelled, 1);
                if (modelled) {
                    put(&w, 6, 5); /* 7 bits each */
                    put(&w, 1, 32);
                    put(&w, 0x155, 10);
                }
            }
            put(&w, shown, 1);
            put(&w, 1, 5); /* two ways */
            for (uint32_t i = 0; i < 2; i++) {
                put(&w, 0xfff, 12);
                put(&w, 5 + 8 * i, 5);
                if (i) put(&w, 1, 1);
                if (timed && modelled) put(&w, i, 1);
                if (timed && modelled && i) put(&w, 0x5555, 15);
                if (shown) put(&w, i, 1);
                if (shown && i) put(&w, 3, 4);
            }
        }
        put(&w, 11, 4);
        put(&w, 12, 4);
        put(&w, 4031, 12);
        put(&w, 4095 + 900, 13);
        const size_t n = (w.bit + 7) / 8;
        w.bytes[3] = (uint8_t)(n - 4);
        assert_true(data_av1_size(&size, w.bytes, n));
        if (size.w != 4032 || size.h != 4996) fail_msg("kind %u: %d x %d", kind, (int)size.w, (int)size.h);
        assert_false(data_av1_size(&size, w.bytes, n - 1));
        w.bytes[3] -= 2;
        assert_false(data_av1_size(&size, w.bytes, n - 2));
    }
    uint8_t frames[18];
    struct data_coded_size size = {0, 0};
    for (int i = 0; i < 9; i++) memcpy(frames + 2 * i, (uint8_t[2]){0x32, 0}, 2);
    assert_true(data_av1_size(&size, frames, 16));
    assert_false(data_av1_size(&size, frames, 18)); /* more than a progressive picture has */
}

/* libheif follows a grid that is its own tile until the stack is full, believes a small box around
 * a large picture, and decodes a tile as often as it is named. None of it gets that far. */
static void hostile_boxes(void **state)
{
    (void)state;
    enum { TILES = 300 };
    const struct sample *s = &samples[4];
    struct data_limits limits = {1 << 20, 64 * 64 - 1};
    if (!built_in(s)) return;
    /* 16 x 16 pixels, cut from 64 x 64 that the encoder made */
    assert_int_equal(refused(s->bytes, s->length, &limits, "64 x 64 pixels"), RUDD_LIMIT);
    limits.max_pixels++;
    struct data_image image = {0};
    assert_int_equal(data_image_decode(&image, s->bytes, s->length, "x", &limits, NULL), RUDD_OK);
    data_image_free(&image);

    uint8_t *bytes = copy_of(s), *at = find(bytes, s->length, "dimg") + 4; /* from, count, to */
    at[5] = at[1];
    assert_int_equal(refused(bytes, s->length, NULL, "a part of a grid is no picture"), RUDD_FORMAT);
    memcpy(at - 4, "auxl", 4);
    assert_int_equal(refused(bytes, s->length, NULL, "has an alpha channel"), RUDD_FORMAT);
    memcpy(bytes, s->bytes, s->length);
    memcpy(find(bytes, s->length, "iref"), "pitm", 4);
    assert_int_equal(refused(bytes, s->length, NULL, "twice there"), RUDD_FORMAT);
    free(bytes);

    /* The one tile 300 times: its references, the boxes around them and the place of the data grow. */
    const size_t more = 2 * (TILES - 1), length = s->length + more;
    bytes = malloc(length);
    assert_non_null(bytes);
    memcpy(bytes, s->bytes, s->length);
    at = find(bytes, s->length, "dimg") + 10;
    memmove(at + more, at, (size_t)(bytes + s->length - at));
    for (size_t i = 0; i < more; i += 2) memcpy(at + i, at - 2, 2);
    at[-4] = TILES >> 8;
    at[-3] = TILES & 255;
    uint8_t *const sizes[] = {at - 14, find(bytes, length, "iref") - 4, find(bytes, length, "meta") - 4};
    for (int i = 0; i < 3; i++) {
        const size_t grown = ((size_t)sizes[i][2] << 8 | sizes[i][3]) + more;
        sizes[i][2] = (uint8_t)(grown >> 8);
        sizes[i][3] = (uint8_t)grown;
    }
    at = find(bytes, length, "iloc") + 18; /* item 1: number, method, file, and its place */
    const size_t place = ((size_t)at[2] << 8 | at[3]) + more;
    at[2] = (uint8_t)(place >> 8);
    at[3] = (uint8_t)place;
    assert_int_equal(refused(bytes, length, &limits, "a grid of 1228800 pixels"), RUDD_LIMIT);
    free(bytes);
}

/* The n-th allocation fails, for every n. */
static void no_memory(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        long n = 1;
        if (!built_in(&samples[i])) continue;
        for (;; n++) {
            struct data_image image = {0};
            struct rudd_error err;
            fail_allocation(n);
            enum rudd_status status = data_image_decode(&image, samples[i].bytes, samples[i].length, "x", NULL, &err);
            bool reached = allocations() >= n;
            rudd_set_alloc_hook(NULL, NULL);
            if (status) {
                assert_int_equal(status, RUDD_NO_MEMORY);
                assert_null(image.rgb);
            }
            data_image_free(&image);
            if (!reached) break;
        }
        assert_true(n > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_bytes), cmocka_unit_test(endings),      cmocka_unit_test(names),
        cmocka_unit_test(pixels),      cmocka_unit_test(orientations), cmocka_unit_test(truncated),
        cmocka_unit_test(corrupted),   cmocka_unit_test(limits),       cmocka_unit_test(no_memory),
        cmocka_unit_test(hevc_sizes),  cmocka_unit_test(av1_sizes),    cmocka_unit_test(hostile_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
