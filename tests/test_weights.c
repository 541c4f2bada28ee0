/* test_weights.c - loading what fits and refusing what does not, saving it again. */
#include "weights/metadata.h"
#include "weights/model_file.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[128];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    err = (struct rudd_error){RUDD_OK, ""};
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* ---- there and back ---------------------------------------------------------------------------------------------- */

static struct nn_model *labelled_model(void)
{
    struct nn_model *m;
    struct nn_class classes[] = {
        {.name = "esox_lucius", .latin = "Esox lucius", .en = "northern pike", .ru = "\xd1\x89\xd1\x83\xd0\xba\xd0\xb0"},
        {.name = "rutilus_rutilus"},
        {.name = "tinca \"tinca\""}};
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", 3, &err), RUDD_OK);
    assert_int_equal(nn_model_set_classes(m, classes, 3, &err), RUDD_OK);
    m->bn_eps = 2e-3f;
    m->pad = NN_PAD_SAME;
    m->preprocess = (struct nn_preprocess){.image_size = 192,
                                           .mode = NN_RESIZE_PAD,
                                           .filter = NN_BILINEAR,
                                           .crop_fraction = 0.9,
                                           .reduce = 3,
                                           .mean = {0.1f, 0.2f, 0.3f},
                                           .std = {0.5f, 1 / 3.0f, 0.7f}};
    assert_int_equal(nn_model_set_text(&m->metrics, "{\"top1\":0.9}", &err), RUDD_OK);
    m->temperature = 1.06812;
    assert_int_equal(nn_model_set_text(&m->run, "2024-05-01-a", &err), RUDD_OK);
    assert_int_equal(nn_model_set_text(&m->dataset, "abc", &err), RUDD_OK);
    return m;
}

static void assert_same_preprocess(const struct nn_preprocess *a, const struct nn_preprocess *b)
{
    assert_int_equal(a->image_size, b->image_size);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->filter, b->filter);
    assert_true(a->crop_fraction == b->crop_fraction && a->reduce == b->reduce);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->std, b->std, sizeof a->std);
}

/* Through each dialect's file every value, label and convention comes back bit for bit; values may be another block. */
static void models_survive_files(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *back;
    float *average = malloc(m->value_count * sizeof *average);
    for (size_t i = 0; i < m->value_count; i++) average[i] = m->values[i] + 1;
    for (int d = 0; d < WEIGHTS_DIALECTS; d++) {
        struct weights_report r;
        const float *values = d == WEIGHTS_LUKEMELAS ? average : m->values;
        assert_int_equal(weights_model_save(path, m, d == WEIGHTS_LUKEMELAS ? average : NULL, (enum weights_dialect)d, &err),
                         RUDD_OK);
        assert_int_equal(weights_model_load(&back, path, &(struct weights_load_options){.hash = true}, &r, &err), RUDD_OK);
        assert_int_equal(r.dialect, d);
        assert_int_equal(r.missing_count + r.extra_count + r.misshapen_count, 0);
        assert_string_equal(back->arch, d == WEIGHTS_LUKEMELAS ? "tf_efficientnet_b0" : "efficientnet_b0");
        for (int i = 0; i < m->param_count; i++)
            assert_memory_equal(back->values + back->params[i].offset, values + m->params[i].offset,
                                m->params[i].count * sizeof(float));
        assert_int_equal(back->class_count, 3);
        for (int c = 0; c < 3; c++) assert_string_equal(back->classes[c].name, m->classes[c].name);
        assert_string_equal(back->classes[0].ru, m->classes[0].ru);
        assert_null(back->classes[1].ru);
        assert_same_preprocess(&back->preprocess, &m->preprocess);
        assert_true(back->bn_eps == m->bn_eps && back->pad == m->pad);
        assert_string_equal(back->metrics, m->metrics);
        assert_float_equal(back->temperature, 1.06812, 0);
        assert_string_equal(back->run, m->run);
        assert_string_equal(back->dataset, m->dataset);
        assert_int_equal(strlen(back->sha256), 64);
        weights_report_free(&r);
        nn_model_destroy(back);
    }
    free(average);
    nn_model_destroy(m);
}

