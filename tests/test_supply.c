/* test_supply.c - models on their way into files: from memory or from file to file, in float32, float16 and bfloat16. */
#include "nn/half.h"
#include "train/command.h"
#include "weights/replace.h"
#include "weights/supply.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[128], other[128];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(other, sizeof other, "%s/b.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The nearest bfloat16 by search among its neighbours, in double: the truth that the bit trick must meet. */
static uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t down = (uint16_t)(bits >> 16), up = (uint16_t)(down + 1); /* towards zero, and away from it */
    double low = fabs((double)x - from_bits((uint32_t)down << 16)), high = fabs((double)x - from_bits((uint32_t)up << 16));
    if (low != high) return low < high ? down : up;
    return down & 1 ? up : down;
}

/* Every bfloat16 and float16 comes back from float32 as it was, infinities too; what lies between goes to the nearest, halves to even. */
static void narrow_values_are_the_nearest(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t out = 0;
        float exact = from_bits(h << 16);
        if (!isnan(exact)) {
            assert_int_equal(weights_from_f32(&out, WEIGHTS_BF16, &exact, 1), 1);
            assert_int_equal(out, h);
        }
        exact = nn_f32_from_f16((uint16_t)h);
        if (!isnan(exact)) {
            assert_int_equal(weights_from_f32(&out, WEIGHTS_F16, &exact, 1), 1);
            assert_int_equal(out, h);
        }
    }
    uint32_t bits = 12345;
    for (int i = 0; i < 200000; i++) {
        bits = bits * 1664525 + 1013904223;
        float x = from_bits(i % 3 ? bits : (bits & 0xffff0000) | 0x8000); /* a third are ties */
        uint16_t out;
        if (!isfinite(x) || fabsf(x) > 3.38e38f) continue;
        assert_int_equal(weights_from_f32(&out, WEIGHTS_BF16, &x, 1), 1);
        assert_int_equal(out, nearest_bf16(x));
    }
    const float odd[] = {NAN, INFINITY, -INFINITY, 1};
    uint16_t out[4];
    for (int half = 0; half < 2; half++) {
        assert_int_equal(weights_from_f32(out, half ? WEIGHTS_F16 : WEIGHTS_BF16, odd, 4), 4);
        assert_true((out[0] & 0x7fff) > (half ? 0x7c00 : 0x7f80));
        assert_int_equal(out[1], half ? 0x7c00 : 0x7f80);
        assert_int_equal(out[2], half ? 0xfc00 : 0xff80);
    }
}

/* The last value that rounds to the largest is taken, the next one is not. */
static void overflow_is_told(void **state)
{
    (void)state;
    const float half[] = {65504, 65519.99f, 65520}, brain[] = {3.38e38f, from_bits(0x7f7f7fff), from_bits(0x7f7f8000)};
    uint16_t out[3];
    assert_int_equal(weights_from_f32(out, WEIGHTS_F16, half, 3), 2);
    assert_int_equal(out[1], 0x7bff);
    assert_int_equal(weights_from_f32(out, WEIGHTS_BF16, brain, 3), 2);
    assert_int_equal(out[1], 0x7f7f);
}

static struct nn_model *model_of(const char *arch)
{
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, arch, 3, &err), RUDD_OK);
    return m;
}

static void assert_same_files(const char *a, const char *b)
{
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    int c, d;
    assert_non_null(f);
    assert_non_null(g);
    do {
        c = getc(f), d = getc(g);
        if (c != d) fail_msg("%s and %s differ", a, b);
    } while (c != EOF);
    fclose(f);
    fclose(g);
}

/* From file to file gives the bytes that values in memory give, in each dtype; what is read back is each value rounded once, and rounding it
 * again changes nothing. */
