/* test_augment.c - random views: exact by key, right in the cases that can be computed by hand, colours as Pillow's. */
#include "data/image/augment.h"
#include "data/image/colour.h"
#include "data/image/randaugment.h"
#include "nn/rng.h"
#include "tests/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 32, BYTES = S * S * 3 };

static const struct nn_preprocess squash = {.mode = NN_RESIZE_SQUASH, .mean = {0.5f, 0.5f, 0.5f}, .std = {1, 1, 1}};

static struct data_image pattern(int w, int h)
{
    struct data_image image = {w, h, rudd_alloc((size_t)w * (size_t)h * 3)};
    for (int i = 0; i < w * h * 3; i++) image.rgb[i] = picture_sample(i / 3 % w / 4, i / 3 / w / 4, i % 3);
    return image;
}

static void view(uint8_t out[BYTES], const struct data_image *image, const struct data_augment *a, uint64_t seed,
                 uint64_t epoch, uint64_t index)
{
    struct rudd_error err;
    if (data_augment_view(out, image, a, &squash, S, seed, epoch, index, &err)) fail_msg("%s", err.message);
}

static const struct data_augment everything = {.crop_min = 0.3,
                                               .crop_max = 0.9,
                                               .ratio_min = 0.7,
                                               .ratio_max = 1.4,
                                               .flip = 0.5,
                                               .vflip = 0.5,
                                               .rotate = 20,
                                               .shift = 0.1,
                                               .zoom = 0.2,
                                               .shear = 10,
                                               .brightness = 0.3,
                                               .contrast = 0.3,
                                               .saturation = 0.3,
                                               .hue = 0.1,
                                               .randaugment = 9,
                                               .erase = 0.5};

/* A view depends on (seed, epoch, index) alone, and on each of them. */
static void key_decides(void **state)
{
    (void)state;
    struct data_image image = pattern(90, 60);
    const struct data_augment *kinds[2] = {&data_augment_default, &everything};
    for (int k = 0; k < 2; k++) {
        uint8_t a[BYTES], b[BYTES];
        view(a, &image, kinds[k], 1, 2, 3);
        view(b, &image, kinds[k], 1, 2, 4);
        assert_memory_not_equal(a, b, BYTES);
        view(b, &image, kinds[k], 1, 3, 3);
        assert_memory_not_equal(a, b, BYTES);
        view(b, &image, kinds[k], 2, 2, 3);
        assert_memory_not_equal(a, b, BYTES);
        view(b, &image, kinds[k], 1, 2, 3);
        assert_memory_equal(a, b, BYTES);
    }
    data_image_free(&image);
}

/* Nothing asked for: the evaluation path, for every mode. Flips of probability 1 mirror exactly that. */
static void nothing_is_evaluation(void **state)
{
    (void)state;
    struct data_image image = pattern(90, 60);
    for (int mode = NN_RESIZE_CROP; mode <= NN_RESIZE_PAD; mode++) {
        struct nn_preprocess p = squash;
        p.mode = (enum nn_resize_mode)mode;
        p.crop_fraction = 0.8;
        uint8_t want[BYTES], got[BYTES];
        assert_int_equal(data_preprocess(want, &image, &p, S, NULL), RUDD_OK);
        for (int flips = 0; flips < 4; flips++) {
            struct data_augment a = {.flip = flips & 1, .vflip = flips >> 1};
            assert_int_equal(data_augment_view(got, &image, &a, &p, S, 5, 6, 7, NULL), RUDD_OK);
            for (int i = 0; i < S * S; i++) {
                int x = i % S, y = i / S, fx = flips & 1 ? S - 1 - x : x, fy = flips & 2 ? S - 1 - y : y;
                assert_memory_equal(got + 3 * i, want + 3 * (fy * S + fx), 3);
            }
        }
    }
    data_image_free(&image);
}

