/* test_augment.c - random views: exact by key, right in the cases that can be computed by hand, colours as Pillow's. */
#include "data/augment.h"
#include "data/colour.h"
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
        cmocka_unit_test(key_decides),         cmocka_unit_test(nothing_is_evaluation), cmocka_unit_test(affine_meets_resize),
        cmocka_unit_test(rotation_turns),      cmocka_unit_test(crops_cover),           cmocka_unit_test(erasing),
        cmocka_unit_test(colours_are_pillows), cmocka_unit_test(bad_options),           cmocka_unit_test(generator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
