/* exif.c - the tags of an EXIF block: orientation, time, position; and the orientation in XMP.
 *
 *     "II" little-endian | "MM" big-endian | 42 u16 | offset of the first directory u32
 *     directory: n u16 | n * { tag u16 | type u16 | count u32 | value, or its offset u32 }
 *
 *     first directory   0x0112 Orientation   0x0132 DateTime   0x02bc XMP (in TIFF files)
 *                       0x8769 -> Exif directory   0x9003 DateTimeOriginal
 *                       0x8825 -> GPS directory    1, 3 which half ("N", "W")
 *                                                  2, 4 degrees, minutes, seconds: 3 fractions
 *
 * Offsets count from the block's first byte, and every one is checked. Of two tags alike the last
 * counts, as in Pillow. Sources: TIFF 6.0, section 2; Exif 2.3, sections 4.6.4 to 4.6.6.
 * Not here: where a file keeps the block (metadata.c), BigTIFF, maker notes. */
#include "data/image/exif.h"
#include "data/image/codec.h"
#include "data/image/metadata.h"

#include <string.h>

enum {
    ORIENTATION = 0x0112,
    DATE_TIME = 0x0132,
    XMP = 0x02bc,
    EXIF_DIRECTORY = 0x8769,
    GPS_DIRECTORY = 0x8825,
    DATE_TIME_ORIGINAL = 0x9003,
    LATITUDE_REF = 1,
    LATITUDE = 2,
    LONGITUDE_REF = 3,
    LONGITUDE = 4
};
enum {
    BYTE = 1,
    ASCII = 2,
    SHORT = 3,
    LONG = 4,
    RATIONAL = 5,
    UNDEFINED = 7,
    IFD = 13,
    ENTRY = 12
};

struct tiff {
    const uint8_t *at;
    size_t length, first; /* first: offset of the first directory */
    bool big;
};

struct tag {
    int type;
    uint32_t count;
    const uint8_t *value; /* all of it lies within the block */
};