/* The affine path under a map that is nearly the identity shows nearly the evaluation picture (its filter is a triangle too when
 * evaluation is bilinear), also where padding goes beyond the picture. */
static void affine_meets_resize(void **state)
{
    (void)state;
    static const int sizes[][2] = {{90, 60}, {S, S}, {20, 50}};
    for (int k = 0; k < 9; k++) {
        struct data_image image = pattern(sizes[k % 3][0], sizes[k % 3][1]);
        struct nn_preprocess p = squash;
        p.mode = (enum nn_resize_mode)(k / 3);
        p.filter = NN_BILINEAR;
        p.crop_fraction = 0.8;
        uint8_t want[BYTES], got[BYTES];
        struct data_augment a = {.rotate = 1e-7};
        assert_int_equal(data_preprocess(want, &image, &p, S, NULL), RUDD_OK);
        assert_int_equal(data_augment_view(got, &image, &a, &p, S, 5, 6, 7, NULL), RUDD_OK);
        double gap = 0;
        for (int i = 0; i < BYTES; i++) gap += abs(want[i] - got[i]);
        gap /= BYTES;
        /* sizes round to whole pixels in one path only, and edges are blended with the mean colour here */
        if (gap > (p.mode == NN_RESIZE_SQUASH ? 4 : 12))
            fail_msg("mode %d, %d x %d: mean difference %g", p.mode, image.w, image.h, gap);
        data_image_free(&image);
    }
}

/* A quarter turn turns: the bright left half of a picture goes to the top or to the bottom. */
static void rotation_turns(void **state)
{
    (void)state;
    struct data_image image = {64, 64, rudd_zalloc(64 * 64, 3)};
    for (int y = 0; y < 64; y++) memset(image.rgb + y * 64 * 3, 255, 32 * 3);
    double most = 0, least = 1;
    for (uint64_t i = 0; i < 200; i++) {
        uint8_t out[BYTES];
        struct data_augment a = {.rotate = 90};
        view(out, &image, &a, 1, 1, i);
        double top = 0, bottom = 0;
        for (int x = 8; x < 24; x++) {
            top += out[(8 * S + x) * 3] / 255.0 / 16;
            bottom += out[(23 * S + x) * 3] / 255.0 / 16;
        }
        most = fmax(most, top - bottom);
        least = fmin(least, top - bottom);
    }
    assert_true(most > 0.95 && least < -0.95); /* both ways, up to about 90 degrees */
    data_image_free(&image);
}

/* Crops stay inside their shares and aspects, and reach all of the picture. */
static void crops_cover(void **state)
{
    (void)state;
    struct data_image image = {100, 50, rudd_alloc(100 * 50 * 3)};
    for (int i = 0; i < 5000; i++) {
        image.rgb[3 * i] = (uint8_t)(2 * (i % 100)); /* red: x; green: y */
        image.rgb[3 * i + 1] = (uint8_t)(4 * (i / 100));
        image.rgb[3 * i + 2] = 0;
    }
    int least = 255, most = 0;
    struct data_augment a = {.crop_min = 0.1, .crop_max = 0.2, .ratio_min = 0.5, .ratio_max = 2};
    for (uint64_t i = 0; i < 300; i++) {
        uint8_t out[BYTES];
        view(out, &image, &a, 1, 1, i);
        double w = (out[(S / 2 * S + S - 1) * 3] - out[S / 2 * S * 3]) / 2.0 * S / (S - 1);
        double h = (out[(S * (S - 1) + S / 2) * 3 + 1] - out[S / 2 * 3 + 1]) / 4.0 * S / (S - 1);
        assert_true(w * h > 0.1 * 5000 * 0.8 && w * h < 0.2 * 5000 * 1.2);
        assert_true(w / h > 0.5 * 0.8 && w / h < 2 * 1.2);
        least = out[0] < least ? out[0] : least;
        most = out[BYTES - 3] > most ? out[BYTES - 3] : most;
    }
    assert_true(least < 8 && most > 190);

    /* no aspect fits a line of pixels: the fallback takes what there is */
    struct data_image line = {500, 1, image.rgb};
    uint8_t out[BYTES];
    view(out, &line, &a, 1, 1, 1);
    rudd_free(image.rgb);
}

