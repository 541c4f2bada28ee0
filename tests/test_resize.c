/* test_resize.c - resize and preprocessing against Pillow's figures, windows against whole results, and against the stored crops.
 *
 * The golden arrays were printed by (Pillow 9.4)
 *     pat = lambda w, h: [[[(x*37 + y*91 + c*50 + x*y*13) % 256 for c in range(3)] for x in range(w)] for y in range(h)]
 *     Image.fromarray(np.array(pat(7, 5), np.uint8)).resize((3, 2), Image.BICUBIC)                                   and so on
 * Thousands of sizes: parity/parity_pillow.py. */
#include "data/image/jpeg_write.h"
#include "data/image/preprocess.h"
#include "tests/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct data_image pattern(int w, int h)
{
    struct data_image image = {w, h, rudd_alloc((size_t)w * (size_t)h * 3)};
    for (int i = 0; i < w * h * 3; i++) image.rgb[i] = picture_sample(i / 3 % w, i / 3 / w, i % 3);
    return image;
}

/* Small resizes equal what Pillow prints, to the last bit. */
static void golden(void **state)
{
    (void)state;
    static const struct {
        struct data_resize r;
        uint8_t want[42];
    } rows[] = {
        {{NN_BICUBIC, 0, 0, 7, 5, 3, 2, 0, 0, 3, 2},
         {108, 131, 139, 140, 141, 141, 144, 132, 134, 124, 151, 116, 144, 119, 119, 137, 103, 148}},
        {{NN_BILINEAR, 0, 0, 7, 5, 3, 2, 0, 0, 3, 2},
         {110, 135, 139, 141, 135, 140, 141, 133, 136, 122, 147, 116, 145, 120, 125, 137, 107, 145}},
        {{NN_BICUBIC, 0, 0, 7, 5, 9, 6, 0, 0, 9, 1}, /* larger; the first row */
         {0,   45,  95,  18,  68,  118, 49,  98,  153, 77, 129, 188, 106, 166,
          216, 143, 194, 255, 173, 241, 122, 204, 167, 18, 227, 0,   62}},
        {{NN_BICUBIC, 1.25f, 0.5f, 6.5f, 4.75f, 2, 2, 0, 0, 2, 2},
         {138, 139, 135, 138, 133, 136, 137, 136, 112, 142, 104, 141}},
        {{NN_BILINEAR, 0, 0, 7, 5, 7, 2, 0, 0, 7, 2}, /* one axis only */
         {79, 129, 121, 129, 121, 171, 121, 171, 105, 171, 105, 155, 105, 155, 147, 155, 147, 115, 147, 104, 154,
          87, 137, 129, 163, 155, 123, 99,  149, 83,  175, 109, 159, 135, 103, 95,  129, 121, 171, 147, 92,  142}},
    };
    struct data_image image = pattern(7, 5);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[42];
        const struct data_resize *r = &rows[i].r;
        assert_int_equal(data_resize(out, &image, r, NULL), RUDD_OK);
        assert_memory_equal(out, rows[i].want, (size_t)(r->cw * r->ch * 3));
    }
    data_image_free(&image);
}

