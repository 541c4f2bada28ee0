/* test_reading.c - damaged files are read as far as Pillow reads them, and told; what cameras write
 * beside the pixels; limits that name their options.
 *
 * Over thousands of damaged files, beside Pillow: parity/parity_damaged.py. */
#include "data/image/codec.h"
#include "data/image/exif.h"
#include "data/image/preprocess.h"
#include "tests/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>
#include <jpeglib.h>

static const struct data_limits truncated = {.max_bytes = 1 << 24, .max_pixels = 1 << 24, .truncated = true};

static struct data_image must_read(struct bytes b, const struct data_limits *limits)
{
    struct data_image image;
    struct rudd_error err;
    if (data_image_decode(&image, b.at, b.length, "test", limits, &err)) fail_msg("%s", err.message);
    return image;
}

static void must_refuse(struct bytes b, const struct data_limits *limits, enum rudd_status status, const char *words)
{
    struct data_image image;
    struct rudd_error err;
    assert_int_equal(data_image_decode(&image, b.at, b.length, "the/name", limits, &err), status);
    if (strncmp(err.message, "the/name: ", 10) != 0 || !strstr(err.message, words))
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void must_say(const char *note, const char *words)
{
    if (!strstr(note, words) || (!*words && *note)) fail_msg("\"%s\" is not \"%s\"", note, words);
}

/* b with n bytes in place of those from at to end. */
static struct bytes spliced(struct bytes b, size_t at, size_t end, const void *bytes, size_t n)
{
    struct bytes out = {malloc(b.length - (end - at) + n + 1), b.length - (end - at) + n};
    memcpy(out.at, b.at, at);
    if (n) memcpy(out.at + at, bytes, n);
    memcpy(out.at + at + n, b.at + end, b.length - end);
    return out;
}

/* ---- JPEG ----------------------------------------------------------------------------------- */

static void silent(j_common_ptr cinfo)
{
    (void)cinfo;
}

/* What libjpeg itself makes of a file, warnings and missing ends included: [h,w,3]. */
static uint8_t *by_libjpeg(struct bytes b, long *warnings)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    c.err = jpeg_std_error(&errors);
    errors.output_message = silent;
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, b.at, (unsigned long)b.length);
    jpeg_read_header(&c, TRUE);
    c.out_color_space = JCS_RGB;
    jpeg_start_decompress(&c);
    uint8_t *rgb = malloc((size_t)c.output_width * c.output_height * 3);
    while (c.output_scanline < c.output_height) {
        JSAMPROW row = rgb + (size_t)c.output_scanline * c.output_width * 3;
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_finish_decompress(&c);
    *warnings = errors.num_warnings;
    jpeg_destroy_decompress(&c);
    return rgb;
}

static void same_as_libjpeg(const struct data_image *image, struct bytes b, bool warned)
{
    long warnings;
    uint8_t *want = by_libjpeg(b, &warnings);
    assert_int_equal(warnings > 0, warned);
    assert_memory_equal(image->rgb, want, (size_t)image->w * (size_t)image->h * 3);
    free(want);
}

/* Bits that flip in the scan cost pixels, not the picture: it is libjpeg's, and there is a note if
 * and only if libjpeg warns. */
static void jpeg_warnings(void **state)
{
    (void)state;
    int warned = 0, quiet = 0;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct bytes b = picture_jpeg(&(struct picture){.w = 90, .h = 70, .progressive = progressive});
        for (size_t at = b.length / 2; at < b.length - 40; at += 7) {
            struct data_image image;
            b.at[at] ^= 0x10;
            if (!data_image_decode(&image, b.at, b.length, "x", NULL, NULL)) {
                same_as_libjpeg(&image, b, image.note[0] != 0);
                if (image.note[0]) must_say(image.note, "damaged, but read: ");
                warned += image.note[0] != 0;
                quiet += image.note[0] == 0;
                data_image_free(&image);
            }
            b.at[at] ^= 0x10;
        }
        free(b.at);
    }
    assert_true(warned > 50 && quiet > 50);
}