static unsigned get16(const struct tiff *t, const uint8_t *p)
{
    return t->big ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static uint32_t get32(const struct tiff *t, const uint8_t *p)
{
    const uint32_t first = get16(t, p), second = get16(t, p + 2);
    return t->big ? first << 16 | second : second << 16 | first;
}

static bool tiff_open(struct tiff *t, const uint8_t *at, size_t length)
{
    *t = (struct tiff){.at = at, .length = length};
    if (length < 8 || at[0] != at[1] || (at[0] != 'I' && at[0] != 'M')) return false;
    t->big = at[0] == 'M';
    t->first = get32(t, at + 4);
    return get16(t, at + 2) == 42;
}

static size_t type_size(int type)
{
    switch (type) {
    case BYTE:
    case ASCII:
    case UNDEFINED: return 1;
    case SHORT: return 2;
    case LONG:
    case IFD: return 4;
    case RATIONAL: return 8;
    }
    return 0;
}

/* The last entry of that tag whose type is known and whose value lies in the block. */
static bool find(struct tag *tag, const struct tiff *t, size_t directory, int wanted)
{
    bool found = false;
    if (directory > t->length || t->length - directory < 2) return false;
    size_t entries = get16(t, t->at + directory);
    const size_t fit = (t->length - directory - 2) / ENTRY;
    if (entries > fit) entries = fit;

    for (const uint8_t *e = t->at + directory + 2; entries > 0; entries--, e += ENTRY) {
        if ((int)get16(t, e) != wanted) continue;
        const int type = (int)get16(t, e + 2);
        const uint32_t count = get32(t, e + 4);
        const uint64_t size = (uint64_t)count * type_size(type);
        const size_t at = size > 4 ? get32(t, e + 8) : (size_t)(e + 8 - t->at);
        if (size == 0 || size > t->length || at > t->length - size) continue;
        *tag = (struct tag){type, count, t->at + at};
        found = true;
    }
    return found;
}

/* A tag's first whole number; -1: there is none. */
static int64_t number(const struct tiff *t, size_t directory, int wanted)
{
    struct tag tag;
    if (!find(&tag, t, directory, wanted)) return -1;
    if (tag.type == SHORT) return get16(t, tag.value);
    return tag.type == LONG || tag.type == IFD ? (int64_t)get32(t, tag.value) : -1;
}

/* ---- time ----------------------------------------------------------------------------------- */

/* "2024:05:06 07:08:09" to "2024-05-06 07:08:09". */
static bool read_time(char out[20], const struct tiff *t, size_t directory, int wanted)
{
    static const char form[] = "dddd:dd:dd dd:dd:dd";
    static const struct {
        int at, digits, least, most;
    } fields[] = {{0, 4, 1, 9999}, {5, 2, 1, 12},  {8, 2, 1, 31},
                  {11, 2, 0, 23},  {14, 2, 0, 59}, {17, 2, 0, 60}}; /* 60: a leap second */
    struct tag tag;
    if (!find(&tag, t, directory, wanted) || tag.type != ASCII) return false;
    if (tag.count < 19 || (tag.count > 19 && tag.value[19] != 0)) return false;
    for (int i = 0; i < 19; i++) {
        const bool digit = tag.value[i] >= '0' && tag.value[i] <= '9';
        if (form[i] == 'd' ? !digit : tag.value[i] != (uint8_t)form[i]) return false;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int value = 0;
        for (int j = 0; j < fields[i].digits; j++)
            value = 10 * value + tag.value[fields[i].at + j] - '0';
        if (value < fields[i].least || value > fields[i].most) return false;
    }
    memcpy(out, tag.value, 19);
    out[4] = out[7] = '-';
    out[19] = 0;
    return true;
}

/* ---- position ------------------------------------------------------------------------------- */

/* Degrees, minutes and seconds as degrees, negative where the half says so. */
static bool read_degrees(double *out, const struct tiff *t, size_t directory, int wanted, int ref,
                         const char halves[2], double most)
{
    struct tag tag, half;
    if (!find(&tag, t, directory, wanted) || !find(&half, t, directory, ref)) return false;
    if (tag.type != RATIONAL || tag.count < 3 || half.type != ASCII) return false;
    if (half.value[0] != halves[0] && half.value[0] != halves[1]) return false;
    double sum = 0;
    for (int i = 2; i >= 0; i--) {
        const uint32_t over = get32(t, tag.value + 8 * i), under = get32(t, tag.value + 8 * i + 4);
        if (under == 0) return false;
        sum = sum / 60 + (double)over / (double)under;
    }
    if (!(sum <= most)) return false;
    *out = half.value[0] == halves[1] && sum > 0 ? -sum : sum;
    return true;
}

/* ---- what is asked for ---------------------------------------------------------------------- */

/* 1..8; 1 where the tag holds something else; 0: there is no tag. */
static int stated_orientation(const struct tiff *t)
{
    struct tag tag;
    if (!find(&tag, t, t->first, ORIENTATION)) return 0;
    const int64_t value = number(t, t->first, ORIENTATION);
    return value >= 1 && value <= 8 ? (int)value : 1;
}

int data_exif_orientation(const uint8_t *tiff, size_t length)
{
    struct tiff t;
    const int stated = tiff_open(&t, tiff, length) ? stated_orientation(&t) : 0;
    return stated ? stated : 1;
}

struct data_span data_tiff_xmp(const uint8_t *tiff, size_t length)
{
    struct tiff t;
    struct tag tag;
    if (!tiff_open(&t, tiff, length) || !find(&tag, &t, t.first, XMP)) return (struct data_span){0};
    if (type_size(tag.type) != 1) return (struct data_span){0};
    return (struct data_span){tag.value, tag.count};
}

/* Pillow's pattern: tiff:Orientation(="|>)([0-9]), the first match. */
int data_xmp_orientation(const uint8_t *xmp, size_t length)
{
    static const char name[] = "tiff:Orientation";
    const size_t n = sizeof name - 1;
    for (size_t i = 0; i + n + 2 <= length; i++) {
        const uint8_t *p = memchr(xmp + i, 't', length - n - 1 - i);
        if (!p) return 0;
        i = (size_t)(p - xmp);
        if (memcmp(p, name, n) != 0) continue;
        size_t at = i + n;
        if (xmp[at] == '>')
            at++;
        else if (xmp[at] == '=' && xmp[at + 1] == '"')
            at += 2;
        else
            continue;
        if (at >= length || xmp[at] < '0' || xmp[at] > '9') continue;
        return xmp[at] >= '1' && xmp[at] <= '8' ? xmp[at] - '0' : 1;
    }
    return 0;
}

static int orientation_of(const struct data_metadata *m, const struct tiff *t, bool opened)
{
    int stated = opened ? stated_orientation(t) : 0;
    if (!stated) stated = data_xmp_orientation(m->xmp.at, m->xmp.length);
    return stated ? stated : 1;
}

int data_image_orientation(const uint8_t *bytes, size_t length)
{
    struct data_metadata m;
    struct tiff t;
    int orientation = -1;
    if (data_metadata_find(&m, bytes, length))
        orientation = orientation_of(&m, &t, tiff_open(&t, m.exif.at, m.exif.length));
    data_metadata_free(&m);
    return orientation;
}

void data_image_exif(struct data_exif *exif, const uint8_t *bytes, size_t length)
{
    struct data_metadata m;
    struct tiff t;
    *exif = (struct data_exif){.orientation = 1};
    data_metadata_find(&m, bytes, length);
    const bool opened = tiff_open(&t, m.exif.at, m.exif.length);
    exif->orientation = orientation_of(&m, &t, opened);
    if (opened) {
        const int64_t sub = number(&t, t.first, EXIF_DIRECTORY);
        const int64_t gps = number(&t, t.first, GPS_DIRECTORY);
        double latitude, longitude;
        if (sub < 0 || !read_time(exif->time, &t, (size_t)sub, DATE_TIME_ORIGINAL))
            read_time(exif->time, &t, t.first, DATE_TIME);
        if (gps >= 0 &&
            read_degrees(&latitude, &t, (size_t)gps, LATITUDE, LATITUDE_REF, "NS", 90) &&
            read_degrees(&longitude, &t, (size_t)gps, LONGITUDE, LONGITUDE_REF, "EW", 180)) {
            exif->has_position = true;
            exif->latitude = latitude;
            exif->longitude = longitude;
        }
    }
    data_metadata_free(&m);
}
