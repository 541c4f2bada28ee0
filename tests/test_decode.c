/* test_decode.c - picture files of every kind become the pixels they should; broken, hostile and oversized ones are refused.
 *
 * Equality with Pillow over thousands of pictures: parity/parity_pillow.py. */
#include "data/image/codec.h"
#include "tests/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct data_image decoded(struct bytes b)
{
    struct data_image image;
    struct rudd_error err;
    if (data_image_decode(&image, b.at, b.length, "test", NULL, &err)) fail_msg("%s", err.message);
    free(b.at);
    return image;
}

static enum rudd_status refused(const void *bytes, size_t length, const struct data_limits *limits, const char *why)
{
    uint8_t mark;
    struct data_image image = {-1, -2, &mark};
    struct rudd_error err = {0};
    enum rudd_status status = data_image_decode(&image, bytes, length, "the/name.x", limits, &err);
    assert_int_not_equal(status, RUDD_OK);
    assert_int_equal(err.status, status);
    assert_non_null(strstr(err.message, "the/name.x: "));
    if (!strstr(err.message, why)) fail_msg("\"%s\" does not say \"%s\"", err.message, why);
    assert_true(image.w == -1 && image.h == -2 && image.rgb == &mark); /* the caller's object is unchanged */
    return status;
}

/* PNG is lossless: every colour type and depth, interlaced or not, gives exactly the samples that were written. */
static void png_kinds(void **state)
{
    (void)state;
    static const struct picture kinds[] = {
        {.channels = 1, .depth = 1},
        {.channels = 1, .depth = 2},
        {.channels = 1, .depth = 4},
        {.channels = 1},
        {.channels = 1, .depth = 16},
        {.channels = 2},
        {.channels = 2, .depth = 16},
        {.channels = 3},
        {.channels = 3, .depth = 16},
        {.channels = 4},
        {.channels = 4, .depth = 16},
        {.palette = true, .depth = 1},
        {.palette = true, .depth = 2},
        {.palette = true, .depth = 4},
        {.palette = true},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds * 4; k++) {
        struct picture p = kinds[k / 4];
        p.w = 13;
        p.h = 9;
        p.progressive = k & 1;
        p.transparent = (k & 2) && p.channels != 2 && p.channels != 4;
        struct data_image image = decoded(picture_png(&p));
        assert_int_equal(image.w, 13);
        assert_int_equal(image.h, 9);
        for (int i = 0; i < 13 * 9 * 3; i++) {
            int x = i / 3 % 13, y = i / 39, c = i % 3, depth = p.depth ? p.depth : 8;
            int sample = picture_sample(x, y, p.channels >= 3 ? c : 0);
            int high = depth < 8 ? sample >> (8 - depth) : sample; /* what is left of it in the file */
            int want = p.palette ? (c == 0   ? high * 7
                                    : c == 1 ? 255 - high
                                             : high * 31) &
                                       255
                       : depth < 8 ? high * 255 / ((1 << depth) - 1)
                                   : high;
            if (image.rgb[i] != want)
                fail_msg("channels %d depth %d palette %d interlaced %d: sample %d is %d, not %d", p.channels, depth, p.palette,
                         p.progressive, i, image.rgb[i], want);
        }
        data_image_free(&image);
    }
}