/* Erasing hits as often as asked, a patch of 2 to 33 % of the picture, in the mean colour. */
static void erasing(void **state)
{
    (void)state;
    struct data_image image = {S, S, rudd_zalloc(BYTES, 1)};
    struct data_augment a = {.erase = 0.5};
    int hits = 0;
    for (uint64_t i = 0; i < 400; i++) {
        uint8_t out[BYTES];
        int area = 0;
        view(out, &image, &a, 3, 1, i);
        for (int j = 0; j < S * S; j++) {
            assert_true(out[3 * j] == 0 || out[3 * j] == 128);
            area += out[3 * j] == 128;
        }
        hits += area > 0;
        assert_true(area == 0 || (area >= S * S * 2 / 100 - 2 && area <= S * S * 33 / 100 + S));
    }
    assert_in_range(hits, 160, 240);
    data_image_free(&image);
}

/* Colour changes equal Pillow 9.4's ImageEnhance, and torchvision's adjust_hue, to the last bit. */
static void colours_are_pillows(void **state)
{
    (void)state;
    static const uint8_t in[18] = {0, 50, 100, 37, 87, 137, 74, 124, 174, 91, 141, 191, 141, 191, 241, 191, 241, 35};
    static const uint8_t want[5][18] = {
        {0, 65, 130, 48, 113, 178, 96, 161, 226, 118, 183, 248, 183, 248, 255, 248, 255, 45}, /* Brightness 1.3 */
        {37, 72, 107, 63, 98, 133, 89, 124, 159, 101, 136, 171, 136, 171, 206, 171, 206, 62}, /* Contrast 0.7 */
        {0, 54, 129, 16, 91, 166, 53, 128, 203, 70, 145, 220, 120, 195, 255, 185, 255, 0},    /* Color 1.5 */
        {7, 0, 100, 44, 37, 137, 81, 74, 174, 98, 91, 191, 149, 142, 241, 75, 241, 36},       /* hue 0.1 */
        {31, 100, 0, 68, 137, 37, 105, 174, 74, 122, 191, 91, 172, 241, 142, 241, 36, 147},   /* hue -0.3 */
    };
    for (int k = 0; k < 5; k++) {
        uint8_t got[18];
        memcpy(got, in, sizeof got);
        switch (k) {
        case 0: data_brightness(got, 6, 1.3f); break;
        case 1: data_contrast(got, 6, 0.7f); break;
        case 2: data_saturation(got, 6, 1.5f); break;
        case 3: data_hue(got, 6, 0.1); break;
        case 4: data_hue(got, 6, -0.3); break;
        }
        assert_memory_equal(got, want[k], sizeof got);
    }
    uint8_t same[18];
    memcpy(same, in, sizeof same);
    data_brightness(same, 6, 1);
    data_contrast(same, 6, 1);
    data_saturation(same, 6, 1);
    data_hue(same, 6, 0);
    assert_memory_equal(same, in, sizeof same);
}

/* What a value becomes when a picture of two, equally frequent, is equalized: the range's ends. */
static int equalized(uint8_t value)
{
    uint8_t rgb[BYTES], scratch[BYTES];
    for (int i = 0; i < BYTES; i++) rgb[i] = i < BYTES / 2 ? value : (uint8_t)(210 - value);
    data_randaugment_run(rgb, scratch, DATA_RANDAUGMENT_Equalize, 0, &squash, S);
    return rgb[0];
}

/* RandAugment's operations equal Pillow 9.4's as timm calls them (bicubic, filled with 128), to the last bit; parity_pillow.py
 * compares thousands. */