/* Options win over metadata; the public way in gives the same model. */
static void options_win(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *back;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    struct weights_load_options o = {.arch = "tf_efficientnet_b0", .pad = WEIGHTS_PAD_SYMMETRIC, .bn_eps = 0.5f};
    assert_int_equal(weights_model_load(&back, path, &o, NULL, &err), RUDD_OK);
    assert_string_equal(back->arch, "tf_efficientnet_b0");
    assert_true(back->pad == NN_PAD_SYMMETRIC && back->bn_eps == 0.5f);
    nn_model_destroy(back);
    rudd_model *open;
    assert_int_equal(rudd_model_open(&open, path, &err), RUDD_OK);
    assert_int_equal(rudd_model_class_count(open), 3);
    assert_string_equal(rudd_model_class_name(open, 1), "rutilus_rutilus");
    assert_null(rudd_model_class_name(open, 3));
    assert_null(rudd_model_class_name(open, -1));
    assert_string_equal(rudd_model_arch(open), "efficientnet_b0");
    assert_int_equal(rudd_model_image_size(open), 192);
    rudd_model_close(open);
    nn_model_destroy(m);
}

/* Another class count gives a fresh classifier, by seed, and drops what described the old one; all else is the file's. */
static void class_count_replaces_the_classifier(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *five, *again;
    struct weights_report r;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    struct weights_load_options o = {.class_count = 5, .seed = 9};
    assert_int_equal(weights_model_load(&five, path, &o, &r, &err), RUDD_OK);
    assert_true(r.classifier_replaced);
    assert_int_equal(r.missing_count + r.misshapen_count, 0);
    assert_int_equal(five->class_count, 5);
    assert_string_equal(five->classes[0].name, "class_0");
    assert_null(five->metrics);
    assert_float_equal(five->temperature, 0, 0); /* of another classifier's logits */
    assert_int_equal(five->preprocess.image_size, 192);
    int w = nn_model_find(five, "classifier.weight");
    for (int i = 0; i < w; i++)
        assert_memory_equal(five->values + five->params[i].offset, m->values + m->params[i].offset,
                            m->params[i].count * sizeof(float));
    size_t bytes = five->params[w].count * sizeof(float);
    assert_int_equal(weights_model_load(&again, path, &o, NULL, &err), RUDD_OK);
    assert_memory_equal(five->values + five->params[w].offset, again->values + again->params[w].offset, bytes);
    nn_model_destroy(again);
    o.seed = 10;
    assert_int_equal(weights_model_load(&again, path, &o, NULL, &err), RUDD_OK);
    assert_memory_not_equal(five->values + five->params[w].offset, again->values + again->params[w].offset, bytes);
    nn_model_destroy(again);
    nn_model_destroy(five);
    weights_report_free(&r);
    nn_model_destroy(m);
}

/* A hidden layer is a classifier of another form: it replaces the file's, survives a file of its own, and is replaced again when another width
 * is asked for. All before it stays the file's, bit for bit. A mark without a number is refused. */