/* Bytes that belong to nothing, and a missing end marker, cost no pixel. */
static void jpeg_ends(void **state)
{
    (void)state;
    static const uint8_t zeros[500];
    struct bytes b = picture_jpeg(&(struct picture){.w = 64, .h = 48});
    struct data_image whole = must_read(b, NULL);
    must_say(whole.note, "");
    const struct {
        struct bytes file;
        const char *note;
    } cases[] = {{spliced(b, b.length - 2, b.length - 2, zeros, 500), "extraneous bytes before marker 0xd9"},
                 {spliced(b, b.length - 2, b.length, zeros, 500), "the end marker is missing"},
                 {spliced(b, b.length, b.length, zeros, 500), ""}};
    for (int i = 0; i < 3; i++) {
        struct data_image image = must_read(cases[i].file, NULL);
        must_say(image.note, cases[i].note);
        assert_memory_equal(image.rgb, whole.rgb, 64 * 48 * 3);
        data_image_free(&image);
        free(cases[i].file.at);
    }
    data_image_free(&whole);
    free(b.at);
}

/* Data that end early: refused with the option's name, unless whoever reads it cannot give it; with
 * the option as libjpeg ends it. Row by row the same, and the note, too. */
static void jpeg_truncated(void **state)
{
    (void)state;
    struct data_limits fixed = data_limits_default;
    struct nn_preprocess p = {.crop_fraction = 1, .filter = NN_BILINEAR, .mode = NN_RESIZE_SQUASH};
    uint8_t want[32 * 32 * 3], got[32 * 32 * 3];
    fixed.fixed = true;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct bytes b = picture_jpeg(&(struct picture){.w = 120, .h = 90, .progressive = progressive});
        for (int part = 8; part < 16; part++) {
            const struct bytes cut = {b.at, b.length * (size_t)part / 16};
            must_refuse(cut, NULL, RUDD_FORMAT, "the data end early; --truncated");
            struct rudd_error err;
            assert_int_equal(data_image_decode(&(struct data_image){0}, cut.at, cut.length, "x", &fixed, &err), RUDD_FORMAT);
            assert_null(strstr(err.message, "--"));

            struct data_image image = must_read(cut, &truncated);
            struct data_reading reading = {0};
            must_say(image.note, "cut off: the data end early");
            same_as_libjpeg(&image, cut, true);
            assert_int_equal(data_preprocess(want, &image, &p, 32, NULL), RUDD_OK);
            assert_int_equal(data_preprocess_bytes(got, cut.at, cut.length, "x", &truncated, &p, 32, 0, &reading, NULL),
                             RUDD_OK);
            assert_memory_equal(got, want, sizeof got);
            assert_string_equal(reading.note, image.note);
            data_image_free(&image);
        }
        must_refuse((struct bytes){b.at, 100}, &truncated, RUDD_FORMAT, "before any pixel");
        free(b.at);
    }
}

/* A scan that breaks off in a marker that libjpeg does not know: grey from there on, when asked. */
static void jpeg_breaks_off(void **state)
{
    (void)state;
    struct bytes b = picture_jpeg(&(struct picture){.w = 64, .h = 96, .sampling = 2});
    struct data_image whole = must_read(b, NULL);
    struct bytes bad = spliced(b, b.length / 2, b.length / 2 + 2, "\xff\x02", 2);
    must_refuse(bad, NULL, RUDD_FORMAT, "Unsupported marker type 0x02; --truncated");
    struct data_image image = must_read(bad, &truncated);
    must_say(image.note, "breaks off: Unsupported marker type 0x02");
    assert_memory_equal(image.rgb, whole.rgb, 16 * 64 * 3);
    assert_memory_not_equal(image.rgb, whole.rgb, 96 * 64 * 3);
    data_image_free(&image);
    data_image_free(&whole);
    free(bad.at);
    free(b.at);
}

/* ---- PNG ------------------------------------------------------------------------------------ */

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Offset of a chunk. */
static size_t chunk_at(struct bytes b, const char *name)
{
    size_t at = 8;
    while (memcmp(b.at + at + 4, name, 4) != 0) at += 12 + get32(b.at + at);
    return at;
}