static void operations_are_pillows(void **state)
{
    (void)state;
    enum { SIDE = 4, LENGTH = SIDE * SIDE * 3 };
    static const uint8_t in[LENGTH] = {195, 38,  58, 71,  59,  193, 207, 145, 28,  40,  91,  113, 154, 123, 77,  54,
                                       169, 178, 27, 44,  117, 104, 211, 131, 110, 113, 163, 146, 57,  179, 183, 226,
                                       189, 81,  89, 160, 160, 170, 207, 83,  222, 20,  36,  230, 223, 84,  50,  87};
    static const struct {
        enum data_randaugment_op op;
        double argument;
        uint8_t want[LENGTH];
    } rows[] = {
        {DATA_RANDAUGMENT_AutoContrast, 0, {238, 0,   47, 62,  27,  217, 255, 142, 10,  18, 70,  116, 179, 112, 71,  38,
                                            173, 198, 0,  7,   121, 109, 229, 139, 117, 99, 179, 168, 25,  199, 221, 249,
                                            212, 76,  67, 175, 188, 175, 234, 79,  244, 0,  12,  255, 255, 80,  15,  84}},
        {DATA_RANDAUGMENT_Invert, 0, {60, 217, 197, 184, 196, 62,  48, 110, 227, 215, 164, 142, 101, 132, 178, 201,
                                      86, 77,  228, 211, 138, 151, 44, 124, 145, 142, 92,  109, 198, 76,  72,  29,
                                      66, 174, 166, 95,  95,  85,  48, 172, 33,  235, 219, 25,  32,  171, 205, 168}},
        {DATA_RANDAUGMENT_Rotate, -27, {128, 128, 128, 129, 89,  117, 101, 84, 163, 128, 128, 128, 111, 114, 131, 93,
                                        149, 175, 26,  53,  119, 95,  123, 80, 129, 140, 139, 164, 124, 165, 142, 174,
                                        164, 110, 204, 144, 128, 128, 128, 29, 255, 178, 90,  133, 166, 128, 128, 128}},
        {DATA_RANDAUGMENT_Posterize, 3, {192, 32,  32, 64,  32,  192, 192, 128, 0,   32, 64,  96,  128, 96,  64,  32,
                                         160, 160, 0,  32,  96,  96,  192, 128, 96,  96, 160, 128, 32,  160, 160, 224,
                                         160, 64,  64, 160, 160, 160, 192, 64,  192, 0,  32,  224, 192, 64,  32,  64}},
        {DATA_RANDAUGMENT_Solarize, 130, {60, 38, 58, 71, 59,  62,  48, 110, 28,  40,  91, 113, 101, 123, 77, 54,
                                          86, 77, 27, 44, 117, 104, 44, 124, 110, 113, 92, 109, 57,  76,  72, 29,
                                          66, 81, 89, 95, 95,  85,  48, 83,  33,  20,  36, 25,  32,  84,  50, 87}},
        {DATA_RANDAUGMENT_SolarizeAdd, 99, {195, 137, 157, 170, 158, 193, 207, 145, 127, 139, 190, 212, 154, 222, 176, 153,
                                            169, 178, 126, 143, 216, 203, 211, 131, 209, 212, 163, 146, 156, 179, 183, 226,
                                            189, 180, 188, 160, 160, 170, 207, 182, 222, 119, 135, 230, 223, 183, 149, 186}},
        {DATA_RANDAUGMENT_Color, 1.72, {255, 2,   37, 65,  45,  255, 248, 141, 0,   12,  100, 138, 173, 120, 41,  0,
                                        192, 208, 12, 41,  167, 56,  240, 102, 104, 109, 195, 180, 27,  237, 164, 238,
                                        174, 70,  84, 206, 152, 169, 232, 29,  255, 0,   0,   255, 255, 98,  39,  103}},
        {DATA_RANDAUGMENT_Contrast, 1.72, {247, 0,   11, 34,  13,  244, 255, 161, 0,   0,   68,  106, 177, 123, 44,  5,
                                           202, 218, 0,  0,   113, 91,  255, 137, 101, 106, 192, 163, 10,  220, 226, 255,
                                           237, 51,  65, 187, 187, 204, 255, 54,  255, 0,   0,   255, 255, 56,  0,   61}},
        {DATA_RANDAUGMENT_Brightness, 0.7, {136, 26,  40, 49,  41,  135, 144, 101, 19,  28, 63,  79,  107, 86,  53,  37,
                                            118, 124, 18, 30,  81,  72,  147, 91,  77,  79, 114, 102, 39,  125, 128, 158,
                                            132, 56,  62, 112, 112, 119, 144, 58,  155, 14, 25,  161, 156, 58,  35,  60}},
        {DATA_RANDAUGMENT_Sharpness, 1.72, {195, 38,  58, 71,  59,  193, 207, 145, 28,  40,  91,  113, 154, 123, 77,  17,
                                            199, 201, 0,  5,   104, 104, 211, 131, 110, 113, 163, 166, 10,  193, 229, 255,
                                            212, 81,  89, 160, 160, 170, 207, 83,  222, 20,  36,  230, 223, 84,  50,  87}},
        {DATA_RANDAUGMENT_ShearX, 0.27, {176, 39,  78,  79,  73,  183, 198, 146, 22,  23,  85,  121, 116, 153, 123, 21,
                                         108, 166, 54,  93,  113, 115, 234, 133, 128, 50,  172, 188, 187, 191, 116, 145,
                                         170, 128, 128, 128, 89,  218, 20,  36,  238, 217, 81,  59,  95,  128, 128, 128}},
        {DATA_RANDAUGMENT_ShearY, -0.27, {199, 29,  56,  73,  43,  195, 128, 128, 128, 128, 128, 128, 163, 112, 65, 47,
                                          140, 183, 137, 99,  51,  43,  97,  113, 110, 109, 147, 116, 89,  199, 61, 87,
                                          151, 105, 210, 133, 152, 162, 202, 117, 144, 84,  158, 254, 210, 80,  80, 157}},
        {DATA_RANDAUGMENT_TranslateX, 0.4, {164, 120, 94,  119, 120, 63,  128, 128, 128, 128, 128, 128, 17,  74,  149, 70,
                                            132, 119, 128, 128, 128, 128, 128, 128, 186, 172, 190, 125, 160, 172, 128, 128,
                                            128, 128, 128, 128, 40,  255, 143, 60,  122, 160, 128, 128, 128, 128, 128, 128}},
        {DATA_RANDAUGMENT_TranslateY, -0.4, {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
                                             128, 128, 128, 128, 128, 128, 128, 128, 182, 72,  57,  55,  113, 186, 120, 87,
                                             56,  67,  150, 117, 125, 125, 109, 94,  124, 191, 77,  101, 155, 103, 183, 152}},
    };
    uint8_t got[LENGTH], scratch[LENGTH];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(got, in, sizeof got);
        data_randaugment_run(got, scratch, rows[i].op, rows[i].argument, &squash, SIDE);
        if (memcmp(got, rows[i].want, sizeof got) != 0) fail_msg("%s differs", data_randaugment_names[rows[i].op]);
    }
    assert_int_equal(equalized(10), 0);
    assert_int_equal(equalized(200), 255);
}