static void hidden_layer_replaces_the_classifier(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *mlp, *back, *other;
    struct weights_report r;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_LUKEMELAS, &err), RUDD_OK);
    assert_int_equal(weights_model_load(&mlp, path, &(struct weights_load_options){.head_hidden = 24, .seed = 9}, &r, &err),
                     RUDD_OK);
    assert_true(r.classifier_replaced);
    assert_int_equal(r.missing_count + r.misshapen_count + r.extra_count, 0);
    weights_report_free(&r);
    assert_string_equal(mlp->arch, "tf_efficientnet_b0+mlp24");
    assert_int_equal(mlp->class_count, 3);
    const int first = nn_model_find(mlp, "classifier.fc1.weight"), last = nn_model_find(mlp, "classifier.fc2.weight");
    assert_true(first == nn_model_find(m, "classifier.weight") && last > first);
    assert_int_equal(mlp->params[first].shape[0], 24);
    assert_int_equal(mlp->params[last].shape[1], 24);
    assert_int_equal(mlp->params[first].stage, mlp->params[last].stage);
    for (int i = 0; i < first; i++)
        assert_memory_equal(mlp->values + mlp->params[i].offset, m->values + m->params[i].offset,
                            m->params[i].count * sizeof(float));

    assert_int_equal(weights_model_save(path, mlp, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    assert_int_equal(weights_model_load(&back, path, NULL, &r, &err), RUDD_OK);
    assert_false(r.classifier_replaced);
    weights_report_free(&r);
    assert_string_equal(back->arch, mlp->arch);
    assert_int_equal(back->class_count, 3);
    for (int i = 0; i < mlp->param_count; i++)
        assert_memory_equal(back->values + mlp->params[i].offset, mlp->values + mlp->params[i].offset,
                            mlp->params[i].count * sizeof(float));
    nn_model_destroy(back);
    assert_int_equal(weights_model_load(&other, path, &(struct weights_load_options){.head_hidden = 8}, &r, &err), RUDD_OK);
    assert_true(r.classifier_replaced);
    weights_report_free(&r);
    assert_string_equal(other->arch, "tf_efficientnet_b0+mlp8");
    nn_model_destroy(other);
    assert_int_equal(
        weights_model_load(&other, path, &(struct weights_load_options){.arch = "efficientnet_b0+mlp"}, NULL, &err),
        RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "+mlpN"));
    nn_model_destroy(mlp);
    nn_model_destroy(m);
}

/* ---- what does not fit ------------------------------------------------------------------------------------------- */

/* Writes the file at path again after change(tensors, count) had its way with it; the room holds two tensors more. */
static void rewrite(int (*change)(struct weights_tensor *t, int count), const struct weights_meta *meta, int meta_count)
{
    struct weights_file f;
    assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
    struct weights_tensor *t = malloc(((size_t)f.tensor_count + 2) * sizeof *t);
    memcpy(t, f.tensors, (size_t)f.tensor_count * sizeof *t);
    int count = change ? change(t, f.tensor_count) : f.tensor_count;
    assert_int_equal(weights_write(path, t, count, meta, meta_count, &err), RUDD_OK);
    free(t);
    weights_close(&f);
}

static struct weights_tensor *named(struct weights_tensor *t, const char *name)
{
    while (strcmp(t->name, name)) t++;
    return t;
}

static int64_t batches = 7;
static char tracked[] = "bn1.num_batches_tracked", own_state[] = "rudd.adam.m";
static int add_ignored(struct weights_tensor *t, int count)
{
    t[count++] = (struct weights_tensor){.name = tracked, .dtype = WEIGHTS_I64, .count = 1, .data = &batches};
    t[count++] = (struct weights_tensor){.name = own_state, .dtype = WEIGHTS_I64, .count = 1, .data = &batches};
    return count;
}

static char stranger[] = "stranger";
static int spoil(struct weights_tensor *t, int count)
{
    named(t, "conv_stem.weight")->shape[0] = 16, named(t, "conv_stem.weight")->shape[1] = 6;
    named(t, "conv_head.weight")->dtype = WEIGHTS_I32;
    named(t, "blocks.3.1.bn2.bias")->name = stranger;
    return add_ignored(t, count);
}

/* What PyTorch and checkpoints add is ignored; everything else that does not fit is told at once, and the caller has no model.
 */
