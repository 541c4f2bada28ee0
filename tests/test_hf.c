/* test_hf.c - Hugging Face folders: what config.json says is taken or refused by name; a model survives the way out and in. */
#include "weights/hf_folder.h"
#include "weights/replace.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], out[128], path[160];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(out, sizeof out, "%s/out", folder);
    return 0;
}

static const char *within(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", out, name);
    return path;
}

static void remove_out(void)
{
    unlink(within("model.safetensors"));
    unlink(within("config.json"));
    rmdir(out);
}

/* Fails when anything but `out` was left beside it. */
static int remove_folder(void **state)
{
    (void)state;
    remove_out();
    return rmdir(folder);
}

static enum rudd_status parse(struct weights_hf *hf, const char *text)
{
    return weights_hf_parse(hf, text, strlen(text), "config.json", &err);
}

/* Both forms that timm has written: with pretrained_cfg and, older, without; labels as a list or by index. */
static void both_forms_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"architecture\":\"tf_efficientnet_b1.ns_jft_in1k\",\"num_classes\":2,\"label_names\":[\"pike\",\"perch\"],"
        "\"model_args\":{\"num_classes\":2,\"in_chans\":3,\"global_pool\":\"avg\",\"pad_type\":\"\",\"bn_eps\":0.002},"
        "\"pretrained_cfg\":{\"input_size\":[3,192,192],\"interpolation\":\"bilinear\",\"crop_pct\":1,\"crop_mode\":\"border\","
        "\"mean\":[0.5,0.5,0.5],\"std\":[0.25,0.25,0.25],\"license\":\"mit\"}}",
        "{\"architecture\":\"tf_efficientnet_b1\",\"num_classes\":2,\"labels\":{\"1\":\"perch\",\"0\":\"pike\"},"
        "\"model_args\":{\"pad_type\":\"\",\"bn_eps\":0.002},\"input_size\":[3,192,192],\"interpolation\":\"bilinear\",\"crop_"
        "pct\":1.0,"
        "\"crop_mode\":\"border\",\"mean\":[0.5,0.5,0.5],\"std\":[0.25,0.25,0.25],\"first_conv\":\"conv_stem\"}"};
    for (int i = 0; i < 2; i++) {
        struct weights_hf hf;
        assert_int_equal(parse(&hf, texts[i]), RUDD_OK);
        assert_string_equal(hf.arch, "tf_efficientnet_b1");
        assert_int_equal(hf.class_count, 2);
        assert_string_equal(hf.names[0], "pike");
        assert_string_equal(hf.names[1], "perch");
        assert_true(hf.pad == WEIGHTS_PAD_SYMMETRIC && hf.bn_eps == 2e-3f);
        assert_int_equal(json_integer_value(json_object_get(hf.preprocess, "image_size")), 192);
        assert_string_equal(json_string_value(json_object_get(hf.preprocess, "mode")), "pad");
        assert_string_equal(json_string_value(json_object_get(hf.preprocess, "filter")), "bilinear");
        weights_hf_free(&hf);
    }
}