/* JPEG of every kind comes out near the pattern; grey is grey; an inverted CMYK white is white. */
static void jpeg_kinds(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        struct picture p = {.w = 61, .h = 47, .channels = k < 6 ? 3 : 1, .progressive = k & 1, .sampling = k / 2 % 3};
        struct data_image image = decoded(picture_jpeg(&p));
        assert_int_equal(image.w, 61);
        assert_int_equal(image.h, 47);
        double gap = 0;
        for (int i = 0; i < 61 * 47 * 3; i++) {
            int c = p.channels == 1 ? 0 : i % 3;
            gap += abs(image.rgb[i] - picture_sample(i / 3 % 61 / 3, i / 183 / 3, c));
            if (p.channels == 1) assert_int_equal(image.rgb[i], image.rgb[i / 3 * 3]);
        }
        gap /= 61 * 47 * 3;
        if (gap > (p.channels == 1 || p.sampling == 2 ? 8 : 45)) fail_msg("kind %d: mean error %g", k, gap);
        data_image_free(&image);
    }
    struct data_image ink = decoded(picture_jpeg(&(struct picture){.w = 8, .h = 8, .channels = 4}));
    /* c, m, y, k of the pattern's first cell: 0, 50, 100, 150; stored inverted, rgb = sample * k / 255 */
    assert_in_range(ink.rgb[0] + 12, 0, 24);
    assert_in_range(ink.rgb[1], 50 * 150 / 255 - 12, 50 * 150 / 255 + 12);
    assert_in_range(ink.rgb[2], 100 * 150 / 255 - 12, 100 * 150 / 255 + 12);
    data_image_free(&ink);
}

/* Each EXIF orientation is undone: the pixel that a viewer would show top left is there, for JPEG and PNG alike. */
static void orientations(void **state)
{
    (void)state;
    enum { W = 40, H = 24 };
    struct data_image plain[2];
    for (int png = 0; png < 2; png++)
        for (int o = 0; o <= 8; o++) {
            struct picture p = {.w = W, .h = H, .orientation = o, .sampling = 2};
            struct data_image image = decoded(png ? picture_png(&p) : picture_jpeg(&p));
            if (o == 0) {
                plain[png] = image;
                continue;
            }
            assert_int_equal(image.w, o < 5 ? W : H);
            assert_int_equal(image.h, o < 5 ? H : W);
            for (int y = 0; y < image.h; y++)
                for (int x = 0; x < image.w; x++) {
                    /* where upright (x, y) is stored; by cases, not by decode.c's table */
                    int sx[9] = {0, x, W - 1 - x, W - 1 - x, x, y, y, W - 1 - y, W - 1 - y};
                    int sy[9] = {0, y, y, H - 1 - y, H - 1 - y, x, H - 1 - x, H - 1 - x, x};
                    assert_memory_equal(image.rgb + (y * image.w + x) * 3, plain[png].rgb + (sy[o] * W + sx[o]) * 3, 3);
                }
            data_image_free(&image);
        }
    data_image_free(&plain[0]);
    data_image_free(&plain[1]);
}

/* EXIF that is garbage, cut short, or points out of its block means upright; it never costs the picture. */
static void exif_garbage(void **state)
{
    (void)state;
    uint8_t block[64];
    struct data_image image;
    for (int seed = 0; seed < 300; seed++) {
        size_t length = (size_t)(seed * 7 % 64);
        for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)((unsigned)(seed * 2654435761u + i * 40503u) >> 7);
        if (seed % 3)
            memcpy(block, seed % 2 ? "II\x2a\0\x08\0\0\0\x05\0\x12\x01" : "MM\0\x2a\xff\xff\xff\xf0", seed % 2 ? 12 : 8);
        int o = data_exif_orientation(block, length);
        assert_in_range(o, 1, 8);
        struct picture p = {.w = 9, .h = 5, .exif = block, .exif_length = length};
        image = decoded(picture_jpeg(&p));
        assert_int_equal(image.w * image.h, 45);
        data_image_free(&image);
    }
    /* values 0, 9 and 65535, a text type: not orientations; of two values the first, as in Pillow */
    static const uint8_t entry[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0};
    assert_int_equal(data_exif_orientation(entry, sizeof entry), 6);
    for (int k = 0; k < 5; k++) {
        memcpy(block, entry, sizeof entry);
        if (k < 3) memcpy(block + 18, k == 0 ? "\0\0" : k == 1 ? "\x09\0" : "\xff\xff", 2);
        if (k == 3) block[14] = 2;
        if (k == 4) block[12] = 2;
        assert_int_equal(data_exif_orientation(block, sizeof entry), k == 3 ? 6 : 1);
    }
    for (size_t n = 0; n < sizeof entry - 4; n++) assert_int_equal(data_exif_orientation(entry, n), 1);
}