/* Half of the operations drawn are run, and a stronger magnitude moves pictures further. */
static void operations_are_drawn(void **state)
{
    (void)state;
    struct data_image image = pattern(S, S);
    uint8_t plain[BYTES], out[BYTES];
    view(plain, &image, &(struct data_augment){0}, 1, 1, 1);
    double changed = 0, gap[2] = {0};
    enum { DRAWS = 1000 };
    for (uint64_t i = 0; i < DRAWS; i++)
        for (int strong = 0; strong < 2; strong++) {
            view(out, &image, &(struct data_augment){.randaugment = strong ? 9 : 3}, 1, 1, i);
            changed += strong && memcmp(out, plain, BYTES) != 0;
            /* only geometry grows with the magnitude in timm's plain set: seen by how much of the mean colour comes in */
            for (int j = 0; j < S * S; j++) gap[strong] += out[3 * j] == 128 && out[3 * j + 1] == 128 && out[3 * j + 2] == 128;
        }
    assert_true(changed / DRAWS > 0.65 && changed / DRAWS < 0.76); /* 1 - 1/4, less what happens to change nothing */
    assert_true(gap[1] > 1.5 * gap[0] && gap[0] > 0);
    data_image_free(&image);
}

/* Options without a meaning are refused and named. */
static void bad_options(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct data_augment a;
    } rows[] = {
        {"crop_min", {.crop_min = 0.9, .crop_max = 0.5, .ratio_min = 1, .ratio_max = 1}},
        {"crop_max", {.crop_max = 1.5, .ratio_min = 1, .ratio_max = 1}},
        {"ratio_min", {.crop_max = 1}},
        {"ratio_max", {.crop_max = 1, .ratio_min = 2, .ratio_max = 1}},
        {"flip", {.flip = -0.1}},
        {"zoom", {.zoom = 1}},
        {"shear", {.shear = 90}},
        {"hue", {.hue = 0.6}},
        {"randaugment", {.randaugment = 11}},
        {"erase", {.erase = NAN}},
    };
    struct rudd_error err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(data_augment_check(&rows[i].a, &err), RUDD_ARGUMENT);
        assert_non_null(strstr(err.message, rows[i].name));
    }
    assert_int_equal(data_augment_check(&data_augment_default, &err), RUDD_OK);
    assert_int_equal(data_augment_check(&everything, &err), RUDD_OK);
}

