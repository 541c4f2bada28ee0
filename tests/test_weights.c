/* test_weights.c - names in every dialect, recognition, loading what fits and refusing what does not, saving it again. */
#include "weights/metadata.h"
#include "weights/keras.h"
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

static struct nn_model *outline(const char *arch, int classes)
{
    struct nn_model *m;
    assert_int_equal(nn_model_describe(&m, arch, classes, &err), RUDD_OK);
    return m;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int by_tensor_name(const void *a, const void *b)
{
    return strcmp(((const struct weights_tensor *)a)->name, ((const struct weights_tensor *)b)->name);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Known names of real files, one of each module, in B0 (one block in the first stage) and B4 (two); and V2's, which lukemelas lacks. */
static void names_are_those_of_real_files(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *timm, *torchvision, *lukemelas, *keras;
    } known[] = {
        {"efficientnet_b0", "conv_stem.weight", "features.0.0.weight", "_conv_stem.weight", "stem_conv/kernel"},
        {"efficientnet_b0", "bn1.running_var", "features.0.1.running_var", "_bn0.running_var", "stem_bn/moving_variance"},
        {"efficientnet_b0", "blocks.0.0.conv_dw.weight", "features.1.0.block.0.0.weight", "_blocks.0._depthwise_conv.weight",
         "block1a_dwconv/kernel"},
        {"efficientnet_b0", "blocks.0.0.bn1.bias", "features.1.0.block.0.1.bias", "_blocks.0._bn1.bias", "block1a_bn/beta"},
        {"efficientnet_b0", "blocks.0.0.se.conv_reduce.bias", "features.1.0.block.1.fc1.bias", "_blocks.0._se_reduce.bias",
         "block1a_se_reduce/bias"},
        {"efficientnet_b0", "blocks.0.0.se.conv_expand.weight", "features.1.0.block.1.fc2.weight",
         "_blocks.0._se_expand.weight", "block1a_se_expand/kernel"},
        {"efficientnet_b0", "blocks.0.0.conv_pw.weight", "features.1.0.block.2.0.weight", "_blocks.0._project_conv.weight",
         "block1a_project_conv/kernel"},
        {"efficientnet_b0", "blocks.0.0.bn2.running_mean", "features.1.0.block.2.1.running_mean", "_blocks.0._bn2.running_mean",
         "block1a_project_bn/moving_mean"},
        {"efficientnet_b0", "blocks.1.1.conv_pw.weight", "features.2.1.block.0.0.weight", "_blocks.2._expand_conv.weight",
         "block2b_expand_conv/kernel"},
        {"efficientnet_b0", "blocks.1.1.bn1.weight", "features.2.1.block.0.1.weight", "_blocks.2._bn0.weight",
         "block2b_expand_bn/gamma"},
        {"efficientnet_b0", "blocks.6.0.conv_dw.weight", "features.7.0.block.1.0.weight", "_blocks.15._depthwise_conv.weight",
         "block7a_dwconv/kernel"},
        {"efficientnet_b0", "blocks.6.0.bn2.weight", "features.7.0.block.1.1.weight", "_blocks.15._bn1.weight",
         "block7a_bn/gamma"},
        {"efficientnet_b0", "blocks.6.0.se.conv_reduce.weight", "features.7.0.block.2.fc1.weight",
         "_blocks.15._se_reduce.weight", "block7a_se_reduce/kernel"},
        {"efficientnet_b0", "blocks.6.0.se.conv_expand.bias", "features.7.0.block.2.fc2.bias", "_blocks.15._se_expand.bias",
         "block7a_se_expand/bias"},
        {"efficientnet_b0", "blocks.6.0.conv_pwl.weight", "features.7.0.block.3.0.weight", "_blocks.15._project_conv.weight",
         "block7a_project_conv/kernel"},
        {"efficientnet_b0", "blocks.6.0.bn3.bias", "features.7.0.block.3.1.bias", "_blocks.15._bn2.bias",
         "block7a_project_bn/beta"},
        {"efficientnet_b0", "conv_head.weight", "features.8.0.weight", "_conv_head.weight", "top_conv/kernel"},
        {"efficientnet_b0", "bn2.weight", "features.8.1.weight", "_bn1.weight", "top_bn/gamma"},
        {"efficientnet_b0", "classifier.weight", "classifier.1.weight", "_fc.weight", "predictions/kernel"},
        {"efficientnet_b0", "classifier.bias", "classifier.1.bias", "_fc.bias", "predictions/bias"},
        {"tf_efficientnet_b4", "blocks.0.1.conv_pw.weight", "features.1.1.block.2.0.weight", "_blocks.1._project_conv.weight",
         "block1b_project_conv/kernel"},
        {"tf_efficientnet_b4", "blocks.5.7.conv_pwl.weight", "features.6.7.block.3.0.weight", "_blocks.29._project_conv.weight",
         "block6h_project_conv/kernel"},
        {"tf_efficientnet_b4", "blocks.6.1.conv_pw.weight", "features.7.1.block.0.0.weight", "_blocks.31._expand_conv.weight",
         "block7b_expand_conv/kernel"},
        {"efficientnetv2_s", "blocks.0.1.conv.weight", "features.1.1.block.0.0.weight", NULL, "block1b_project_conv/kernel"},
        {"efficientnetv2_s", "blocks.0.1.bn1.bias", "features.1.1.block.0.1.bias", NULL, "block1b_project_bn/beta"},
        {"efficientnetv2_s", "blocks.1.3.conv_exp.weight", "features.2.3.block.0.0.weight", NULL, "block2d_expand_conv/kernel"},
        {"efficientnetv2_s", "blocks.1.3.bn1.weight", "features.2.3.block.0.1.weight", NULL, "block2d_expand_bn/gamma"},
        {"efficientnetv2_s", "blocks.2.0.conv_pwl.weight", "features.3.0.block.1.0.weight", NULL,
         "block3a_project_conv/kernel"},
        {"efficientnetv2_s", "blocks.2.0.bn2.running_var", "features.3.0.block.1.1.running_var", NULL,
         "block3a_project_bn/moving_variance"},
        {"efficientnetv2_s", "blocks.4.3.conv_dw.weight", "features.5.3.block.1.0.weight", "_blocks.19._depthwise_conv.weight",
         "block5d_dwconv2/kernel"},
        {"mobilenetv2_100", "conv_stem.weight", "features.0.0.weight", NULL, "Conv1/kernel"},
        {"mobilenetv2_100", "blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight", NULL, "expanded_conv_depthwise/kernel"},
        {"mobilenetv2_100", "blocks.0.0.bn2.bias", "features.1.conv.2.bias", NULL, "expanded_conv_project_BN/beta"},
        {"mobilenetv2_100", "blocks.1.0.conv_pw.weight", "features.2.conv.0.0.weight", NULL, "block_1_expand/kernel"},
        {"mobilenetv2_100", "blocks.6.0.conv_dw.weight", "features.17.conv.1.0.weight", NULL, "block_16_depthwise/kernel"},
        {"mobilenetv2_100", "blocks.6.0.bn3.running_mean", "features.17.conv.3.running_mean", NULL,
         "block_16_project_BN/moving_mean"},
        {"resnet50v2", "stem.conv.bias", NULL, NULL, "conv1_conv/bias"},
        {"resnet50v2", "stages.0.blocks.0.downsample.conv.weight", NULL, NULL, "conv2_block1_0_conv/kernel"},
        {"resnet50v2", "stages.3.blocks.2.norm1.running_var", NULL, NULL, "conv5_block3_preact_bn/moving_variance"},
        {"resnet50v2", "stages.2.blocks.5.norm3.weight", NULL, NULL, "conv4_block6_2_bn/gamma"},
        {"resnet50v2", "norm.bias", NULL, NULL, "post_bn/beta"},
        {"mobilenetv2_050", "conv_head.weight", "features.18.0.weight", NULL, "Conv_1/kernel"},
        {"mobilenetv2_140", "classifier.bias", "classifier.1.bias", NULL, "predictions/bias"},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        struct nn_model *m = outline(known[k].arch, 3);
        const char *expected[] = {known[k].timm, known[k].torchvision, known[k].lukemelas, known[k].keras};
        int i = nn_model_find(m, known[k].timm);
        assert_true(i >= 0);
        for (int d = 0; d <= WEIGHTS_KERAS; d++) {
            char name[NN_NAME];
            assert_int_equal(weights_param_name(name, m, i, (enum weights_dialect)d), expected[d] != NULL);
            if (expected[d]) assert_string_equal(name, expected[d]);
        }
        nn_model_destroy(m);
    }
}

/* Layers without names are numbered as Keras 3 numbers those of its own networks: a shortcut's convolution before the one it is added to. */
static void numbers_are_those_of_real_files(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *timm, *numbered;
    } known[] = {
        {"resnet50v2", "stem.conv.bias", "conv2d/bias"},
        {"resnet50v2", "stages.0.blocks.0.conv1.weight", "conv2d_1/kernel"},
        {"resnet50v2", "stages.0.blocks.0.conv2.weight", "conv2d_2/kernel"},
        {"resnet50v2", "stages.0.blocks.0.downsample.conv.bias", "conv2d_3/bias"},
        {"resnet50v2", "stages.0.blocks.0.conv3.bias", "conv2d_4/bias"},
        {"resnet50v2", "stages.0.blocks.1.conv1.weight", "conv2d_5/kernel"},
        {"resnet50v2", "stages.3.blocks.0.conv2.weight", "conv2d_44/kernel"},
        {"resnet50v2", "stages.3.blocks.0.downsample.conv.weight", "conv2d_45/kernel"},
        {"resnet50v2", "stages.3.blocks.2.conv3.weight", "conv2d_52/kernel"},
        {"resnet50v2", "stages.0.blocks.0.norm3.weight", "batch_normalization_2/gamma"},
        {"resnet50v2", "norm.running_var", "batch_normalization_48/moving_variance"},
        {"resnet50v2", "head.fc.weight", "dense/kernel"},
        {"tf_efficientnet_b0", "conv_stem.weight", "conv2d/kernel"},
        {"tf_efficientnet_b0", "blocks.0.0.se.conv_expand.bias", "conv2d_2/bias"},
        {"tf_efficientnet_b0", "blocks.1.1.conv_dw.weight", "depthwise_conv2d_2/kernel"},
        {"tf_efficientnet_b0", "bn2.bias", "batch_normalization_48/beta"},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        struct nn_model *m = outline(known[k].arch, 3);
        char name[NN_NAME];
        assert_true(weights_param_name(name, m, nn_model_find(m, known[k].timm), WEIGHTS_KERAS_NUMBERED));
        assert_string_equal(name, known[k].numbered);
        nn_model_destroy(m);
    }
}