/* A file cut at any sixteenth of its length is refused, whatever its kind. */
static void truncated(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        struct picture p = {.w = 160, .h = 120, .progressive = k & 1, .channels = k & 2 ? 1 : 3};
        struct bytes b = k & 4 ? picture_png(&p) : picture_jpeg(&p);
        for (int part = 0; part < 16; part++) {
            size_t n = b.length * (size_t)part / 16;
            uint8_t *cut = malloc(n + 1); /* its own block: a sanitizer sees reads beyond the end */
            memcpy(cut, b.at, n);
            assert_int_equal(refused(cut, n, NULL, ""), RUDD_FORMAT);
            free(cut);
        }
        free(b.at);
    }
}

/* Flipped bytes either give a picture of the right size or a refusal: never a crash, never another size without a new header. */
static void corrupted(void **state)
{
    (void)state;
    int survived = 0, fell = 0;
    for (int k = 0; k < 4; k++) {
        struct picture p = {.w = 64, .h = 48, .progressive = k & 1, .orientation = 6};
        struct bytes b = k & 2 ? picture_png(&p) : picture_jpeg(&p);
        for (size_t at = 0; at < b.length; at += 1 + at / 64) {
            struct data_image image = {0};
            uint8_t keep = b.at[at];
            b.at[at] ^= (uint8_t)(1 + at % 255);
            struct data_limits limits = {1 << 20, 1 << 20};
            if (data_image_decode(&image, b.at, b.length, "x", &limits, NULL)) {
                fell++;
            } else {
                survived++;
                assert_true((long)image.w * image.h <= 1 << 20);
            }
            data_image_free(&image);
            b.at[at] = keep;
        }
        free(b.at);
    }
    assert_true(survived > 10 && fell > 10);
}

/* Sizes are checked against the header before anything large is allocated, and so is the length of the file. */
static void limits(void **state)
{
    (void)state;
    struct data_limits small = {1 << 20, 100 * 100};
    struct bytes jpeg = picture_jpeg(&(struct picture){.w = 101, .h = 100}),
                 png = picture_png(&(struct picture){.w = 100, .h = 101});
    assert_int_equal(refused(jpeg.at, jpeg.length, &small, "101 x 100 pixels"), RUDD_LIMIT);
    assert_int_equal(refused(png.at, png.length, &small, "100 x 101 pixels"), RUDD_LIMIT);
    small.max_bytes = 100;
    assert_int_equal(refused(jpeg.at, jpeg.length, &small, "at most 100 are accepted"), RUDD_LIMIT);

    /* the same JPEG, but its frame header claims 65500 x 65500 */
    for (size_t i = 0; i + 9 < jpeg.length; i++)
        if (jpeg.at[i] == 0xff && jpeg.at[i + 1] == 0xc0) memcpy(jpeg.at + i + 5, "\xff\xdc\xff\xdc", 4);
    fail_allocation(0);
    assert_int_equal(refused(jpeg.at, jpeg.length, NULL, "65500 x 65500"), RUDD_LIMIT);
    assert_int_equal(allocations(), 0);
    rudd_set_alloc_hook(NULL, NULL);
    free(jpeg.at);
    free(png.at);

    /* a PNG header of 2^31-1 squared, with a right checksum */
    static const uint8_t huge[] = {0x89, 'P',  'N',  'G',  '\r', '\n', 26,   '\n', 0,    0,    0,   13,  'I', 'H',
                                   'D',  'R',  0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8,   2,   0,   0,
                                   0,    0x9b, 0xab, 0x9c, 0x31, 0,    0,    0,    9,    'I',  'D', 'A', 'T'};
    assert_int_equal(refused(huge, sizeof huge, NULL, "2147483647 x 2147483647"), RUDD_LIMIT);
}

