/* metadata.c - where a file keeps its EXIF and its XMP.
 *
 *     JPEG   segments before the first scan:  ff e1 | length u16 | "Exif\0\0" | TIFF block
 *                                             ff e1 | length u16 | "http://ns.adobe.com/xap/1.0/\0" | XML
 *     PNG    chunks: length u32 | name | data | CRC     eXIf: TIFF block
 *            texts (tEXt, zTXt packed, iTXt): "XML:com.adobe.xmp", and "Raw profile type exif", which
 *            holds "\nexif\n  length\n" and then the bytes in hexadecimal; ImageMagick's "... APP1" too
 *     WebP   chunks: name | length u32 little-endian | data, even     "EXIF", "XMP "
 *     TIFF   the file itself is the block; tag 700 is the XMP
 *
 * As in Pillow: the first EXIF segment of a JPEG counts, of all others the last; texts behind a
 * PNG's pixels count; checksums do not matter. A packed text is unpacked only if it is the one that
 * counts, up to MAX_TEXT bytes: no file can ask for more work or memory than that.
 * Not here: EXIF that is spread over several segments, HEIC (its reader turns pictures itself). */
#include "data/image/metadata.h"
#include "nn/zlib.h"

#include <string.h>

enum { MAX_TEXT = 1 << 20 }; /* Pillow's bound, too */

static bool starts(struct data_span s, const char *magic, size_t n)
{
    return s.length >= n && memcmp(s.at, magic, n) == 0;
}

static struct data_span after(struct data_span s, size_t n)
{
    return (struct data_span){s.at + n, s.length - n};
}

static struct data_span without_prefix(struct data_span exif)
{
    return starts(exif, "Exif\0\0", 6) ? after(exif, 6) : exif;
}

/* ---- JPEG ----------------------------------------------------------------------------------- */

static void find_jpeg(struct data_metadata *m, struct data_span s)
{
    enum { SOS = 0xda, EOI = 0xd9, APP1 = 0xe1, TEM = 0x01, RST0 = 0xd0, RST7 = 0xd7 };
    static const char xap[] = "http://ns.adobe.com/xap/1.0/";
    s = after(s, 2);
    for (;;) {
        const uint8_t *ff = s.length ? memchr(s.at, 0xff, s.length) : NULL;
        if (!ff) return;
        s = after(s, (size_t)(ff - s.at));
        while (s.length > 1 && s.at[1] == 0xff) s = after(s, 1);
        if (s.length < 4) return;
        const int marker = s.at[1];
        s = after(s, 2);
        if (marker == SOS || marker == EOI) return;
        if (marker == 0 || marker == TEM || (marker >= RST0 && marker <= RST7)) continue;
        const size_t size = (size_t)s.at[0] << 8 | s.at[1];
        if (size < 2 || size > s.length) return;
        const struct data_span body = {s.at + 2, size - 2};
        if (marker == APP1 && starts(body, "Exif\0\0", 6) && !m->exif.at) m->exif = after(body, 6);
        if (marker == APP1 && starts(body, xap, sizeof xap)) m->xmp = after(body, sizeof xap);
        s = after(s, size);
    }
}

/* ---- PNG ------------------------------------------------------------------------------------ */

enum text { RAW_EXIF, RAW_APP1, XML, TEXTS };

/* The chunks of a PNG that count: of each kind the last. */
struct png_texts {
    struct data_span at[TEXTS]; /* behind the keyword's 0 */
    char kind[TEXTS];           /* first letter of the chunk's name: t, z or i */
};

static void take_text(struct png_texts *texts, struct data_span data, char kind)
{
    static const char *const keywords[TEXTS] = {"Raw profile type exif", "Raw profile type APP1",
                                                "XML:com.adobe.xmp"};
    for (int i = 0; i < TEXTS; i++) {
        const size_t n = strlen(keywords[i]) + 1;
        if (!starts(data, keywords[i], n)) continue;
        texts->at[i] = after(data, n);
        texts->kind[i] = kind;
    }
}

static void find_chunks(struct data_metadata *m, struct png_texts *texts, struct data_span s)
{
    for (s = after(s, 8); s.length >= 8;) {
        const size_t size =
            (size_t)s.at[0] << 24 | (size_t)s.at[1] << 16 | (size_t)s.at[2] << 8 | s.at[3];
        const uint8_t *name = s.at + 4;
        s = after(s, 8);
        if (size > s.length || memcmp(name, "IEND", 4) == 0) return;
        const struct data_span data = {s.at, size};
        if (memcmp(name, "eXIf", 4) == 0) m->exif = without_prefix(data);
        if (memcmp(name, "tEXt", 4) == 0 || memcmp(name + 1, "TXt", 3) == 0)
            take_text(texts, data, (char)name[0]);
        s = after(s, size);
        if (s.length < 4) return;
        s = after(s, 4);
    }
}