/* What rudd cannot do is refused under its own name, not passed over. */
static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "JSON"},
        {"[]", "architecture"},
        {"{\"model_type\":\"efficientnet\"}", "architecture"},
        {"{\"architecture\":3}", "architecture"},
        {"{\"architecture\":\"an_architecture_with_a_name_that_is_longer_than_any_known\"}", "architecture"},
        {"{\"architecture\":\"efficientnet_b0\",\"model_args\":{\"act_layer\":\"relu\"}}", "act_layer"},
        {"{\"architecture\":\"efficientnet_b0\",\"model_args\":{\"in_chans\":1}}", "in_chans"},
        {"{\"architecture\":\"efficientnet_b0\",\"model_args\":{\"global_pool\":\"max\"}}", "global_pool"},
        {"{\"architecture\":\"efficientnet_b0\",\"model_args\":{\"pad_type\":\"valid\"}}", "pad_type"},
        {"{\"architecture\":\"efficientnet_b0\",\"model_args\":{\"bn_eps\":-1}}", "bn_eps"},
        {"{\"architecture\":\"efficientnet_b0\",\"label_names\":[]}", "label_names"},
        {"{\"architecture\":\"efficientnet_b0\",\"label_names\":[\"pike\",3]}", "class 1"},
        {"{\"architecture\":\"efficientnet_b0\",\"label_names\":{\"0\":\"pike\",\"2\":\"perch\"}}", "class 1"},
        {"{\"architecture\":\"efficientnet_b0\",\"input_size\":[3,224,256]}", "input_size"},
        {"{\"architecture\":\"efficientnet_b0\",\"input_size\":[1,224,224]}", "input_size"},
        {"{\"architecture\":\"efficientnet_b0\",\"input_size\":[3,9999,9999]}", "image_size"},
        {"{\"architecture\":\"efficientnet_b0\",\"interpolation\":\"lanczos\"}", "interpolation"},
        {"{\"architecture\":\"efficientnet_b0\",\"crop_mode\":\"corner\"}", "crop_mode"},
        {"{\"architecture\":\"efficientnet_b0\",\"crop_mode\":\"squash\",\"crop_pct\":0.9}", "crop_pct"},
        {"{\"architecture\":\"efficientnet_b0\",\"crop_pct\":\"much\"}", "crop_fraction"},
        {"{\"architecture\":\"efficientnet_b0\",\"mean\":[0.5]}", "mean"},
        {"{\"architecture\":\"efficientnet_b0\",\"std\":[0.5,0,0.5]}", "std"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights_hf hf;
        assert_true(parse(&hf, cases[i].text) != RUDD_OK);
        if (!strstr(err.message, cases[i].word)) fail_msg("%s: %s", cases[i].text, err.message);
    }
}

static struct nn_model *labelled(const char *arch)
{
    struct nn_model *m;
    const struct nn_class classes[] = {{.name = "esox_lucius", .latin = "Esox lucius", .en = "northern pike"},
                                       {.name = "perca"}};
    assert_int_equal(nn_model_create(&m, arch, 2, &err), RUDD_OK);
    assert_int_equal(nn_model_set_classes(m, classes, 2, &err), RUDD_OK);
    m->pad = NN_PAD_SAME;
    m->bn_eps = 2e-3f;
    m->preprocess.image_size = 64;
    m->preprocess.mode = NN_RESIZE_PAD;
    m->preprocess.filter = NN_BILINEAR;
    m->preprocess.mean[1] = 0.5f;
    return m;
}

static void copy_file(const char *to, const char *from)
{
    struct weights_file f;
    assert_int_equal(weights_open(&f, from, &err), RUDD_OK);
    assert_int_equal(weights_write(to, f.tensors, f.tensor_count, NULL, 0, &err), RUDD_OK); /* its metadata are lost */
    weights_close(&f);
}

/* All of a model that timm's form can hold comes back from it, also when the weights file itself says nothing. */
static void models_survive_folders(void **state)
{
    (void)state;
    struct nn_model *m = labelled("efficientnet_b0"), *back;
    assert_int_equal(weights_hf_write(out, m, WEIGHTS_F32, &err), RUDD_OK);
    for (int bare = 0; bare < 2; bare++) {
        char weights[160];
        strcpy(weights, within("model.safetensors"));
        if (bare) copy_file(weights, weights);
        assert_int_equal(weights_model_load(&back, out, NULL, NULL, &err), RUDD_OK);
        assert_string_equal(back->arch, "efficientnet_b0");
        assert_true(back->pad == NN_PAD_SAME && back->bn_eps == m->bn_eps);
        assert_int_equal(back->preprocess.image_size, 64);
        assert_int_equal(back->preprocess.mode, NN_RESIZE_PAD);
        assert_int_equal(back->preprocess.filter, NN_BILINEAR);
        assert_memory_equal(back->preprocess.mean, m->preprocess.mean, sizeof m->preprocess.mean);
        assert_string_equal(back->classes[0].name, "esox_lucius");
        assert_string_equal(back->classes[0].en, "northern pike");
        assert_int_equal(back->classes[0].latin != NULL, !bare); /* timm has no place for it */
        assert_string_equal(back->classes[1].name, "perca");
        assert_memory_equal(back->values, m->values, m->value_count * sizeof *m->values);
        nn_model_destroy(back);
    }
    /* Options win over the config. */
    const struct weights_load_options o = {
        .pad = WEIGHTS_PAD_SYMMETRIC, .bn_eps = 0.25f, .class_count = 5, .predict_only = true};
    struct weights_report r;
    assert_int_equal(weights_model_load(&back, out, &o, &r, &err), RUDD_OK);
    assert_true(back->pad == NN_PAD_SYMMETRIC && back->bn_eps == 0.25f && back->class_count == 5 && r.classifier_replaced);
    weights_report_free(&r);
    nn_model_destroy(back);
    nn_model_destroy(m);
}