/* b with a chunk before its IDAT. */
static struct bytes with_chunk(struct bytes b, const char *name, const void *data, size_t n)
{
    uint8_t *chunk = malloc(n + 12);
    put32(chunk, (uint32_t)n);
    memcpy(chunk + 4, name, 4);
    memcpy(chunk + 8, data, n);
    put32(chunk + 8 + n, (uint32_t)crc32(0, chunk + 4, (uInt)n + 4));
    const size_t at = chunk_at(b, "IDAT");
    struct bytes out = spliced(b, at, at, chunk, n + 12);
    free(chunk);
    return out;
}

/* Wrong sums, of the first IDAT of several and of a comment, and wrong ends cost no pixel. */
static void png_damage(void **state)
{
    (void)state;
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        struct bytes plain = picture_png(&(struct picture){.w = 200, .h = 150, .progressive = interlaced});
        struct bytes b = with_chunk(plain, "tEXt", "Comment\0hello", 13);
        struct data_image whole = must_read(b, NULL);
        must_say(whole.note, "");
        const size_t first = chunk_at(b, "IDAT");
        assert_memory_equal(b.at + first + 12 + get32(b.at + first) + 4, "IDAT", 4);
        for (int i = 0; i < 5; i++) {
            struct bytes bad = spliced(b, 0, 0, "", 0);
            const char *const chunks[] = {"IDAT", "tEXt"};
            if (i < 2) {
                const size_t at = chunk_at(bad, chunks[i]);
                bad.at[at + 8 + get32(bad.at + at)] ^= 1;
            }
            if (i == 2) bad.length -= 12; /* no IEND */
            if (i == 3) bad.length -= 5;
            if (i == 4) memcpy(bad.at + bad.length - 8, "\xffggg", 4); /* something else */
            struct data_image image = must_read(bad, NULL);
            must_say(image.note, i < 2 ? "CRC error" : i == 4 ? "damaged, but read: " : "the end is missing");
            assert_memory_equal(image.rgb, whole.rgb, 200 * 150 * 3);
            data_image_free(&image);
            free(bad.at);
        }
        b.at[8 + 8 + 13] ^= 1;
        must_refuse(b, NULL, RUDD_FORMAT, "IHDR: CRC error");
        data_image_free(&whole);
        free(b.at);
        free(plain.at);
    }
}

/* The whole rows of a cut PNG, and then black or the palette's first colour; interlaced, what came. */
static void png_truncated(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct bytes b = picture_png(&(struct picture){.w = 90, .h = 70, .progressive = k == 2, .palette = k == 1});
        struct data_image whole = must_read(b, NULL);
        int last = 0;
        for (int part = 6; part < 16; part++) {
            struct bytes cut = spliced(b, b.length * (size_t)part / 16, b.length, "", 0);
            must_refuse(cut, NULL, RUDD_FORMAT, "truncated PNG: the data end early; --truncated");
            struct data_image image = must_read(cut, &truncated);
            int rows = 0, same = 0;
            must_say(image.note, "cut off");
            while (same < 70 && !memcmp(image.rgb + same * 270, whole.rgb + same * 270, 270)) same++;
            if (k < 2) {
                const uint8_t *first = b.at + chunk_at(b, k ? "PLTE" : "IHDR") + 8;
                const uint8_t black[3] = {0};
                assert_int_equal(sscanf(image.note, "cut off after %d of 70 rows", &rows), 1);
                assert_true(rows >= last && same >= rows);
                for (int i = rows * 90; i < 70 * 90; i++) assert_memory_equal(image.rgb + i * 3, k ? first : black, 3);
                last = rows;
            }
            data_image_free(&image);
            free(cut.at);
        }
        assert_true(k == 2 || last > 40);
        data_image_free(&whole);
        free(b.at);
    }
}

/* ---- orientation that is not in EXIF --------------------------------------------------------- */

static int orientation_of(struct bytes b)
{
    struct data_image image = must_read(b, NULL);
    const int turned = image.h > image.w;
    struct data_exif exif;
    data_image_exif(&exif, b.at, b.length);
    assert_int_equal(turned, exif.orientation >= 5);
    data_image_free(&image);
    free(b.at);
    return exif.orientation;
}

static const char xmp6[] = "<rdf:Description tiff:Orientation=\"6\"/>";