/* lukemelas' package is EfficientNet V1 alone. */
static bool has_names(const char *arch, int dialect)
{
    if (strstr(arch, "resnet"))
        return dialect == WEIGHTS_TIMM || (weights_is_keras((enum weights_dialect)dialect) && !strcmp(arch, "resnet50v2"));
    return dialect != WEIGHTS_LUKEMELAS || strstr(arch, "efficientnet_b");
}

/* In every architecture and dialect each parameter has a name and no two share one; V2 has none in lukemelas' package, and says so. */
static void names_are_complete_and_unique(void **state)
{
    (void)state;
    for (int k = 0; nn_arch_name(k); k++) {
        struct nn_model *m = outline(nn_arch_name(k), 3);
        char(*names)[NN_NAME] = malloc((size_t)m->param_count * sizeof *names);
        for (int d = 0; d < WEIGHTS_DIALECTS; d++) {
            bool all = true;
            for (int i = 0; i < m->param_count; i++) all &= weights_param_name(names[i], m, i, (enum weights_dialect)d);
            assert_int_equal(all, has_names(m->arch, d));
            qsort(names, (size_t)m->param_count, sizeof *names, by_text);
            for (int i = 1; i < m->param_count && all; i++) assert_string_not_equal(names[i - 1], names[i]);
        }
        free(names);
        nn_model_destroy(m);
    }
}