static void nothing_is_there(void)
{
    DIR *d = opendir(folder);
    int entries = 0;
    while (readdir(d)) entries++;
    closedir(d);
    assert_int_equal(entries, 2);
}

static int allow_fewer(void *left, size_t bytes)
{
    (void)bytes;
    return (*(int *)left)-- > 0;
}

/* A network that timm does not have, a folder in use, a value that does not fit, memory that ends: refused, and nothing is left behind. */
static void all_or_nothing(void **state)
{
    (void)state;
    static const char *const strangers[] = {"rudd_nano", "resnet50v2", "mobilenetv2_130"};
    struct nn_model *m = labelled("efficientnet_b0"), *back;
    for (int k = 0; k < 3; k++) {
        struct nn_model *own = labelled(strangers[k]);
        assert_int_equal(weights_hf_write(out, own, WEIGHTS_F32, &err), RUDD_ARGUMENT);
        assert_non_null(strstr(err.message, strangers[k]));
        nn_model_destroy(own);
    }
    m->values[7] = 1e6f;
    assert_int_equal(weights_hf_write(out, m, WEIGHTS_F16, &err), RUDD_LIMIT);
    nothing_is_there();
    int failures = 0;
    for (int n = 0; n < 4000; n += n < 8 ? 1 : 17, failures++) {
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_hf_write(out, m, WEIGHTS_F32, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
        nothing_is_there();
    }
    assert_true(failures > 8);
    assert_int_equal(weights_hf_write(out, m, WEIGHTS_F32, &err), RUDD_ARGUMENT); /* written by now */
    assert_non_null(strstr(err.message, "not an empty folder"));
    failures = 0;
    for (int n = 0; n < 20000; n += n < 40 ? 1 : 331, failures++) {
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_model_load(&back, out, NULL, NULL, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
    }
    assert_true(failures > 40);
    nn_model_destroy(back);
    unlink(within("model.safetensors"));
    assert_int_equal(weights_model_load(&back, out, NULL, NULL, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "model.safetensors"));
    unlink(within("config.json"));
    assert_int_equal(weights_model_load(&back, out, NULL, NULL, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "a folder without model.safetensors"));
    assert_int_equal(weights_hf_write(out, m, WEIGHTS_BF16, &err), RUDD_OK); /* an empty folder is taken */
    nn_model_destroy(m);
}

/* Names that fit another number of classes. */
static void labels_must_fit(void **state)
{
    (void)state;
    struct nn_model *m = labelled("efficientnet_b0"), *back;
    static const char text[] = "{\"architecture\":\"efficientnet_b0\",\"label_names\":[\"a\",\"b\",\"c\"]}";
    assert_int_equal(weights_hf_write(out, m, WEIGHTS_F32, &err), RUDD_OK);
    assert_int_equal(weights_write_bytes(within("config.json"), text, strlen(text), &err), RUDD_OK);
    assert_int_equal(weights_model_load(&back, out, NULL, NULL, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "3 label_names"));
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_read),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test_setup_teardown(models_survive_folders, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(all_or_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(labels_must_fit, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