/* What is no picture says so by its first bytes; a name does not matter. */
static void not_pictures(void **state)
{
    (void)state;
    refused("", 0, NULL, "the file is empty");
    refused("GIF88a......", 12, NULL, "text, not a picture");
    refused("\xff\xd8", 2, NULL, "no picture by its first bytes");
    refused("\xff\xd8\xff", 3, NULL, "JPEG");
    refused("\x89PNG\r\n\x1a\n", 8, NULL, "PNG");
    static const struct {
        const char *bytes, *what;
        size_t length;
    } others[] = {
#define OTHER(bytes, what) {bytes, "the/name.x: " what "; expected ", sizeof bytes - 1}
        OTHER("\x58\1\0\0\0\0\0\0{\"a\":", "a model file (safetensors), not a picture"),
        OTHER("\x89HDF\r\n\x1a\n", "a model file (HDF5), not a picture"),
        OTHER("PK\3\4\x14\0\0\0", "a zip archive, not a picture"),
        OTHER("version https://git-lfs.github.com/spec/v1\n",
              "a Git LFS pointer, not the picture itself (git lfs pull brings it)"),
        OTHER("<!DOCTYPE html><html>", "a web page (HTML), not a picture"),
        OTHER("\0\0\0\40ftypisom\0\0\2\0", "a video, not a picture"),
        OTHER("\xff\x0a\0\0", "a JPEG XL picture, which rudd does not read"),
        OTHER("8BPS\0\1\0\0", "a Photoshop document, which rudd does not read"),
        OTHER("%PDF-1.4\n", "a PDF document, not a picture"),
        OTHER("pike\n", "text, not a picture"),
#undef OTHER
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        for (size_t n = 1; n <= others[i].length; n++) { /* cut anywhere, in a block of that size */
            char *cut = malloc(n);
            memcpy(cut, others[i].bytes, n);
            refused(cut, n, NULL, n == others[i].length ? others[i].what : "the/name.x: ");
            free(cut);
        }
}

/* Files: a missing one, a folder, one that is too long, and one that is fine. */
static void files(void **state)
{
    (void)state;
    char folder[64], path[128];
    struct data_image image = {0};
    struct rudd_error err;
    folder_create(folder);
    snprintf(path, sizeof path, "%s/a.jpg", folder);
    assert_int_equal(data_image_read(&image, path, NULL, &err), RUDD_IO);
    assert_non_null(strstr(err.message, "a.jpg: there is no such file;"));
    assert_int_equal(data_image_read(&image, folder, NULL, &err), RUDD_IO);
    assert_non_null(strstr(err.message, "is a folder"));
    picture_put(folder, "a.jpg", 30, 20, 0);
    assert_int_equal(data_image_read(&image, path, &(struct data_limits){10, 1000}, &err), RUDD_LIMIT);
    assert_int_equal(data_image_read(&image, path, NULL, &err), RUDD_OK);
    assert_int_equal(image.w, 30);
    data_image_free(&image);
    snprintf(path, sizeof path, "%s/pipe.jpg", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(data_image_read(&image, path, NULL, &err), RUDD_IO); /* and does not wait for a writer */
    folder_remove(folder);
}

/* The n-th allocation fails, for every n: out of memory is reported, nothing leaks (the sanitizer looks), the result is unchanged. */
static void no_memory(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct picture p = {.w = 20, .h = 12, .orientation = 6, .channels = k == 1 ? 4 : k == 3 ? 2 : 3, .progressive = k == 3};
        struct bytes b = k < 2 ? picture_jpeg(&p) : picture_png(&p);
        long n = 1;
        for (;; n++) {
            struct data_image image = {0};
            struct rudd_error err;
            fail_allocation(n);
            enum rudd_status status = data_image_decode(&image, b.at, b.length, "x", NULL, &err);
            bool reached = allocations() >= n;
            rudd_set_alloc_hook(NULL, NULL);
            if (status) {
                assert_int_equal(status, RUDD_NO_MEMORY);
                assert_null(image.rgb);
            }
            data_image_free(&image);
            if (!reached) break;
        }
        assert_true(n > 2);
        free(b.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_kinds),    cmocka_unit_test(jpeg_kinds),   cmocka_unit_test(orientations),
        cmocka_unit_test(exif_garbage), cmocka_unit_test(truncated),    cmocka_unit_test(corrupted),
        cmocka_unit_test(limits),       cmocka_unit_test(not_pictures), cmocka_unit_test(files),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