static void xmp(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int orientation;
    } texts[] = {{"tiff:Orientation=\"3\"", 3},
                 {"<tiff:Orientation>8<", 8},
                 {"tiff:Orientation>0", 1},
                 {"tiff:Orientation", 0},
                 {"tiff:Orientation=\"", 0},
                 {"tiff:Orientation='6'", 0},
                 {"tiff:Orientation=6 tiff:Orientation>5", 5},
                 {"", 0}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *own = strdup(texts[i].text); /* its own block: a sanitizer sees reads beyond the end */
        const int o = data_xmp_orientation((uint8_t *)own, strlen(own));
        if (o != texts[i].orientation) fail_msg("%s: %d", own, o);
        free(own);
    }

    char body[200] = "\xff\xe1";
    const size_t n = 4 + 29 + sizeof xmp6;
    body[3] = (char)(n - 2);
    memcpy(body + 4, "http://ns.adobe.com/xap/1.0/", 29);
    memcpy(body + 33, xmp6, sizeof xmp6);
    for (int exif = 0; exif < 3; exif += 2) { /* none, or mirrored: EXIF wins */
        struct bytes b = picture_jpeg(&(struct picture){.w = 20, .h = 9, .orientation = exif});
        assert_int_equal(orientation_of(spliced(b, 2, 2, body, n)), exif ? exif : 6);
        free(b.at);
        b = picture_png(&(struct picture){.w = 20, .h = 9, .orientation = exif});
        char text[200] = "XML:com.adobe.xmp\0\0\0\0";
        memcpy(text + 22, xmp6, sizeof xmp6 - 1);
        assert_int_equal(orientation_of(with_chunk(b, "iTXt", text, 22 + sizeof xmp6 - 1)), exif ? exif : 6);
        free(b.at);
    }
}

/* PNG's raw profiles, in all three kinds of text; broken ones say nothing. */
static void raw_profiles(void **state)
{
    (void)state;
    static const char hex[] = "\nexif\n      32\n457869660000"
                              "49492a0008000000\n0100 1201 0300 01000000 0600 0000\n00000000";
    struct bytes b = picture_png(&(struct picture){.w = 20, .h = 9});
    uint8_t data[400] = "Raw profile type exif", packed[300];
    uLongf length = sizeof packed;
    compress(packed, &length, (const Bytef *)hex, sizeof hex - 1);
    memcpy(data + 22, hex, sizeof hex - 1);
    assert_int_equal(orientation_of(with_chunk(b, "tEXt", data, 22 + sizeof hex - 1)), 6);
    memcpy(data + 17, "APP1", 4); /* as ImageMagick writes it */
    assert_int_equal(orientation_of(with_chunk(b, "tEXt", data, 22 + sizeof hex - 1)), 6);
    data[22 + 30] = 'x';
    assert_int_equal(orientation_of(with_chunk(b, "tEXt", data, 22 + sizeof hex - 1)), 1);
    memcpy(data + 17, "exif\0\0", 6);
    memcpy(data + 23, packed, length);
    assert_int_equal(orientation_of(with_chunk(b, "zTXt", data, 23 + length)), 6);
    assert_int_equal(orientation_of(with_chunk(b, "zTXt", data, 23 + length / 2)), 1);
    memcpy(data + 22, "\1\0\0\0", 4);
    memcpy(data + 26, packed, length);
    assert_int_equal(orientation_of(with_chunk(b, "iTXt", data, 26 + length)), 6);

    /* 100 MB of digits packed into 100 KB: no memory for it is asked for */
    enum { BOMB = 100 << 20 };
    uint8_t *much = malloc(BOMB), *bomb = malloc(1 << 18);
    memset(much, '0', BOMB);
    memcpy(bomb, "Raw profile type exif\0\0", 23);
    length = (1 << 18) - 23;
    assert_int_equal(compress(bomb + 23, &length, much, BOMB), Z_OK);
    free(much);
    assert_int_equal(orientation_of(with_chunk(b, "zTXt", bomb, 23 + length)), 1);
    free(bomb);
    free(b.at);
}