static void all_misfits_are_named(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *back;
    struct weights_report r;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    rewrite(add_ignored, NULL, 0);
    assert_int_equal(weights_model_load(&back, path, NULL, NULL, &err), RUDD_OK);
    nn_model_destroy(back);

    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    rewrite(spoil, NULL, 0);
    for (int allow = 0; allow < 2; allow++) {
        struct nn_model *untouched = m;
        assert_int_equal(weights_model_load(&untouched, path, &(struct weights_load_options){.allow_missing = allow}, &r, &err),
                         RUDD_MISMATCH);
        assert_ptr_equal(untouched, m);
        assert_int_equal(r.missing_count, 1);
        assert_string_equal(r.missing[0], "blocks.3.1.bn2.bias");
        assert_int_equal(r.extra_count, 1);
        assert_string_equal(r.extra[0], "stranger");
        assert_int_equal(r.misshapen_count, 2);
        assert_string_equal(r.misshapen[0], "conv_stem.weight F32 [16,6,3,3] (expected floats [32,3,3,3])");
        assert_string_equal(r.misshapen[1], "conv_head.weight I32 [1280,320,1,1] (expected floats [1280,320,1,1])");
        assert_non_null(strstr(err.message, path));
        for (int i = 0; i < 2; i++) assert_non_null(strstr(err.message, r.misshapen[i]));
        assert_non_null(strstr(err.message, "1 missing: blocks.3.1.bn2.bias"));
        assert_non_null(strstr(err.message, "1 extra: stranger"));
        weights_report_free(&r);
    }

    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    assert_int_equal(weights_model_load(&back, path, &(struct weights_load_options){.arch = "efficientnet_b7"}, &r, &err),
                     RUDD_MISMATCH);
    assert_true(r.missing_count > 100 && r.misshapen_count > 100);
    assert_non_null(strstr(err.message, ": the weights are of efficientnet_b0 (the file says so), not efficientnet_b7; leave "
                                        "--arch out or say --arch efficientnet_b0"));
    weights_report_free(&r);
    assert_int_equal(weights_model_load(&back, path, &(struct weights_load_options){.arch = "nonesuch"}, NULL, &err),
                     RUDD_ARGUMENT);
    nn_model_destroy(m);
}

/* Metadata that make no sense are refused by name. */
static void senseless_metadata_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"rudd.classes", "["},
        {"rudd.classes", "[\"a\",\"b\"]"},
        {"rudd.classes", "[\"a\",\"b\",\"\"]"},
        {"rudd.classes", "[\"a\",\"b\",3]"},
        {"rudd.classes", "[\"a\",\"b\",{\"latin\":\"c\"}]"},
        {"rudd.classes", "[\"a\",\"b\",{\"name\":\"c\",\"fr\":\"d\"}]"},
        {"rudd.preprocess", "[]"},
        {"rudd.preprocess", "{\"image_size\":0}"},
        {"rudd.preprocess", "{\"image_size\":224.5}"},
        {"rudd.preprocess", "{\"image_size\":1e9}"},
        {"rudd.preprocess", "{\"mode\":\"stretch\"}"},
        {"rudd.preprocess", "{\"filter\":3}"},
        {"rudd.preprocess", "{\"std\":[0.2,0.2,0]}"},
        {"rudd.preprocess", "{\"mean\":[0.2,0.2]}"},
        {"rudd.preprocess", "{\"colour\":\"bgr\"}"},
        {"rudd.conventions", "{\"bn_eps\":-1}"},
        {"rudd.conventions", "{\"pad\":\"valid\"}"},
        {"rudd.temperature", ""},
        {"rudd.temperature", "0"},
        {"rudd.temperature", "warm"},
        {"rudd.temperature", "1.5 "},
        {"rudd.temperature", "nan"},
        {"rudd.temperature", "1e9"},
    };
    struct nn_model *m = labelled_model(), *back = m;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct weights_meta meta = {(char *)cases[k][0], (char *)cases[k][1]};
        if (k == 0) assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
        rewrite(NULL, &meta, 1);
        assert_int_equal(weights_model_load(&back, path, NULL, NULL, &err), RUDD_FORMAT);
        assert_ptr_equal(back, m);
        assert_non_null(strstr(err.message, cases[k][0]));
        assert_non_null(strstr(err.message, path));
    }
    nn_model_destroy(m);
}

