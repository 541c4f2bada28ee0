/* exif.c - the one thing rudd reads from EXIF: which way up the camera was held.
 *
 *     "II" little-endian | "MM" big-endian | 42 u16 | offset of directory u32
 *     directory: n u16 | n * { tag u16 | type u16 | count u32 | value or its offset u32 }
 *
 * Source: TIFF 6.0, section 2. Not here: any other tag, XMP. */
#include "data/image/codec.h"

#include <stdbool.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY = 12 };

static unsigned get16(const uint8_t *p, bool big)
{
    return big ? p[0] << 8 | p[1] : p[1] << 8 | p[0];
}

static uint32_t get32(const uint8_t *p, bool big)
{
    uint32_t first = get16(p, big), second = get16(p + 2, big);
    return big ? first << 16 | second : second << 16 | first;
}

int data_exif_orientation(const uint8_t *tiff, size_t length)
{
    if (length < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
    bool big = tiff[0] == 'M';
    if (get16(tiff + 2, big) != 42) return 1;

    size_t at = get32(tiff + 4, big);
    if (at > length - 2) return 1;
    size_t entries = get16(tiff + at, big), fit = (length - at - 2) / ENTRY;
    if (entries > fit) entries = fit;

    for (const uint8_t *e = tiff + at + 2; entries > 0; entries--, e += ENTRY) {
        if (get16(e, big) != TAG_ORIENTATION) continue;
        unsigned type = get16(e + 2, big);
        if ((type != TYPE_SHORT && type != TYPE_LONG) || get32(e + 4, big) != 1) return 1;
        uint32_t value = type == TYPE_SHORT ? get16(e + 8, big) : get32(e + 8, big);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