/* A window of a resize is the same part of the whole, and nothing outside of it is written. */
static void windows(void **state)
{
    (void)state;
    struct data_image image = pattern(53, 37);
    static const int sizes[][2] = {{53, 37}, {53, 20}, {20, 37}, {64, 90}, {11, 9}, {1, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes * 2; s++) {
        int w = sizes[s / 2][0], h = sizes[s / 2][1];
        struct data_resize r = {s & 1 ? NN_BILINEAR : NN_BICUBIC, 0, 0, 53, 37, w, h, 0, 0, w, h};
        uint8_t *whole = malloc((size_t)(w * h * 3));
        assert_int_equal(data_resize(whole, &image, &r, NULL), RUDD_OK);
        for (int k = 0; k < 12; k++) {
            r.cx = k * 7 % w;
            r.cy = k * 5 % h;
            r.cw = 1 + k * 3 % (w - r.cx);
            r.ch = 1 + k * 11 % (h - r.cy);
            size_t n = (size_t)(r.cw * r.ch * 3);
            uint8_t *part = malloc(n + 1);
            part[n] = 0xa5;
            assert_int_equal(data_resize(part, &image, &r, NULL), RUDD_OK);
            for (int y = 0; y < r.ch; y++)
                assert_memory_equal(part + y * r.cw * 3, whole + ((r.cy + y) * w + r.cx) * 3, (size_t)r.cw * 3);
            assert_int_equal(part[n], 0xa5);
            free(part);
        }
        free(whole);
    }
    data_image_free(&image);
}

/* However few rows come at a time, the result is that of the whole picture. */
static void row_by_row(void **state)
{
    (void)state;
    struct data_image image = pattern(53, 137);
    static const int sizes[][2] = {{53, 137}, {20, 9}, {64, 200}, {11, 1}, {1, 64}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int w = sizes[s][0], h = sizes[s][1];
        const struct data_resize r = {NN_BICUBIC, 1.5f, 20, 53, 130.25f, w, h, 0, h / 3, w, h - h / 3};
        uint8_t *whole = malloc((size_t)(w * h * 3)), *out = malloc((size_t)(w * h * 3));
        assert_int_equal(data_resize(whole, &image, &r, NULL), RUDD_OK);
        for (int step = 1; step < 150; step += step < 20 ? 1 : 23) {
            struct data_resizer *resizer;
            memset(out, 0, (size_t)(w * h * 3));
            assert_int_equal(data_resizer_create(&resizer, out, 53, 137, 1, &r, NULL), RUDD_OK);
            for (int y = 0; y < 137; y += step)
                data_resizer_rows(resizer, image.rgb + (size_t)y * 53 * 3, y, y + step < 137 ? step : 137 - y);
            data_resizer_destroy(resizer);
            assert_memory_equal(out, whole, (size_t)(r.cw * r.ch * 3));
        }
        free(out);
        free(whole);
    }
    data_image_free(&image);
}

/* Of a wide picture a decoder leaves out what lies beside the window, whatever its sampling and wherever the window is: the pixels are those of the
 * whole picture. */
static void beside_the_window(void **state)
{
    (void)state;
    enum { SIZE = 60, H = 90 };
    uint8_t want[SIZE * SIZE * 3], got[SIZE * SIZE * 3];
    for (int k = 0; k < 3 * 3 * 8 * 2; k++) {
        static const int channels[] = {1, 3, 4};
        const int w = k % 2 ? 611 : 640, orientation = k / 2 % 8 + 1, view = (k * 5) % DATA_VIEWS;
        const struct picture picture = {
            .w = w, .h = H, .channels = channels[k / 16 % 3], .sampling = k / 48, .orientation = orientation};
        struct bytes b = picture_jpeg(&picture);
        struct nn_preprocess p = {.mode = NN_RESIZE_CROP, .filter = (enum nn_filter)(k / 3 % 2), .crop_fraction = 0.9};
        struct data_image image;
        memset(got, 0, sizeof got);
        assert_int_equal(data_image_decode(&image, b.at, b.length, "x", NULL, NULL), RUDD_OK);
        assert_int_equal(data_preprocess_view(want, &image, &p, SIZE, view, NULL), RUDD_OK);
        assert_int_equal(data_preprocess_bytes(got, b.at, b.length, "x", NULL, &p, SIZE, view, NULL, NULL), RUDD_OK);
        if (memcmp(got, want, sizeof got) != 0)
            fail_msg("%d channels, sampling %d, orientation %d, view %d, width %d: other pixels", picture.channels,
                     picture.sampling, orientation, view, w);
        data_image_free(&image);
        free(b.at);
    }
    /* It is a small part of the picture that is read, from either end of a mirrored row. */
    for (int orientation = 1; orientation <= 2; orientation++) {
        const struct data_resize r = {NN_BILINEAR, 0, 0, 640, H, 427, SIZE, 20, 0, SIZE, SIZE};
        struct data_resizer *resizer;
        int first, last;
        assert_int_equal(data_resizer_create(&resizer, got, 640, H, orientation, &r, NULL), RUDD_OK);
        data_resizer_columns(&first, &last, resizer);
        data_resizer_destroy(resizer);
        assert_in_range(first, orientation == 1 ? 28 : 640 - 122, orientation == 1 ? 30 : 640 - 120);
        assert_in_range(last, orientation == 1 ? 120 : 640 - 30, orientation == 1 ? 122 : 640 - 28);
    }
}

/* From the file's bytes in one go, however the picture is stored: the same pixels as decoding, turning upright and resizing one after the other. */
static void straight_from_bytes(void **state)
{
    (void)state;
    enum { SIZES = 3, MOST = 130 };
    static const int sizes[SIZES] = {20, 61, MOST};
    uint8_t *want = malloc(MOST * MOST * 3), *got = malloc(MOST * MOST * 3);
    for (int k = 0; k < 8 * 2 * 3 * SIZES; k++) {
        const int orientation = k % 8 + 1, mode = k / 16 % 3, size = sizes[k / 48], view = (k * 7) % DATA_VIEWS;
        struct picture picture = {.w = 97, .h = 61, .orientation = orientation, .progressive = k % 5 == 0};
        struct bytes b = k / 8 % 2 ? picture_png(&picture) : picture_jpeg(&picture);
        struct nn_preprocess p = {.mode = (enum nn_resize_mode)mode, .filter = (enum nn_filter)(k % 2), .crop_fraction = 0.9};
        struct data_image image;
        struct data_reading reading = {.resize_ms = -1};
        assert_int_equal(data_image_decode(&image, b.at, b.length, "x", NULL, NULL), RUDD_OK);
        assert_int_equal(image.w, orientation > 4 ? 61 : 97);
        assert_int_equal(data_preprocess_view(want, &image, &p, size, view, NULL), RUDD_OK);
        memset(got, 0, MOST * MOST * 3);
        assert_int_equal(data_preprocess_bytes(got, b.at, b.length, "x", NULL, &p, size, view, k % 3 ? &reading : NULL, NULL),
                         RUDD_OK);
        if (memcmp(got, want, (size_t)(size * size * 3)) != 0)
            fail_msg("orientation %d, mode %d, %d pixels, view %d: other pixels", orientation, mode, size, view);
        assert_true((reading.resize_ms >= 0) == (k % 3 != 0));
        data_image_free(&image);

        /* Cut short it is refused, with nothing left behind. */
        struct rudd_error err;
        assert_int_equal(data_preprocess_bytes(got, b.at, b.length / 2, "the/name", NULL, &p, size, view, NULL, &err),
                         RUDD_FORMAT);
        assert_non_null(strstr(err.message, "the/name"));
        struct data_limits few = {1 << 20, 1000};
        assert_int_equal(data_preprocess_bytes(got, b.at, b.length, "x", &few, &p, size, view, NULL, &err), RUDD_LIMIT);
        free(b.at);
    }
    free(want);
    free(got);
}

/* A JPEG may be decoded at a fraction of its size where enough remains: by the one rule, in every orientation, close to what the whole picture
 * gives; other formats, and pictures that are not large enough, get the same bits as without. */
static void reduced(void **state)
{
    (void)state;
    enum { SIZE = 40 };
    struct nn_preprocess whole = {.mode = NN_RESIZE_SQUASH, .filter = NN_BICUBIC, .crop_fraction = 0.875}, p = whole;
    p.reduce = 2;
    assert_int_equal(data_reduction(4000, 3000, &whole, 224), 1);
    assert_int_equal(data_reduction(4000, 3000, &p, 224), 4);
    assert_int_equal(data_reduction(4000, 447, &p, 224), 1);
    assert_int_equal(data_reduction(4000, 448 * 2, &p, 224), 2);
    assert_int_equal(data_reduction(448 * 8, 448 * 8, &p, 224), 8);
    assert_int_equal(data_reduction(448 * 8 - 1, 448 * 8, &p, 224), 4);

    char folder[64], path[128];
    folder_create(folder);
    snprintf(path, sizeof path, "%s/a.jpg", folder);
    uint8_t want[SIZE * SIZE * 3], got[SIZE * SIZE * 3];
    for (int k = 0; k < 8 * 3 * 3; k++) {
        /* Sides that 8 does not divide; smooth, as photographs are at this scale. */
        const int orientation = k % 8 + 1, w = 677, h = 701;
        struct data_image image = {w, h, rudd_alloc((size_t)w * h * 3)};
        for (int i = 0; i < w * h * 3; i++)
            image.rgb[i] = (uint8_t)(128 + 60 * sin(i / 3 % w * 0.02 + i % 3) + 50 * cos(i / 3 / w * 0.031));
        uint8_t *jpeg;
        size_t length;
        assert_int_equal(data_jpeg_write(&jpeg, &length, &image, 95, NULL), RUDD_OK);
        const uint8_t exif[] = {0xff,
                                0xe1,
                                0,
                                34,
                                'E',
                                'x',
                                'i',
                                'f',
                                0,
                                0,
                                'I',
                                'I',
                                42,
                                0,
                                8,
                                0,
                                0,
                                0,
                                1,
                                0,
                                0x12,
                                1,
                                3,
                                0,
                                1,
                                0,
                                0,
                                0,
                                (uint8_t)orientation,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0};
        struct bytes b = {malloc(length + sizeof exif), length + sizeof exif};
        memcpy(b.at, jpeg, 2);
        memcpy(b.at + 2, exif, sizeof exif);
        memcpy(b.at + 2 + sizeof exif, jpeg + 2, length - 2);
        whole.mode = p.mode = (enum nn_resize_mode)(k / 8 % 3);
        p.reduce = (double[]){2, 3, 1}[k / 24];
        const int view = k % 3 ? k % DATA_VIEWS : 0;
        assert_int_equal(data_preprocess_bytes(want, b.at, b.length, "x", NULL, &whole, SIZE, view, NULL, NULL), RUDD_OK);
        assert_int_equal(data_preprocess_bytes(got, b.at, b.length, "x", NULL, &p, SIZE, view, NULL, NULL), RUDD_OK);
        int most = 0;
        for (int i = 0; i < SIZE * SIZE * 3; i++) most = abs(got[i] - want[i]) > most ? abs(got[i] - want[i]) : most;
        if (most > 5) fail_msg("orientation %d, mode %d, view %d: %d away", orientation, (int)p.mode, view, most);
        assert_memory_not_equal(got, want, sizeof got); /* it was reduced */

        struct data_image small;
        file_write(path, b);
        const int sideways = orientation > 4, by = data_reduction(sideways ? h : w, sideways ? w : h, &p, SIZE);
        assert_int_equal(data_image_read_for(&small, path, NULL, &p, SIZE, NULL), RUDD_OK);
        assert_true(by > 1);
        assert_int_equal(small.w, ((sideways ? h : w) + by - 1) / by);
        assert_int_equal(small.h, ((sideways ? w : h) + by - 1) / by);
        data_image_free(&small);
        data_image_free(&image);
        rudd_free(jpeg);
        free(b.at);
    }
    struct picture other = {.w = 300, .h = 200};
    struct bytes b[2] = {picture_png(&other), picture_jpeg(&other)};
    p.reduce = 3;
    p.mode = whole.mode = NN_RESIZE_SQUASH;
    for (int i = 0; i < 2; i++) { /* the JPEG: 200 < 2 * 3 * 40 */
        assert_int_equal(data_preprocess_bytes(want, b[i].at, b[i].length, "x", NULL, &whole, SIZE, 0, NULL, NULL), RUDD_OK);
        assert_int_equal(data_preprocess_bytes(got, b[i].at, b[i].length, "x", NULL, &p, SIZE, 0, NULL, NULL), RUDD_OK);
        assert_memory_equal(got, want, sizeof got);
        free(b[i].at);
    }
    folder_remove(folder);
}

/* A picture of one colour keeps it under every filter, size and box: the weights add up to 1 after rounding. */
static void constant_stays(void **state)
{
    (void)state;
    struct data_image image = {301, 203, rudd_alloc(301 * 203 * 3)};
    uint8_t *out = malloc(400 * 400 * 3);
    for (int v = 0; v < 256; v += 51) {
        memset(image.rgb, v, 301 * 203 * 3);
        for (int k = 0; k < 10; k++) {
            int w = 1 + k * 41, h = 1 + (k * 97 + 3) % 380;
            struct data_resize r = {
                k & 1 ? NN_BILINEAR : NN_BICUBIC, (float)k, 0.5f, 301 - 3.25f * (float)k, 203, w, h, 0, 0, w, h};
            assert_int_equal(data_resize(out, &image, &r, NULL), RUDD_OK);
            for (int i = 0; i < w * h * 3; i++) assert_int_equal(out[i], v);
        }
    }
    free(out);
    data_image_free(&image);
}

/* Boxes and windows that leave their picture are refused. */
static void bad_arguments(void **state)
{
    (void)state;
    struct data_image image = pattern(7, 5);
    uint8_t out[300];
    const struct data_resize fine = {NN_BICUBIC, 0, 0, 7, 5, 3, 2, 0, 0, 3, 2};
    assert_int_equal(data_resize(out, &image, &fine, NULL), RUDD_OK);
    for (int k = 0; k < 10; k++) {
        struct data_resize r = fine;
        switch (k) {
        case 0: r.left = -1; break;
        case 1: r.right = 7.5f; break;
        case 2: r.bottom = 0; break;
        case 3: r.top = 5; break;
        case 4: r.cw = 4; break;
        case 5: r.cy = -1; break;
        case 6: r.w = 0; break;
        case 7: r.ch = 0; break;
        case 8: r.cx = 1; break;
        case 9: r.left = __builtin_nanf(""); break;
        }
        assert_int_equal(data_resize(out, &image, &r, NULL), RUDD_ARGUMENT);
    }
    struct nn_preprocess p = {.mode = NN_RESIZE_CROP, .crop_fraction = 0};
    struct rudd_error err;
    assert_int_equal(data_preprocess(out, &image, &p, 4, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "crop fraction 0"));
    p.crop_fraction = 1;
    assert_int_equal(data_preprocess(out, &image, &p, 0, &err), RUDD_ARGUMENT);
    assert_int_equal(data_preprocess(out, &image, &p, 4, &err), RUDD_OK);
    data_image_free(&image);
}

/* Padding puts the picture in the middle of the mean colour, for wide, tall and hair-thin pictures; normalised it is 0. */
static void padding(void **state)
{
    (void)state;
    struct nn_preprocess p = {.mode = NN_RESIZE_PAD, .mean = {0.2f, 0.4f, 0.6f}, .std = {0.5f, 0.25f, 0.1f}};
    static const int sizes[][4] = {{80, 40, 0, 8}, {40, 80, 8, 0}, {500, 1, 0, 15}, {1, 500, 15, 0}};
    for (size_t k = 0; k < 4; k++) {
        uint8_t out[32 * 32 * 3];
        struct data_image image = pattern(sizes[k][0], sizes[k][1]);
        memset(image.rgb, 255, (size_t)(image.w * image.h * 3));
        assert_int_equal(data_preprocess(out, &image, &p, 32, NULL), RUDD_OK);
        int bx = sizes[k][2], by = sizes[k][3], w = bx == 15 ? 1 : 32 - 2 * bx, h = by == 15 ? 1 : 32 - 2 * by,
            at = by == 15 ? 16 : by, left = bx == 15 ? 16 : bx;
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < 32; x++) {
                bool in = x >= left && x < left + w && y >= at && y < at + h;
                assert_int_equal(out[(y * 32 + x) * 3], in ? 255 : 51);
                assert_int_equal(out[(y * 32 + x) * 3 + 2], in ? 255 : 153);
            }
        data_image_free(&image);
    }
    float x[6];
    data_normalise(x, (const uint8_t[]){51, 102, 153, 255, 0, 255}, 2, &p);
    assert_true(x[0] == 0 && x[1] == 0 && x[3] > 1.599f && x[3] < 1.601f && x[4] < -1.599f && x[5] > 3.99f && x[5] < 4.01f);
}