static void storage_comes_back(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano"), *lean, *back;
    const struct weights_load_options predict = {.predict_only = true};
    for (int d = WEIGHTS_F32; d <= WEIGHTS_BF16; d++) {
        const struct weights_form form = {WEIGHTS_TIMM, (enum weights_dtype)d};
        assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
        assert_int_equal(weights_model_load(&lean, path, &predict, NULL, &err), RUDD_OK);
        assert_int_equal(weights_model_save_as(other, lean, NULL, form, &err), RUDD_OK);
        assert_null(lean->values);
        nn_model_destroy(lean);
        assert_int_equal(weights_model_save_as(path, m, NULL, form, &err), RUDD_OK);
        assert_same_files(path, other);

        assert_int_equal(weights_model_load(&back, path, NULL, NULL, &err), RUDD_OK);
        for (int i = 0; i < m->param_count; i++)
            for (size_t k = 0; k < m->params[i].count; k++) {
                const float was = m->values[m->params[i].offset + k], is = back->values[back->params[i].offset + k];
                uint16_t h;
                float expected = was;
                weights_from_f32(&h, form.dtype, &was, d != WEIGHTS_F32);
                if (d == WEIGHTS_F16) expected = nn_f32_from_f16(h);
                if (d == WEIGHTS_BF16) expected = from_bits((uint32_t)h << 16);
                if (memcmp(&is, &expected, sizeof is))
                    fail_msg("%s[%zu] is %g, expected %g", m->params[i].name, k, is, expected);
            }
        assert_int_equal(weights_model_save_as(other, back, NULL, form, &err), RUDD_OK);
        assert_same_files(path, other);
        nn_model_destroy(back);
    }
    nn_model_destroy(m);
}

/* A value that float16 cannot hold: the tensor and the value are named, nothing is written, and bfloat16 takes it. */
static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    const int i = nn_model_find(m, "blocks.2.1.bn2.running_var");
    m->values[m->params[i].offset + 3] = 70000;
    assert_int_equal(weights_model_save_as(path, m, NULL, (struct weights_form){WEIGHTS_TIMM, WEIGHTS_F16}, &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "blocks.2.1.bn2.running_var"));
    assert_non_null(strstr(err.message, "70000"));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(weights_model_save_as(path, m, NULL, (struct weights_form){WEIGHTS_TIMM, WEIGHTS_BF16}, &err), RUDD_OK);
    nn_model_destroy(m);
}

/* A file that becomes shorter between opening and saving: the fault is said and no file is left, not even a temporary one (rmdir). */
static void a_shortened_source_leaves_nothing(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano"), *lean;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    assert_int_equal(weights_model_load(&lean, path, &(struct weights_load_options){.predict_only = true}, NULL, &err),
                     RUDD_OK);
    assert_int_equal(truncate(path, 50000), 0);
    assert_int_equal(weights_model_save(other, lean, NULL, WEIGHTS_TIMM, &err), RUDD_IO);
    assert_int_equal(access(other, F_OK), -1);
    nn_model_destroy(lean);
    nn_model_destroy(m);
}

/* Whatever makes `rudd import` fail, early or after the model was read, there is no file at the end and no temporary one (rmdir). */
static void failed_imports_leave_nothing(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    char names[160], *const argv[][8] = {
                         {"import", path, "-o", other, "--arch", "efficientnet_b0"}, /* another network */
                         {"import", path, "-o", other, "--classes", names},          /* a line without a name */
                         {"import", path, "-o", other, "--dtype", "float16"},        /* a value beyond its largest */
                         {"import", path, "-o", other, "--pad", "symmetric", "--pad-size", "64"},
                         {"import", folder, "-o", other},                                    /* a folder without config.json */
                         {"import", path, "-o", other, "--preprocess", "{\"std\":[0,1,1]}"}, /* it divides */
                         {"import", path, "-o", other, "--preprocess", "{\"mean\":"},
                     };
    static const int argc[] = {6, 6, 6, 8, 4, 6, 6};
    snprintf(names, sizeof names, "%s/names.txt", folder);
    assert_int_equal(weights_write_bytes(names, "pike\n\n", 6, &err), RUDD_OK);
    m->values[m->params[nn_model_find(m, "bn1.running_mean")].offset] = -70000;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof argc / sizeof *argc; i++) {
            char *words[9] = {NULL};
            memcpy(words, argv[i], sizeof argv[i]);
            assert_true(train_cmd_import(argc[i], words, &err) != RUDD_OK);
            assert_int_equal(access(other, F_OK), -1);
        }
        assert_int_equal(truncate(path, 100000), 0); /* and all of it once more with a torn file */
    }
    unlink(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_values_are_the_nearest),
        cmocka_unit_test(overflow_is_told),
        cmocka_unit_test_setup_teardown(storage_comes_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_shortened_source_leaves_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(failed_imports_leave_nothing, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