static float odd_values[32];
static int hold_odd_value(struct weights_tensor *t, int count)
{
    named(t, "bn1.running_var")->data = odd_values;
    return count;
}

/* One value that is no finite number, in whatever place, is told instead of a network of which every answer is NaN. */
static void odd_values_are_refused(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *back = m;
    const float odd[] = {NAN, INFINITY, -INFINITY};
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    for (size_t i = 0; i <= sizeof odd / sizeof *odd; i++) {
        const bool whole = i == sizeof odd / sizeof *odd;
        for (size_t k = 0; k < 32; k++) odd_values[k] = k == 31 && !whole ? odd[i] : FLT_MAX;
        rewrite(hold_odd_value, NULL, 0);
        assert_int_equal(weights_model_load(&back, path, NULL, NULL, &err), whole ? RUDD_OK : RUDD_FORMAT);
        if (whole) continue;
        assert_ptr_equal(back, m);
        assert_non_null(strstr(err.message, "tensor bn1.running_var: value 31 is "));
    }
    nn_model_destroy(back);
    nn_model_destroy(m);
}

static int allow_fewer(void *left, size_t bytes)
{
    (void)bytes;
    return (*(int *)left)-- > 0;
}

/* Allocations that fail anywhere in loading and saving give RUDD_NO_MEMORY, no model, and the old file. */
static void failing_allocations_are_reported(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model(), *back = m;
    struct weights_report r;
    int failures = 0;
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_LUKEMELAS, &err), RUDD_OK);
    for (int n = 0;; n += n < 40 ? 1 : 131) { /* of some thousands, most of them alike */
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_model_load(&back, path, NULL, &r, &err);
        rudd_set_alloc_hook(NULL, NULL);
        weights_report_free(&r);
        if (!status) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
        assert_ptr_equal(back, m);
        failures++;
    }
    assert_true(failures > 40);
    failures = 0;
    for (int n = 0;; n++) {
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_model_save(path, back, NULL, WEIGHTS_TIMM, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
        struct weights_file f;
        assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
        assert_non_null(weights_find(&f, "_fc.weight"));
        weights_close(&f);
        failures++;
    }
    assert_true(failures > 5);
    nn_model_destroy(back);
    nn_model_destroy(m);
}

/* ---- real files -------------------------------------------------------------------------------------------------- */

#define REAL_V2 "../shared/weights/tf_efficientnetv2_b0.imagenet.safetensors"
#define REAL_B0 "../shared/weights/efficientnet_b0.imagenet.no_head.safetensors"

/* Real timm weights load to the last tensor, with the conventions of their family. */
static void real_v2_loads(void **state)
{
    (void)state;
    if (access(REAL_V2, R_OK)) skip();
    struct nn_model *m;
    struct weights_report r;
    assert_int_equal(weights_model_load(&m, REAL_V2, NULL, &r, &err), RUDD_OK);
    assert_string_equal(m->arch, "tf_efficientnetv2_b0");
    assert_int_equal(m->class_count, 1000);
    assert_true(m->pad == NN_PAD_SAME && m->bn_eps == 1e-3f && !r.arch_guessed);
    assert_int_equal(r.missing_count, 0);
    weights_report_free(&r);
    nn_model_destroy(m);
}