/* The eight stored crops of real photographs: equal to the last bit. */
static void stored_crops(void **state)
{
    (void)state;
    const char *folder = "../shared/photos", *reference = "../shared/photos/reference.safetensors";
    static const char *const names[8] = {"darknet_eagle.jpg", "node_car.jpg",      "node_fish.jpg",  "node_panda.jpg",
                                         "rimuru_dog.png",    "tflite_burger.jpg", "tflite_cat.jpg", "tflite_dogs.jpg"};
    if (access(reference, R_OK) != 0) skip();
    uint8_t *bytes, *out = malloc(224 * 224 * 3);
    size_t length;
    assert_int_equal(data_file_read(&bytes, &length, reference, 1 << 26, NULL), RUDD_OK);
    uint64_t header;
    memcpy(&header, bytes, 8);
    for (int i = 0; i < 8; i++) {
        /* "<name>.pixels":{..."data_offsets":[from, to]} */
        char key[64], path[128];
        unsigned long from = 0;
        snprintf(key, sizeof key, "\"%.*s.pixels\"", (int)(strlen(names[i]) - 4), names[i]);
        char *text = strndup((char *)bytes + 8, header), *entry = strstr(text, key);
        assert_non_null(entry);
        assert_int_equal(sscanf(strstr(entry, "\"data_offsets\""), "\"data_offsets\":[%lu", &from), 1);
        free(text);

        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        struct data_image image;
        struct nn_preprocess p = {.mode = NN_RESIZE_CROP, .filter = NN_BICUBIC, .crop_fraction = 0.875};
        assert_int_equal(data_image_read(&image, path, NULL, NULL), RUDD_OK);
        assert_int_equal(data_preprocess(out, &image, &p, 224, NULL), RUDD_OK);
        assert_memory_equal(out, bytes + 8 + header + from, 224 * 224 * 3);
        data_image_free(&image);
    }
    rudd_free(bytes);
    free(out);
}