/* ---- recognition ------------------------------------------------------------------------------------------------- */

/* An open file with the parameters of an architecture in a dialect, without data or metadata; every skip-th is left out. */
static void pretend_file(struct weights_file *f, const char *arch, enum weights_dialect d, int skip)
{
    struct nn_model *m = outline(arch, 17);
    *f = (struct weights_file){.path = rudd_strdup("pretended"),
                               .tensors = rudd_zalloc((size_t)m->param_count, sizeof *f->tensors)};
    for (int i = 0; i < m->param_count; i++) {
        char name[NN_NAME];
        if (!weights_param_name(name, m, i, d) || (skip && i % skip == skip - 1)) continue;
        struct weights_tensor *t = &f->tensors[f->tensor_count++];
        *t = (struct weights_tensor){
            .name = rudd_strdup(name), .dtype = WEIGHTS_F16, .rank = m->params[i].rank, .count = m->params[i].count};
        weights_dialect_shape(t->shape, &m->params[i], d);
    }
    qsort(f->tensors, (size_t)f->tensor_count, sizeof *f->tensors, by_tensor_name);
    nn_model_destroy(m);
}

/* Names and shapes alone tell each architecture, even with a seventh of the tensors missing; tf_ twins go to the plain name,
 * except in lukemelas' and Keras' dialects, where all are tf_, and V2-S under timm's names, of which TensorFlow's weights alone are published. */