/* Real lukemelas weights without their head are refused with exactly what is missing, in their own names; then initialised. */
static void real_b0_lacks_three(void **state)
{
    (void)state;
    if (access(REAL_B0, R_OK)) skip();
    static const char *const missing[] = {"_blocks.15._project_conv.weight", "_conv_head.weight", "_fc.weight"};
    struct nn_model *m = NULL;
    struct weights_report r;
    assert_int_equal(weights_model_load(&m, REAL_B0, NULL, &r, &err), RUDD_MISMATCH);
    assert_null(m);
    weights_report_free(&r);
    assert_non_null(strstr(err.message, "3 missing: _blocks.15._project_conv.weight, _conv_head.weight, _fc.weight;"));
    assert_int_equal(weights_model_load(&m, REAL_B0, &(struct weights_load_options){.allow_missing = true}, &r, &err), RUDD_OK);
    assert_string_equal(m->arch, "tf_efficientnet_b0");
    assert_int_equal(m->class_count, 1000);
    assert_int_equal(r.missing_count, 3);
    assert_int_equal(r.extra_count, 0);
    for (int i = 0; i < 3; i++) assert_string_equal(r.missing[i], missing[i]);
    const struct nn_param *p = &m->params[nn_model_find(m, "classifier.weight")];
    double sum = 0;
    for (size_t i = 0; i < p->count; i++) sum += (double)m->values[p->offset + i] * (double)m->values[p->offset + i];
    assert_true(sum > 0); /* initialised, not left at 0 */
    weights_report_free(&r);
    nn_model_destroy(m);
}

/* Names and words of classes go into JSON: what is no text is refused by its class, and the old ones stay. */
static void classes_are_text(void **state)
{
    (void)state;
    struct nn_model *m = labelled_model();
    struct nn_class classes[] = {{.name = "a"}, {.name = "b", .ru = "\xe9"}, {.name = "c"}};
    assert_int_equal(nn_model_set_classes(m, classes, 3, &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "a word for class 2, b, is not UTF-8"));
    classes[1] = (struct nn_class){.name = "a"};
    assert_int_equal(nn_model_set_classes(m, classes, 3, &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "two classes are called \"a\""));
    assert_string_equal(m->classes[0].name, "esox_lucius");
    nn_model_destroy(m);
}

/* A nano of that many classes at path, as other programs store it: tensors and no names. */
static void write_bare(int classes)
{
    struct nn_model *m;
    struct weights_file f;
    char from[160];
    snprintf(from, sizeof from, "%s.named", path);
    assert_int_equal(nn_model_create(&m, "rudd_nano", classes, &err), RUDD_OK);
    assert_int_equal(weights_model_save(from, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    assert_int_equal(weights_open(&f, from, &err), RUDD_OK);
    assert_int_equal(weights_write(path, f.tensors, f.tensor_count, NULL, 0, &err), RUDD_OK);
    weights_close(&f);
    unlink(from);
    nn_model_destroy(m);
}

/* 1,000 classes without names are ImageNet's; other numbers, and a classifier that is new, are not. */
static void a_thousand_classes_are_imagenets(void **state)
{
    (void)state;
    struct nn_model *m;
    struct weights_report r;
    static const struct {
        int in_file, asked;
        const char *first, *last;
    } rows[] = {{1000, 0, "tench", "toilet tissue"}, {999, 0, "class_0", "class_998"}, {1000, 7, "class_0", "class_6"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_bare(rows[i].in_file);
        const struct weights_load_options o = {.arch = "rudd_nano", .class_count = rows[i].asked};
        assert_int_equal(weights_model_load(&m, path, &o, &r, &err), RUDD_OK);
        assert_string_equal(m->classes[0].name, rows[i].first);
        assert_string_equal(m->classes[m->class_count - 1].name, rows[i].last);
        assert_int_equal(r.imagenet_names, !strcmp(rows[i].first, "tench"));
        weights_report_free(&r);
        nn_model_destroy(m);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(models_survive_files),
        TEST(options_win),
        TEST(class_count_replaces_the_classifier),
        TEST(hidden_layer_replaces_the_classifier),
        TEST(all_misfits_are_named),
        TEST(senseless_metadata_are_refused),
        TEST(odd_values_are_refused),
        TEST(failing_allocations_are_reported),
        TEST(a_thousand_classes_are_imagenets),
        TEST(real_v2_loads),
        TEST(real_b0_lacks_three),
        cmocka_unit_test_setup_teardown(classes_are_text, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