/* The n-th allocation fails: the picture is refused for that, never read as if it were upright. */
static void no_memory(void **state)
{
    (void)state;
    uint8_t data[300] = "XML:com.adobe.xmp\0\0"; /* zTXt */
    uLongf length = sizeof data - 19;
    compress(data + 19, &length, (const Bytef *)xmp6, sizeof xmp6);
    struct bytes b = picture_png(&(struct picture){.w = 20, .h = 9}), turned = with_chunk(b, "zTXt", data, 19 + length);
    long n = 1;
    for (;; n++) {
        struct data_image image = {0};
        fail_allocation(n);
        const enum rudd_status status = data_image_decode(&image, turned.at, turned.length, "x", NULL, NULL);
        const bool reached = allocations() >= n;
        rudd_set_alloc_hook(NULL, NULL);
        if (status)
            assert_int_equal(status, RUDD_NO_MEMORY);
        else
            assert_true(image.w == 9 && image.h == 20);
        data_image_free(&image);
        if (!reached) break;
    }
    assert_true(n > 5);
    free(turned.at);
    free(b.at);
}

/* ---- time and position ----------------------------------------------------------------------- */

/* An EXIF block, little- or big-endian, with all that is read of it. */
struct block {
    uint8_t at[400];
    size_t length;
    bool big;
};

static void add(struct block *b, uint32_t v, int size)
{
    for (int i = 0; i < size; i++) b->at[b->length++] = (uint8_t)(v >> 8 * (b->big ? size - 1 - i : i));
}

static void add_entry(struct block *b, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
    add(b, tag, 2);
    add(b, type, 2);
    add(b, count, 4);
    if (type == 2 && count <= 4) { /* a short text */
        for (int i = 0; i < 4; i++) b->at[b->length++] = (uint8_t)(value >> 8 * i);
    } else {
        add(b, value, 4);
    }
}

struct facts {
    const char *time, *original; /* 20 bytes with the 0 */
    char north, east;
    uint32_t latitude[6], longitude[6];
};

static struct block block_of(const struct facts *f, bool big)
{
    struct block b = {.big = big};
    memcpy(b.at, big ? "MM\0*" : "II*\0", 4);
    b.length = 4;
    add(&b, 8, 4);
    add(&b, 3, 2); /* 8: first directory, to 50 */
    add_entry(&b, 0x0132, 2, 20, 122);
    add_entry(&b, 0x8769, 4, 1, 50);
    add_entry(&b, 0x8825, 4, 1, 68);
    add(&b, 0, 4);
    add(&b, 1, 2); /* 50: Exif directory, to 68 */
    add_entry(&b, 0x9003, 2, 20, 142);
    add(&b, 0, 4);
    add(&b, 4, 2); /* 68: GPS directory, to 122 */
    add_entry(&b, 1, 2, 2, (uint8_t)f->north);
    add_entry(&b, 2, 5, 3, 162);
    add_entry(&b, 3, 2, 2, (uint8_t)f->east);
    add_entry(&b, 4, 5, 3, 186);
    add(&b, 0, 4);
    memcpy(b.at + 122, f->time, 20);
    memcpy(b.at + 142, f->original, 20);
    b.length = 162;
    for (int i = 0; i < 6; i++) add(&b, f->latitude[i], 4);
    for (int i = 0; i < 6; i++) add(&b, f->longitude[i], 4);
    return b;
}

static struct data_exif exif_of(const struct facts *f, bool big)
{
    const struct block b = block_of(f, big);
    struct data_exif e;
    data_image_exif(&e, b.at, b.length); /* the block is a TIFF file */
    return e;
}