static void shapes_tell_the_architecture(void **state)
{
    (void)state;
    for (int k = 0; nn_arch_name(k); k++)
        for (int d = 0; d < WEIGHTS_DIALECTS; d++) {
            const char *name = nn_arch_name(k), *found = NULL;
            enum weights_dialect dialect;
            bool guessed;
            if (!has_names(name, d)) continue;
            struct weights_file f;
            pretend_file(&f, name, (enum weights_dialect)d, k % 2 ? 7 : 0);
            assert_int_equal(weights_recognise(&found, &dialect, &guessed, &f, &err), RUDD_OK);
            assert_int_equal(dialect, d);
            assert_true(guessed);
            char expected[64];
            const char *plain = strncmp(name, "tf_", 3) ? name : name + 3;
            const bool tf = strstr(name, "v2_s")
                                ? d == WEIGHTS_TIMM || weights_is_keras((enum weights_dialect)d)
                                : strstr(name, "v2_b") || d == WEIGHTS_LUKEMELAS ||
                                      (weights_is_keras((enum weights_dialect)d) && strstr(name, "efficientnet"));
            snprintf(expected, sizeof expected, "%s%s", tf ? "tf_" : "", plain);
            assert_string_equal(found, expected);
            weights_close(&f);
        }
}

/* Metadata decides before shapes do, in the spellings that files use; an unknown rudd.arch is refused, not guessed around. */
static void metadata_tells_the_architecture(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        enum weights_dialect d;
        const char *arch;
    } cases[] = {
        {"architecture", "tf_efficientnet_b1", WEIGHTS_TIMM, "tf_efficientnet_b1"},
        {"architecture", "tf_efficientnet_b1.ns_jft_in1k", WEIGHTS_TIMM, "tf_efficientnet_b1"},
        {"architecture", "efficientnet-b1", WEIGHTS_LUKEMELAS, "tf_efficientnet_b1"},
        {"architecture", "efficientnet_b1", WEIGHTS_TORCHVISION, "efficientnet_b1"},
        {"rudd.arch", "tf_efficientnet_b1", WEIGHTS_TORCHVISION, "tf_efficientnet_b1"},
        {"rudd.arch", "ichthys_b1", WEIGHTS_TIMM, NULL},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct weights_file f;
        pretend_file(&f, "efficientnet_b1", cases[k].d, 0);
        f.meta = rudd_zalloc(1, sizeof *f.meta);
        f.meta_count = 1;
        f.meta[0] = (struct weights_meta){rudd_strdup(cases[k].key), rudd_strdup(cases[k].value)};
        const char *found = NULL;
        enum weights_dialect dialect;
        bool guessed;
        enum rudd_status status = weights_recognise(&found, &dialect, &guessed, &f, &err);
        assert_int_equal(status, cases[k].arch ? RUDD_OK : RUDD_MISMATCH);
        if (cases[k].arch) {
            assert_string_equal(found, cases[k].arch);
            assert_false(guessed);
        } else
            assert_non_null(strstr(err.message, "ichthys_b1"));
        weights_close(&f);
    }
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
    assert_true(r.missing_count > 100 && r.misshapen_count > 100); /* too many for a message, which still ends well */
    assert_true(strlen(err.message) < sizeof err.message - 1);
    assert_non_null(strstr(err.message, "check --arch"));
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(names_are_those_of_real_files),
        TEST(numbers_are_those_of_real_files),
        TEST(names_are_complete_and_unique),
        TEST(shapes_tell_the_architecture),
        TEST(metadata_tells_the_architecture),
        TEST(models_survive_files),
        TEST(options_win),
        TEST(class_count_replaces_the_classifier),
        TEST(hidden_layer_replaces_the_classifier),
        TEST(all_misfits_are_named),
        TEST(senseless_metadata_are_refused),
        TEST(odd_values_are_refused),
        TEST(failing_allocations_are_reported),
        TEST(real_v2_loads),
        TEST(real_b0_lacks_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
