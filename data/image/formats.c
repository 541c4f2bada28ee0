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

static const struct data_format formats[] = {
    {"JPEG", " .jpg .jpeg .jpe .jfif .jif ", is_jpeg, data_jpeg_decode, NULL},
    {"PNG", " .png .apng ", is_png, data_png_decode, NULL},
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