/* The n-th allocation fails, for every n. */
static void no_memory(void **state)
{
    (void)state;
    struct data_image image = pattern(53, 37);
    uint8_t out[20 * 20 * 3];
    for (int mode = NN_RESIZE_CROP; mode <= NN_RESIZE_PAD; mode++) {
        struct nn_preprocess p = {.mode = (enum nn_resize_mode)mode, .crop_fraction = 0.875};
        long n = 1;
        for (;; n++) {
            fail_allocation(n);
            enum rudd_status status = data_preprocess(out, &image, &p, 20, NULL);
            bool reached = allocations() >= n;
            rudd_set_alloc_hook(NULL, NULL);
            assert_int_equal(status, reached ? RUDD_NO_MEMORY : RUDD_OK);
            if (!reached) break;
        }
        assert_true(n > 4);

        struct picture sideways = {.w = 53, .h = 37, .orientation = 6, .channels = mode == NN_RESIZE_PAD ? 4 : 3};
        struct bytes b = picture_jpeg(&sideways);
        for (n = 1;; n++) {
            fail_allocation(n);
            enum rudd_status status = data_preprocess_bytes(out, b.at, b.length, "x", NULL, &p, 20, 0, NULL, NULL);
            bool reached = allocations() >= n;
            rudd_set_alloc_hook(NULL, NULL);
            assert_int_equal(status, reached ? RUDD_NO_MEMORY : RUDD_OK);
            if (!reached) break;
        }
        assert_true(n > 8);
        free(b.at);
    }
    data_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(windows),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(padding),
        cmocka_unit_test(stored_crops),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(row_by_row),
        cmocka_unit_test(reduced),
        cmocka_unit_test(beside_the_window),
        cmocka_unit_test(straight_from_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