static void time_and_position(void **state)
{
    (void)state;
    const struct facts sound = {"2021:02:03 04:05:06",     "2020:12:31 23:59:60", 'S', 'E',
                                {12, 1, 30, 1, 3600, 100}, {170, 1, 45, 2, 0, 1}};
    for (int big = 0; big < 2; big++) {
        struct data_exif e = exif_of(&sound, big);
        assert_int_equal(e.orientation, 1);
        assert_string_equal(e.time, "2020-12-31 23:59:60");
        assert_true(e.has_position);
        assert_true(fabs(e.latitude + (12 + 30 / 60.0 + 36 / 3600.0)) < 1e-12);
        assert_true(fabs(e.longitude - (170 + 22.5 / 60)) < 1e-12);

        static const char *const wrong[] = {
            "2020:13:01 00:00:00", "2020:00:01 00:00:00", "2020:01:32 00:00:00", "2020:01:01 24:00:00",
            "2020-01-01 00:00:00", "    :  :     :  :  ", "0000:00:00 00:00:00"};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            struct facts f = sound;
            f.original = wrong[i];
            e = exif_of(&f, big);
            assert_string_equal(e.time, "2021-02-03 04:05:06"); /* the other tag's */
            f.time = wrong[i];
            e = exif_of(&f, big);
            assert_string_equal(e.time, "");
            assert_true(e.has_position);
        }
        for (int i = 0; i < 6; i++) {
            struct facts f = sound;
            if (i == 0) f.north = 'X';
            if (i == 1) f.east = 0;
            if (i == 2) f.latitude[0] = 90;
            if (i == 3) f.longitude[0] = 4000000000u;
            if (i == 4) f.latitude[5] = 0;
            if (i == 5) f.longitude[1] = 0;
            e = exif_of(&f, big);
            assert_false(e.has_position);
            assert_true(e.latitude == 0 && e.longitude == 0);
        }
        /* cut anywhere, and any byte of it another: facts that make sense, nothing read outside */
        struct block b = block_of(&sound, big);
        for (size_t n = 0; n < b.length; n++) {
            uint8_t *own = malloc(n + 1);
            memcpy(own, b.at, n);
            data_image_exif(&e, own, n);
            assert_true(n >= 142 || !e.time[0]);
            free(own);
            for (int bit = 0; bit < 8; bit++) {
                b.at[n] ^= (uint8_t)(1 << bit);
                data_image_exif(&e, b.at, b.length);
                assert_true(fabs(e.latitude) <= 90 && fabs(e.longitude) <= 180);
                assert_true(strlen(e.time) == 19 || !e.time[0]);
                b.at[n] ^= (uint8_t)(1 << bit);
            }
        }
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void limits(void **state)
{
    (void)state;
    struct data_limits few = data_limits_of(0.01, false);
    struct bytes b = picture_jpeg(&(struct picture){.w = 200, .h = 101});
    assert_int_equal(few.max_pixels, 10000);
    assert_int_equal(few.max_bytes, data_limits_default.max_bytes);
    must_refuse(b, &few, RUDD_LIMIT, "200 x 101 pixels, 0.0202 megapixels; at most 0.01 are accepted: --max-megapixels 0.0202");
    few = data_limits_of(0.0202, false);
    struct data_image image = must_read(b, &few); /* what it says suffices */
    data_image_free(&image);
    few.max_pixels = 10;
    few.fixed = true;
    struct rudd_error err;
    assert_int_equal(data_check_size(12000, 9000, "x", &data_limits_default, &err), RUDD_LIMIT);
    assert_string_equal(err.message, "x: 12000 x 9000 pixels, 108 megapixels; at most 100 are accepted: "
                                     "--max-megapixels 108");
    assert_int_equal(data_check_size(12000, 9001, "x", &data_limits_default, &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "--max-megapixels 109"));
    assert_int_equal(data_check_size(12000, 9000, "x", &few, &err), RUDD_LIMIT);
    assert_null(strstr(err.message, "--"));

    /* a file that is too long says how many megapixels its bytes would need */
    const struct data_limits large = data_limits_of(200, true);
    assert_true(large.truncated && large.max_bytes == 2 * data_limits_default.max_bytes);
    few = (struct data_limits){.max_bytes = 1000, .max_pixels = 1 << 20};
    must_refuse(b, &few, RUDD_LIMIT, "at most 1000 are accepted: --max-megapixels 1");
    free(b.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_warnings),
        cmocka_unit_test(jpeg_ends),
        cmocka_unit_test(jpeg_truncated),
        cmocka_unit_test(jpeg_breaks_off),
        cmocka_unit_test(png_damage),
        cmocka_unit_test(png_truncated),
        cmocka_unit_test(xmp),
        cmocka_unit_test(raw_profiles),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(time_and_position),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