/* The generator: keys and places name independent, evenly spread numbers; permutations are permutations. */
static void generator(void **state)
{
    (void)state;
    struct nn_rng rng;
    nn_rng_init(&rng, 1, 2, 3);
    for (uint64_t i = 0; i < 5; i++) assert_true(nn_rng_next(&rng) == nn_rng_u64(1, 2, 3, i));
    assert_true(nn_rng_u64(1, 0, 0, 0) != nn_rng_u64(0, 1, 0, 0) && nn_rng_u64(0, 1, 0, 0) != nn_rng_u64(0, 0, 1, 0));

    enum { N = 20000 };
    double sum = 0, squares = 0;
    int bits[64] = {0}, dice[6] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double z = nn_rng_normal(&rng);
        sum += z;
        squares += z * z;
        double u = nn_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        dice[nn_rng_below(&rng, 6)]++;
        for (int b = 0; b < 64; b++) bits[b] += (int)(nn_rng_u64(7, i, 0, 0) >> b & 1);
    }
    assert_true(fabs(sum / N) < 0.03 && fabs(squares / N - 1) < 0.05);
    for (int i = 0; i < 6; i++) assert_in_range(dice[i], N / 6 - 300, N / 6 + 300);
    for (int i = 0; i < 64; i++) assert_in_range(bits[i], N / 2 - 450, N / 2 + 450); /* 6 standard deviations */

    int order[100], seen[100] = {0}, fixed = 0;
    nn_rng_permutation(&rng, order, 100);
    for (int i = 0; i < 100; i++) {
        seen[order[i]]++;
        fixed += order[i] == i;
    }
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
    assert_true(fixed < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_decides),
        cmocka_unit_test(nothing_is_evaluation),
        cmocka_unit_test(affine_meets_resize),
        cmocka_unit_test(rotation_turns),
        cmocka_unit_test(crops_cover),
        cmocka_unit_test(erasing),
        cmocka_unit_test(colours_are_pillows),
        cmocka_unit_test(operations_are_pillows),
        cmocka_unit_test(operations_are_drawn),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(generator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