/* Unpacks at most MAX_TEXT bytes into a new block. A longer or broken text is none: length 0. */
static bool unpack(uint8_t **out, size_t *length, struct data_span packed)
{
    z_stream z = {.zalloc = nn_zlib_alloc, .zfree = nn_zlib_free};
    *length = 0;
    if (packed.length > MAX_TEXT) return true;
    *out = rudd_alloc(MAX_TEXT);
    if (!*out || inflateInit(&z) != Z_OK) return false;
    z.next_in = (Bytef *)packed.at;
    z.avail_in = (uInt)packed.length;
    z.next_out = *out;
    z.avail_out = MAX_TEXT;
    const int result = inflate(&z, Z_FINISH);
    if (result == Z_STREAM_END) *length = MAX_TEXT - z.avail_out;
    inflateEnd(&z);
    return result != Z_MEM_ERROR;
}

/* The value of a text; its bytes may be unpacked into *owned. */
static bool read_text(struct data_span *value, uint8_t **owned, struct data_span text, char kind)
{
    bool packed = kind == 'z';
    *value = (struct data_span){0};
    if (kind == 'i') { /* packed? | how | language 0 | keyword translated 0 | text */
        if (text.length < 2 || (text.at[0] && text.at[1] != 0)) return true;
        packed = text.at[0] != 0;
        text = after(text, 2);
        for (int i = 0; i < 2; i++) {
            const uint8_t *end = text.length ? memchr(text.at, 0, text.length) : NULL;
            if (!end) return true;
            text = after(text, (size_t)(end + 1 - text.at));
        }
    } else if (packed) {
        if (text.length < 1 || text.at[0] != 0) return true;
        text = after(text, 1);
    }
    if (packed) {
        size_t length;
        if (!unpack(owned, &length, text)) return false;
        text = (struct data_span){*owned, length};
    }
    *value = text;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of a raw profile: after three lines, hexadecimal digits with blanks between bytes.
 * *owned is where they go; text may lie there, too, since bytes take less room than their digits.
 * Anything else than digits and blanks makes it none. */
static bool read_hex(struct data_span *value, uint8_t **owned, struct data_span text)
{
    size_t n = 0;
    int high = -1;
    *value = (struct data_span){0};
    for (int line = 0; line < 3; line++) {
        const uint8_t *end = text.length ? memchr(text.at, '\n', text.length) : NULL;
        if (!end) return true;
        text = after(text, (size_t)(end + 1 - text.at));
    }
    if (text.length > MAX_TEXT) return true;
    if (!*owned && !(*owned = rudd_alloc(text.length / 2 + 1))) return false;
    for (size_t i = 0; i < text.length; i++) {
        const int digit = hex_digit(text.at[i]);
        if (digit >= 0 && high >= 0) {
            (*owned)[n++] = (uint8_t)(high << 4 | digit);
            high = -1;
        } else if (digit >= 0) {
            high = digit;
        } else if (high >= 0 || !strchr(" \t\r\n\v\f", text.at[i]) || !text.at[i]) {
            return true;
        }
    }
    if (high < 0) *value = (struct data_span){*owned, n};
    return true;
}

static bool find_png(struct data_metadata *m, struct data_span file)
{
    struct png_texts texts = {0};
    struct data_span value;
    find_chunks(m, &texts, file);
    for (int i = RAW_EXIF; i <= RAW_APP1 && !m->exif.at; i++) {
        if (!texts.at[i].at) continue;
        rudd_free(m->owned[0]);
        m->owned[0] = NULL;
        if (!read_text(&value, &m->owned[0], texts.at[i], texts.kind[i])) return false;
        if (!read_hex(&value, &m->owned[0], value)) return false;
        if (i == RAW_EXIF || starts(value, "Exif\0\0", 6)) m->exif = without_prefix(value);
    }
    if (!texts.at[XML].at) return true;
    return read_text(&m->xmp, &m->owned[1], texts.at[XML], texts.kind[XML]);
}

/* ---- WebP ----------------------------------------------------------------------------------- */

static void find_webp(struct data_metadata *m, struct data_span s)
{
    for (s = after(s, 12); s.length >= 8;) {
        const size_t size =
            (size_t)s.at[7] << 24 | (size_t)s.at[6] << 16 | (size_t)s.at[5] << 8 | s.at[4];
        const uint8_t *name = s.at;
        s = after(s, 8);
        if (size > s.length) return;
        const struct data_span data = {s.at, size};
        if (memcmp(name, "EXIF", 4) == 0 && !m->exif.at) m->exif = without_prefix(data);
        if (memcmp(name, "XMP ", 4) == 0 && !m->xmp.at) m->xmp = data;
        s = after(s, size < s.length ? size + (size & 1) : size);
    }
}

bool data_metadata_find(struct data_metadata *m, const uint8_t *bytes, size_t length)
{
    const struct data_span file = {bytes, length};
    *m = (struct data_metadata){0};
    if (starts(file, "\xff\xd8\xff", 3)) {
        find_jpeg(m, file);
    } else if (starts(file, "\x89PNG\r\n\x1a\n", 8)) {
        return find_png(m, file);
    } else if (starts(file, "RIFF", 4) && length >= 12 && memcmp(bytes + 8, "WEBP", 4) == 0) {
        find_webp(m, file);
    } else if (starts(file, "II*\0", 4) || starts(file, "MM\0*", 4)) {
        m->exif = file;
        m->xmp = data_tiff_xmp(bytes, length);
    }
    return true;
}

void data_metadata_free(struct data_metadata *m)
{
    for (int i = 0; i < 2; i++) rudd_free(m->owned[i]);
    *m = (struct data_metadata){0};
}
